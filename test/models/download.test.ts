import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { createServer, type IncomingMessage, type RequestListener, type ServerResponse } from "node:http";
import { createServer as createTlsServer } from "node:https";
import { type AddressInfo, createServer as createTcpServer } from "node:net";
import { dirname, join } from "node:path";
import { gzipSync } from "node:zlib";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { BenchError } from "../../dist/errors.js";
import { fetchFile, type Transfer } from "../../dist/models/download/index.js";
import { readPart } from "../../dist/models/gguf.js";
import { temporaryFolder } from "../support.js";
import { tinyGguf } from "./tiny-gguf.js";

const dir = temporaryFolder();
const model = tinyGguf({ tensors: [{ name: "token_embd.weight", shape: [64, 1024], type: 1, bytes: 131072 }] });
const other = Buffer.from(model.map((byte, i) => (i > 60000 ? 7 : byte)));
const digest = createHash("sha256").update(model).digest("hex");

interface Asked {
  url: string;
  range: string | undefined;
  authorization: string | undefined;
}
let asked: Asked[];
let closing: (() => void)[];
let count = 0;
let target: string;

beforeEach(() => {
  asked = [];
  closing = [];
  target = join(dir, `${count++}`, "m.gguf");
  process.env.GGUF_BENCH_CACHE = join(dir, "cache");
  for (const name of ["HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_TOKEN_PATH", "HF_ENDPOINT", "MODEL_ENDPOINT"])
    delete process.env[name];
  process.env.HF_HOME = join(dir, "no-login");
});
afterEach(() => {
  for (const close of closing) close();
});

/** A server that behaves as told; its address. */
async function serve(listener: RequestListener, host = "127.0.0.1"): Promise<string> {
  const server = createServer((request, response) => {
    const { range, authorization } = request.headers;
    asked.push({ url: `http://${host}:${port}${request.url}`, range, authorization });
    listener(request, response);
  });
  await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening));
  const { port } = server.address() as AddressInfo;
  closing.push(() => server.close().closeAllConnections());
  return `http://${host}:${port}`;
}

/** A well-behaved answer, with ranges; `body` may be cut after so many bytes, and the connection with it. */
function send(
  request: IncomingMessage,
  response: ServerResponse,
  body: Buffer,
  { etag, cutAfter, headers = {} }: { etag?: string; cutAfter?: number; headers?: Record<string, string> } = {},
): void {
  const ifRange = request.headers["if-range"];
  const from = Number(request.headers.range?.match(/^bytes=(\d+)-$/)?.[1] ?? 0);
  const partial = from > 0 && (ifRange === undefined || ifRange === etag);
  if (partial && from >= body.length)
    return void response.writeHead(416, { "content-range": `bytes */${body.length}` }).end();
  const rest = partial ? body.subarray(from) : body;
  response.writeHead(partial ? 206 : 200, {
    "content-length": rest.length,
    ...(partial ? { "content-range": `bytes ${from}-${body.length - 1}/${body.length}` } : {}),
    ...(etag ? { etag } : {}),
    ...headers,
  });
  if (cutAfter === undefined || cutAfter >= rest.length) return void response.end(rest);
  response.write(rest.subarray(0, cutAfter), () => setTimeout(() => response.destroy(), 20));
}

async function fetchIt(from: string, transfer: Transfer = {}): Promise<void> {
  const check = async (path: string) => (await readPart(path)).end;
  await fetchFile({ url: new URL(from), shown: from }, target, check, { patience: 2000, pause: 5, ...transfer });
}

async function failure(from: string, transfer?: Transfer): Promise<BenchError> {
  const error = await fetchIt(from, transfer).then(
    () => undefined,
    (error) => error,
  );
  expect(error).toBeInstanceOf(BenchError);
  expect(error.message).not.toContain("\n");
  expect(error.message.length).toBeLessThan(200);
  expect(error.hint).toBeTruthy();
  return error;
}

const got = () => readFileSync(target).equals(model);
const parts = () => readdirSync(dirname(target)).filter((name) => name.endsWith(".part"));

describe("a file comes whole", () => {
  test("at once, with nothing left beside it but what is known of it", async () => {
    await fetchIt(await serve((request, response) => send(request, response, model, { etag: '"1"' })));
    expect(got()).toBe(true);
    expect(readdirSync(dirname(target)).sort()).toEqual(["m.gguf", "m.gguf.json"]);
  });

  test("from a server that cuts every connection, by ranges", async () => {
    let told = 0;
    await fetchIt(
      await serve((request, response) => send(request, response, model, { etag: '"1"', cutAfter: 20_000 })),
      { progress: (bytes) => (told = bytes) },
    );
    expect(got()).toBe(true);
    expect(told).toBe(model.length);
    expect(asked.filter(({ range }) => range !== undefined).length).toBeGreaterThan(3);
  });

  test("from a server that knows no ranges, once it does not cut", async () => {
    await fetchIt(
      await serve((request, response) => {
        delete request.headers.range;
        send(request, response, model, { etag: '"1"', ...(asked.length < 3 ? { cutAfter: 30_000 } : {}) });
      }),
    );
    expect(got()).toBe(true);
  });

  test.each([
    ["without a length", {}],
    ["compressed", { "content-encoding": "gzip" }],
  ])("%s", async (_, headers) => {
    const body = "content-encoding" in headers ? gzipSync(model) : model;
    await fetchIt(
      await serve((_, response) => {
        response.writeHead(200, headers);
        response.write(body.subarray(0, 500));
        response.end(body.subarray(500));
      }),
    );
    expect(got()).toBe(true);
  });

  test("after errors that pass: 503, 429 with a time to wait, a cut before the first byte", async () => {
    await fetchIt(
      await serve((request, response) => {
        if (asked.length === 1) return void response.writeHead(503).end("busy");
        if (asked.length === 2) return void response.writeHead(429, { "retry-after": "0" }).end();
        if (asked.length === 3) return void response.destroy();
        send(request, response, model);
      }),
    );
    expect(got()).toBe(true);
  });

  test("by relative redirects, which keep the name", async () => {
    await fetchIt(
      `${await serve((request, response) => {
        if (request.url !== "/there") return void response.writeHead(302, { location: "/there" }).end("moved");
        send(request, response, model);
      })}/here`,
    );
    expect(got()).toBe(true);
  });
});

describe("what an earlier try left", () => {
  /** A try that was given up in the middle. */
  async function begin(etag?: string, body = model): Promise<void> {
    const stop = new AbortController();
    const address = await serve((request, response) =>
      send(request, response, body, { ...(etag ? { etag } : {}), cutAfter: 50_000 }),
    );
    const progress = (bytes: number) => bytes >= 50_000 && stop.abort();
    await expect(fetchIt(address, { signal: stop.signal, progress })).rejects.toThrow(/abort/);
    expect(parts()).toHaveLength(1);
    asked = [];
  }

  test("is gone on with", async () => {
    await begin('"1"');
    await fetchIt(await serve((request, response) => send(request, response, model, { etag: '"1"' })));
    expect(asked[0]!.range).toMatch(/^bytes=[1-9]/);
    expect(got()).toBe(true);
    expect(parts()).toEqual([]);
  });

  test("is not, when the file is another by now", async () => {
    await begin('"1"', other);
    await fetchIt(await serve((request, response) => send(request, response, model, { etag: '"2"' })));
    expect(got()).toBe(true);
  });

  test("is not, when a server sends the rest of another file all the same", async () => {
    await begin('"1"', other);
    await fetchIt(
      await serve((request, response) => {
        delete request.headers["if-range"];
        send(request, response, model, { etag: '"2"' });
      }),
    );
    expect(got()).toBe(true);
  });

  test("is not, when nothing says that the rest belongs to it", async () => {
    await begin();
    await fetchIt(await serve((request, response) => send(request, response, model)));
    expect(asked.map(({ range }) => range)).toEqual([undefined]);
    expect(got()).toBe(true);
  });

  test("is not, when the server has less (416)", async () => {
    await begin('"1"');
    await fetchIt(
      await serve((request, response) => {
        if (request.headers.range) return void response.writeHead(416).end();
        send(request, response, model);
      }),
    );
    expect(got()).toBe(true);
  });

  test("is taken over from a process that was killed, not from one that lives", async () => {
    await begin('"1"');
    const [name] = parts();
    const owned = (pid: number) => name!.replace("0-0", `${hostTag()}-${pid}`);
    const rename = (to: string) =>
      execFileSync("sh", ["-c", `mv ${name} ${to} && mv ${name}.json ${to}.json`], { cwd: dirname(target) });
    const dead = execFileSync(process.execPath, ["-p", "process.pid"], { encoding: "utf8" }).trim();
    rename(owned(Number(dead)));
    await fetchIt(await serve((request, response) => send(request, response, model, { etag: '"1"' })));
    expect(asked[0]!.range).toBeDefined();

    target = join(dir, `${count++}`, "m.gguf");
    await begin('"1"');
    const living = parts()[0]!.replace("0-0", `${hostTag()}-${process.ppid}`);
    execFileSync("mv", [parts()[0]!, living], { cwd: dirname(target) });
    await fetchIt(await serve((request, response) => send(request, response, model, { etag: '"1"' })));
    expect(asked[0]!.range).toBeUndefined();
    expect(parts()).toEqual([living]);
  });

  function hostTag(): string {
    return createHash("sha256")
      .update(execFileSync("hostname", { encoding: "utf8" }).trim())
      .digest("hex")
      .slice(0, 6);
  }
});

test("several that fetch the same file at once end with one whole file", async () => {
  const address = await serve((request, response) => send(request, response, model, { etag: '"1"' }));
  await Promise.all(Array.from({ length: 6 }, () => fetchIt(address)));
  expect(got()).toBe(true);
  expect(parts()).toEqual([]);
});

describe("what is not the file is not kept", () => {
  test.each<[string, Buffer, RegExp]>([
    [
      "a web page",
      Buffer.from(`<!doctype html><title>Sign in</title>${" ".repeat(5000)}`),
      /it seems to be a web page/,
    ],
    ["a short page", Buffer.from("<html>no</html>"), /it seems to be a web page/],
    ["nothing", Buffer.alloc(0), /it seems to be empty/],
    ["zeros", Buffer.alloc(5000), /zeros only/],
    ["half of a model", model.subarray(0, 70_000), /cut off \d+ bytes before the end/],
    ["a pointer", Buffer.from("version https://git-lfs.github.com/spec/v1\noid sha256:0\n"), /Git LFS pointer/],
  ])("%s", async (_, body, said) => {
    const address = await serve((request, response) => send(request, response, body, { etag: '"1"' }));
    const error = await failure(address);
    expect(error.message).toMatch(said);
    expect(error.hint).toContain("the same command fetches it anew");
    expect(readdirSync(dirname(target))).toEqual([]);
  });

  test("a web page of many megabytes is not fetched to its end", async () => {
    const address = await serve((_, response) => {
      response.writeHead(200, { "content-type": "text/html" });
      response.write(`<html>${" ".repeat(100_000)}`);
    });
    expect((await failure(address)).message).toContain("a web page");
  });

  test("other bytes than the hub states, and a part that was of other bytes is fetched anew", async () => {
    const wrong = await serve((request, response) =>
      send(request, response, other, { headers: { "x-linked-etag": `"${digest}"` } }),
    );
    expect((await failure(wrong)).message).toContain("sha256");
    mkdirSync(dirname(target), { recursive: true });
    writeFileSync(`${target}.0-0-ab.part`, other.subarray(0, 100_000));
    writeFileSync(`${target}.0-0-ab.part.json`, JSON.stringify({ bytes: model.length, etag: digest, sha256: digest }));
    await fetchIt(
      await serve((request, response) =>
        send(request, response, model, { headers: { "x-linked-etag": `"${digest}"` } }),
      ),
    );
    expect(asked.at(-2)!.range).toBe("bytes=100000-");
    expect(got()).toBe(true);
  });

  test("a length that contradicts the one that the hub states", async () => {
    const headers = { "x-linked-etag": `"${digest}"`, "x-linked-size": "999" };
    const address = await serve((request, response) => send(request, response, model, { headers }));
    expect((await failure(address)).message).toMatch(/bytes of a file of 999/);
  });

  const large = tinyGguf({ tensors: [{ name: "t", shape: [64, 70_000], type: 1, bytes: 8_960_000 }] });
  test.each<[string, Buffer, number, Buffer]>([
    ["zeros, fast", model, 1 << 20, Buffer.alloc(1 << 20)],
    ["zeros, in small pieces", model, 1 << 16, Buffer.alloc(1 << 16)],
    ["the model again and again", model, model.length, model],
    ["behind nine megabytes", large, 1 << 16, Buffer.alloc(1 << 16, 7)],
  ])("an endless one: %s", async (_, body, piece, rest) => {
    let sent = 0;
    const address = await serve((_, response) => {
      response.writeHead(200);
      response.write(body);
      const more = () => {
        if (response.destroyed) return;
        sent += piece;
        if (sent > 200e6) return response.destroy();
        response.write(rest, () => setTimeout(more, piece < 1 << 20 ? 1 : 0));
      };
      more();
    });
    expect((await failure(address)).message).toContain("sends more than the model holds");
    expect(sent).toBeLessThan(body.length + (8 << 20));
    expect(readdirSync(dirname(target))).toEqual([]);
  });
});

describe("a server that brings nothing comes to an end, with the reason and a remedy", () => {
  test.each<[string, number, RegExp, RegExp]>([
    ["400", 400, /answers 400/, /./],
    ["401", 401, /gives no access \(401\)/, /USER:PASSWORD@HOST/],
    ["403", 403, /gives no access \(403\)/, /may have expired/],
    ["404", 404, /no such file \(404\)/, /name/],
    ["410", 410, /no such file \(410\)/, /name/],
    ["204", 204, /answers 204/, /./],
    ["304", 304, /answers 304/, /./],
    ["429", 429, /too many requests \(429\)/, /again later/],
    ["500", 500, /fails \(500\)/, /again later/],
    ["503", 503, /fails \(503\)/, /again later/],
  ])("%s", async (_, status, said, hint) => {
    const error = await failure(await serve((_, response) => response.writeHead(status).end()));
    expect(error.message).toMatch(said);
    expect(error.hint).toMatch(hint);
    expect(asked.length).toBeLessThanOrEqual(5);
  });

  test("429 that asks for an hour is not waited for", async () => {
    const started = Date.now();
    const error = await failure(await serve((_, response) => response.writeHead(429, { "retry-after": "3600" }).end()));
    expect(error.message).toContain("asks to wait for 3600 s");
    expect(Date.now() - started).toBeLessThan(2000);
  });

  test("a redirect loop, to file:, to data:, to nowhere", async () => {
    for (const [location, said] of [
      ["/again", /redirects more than 10 times/],
      ["file:///etc/passwd", /redirects to a file: address/],
      ["data:text/plain,GGUF", /redirects to a data: address/],
      ["", /redirects to nowhere/],
      ["http://[", /redirects to nowhere/],
    ] as const) {
      const address = await serve((_, response) => response.writeHead(302, location ? { location } : {}).end());
      expect((await failure(address)).message).toMatch(said);
    }
  });

  test("silence before the answer, within it, and a trickle", async () => {
    const silent = await serve(() => {});
    expect((await failure(silent, { patience: 300 })).message).toContain("was silent");
    const stuck = await serve(
      (_, response) => void response.writeHead(200, { "content-length": 1e6 }).write(model.subarray(0, 40_000)),
    );
    expect((await failure(stuck, { patience: 300 })).message).toContain("was silent");
    const trickle = await serve((_, response) => {
      response.writeHead(200, { "content-length": model.length, etag: '"1"' });
      let at = 0;
      const timer = setInterval(() => response.write(model.subarray(at, ++at)), 20);
      response.on("close", () => clearInterval(timer));
    });
    const started = Date.now();
    expect((await failure(trickle, { patience: 500 })).message).toContain("sent next to nothing");
    expect(Date.now() - started).toBeLessThan(3000);
  });

  test("one that ends too early every time, with and without ranges, and one that answers other ranges", async () => {
    const short = await serve((request, response) => {
      delete request.headers.range;
      send(request, response, model, { etag: '"1"', cutAfter: 40_000 });
    });
    expect((await failure(short)).message).toMatch(/connection was cut/);
    expect(asked.length).toBeLessThan(8);
    const foreign = await serve((request, response) => {
      if (!request.headers.range) return send(request, response, model, { etag: '"1"', cutAfter: 40_000 });
      response.writeHead(206, { "content-range": `bytes 5-${model.length - 1}/${model.length}`, etag: '"1"' });
      response.end(model.subarray(5));
    });
    expect((await failure(foreign)).message).toMatch(/connection was cut|another part/);
  });

  test("no server, no host, no HTTP, no TLS, no trust", async () => {
    expect((await failure("http://127.0.0.1:1/a.gguf")).message).toContain("its server cannot be reached");
    expect((await failure("http://nowhere.invalid/a.gguf")).message).toMatch(
      /host nowhere\.invalid is not known|cannot be reached/,
    );
    const tcp = createTcpServer((socket) => void socket.end("what?\r\n\r\n").on("error", () => {}));
    await new Promise<void>((listening) => tcp.listen(0, "127.0.0.1", listening));
    closing.push(() => tcp.close());
    const { port } = tcp.address() as AddressInfo;
    expect((await failure(`http://127.0.0.1:${port}/a`)).message).toMatch(/does not speak HTTP|cannot be reached/);
    const plain = await serve((_, response) => response.end());
    expect((await failure(plain.replace("http:", "https:"))).message).toMatch(/TLS/);
  });

  test.skipIf(!hasOpenssl())("a certificate that nobody vouches for", async () => {
    const [key, cert] = [join(dir, "key.pem"), join(dir, "cert.pem")];
    execFileSync(
      "openssl",
      [
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-keyout",
        key,
        "-out",
        cert,
        "-days",
        "1",
        "-subj",
        "/CN=localhost",
      ],
      { stdio: "ignore" },
    );
    const server = createTlsServer({ key: readFileSync(key), cert: readFileSync(cert) }, (_, response) =>
      response.end(),
    );
    await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening));
    closing.push(() => server.close());
    const error = await failure(`https://localhost:${(server.address() as AddressInfo).port}/a`);
    expect(error.message).toMatch(/certificate of localhost is not trusted/);
    expect(error.hint).toContain("NODE_EXTRA_CA_CERTS");
  });
});

function hasOpenssl(): boolean {
  try {
    execFileSync("openssl", ["version"], { stdio: "ignore" });
    return true;
  } catch {
    return false;
  }
}

test("a user's stop ends it at once, and keeps what has come", async () => {
  const stop = new AbortController();
  const address = await serve(
    (_, response) =>
      void response.writeHead(200, { "content-length": model.length, etag: '"1"' }).write(model.subarray(0, 60_000)),
  );
  const started = Date.now();
  setTimeout(() => stop.abort(), 200);
  await expect(fetchIt(address, { signal: stop.signal, patience: 60_000 })).rejects.toThrow(/abort/);
  expect(Date.now() - started).toBeLessThan(1500);
  expect(statSync(join(dirname(target), parts()[0]!)).size).toBe(60_000);
});

describe("a disk", () => {
  const small = join(dir, "small");
  const mounted = mount();
  function mount(): boolean {
    mkdirSync(small, { recursive: true });
    try {
      execFileSync("mount", ["-t", "tmpfs", "-o", "size=64k", "tmpfs", small], { stdio: "ignore" });
      return true;
    } catch {
      return false;
    }
  }
  const place = () => {
    target = join(small, "m.gguf");
    process.env.GGUF_BENCH_CACHE = small;
  };

  test.skipIf(!mounted)("without room: said before it is filled, and when it fills on the way", async () => {
    place();
    const address = await serve((request, response) => send(request, response, model));
    const error = await failure(address);
    expect(error.code).toBe("disk");
    expect(error.message).toMatch(/no room in the cache .*small: \S+ [kM]B are to come, \S+ kB are free/);
    expect(error.hint).toContain("GGUF_BENCH_CACHE");
    const unknown = await serve((_, response) => {
      response.writeHead(200);
      response.write(model.subarray(0, 5000));
      response.end(model.subarray(5000));
    });
    expect((await failure(unknown)).message).toContain("no room in the cache");
    expect(readdirSync(small)).toEqual([]);
  });

  test.skipIf(!mounted)("that is read-only", async () => {
    place();
    execFileSync("mount", ["-o", "remount,ro", small]);
    const error = await failure(await serve((request, response) => send(request, response, model)));
    execFileSync("umount", [small]);
    expect(error.message).toMatch(/cannot be written to \(EROFS\)/);
    expect(error.hint).toContain("GGUF_BENCH_CACHE");
  });

  test("whose cache is a file", async () => {
    target = join(dir, "a-file", "models", "m.gguf");
    writeFileSync(join(dir, "a-file"), "");
    const error = await failure(await serve((request, response) => send(request, response, model)));
    expect(error.message).toMatch(/cannot be made: .*a-file is a file/);
    expect(existsSync(target)).toBe(false);
  });
});
