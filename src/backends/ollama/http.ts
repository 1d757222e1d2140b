import { request as plainRequest } from "node:http";
import { request as secureRequest } from "node:https";
import { Readable, Transform } from "node:stream";
import type { ReadableStream } from "node:stream/web";
import { waitingSignal } from "../../clock.js";

/**
 * `fetch` for servers that take their time. Node's own gives up after 300 s without a first byte, and a long prompt on a slow
 * machine takes longer. User and password of an address are sent as it wants them, and are in no message. A redirect is not
 * followed: it is an error that names where it leads. `bytes`: more than this is no answer.
 */
export function patientFetch({ seconds, bytes }: { seconds: number; bytes: number }): typeof fetch {
  return (input, { method = "GET", headers, body, signal } = {}) => {
    const url = new URL(input instanceof Request ? input.url : input);
    const late = waitingSignal(seconds);
    const limits = [late.signal, ...(signal ? [signal] : [])];
    return new Promise((resolve, reject) => {
      const request = url.protocol === "https:" ? secureRequest : plainRequest;
      const sent = request(
        url,
        { method, headers: Object.fromEntries(new Headers(headers)), signal: AbortSignal.any(limits) },
        (answer) => {
          const { statusCode: status = 500, headers: said } = answer;
          if (status >= 300 && status < 400) {
            answer.destroy();
            reject(new Error(`it sends on to ${hostOf(said.location, url)}`));
            return;
          }
          const counted = answer.pipe(limited(bytes));
          answer.on("error", (error) => counted.destroy(error));
          const type = said["content-type"] ?? "";
          const stream = Readable.toWeb(counted) as ReadableStream<Uint8Array>;
          resolve(new Response(stream, { status, headers: { "content-type": type, ...retryAfter(said) } }));
        },
      );
      sent.on("error", reject);
      sent.on("close", late.done);
      sent.end(typeof body === "string" ? body : undefined);
    });
  };
}

function retryAfter(headers: NodeJS.Dict<string | string[]>): Record<string, string> {
  const said = headers["retry-after"];
  return typeof said === "string" ? { "retry-after": said } : {};
}

function hostOf(location: string | undefined, from: URL): string {
  return location !== undefined && URL.canParse(location, from.href) ? new URL(location, from).host : "another place";
}

function limited(most: number): Transform {
  let count = 0;
  return new Transform({
    transform(chunk: Buffer, _, done) {
      count += chunk.length;
      if (count > most) done(new Error(`its answer has more than ${most} bytes`));
      else done(null, chunk);
    },
  });
}
