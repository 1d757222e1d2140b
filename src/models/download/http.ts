import { definite } from "../../definite.js";
import {
  type Access,
  type Address,
  BadToken,
  downloadError,
  Interrupted,
  type Transfer,
  type Version,
} from "./address.js";
import { persist } from "./patience.js";

const mostRedirects = 10;

/** Whether a server speaks for the hub of an address: what it redirects to does not. */
const speaksForHub = ({ url, hub }: Address, server: URL) =>
  hub !== undefined && (server.origin === url.origin || hub.takesToken(server));

/** The answer to a request, and what is known of the file. */
interface ServerReply {
  response: Response;
  version: Version;
  /** A hub's token was sent. */
  withToken: boolean;
}

/**
 * Asks, and asks a hub again with its token where it says 401 or 403. The caller reads or cancels the body.
 *
 * Redirects are followed by hand: a token or password goes to the host that the user named. Once an answer leads to
 * another scheme, host or port it is left behind for good.
 */
export async function ask(
  address: Address,
  init: { method?: "HEAD"; headers?: Record<string, string>; signal: AbortSignal },
) {
  const { authorization, hub, url } = address;
  const answer = await follow(address, init, authorization === undefined ? {} : { authorization });
  const { response } = answer;
  if (!hub || authorization !== undefined || ![401, 403].includes(response.status)) return answer;
  if (!hub.takesToken(url) || !hub.takesToken(new URL(response.url))) return answer;
  const token = hubToken(address, hub);
  if (!token) return answer;
  await response.body?.cancel();
  return { ...(await follow(address, init, token)), withToken: true };
}

function hubToken(address: Address, hub: Access): Record<string, string> | undefined {
  try {
    return hub.token();
  } catch (fault) {
    throw fault instanceof BadToken ? downloadError(address, fault.message, fault.hint) : fault;
  }
}

async function follow(
  address: Address,
  { method = "GET", headers, signal }: { method?: string; headers?: Record<string, string>; signal: AbortSignal },
  secret: Record<string, string>,
): Promise<ServerReply> {
  let { url } = address;
  let secrets = secret;
  const linked: Version = {};
  for (let hop = 0; hop <= mostRedirects; hop++) {
    const response = await fetch(url, {
      method,
      redirect: "manual",
      signal,
      headers: {
        "user-agent": "gguf-bench",
        "accept-encoding": "identity",
        ...headers,
        ...secrets,
      },
    }).catch((cause) => {
      signal.throwIfAborted();
      throw unreachable(address, url, cause);
    });
    // The hub states digest and size itself, before it sends to where the bytes are.
    if (url.origin === address.url.origin) {
      const [etag, size] = [response.headers.get("x-linked-etag"), response.headers.get("x-linked-size")];
      if (etag) linked.etag ??= tag(etag);
      if (size && /^\d+$/.test(size)) linked.bytes ??= Number(size);
      const own = address.hub?.digestInEtag && response.ok ? response.headers.get("etag") : undefined;
      const digest = tag(etag ?? own ?? "");
      if (/^[0-9a-f]{64}$/i.test(digest)) linked.sha256 ??= digest.toLowerCase();
    }
    const done = ![301, 302, 303, 307, 308].includes(response.status) || (method === "HEAD" && linked.etag);
    if (done) return { response, version: { ...versionOf(response), ...linked, ...address.stated }, withToken: false };
    await response.body?.cancel();
    const location = response.headers.get("location") ?? "";
    if (!location || !URL.canParse(location, url.href)) throw downloadError(address, "its server redirects to nowhere");
    const next = new URL(location, url);
    if (!/^https?:$/.test(next.protocol))
      throw downloadError(address, `its server redirects to a ${next.protocol} address, which is not followed`);
    next.username = "";
    next.password = "";
    if (next.origin !== url.origin) secrets = {};
    url = next;
  }
  throw downloadError(address, `its server redirects more than ${mostRedirects} times`);
}

const tag = (etag: string) => etag.replace(/^W\//, "").replace(/^"|"$/g, "");

function versionOf({ headers }: Response): Version {
  const [etag, modified] = [headers.get("etag"), headers.get("last-modified")];
  const length = headers.get("content-range")?.match(/\/(\d+)$/)?.[1] ?? headers.get("content-length");
  const encoded = (headers.get("content-encoding") ?? "identity") !== "identity";
  return {
    ...(etag ? { etag: tag(etag) } : {}),
    ...definite({ modified: modified ?? undefined }),
    ...(length && /^\d+$/.test(length) && !encoded ? { bytes: Number(length) } : {}),
  };
}

/** Whether a server would send the same bytes, as far as it says. */
export function sameVersion(a: Version, b: Version): boolean {
  // Mirrors and hubs tag the same bytes in ways of their own.
  if (a.sha256 !== undefined && b.sha256 !== undefined) return a.sha256 === b.sha256;
  return (["etag", "bytes", "modified"] as const).every(
    (key) => a[key] === undefined || b[key] === undefined || a[key] === b[key] || (key === "modified" && !!a.etag),
  );
}

/** The version on the server now; undefined if it does not answer within `patience` ms. */
export async function currentVersion(address: Address, { signal, patience }: Transfer): Promise<Version | undefined> {
  const late = AbortSignal.timeout(patience ?? 10_000);
  try {
    const { response, version } = await ask(address, {
      method: "HEAD",
      signal: signal ? AbortSignal.any([signal, late]) : late,
    });
    await response.body?.cancel();
    return response.ok || version.sha256 ? version : undefined;
  } catch {
    signal?.throwIfAborted();
    return undefined;
  }
}

/** Bytes of a list of files. */
const longestList = 8 << 20;
const mostPages = 50;

/** A JSON document. */
export async function fetchJson(address: Address, agent: string, transfer: Transfer): Promise<unknown> {
  return (await fetchPage(address, agent, transfer)).value;
}

/** The pages of a list, each a JSON document: servers name the next one in `Link: <…>; rel="next"`. */
export async function fetchPages(address: Address, transfer: Transfer): Promise<unknown[]> {
  const pages: unknown[] = [];
  for (let at: URL | undefined = address.url; at !== undefined; ) {
    const { value, next }: { value: unknown; next?: URL } = await fetchPage(
      { ...address, url: at },
      "gguf-bench",
      transfer,
    );
    pages.push(value);
    // Another host would be told the user's token.
    if (next && (next.origin !== address.url.origin || pages.length === mostPages))
      throw downloadError(address, "its server sends a list of files without an end");
    at = next;
  }
  return pages;
}

function fetchPage(address: Address, agent: string, transfer: Transfer): Promise<{ value: unknown; next?: URL }> {
  const noList = () => downloadError(address, "its server sends no list of files");
  return persist(address, transfer, async (signal, heard) => {
    const { response, withToken } = await ask(address, { headers: { "user-agent": agent }, signal });
    await refuse(address, response, withToken);
    const body = await readBody(response, longestList, heard);
    if (!body) throw noList();
    const link = response.headers.get("link")?.match(/<([^>]*)>\s*;\s*rel="?next"?/)?.[1];
    const next = link !== undefined && URL.canParse(link, response.url) ? new URL(link, response.url) : undefined;
    try {
      return { value: JSON.parse(body.toString("utf8")), ...definite({ next }) };
    } catch {
      throw noList();
    }
  });
}

/** The body of an answer; undefined where it has more bytes than expected. */
async function readBody(response: Response, most: number, heard: (bytes: number) => void): Promise<Buffer | undefined> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  try {
    for await (const chunk of response.body ?? []) {
      heard(chunk.length);
      length += chunk.length;
      chunks.push(chunk);
      if (length > most) return undefined;
    }
  } catch (cause) {
    const { code, message } = deepest(cause);
    throw new Interrupted(`the connection was cut (${code ?? message})`);
  }
  return Buffer.concat(chunks);
}

/**
 * The bytes from `from` up to `to`, less where the file ends before, and how many the whole file has; undefined if its server
 * sends whole files only.
 */
export function fetchRange(
  address: Address,
  { from, to }: { from: number; to: number },
  transfer: Transfer,
): Promise<{ data: Buffer; version: Version } | undefined> {
  return persist(address, transfer, async (signal, heard) => {
    const headers = { range: `bytes=${from}-${to - 1}` };
    const { response, version, withToken } = await ask(address, { headers, signal });
    await refuse(address, response, withToken);
    const begin = response.headers.get("content-range")?.match(/^bytes (\d+)-/)?.[1];
    if (response.status !== 206 || Number(begin) !== from) {
      await response.body?.cancel();
      return undefined;
    }
    const data = await readBody(response, to - from, heard);
    return data && { data, version };
  });
}

// ---- Answers that bring no file

/** Throws for every answer that holds nothing of the file. */
export async function refuse(address: Address, response: Response, withToken: boolean): Promise<void> {
  const { status } = response;
  if (status === 200 || status === 206) return;
  await response.body?.cancel();
  const later = "Run the same command again later: what has come is kept.";
  // Not where it redirects to.
  const hub = speaksForHub(address, new URL(response.url)) ? address.hub : undefined;
  if (hub && (status === 401 || status === 403)) {
    const { reason, hint } = hub.refusal(status, { withToken, url: address.url });
    throw downloadError(address, `${reason} (${status})`, hint);
  }
  if (status === 401 || status === 403 || status === 407)
    throw downloadError(
      address,
      `its server gives no access (${status})`,
      address.authorization
        ? "Check user and password in the address."
        : "The address may have expired. User and password go before its host, USER:PASSWORD@HOST, and are shown nowhere.",
    );
  if (status === 404 || status === 410)
    throw downloadError(
      address,
      `its server has no such file (${status})`,
      "Check the name, with capitals and folders.",
    );
  if (status === 429)
    throw new Interrupted("its server has too many requests (429)", {
      hint: `${later}${hub?.limit && !withToken ? ` ${hub.limit}` : ""}`,
      wait: retryAfter(response),
    });
  if (status === 408 || status === 425 || status >= 500)
    throw new Interrupted(`its server fails (${status})`, { hint: later, wait: retryAfter(response) });
  throw downloadError(address, `its server answers ${status}`);
}

/** Seconds or a date, as milliseconds from now. */
function retryAfter({ headers }: Response): number | undefined {
  const said = headers.get("retry-after") ?? headers.get("ratelimit")?.match(/;t=(\d+)/)?.[1];
  if (!said) return undefined;
  const wait = /^\d+$/.test(said) ? Number(said) * 1000 : Date.parse(said) - Date.now();
  return Number.isNaN(wait) ? undefined : Math.max(0, wait);
}

/** Why there was no answer: what a second try may mend, or what it will not. */
function unreachable(address: Address, url: URL, cause: unknown): Error {
  const { code = "", message } = deepest(cause);
  const host = url.hostname;
  const elsewhere = url.origin === address.url.origin ? "" : `, to which its server redirects`;
  if (code === "ENOTFOUND")
    return downloadError(
      address,
      `the host ${host}${elsewhere} is not known`,
      "Check the name and the network.",
      cause,
    );
  if (/CERT|SIGNATURE|ISSUER|SELF_SIGNED/.test(code))
    return downloadError(
      address,
      `the certificate of ${host}${elsewhere} is not trusted (${code})`,
      "Check the address; a certificate of your own network is named in NODE_EXTRA_CA_CERTS.",
      cause,
    );
  if (/^(ERR_SSL|EPROTO)/.test(code))
    return downloadError(address, `${host}${elsewhere} does not speak TLS as expected (${code})`, undefined, cause);
  if (/^(HPE_|UND_ERR_(INVALID|HEADERS_OVERFLOW))/.test(code))
    return downloadError(address, `its server does not speak HTTP as expected (${code})`, undefined, cause);
  const unheard =
    /^(ECONNREFUSED|EAI_AGAIN|ENETUNREACH|EHOSTUNREACH|EADDRNOTAVAIL)$/.test(code) || message === "bad port";
  return new Interrupted(`its server${elsewhere && ` redirects to ${host}, which`} cannot be reached`, { unheard });
}

/** The innermost cause says what happened: "fetch failed" says nothing. */
export function deepest(error: unknown): { code?: string; message: string } {
  if (!(error instanceof Error)) return { message: String(error) };
  if (error instanceof AggregateError && error.errors.length > 0) return deepest(error.errors[0]);
  if (error.cause instanceof Error) return deepest(error.cause);
  return error;
}
