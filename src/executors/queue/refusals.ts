import { BenchError, messageOf, systemCode } from "../../errors.js";
import { harmless } from "../../harmless.js";
import { addressWithoutSecrets } from "../../secrets.js";

/** What Redis answers instead of doing what it was asked. */
export interface RedisRefusal {
  /** A phrase about Redis. */
  why: string;
  hint: string;
  /** Whether the same may be granted later, with nothing changed here. */
  passes: boolean;
}

/** By how the answer begins: states of a Redis that may pass. */
const passing: Record<string, Pick<RedisRefusal, "why" | "hint">> = {
  OOM: { why: "its memory is full", hint: "raise its `maxmemory`, or remove what others keep there" },
  READONLY: { why: "it is a replica, which takes no writes", hint: "name the primary in --queue" },
  MISCONF: {
    why: "it cannot write to its disk, and takes no writes until it can",
    hint: "make room on its disk, or let it keep nothing (CONFIG SET save '')",
  },
  NOREPLICAS: { why: "it has too few replicas, and takes no writes", hint: "see its `min-replicas-to-write`" },
  MASTERDOWN: { why: "it is a replica whose primary is gone", hint: "name the primary in --queue" },
  LOADING: { why: "it still reads its data", hint: "try again when it has" },
  BUSY: { why: "a script of others keeps it busy", hint: "end that with SCRIPT KILL" },
};
const passingCode = new RegExp(`(?:^|[^\\w])(${Object.keys(passing).join("|")}) `);

const rights: Pick<RedisRefusal, "hint"> = {
  hint: "give its user the commands of a queue on these keys: ACL SETUSER NAME on >PASSWORD ~gguf-bench:* +@all",
};

/** Undefined for what is no answer of Redis. Nothing of what was sent is in it. */
export function refusalOf(error: unknown): RedisRefusal | undefined {
  if (!(error instanceof Error) || error.name !== "ReplyError" || isInterruption(error)) return undefined;
  // A transaction is refused because of one of its commands.
  const { previousErrors } = error as { previousErrors?: unknown[] };
  if (previousErrors?.[0] !== undefined) return refusalOf(previousErrors[0]);
  const said = error.message;
  const [, code] = said.match(passingCode) ?? [];
  if (code !== undefined) return { ...passing[code]!, passes: true };
  if (/max number of clients/.test(said))
    return { why: "it has as many clients as it takes", hint: "raise its `maxclients`", passes: true };
  const [, command] = said.match(/'([\w|-]{1,30})' command/) ?? [];
  if (/NOPERM|ACL failure/.test(said)) {
    const what = command === undefined ? "the keys gguf-bench:*" : `the command ${command}`;
    return { why: `its user may not use ${what}`, ...rights, passes: false };
  }
  if (/WRONGTYPE/.test(said))
    return {
      why: "a key gguf-bench:* holds what no queue wrote there",
      hint: "remove the keys gguf-bench:*, or name another database: redis://HOST:6379/1",
      passes: false,
    };
  const access = accessFault(said);
  if (access !== undefined)
    return { why: access, hint: "see user and password in --queue or $GGUF_BENCH_QUEUE_PASSWORD", passes: false };
  return {
    why: `it refuses a command (${shortly(said)})`,
    hint: "a queue needs Redis 6.2 or later, and all of its commands",
    passes: false,
  };
}

const accessFault = (said: string): string | undefined =>
  /WRONGPASS|invalid password/i.test(said)
    ? "the password or the user's name is wrong"
    : /NOAUTH/.test(said)
      ? "it asks for a password"
      : undefined;

const shortly = (said: string) => harmless(addressWithoutSecrets(said.split("\n")[0]!.slice(0, 80)));

export const refused = (address: string, { why, hint }: RedisRefusal): BenchError =>
  new BenchError("server-refused", `${address}: ${why}`, { hint });

/** Whether the connection went while a command was on its way; it comes back by itself. */
export function isInterruption(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  // What blocks ends when a primary becomes a replica.
  if (error.name === "ReplyError") return error.message.startsWith("UNBLOCKED ");
  const code = systemCode(error);
  return (
    error.name === "AbortError" ||
    /^Connection is closed|^Stream isn't writeable/.test(error.message) ||
    /^E(CONN|PIPE|TIMEDOUT|HOST|NET|AI_AGAIN|NOTFOUND)/.test(code ?? "")
  );
}

/** BullMQ's numbers for what is no longer there, or no longer ours: -1 the assignment, -2 and -6 its lock, -3 its state. */
const lostCodes: unknown[] = [-1, -2, -3, -6];

/** Whether an assignment is another's by now, or was done or removed. */
export const isLost = (error: unknown): boolean =>
  error instanceof Error &&
  (("code" in error && lostCodes.includes(error.code)) || /is locked by another worker$/.test(error.message));

/** What an error of the connection says, in a phrase; nothing of what was sent. */
export function connectionFault(error: unknown): string {
  const code = systemCode(error);
  if (code === "ECONNREFUSED") return "nothing listens there";
  if (code === "ENOTFOUND" || code === "EAI_AGAIN") return "there is no such host";
  if (code === "ECONNRESET" || code === "EPIPE") return "the connection was cut";
  if (code === "ETIMEDOUT") return "no answer came within 5 s";
  if (code === "ERR_SSL_WRONG_VERSION_NUMBER") return "what listens there speaks no TLS: name it as redis://";
  const said = error instanceof Error ? error.message : "";
  if (/Unknown RESP type|Protocol error/.test(said)) return "what listens there is no Redis";
  const access = accessFault(said);
  if (access !== undefined) return access;
  if (/self.signed|certificate|altnames/i.test(said))
    return "its certificate is not trusted (NODE_EXTRA_CA_CERTS names a file of more that are)";
  return refusalOf(error)?.why ?? `the connection failed (${code ?? shortly(messageOf(error))})`;
}
