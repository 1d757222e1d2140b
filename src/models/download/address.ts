import { BenchError } from "../../errors.js";

/** Where a file is fetched from. */
export interface Address {
  /** Without user and password. */
  url: URL;
  /** A header for the host of `url` and for no other. */
  authorization?: string;
  /** As messages name it, without anything secret. */
  shown: string;
  /** The hub that it is an address of. */
  hub?: Access;
  /** What the hub's list of files states of it. */
  stated?: Version;
}

/** What a hub adds to HTTP: tokens, digests, and what to do when it refuses. */
export interface Access {
  /** Whether the user's token for this hub belongs to this server. */
  takesToken(url: URL): boolean;
  /** The header that carries the user's token, where there is one. Throws a `BadToken`. */
  token(): Record<string, string> | undefined;
  /** Why 401 or 403 was answered, and the remedy. */
  refusal(status: 401 | 403, asked: { withToken: boolean; url: URL }): { reason: string; hint: string };
  /** A sentence about a limit of requests that a token raises. */
  limit?: string;
  /** An ETag of 64 hexadecimal digits is the sha256 of the file. */
  digestInEtag?: true;
}

/** What is set as a token cannot be one: a phrase, and the remedy. */
export class BadToken extends Error {
  constructor(
    message: string,
    readonly hint: string,
  ) {
    super(message);
  }
}

/** The version of a file as its server states it; the same version means the same bytes. */
export interface Version {
  bytes?: number;
  etag?: string;
  modified?: string;
  /** Stated by a hub; what came must have it. */
  sha256?: string;
}

export interface Transfer {
  /** Aborted when the user stops: what has come is kept, and the next try goes on from there. */
  signal?: AbortSignal;
  /** Bytes held and expected; the latter undefined where the server does not say. */
  progress?: (bytes: number, total: number | undefined) => void;
  /** Milliseconds in which at least `leastBytes` must come. */
  patience?: number;
  /** Milliseconds before the second try; three times as many before each further one. */
  pause?: number;
  /** Tries in a row that bring nothing new. */
  tries?: number;
}

/** A try that may be repeated. */
export class Interrupted extends Error {
  readonly hint: string | undefined;
  /** Milliseconds that the server asks for. */
  readonly wait: number | undefined;
  /** Worth another try only where something came before: nobody listens there, or there is no network. */
  readonly unheard: boolean;

  constructor(message: string, more: { hint?: string; wait?: number | undefined; unheard?: boolean } = {}) {
    super(message);
    this.hint = more.hint;
    this.wait = more.wait;
    this.unheard = more.unheard ?? false;
  }
}

export function downloadError(address: Address, reason: string, hint?: string, cause?: unknown): BenchError {
  return new BenchError("model-download", `${address.shown} could not be fetched: ${reason.replace(/\.$/, "")}.`, {
    hint: hint ?? "Check the name and the network, or download the file and give its path.",
    cause,
  });
}

/** Why a file that came is not kept. */
export class BadFile extends Error {}

export function bad(
  address: Address,
  reason: string,
  hint = "It is not kept: the same command fetches it anew.",
): BenchError {
  return downloadError(address, reason, hint, new BadFile(reason));
}
