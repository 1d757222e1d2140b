import { createHash } from "node:crypto";
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { basename, join, relative } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { BenchError } from "../../dist/errors.js";
import { locateModel, resolveModel } from "../../dist/models/sources.js";
import { tinyGguf } from "./tiny-gguf.js";

let dir: string;
let folders: { baseDir: string; modelsDir: string };
let server: Server;
let address: string;

beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), "gguf-bench-test-"));
  folders = { baseDir: join(dir, "benchmarks"), modelsDir: join(dir, "models") };
  process.env.GGUF_BENCH_CACHE = join(dir, "cache");
  mkdirSync(folders.baseDir);
  mkdirSync(folders.modelsDir);
  for (const name of ["a.gguf", "model-Q4_K_M.gguf", "model-Q8_0.gguf", "other.gguf"])
    writeFileSync(join(folders.modelsDir, name), "");
  for (const name of ["a.gguf", "big-00001-of-00002.gguf", "big-00002-of-00002.gguf"])
    writeFileSync(join(folders.baseDir, name), "");

  const model = tinyGguf();
  server = createServer((request, response) => {
    if (request.url !== "/tiny.gguf") return response.writeHead(404).end();
    response.writeHead(200, { "content-length": model.length, "accept-ranges": "none" });
    response.end(request.method === "HEAD" ? undefined : model);
  });
  await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening));
  address = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});

afterAll(() => {
  server.close();
  rmSync(dir, { recursive: true });
});

async function failure(model: string): Promise<BenchError> {
  const error = await resolveModel(model, folders).then(
    () => undefined,
    (error) => error,
  );
  expect(error).toBeInstanceOf(BenchError);
  return error;
}

describe("a path", () => {
  test.each([
    ["a.gguf", "benchmarks/a.gguf"], // the benchmark file's folder first
    ["other", "models/other.gguf"],
    ["big", "benchmarks/big-00001-of-00002.gguf"],
    ["big.gguf", "benchmarks/big-00001-of-00002.gguf"],
    ["big-00002-of-00002.gguf", "benchmarks/big-00001-of-00002.gguf"],
    ["../models/other.gguf", "models/other.gguf"],
  ])("%s is %s", async (given, found) => {
    expect(await resolveModel(given, folders)).toEqual({ path: join(dir, found) });
  });

  test("may be absolute", async () => {
    const path = join(folders.modelsDir, "other.gguf");
    expect(await resolveModel(path, folders)).toEqual({ path });
    expect(await resolveModel(path.replace(".gguf", ""), { baseDir: "/" })).toEqual({ path });
  });

  test("that is not there: where it was looked for, and the names most alike", async () => {
    const error = await failure("model-Q4_K_S.gguf");
    expect(error.code).toBe("model-missing");
    expect(error.message).toContain(join(folders.baseDir, "model-Q4_K_S.gguf"));
    expect(error.message).toContain(join(folders.modelsDir, "model-Q4_K_S.gguf"));
    expect(error.hint).toMatch(/^Did you mean model-Q4_K_M\.gguf\? There: model-Q4_K_M\.gguf, model-Q8_0\.gguf/);
  });

  test("of a folder: its models", async () => {
    expect((await failure("../models")).hint).toContain("a.gguf, model-Q4_K_M.gguf");
  });
});

describe("a scheme", () => {
  test("that is not known is named, with those that are", async () => {
    const error = await failure("ftp://x/a.gguf");
    expect(error.message).toContain("no source of models is named ftp:");
    expect(error.hint).toMatch(/hf:owner\/repo:quant, ms:.*wisemodel:.*ollama:NAME/);
  });

  test("http(s) is fetched once, into the cache", async () => {
    const { path } = await resolveModel(`${address}/tiny.gguf`, folders);
    expect(path.startsWith(join(dir, "cache", "models"))).toBe(true);
    expect(await resolveModel(`${address}/tiny.gguf`, folders)).toEqual({ path, from: `${address}/tiny.gguf` });
  });

  test("that leads nowhere is one sentence", async () => {
    const missing = await failure(`${address}/none.gguf`);
    expect(missing.code).toBe("model-download");
    expect(missing.message).toMatch(/none\.gguf could not be fetched: .*404.*\.$/);
    const closed = await failure("http://127.0.0.1:1/a.gguf");
    expect(closed.message).toBe("http://127.0.0.1:1/a.gguf could not be fetched: its server cannot be reached.");
  });
});

/** Servers under two names of this machine: ports and hosts differ. */
describe("addresses", () => {
  const models = [1, 2, 3, 4, 5].map((layers) => tinyGguf({ metadata: { "llama.block_count": layers } }));
  const digest = (body: Buffer) => createHash("sha256").update(body).digest("hex");
  let asked: { host: string; method: string; url: string; authorization: string | undefined; agent: string }[];
  let hub: string;
  let elsewhere: string;
  let files: Map<string, (request: IncomingMessage, response: ServerResponse) => void>;
  const servers: Server[] = [];

  beforeAll(async () => {
    for (const host of ["127.0.0.1", "localhost"]) {
      const one = createServer((request, response) => {
        const { authorization, "user-agent": agent = "" } = request.headers;
        asked.push({ host, method: request.method!, url: request.url!, authorization, agent });
        const listener = files.get(`${host}${request.url}`) ?? files.get(`${host}${request.url!.split("?")[0]}`);
        if (listener) listener(request, response);
        else response.writeHead(404).end();
      });
      await new Promise<void>((listening) => one.listen(0, "127.0.0.1", listening));
      const at = `http://${host}:${(one.address() as AddressInfo).port}`;
      if (host === "127.0.0.1") hub = at;
      else elsewhere = at;
      servers.push(one);
    }
  });
  afterAll(() => {
    for (const one of servers) one.close().closeAllConnections();
  });
  beforeEach(() => {
    asked = [];
    files = new Map();
    process.env.GGUF_BENCH_CACHE = mkdtempSync(join(dir, "cache-"));
    process.env.HF_HOME = join(dir, "no-login");
    for (const name of ["HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_TOKEN_PATH", "HF_ENDPOINT", "MODEL_ENDPOINT"])
      delete process.env[name];
  });

  const body =
    (bytes: Buffer, headers: Record<string, string> = {}) =>
    (request: IncomingMessage, response: ServerResponse) => {
      response.writeHead(200, { "content-length": bytes.length, etag: `"${digest(bytes).slice(0, 8)}"`, ...headers });
      response.end(request.method === "HEAD" ? undefined : bytes);
    };
  const moved =
    (location: string, headers: Record<string, string> = {}) =>
    (_: IncomingMessage, response: ServerResponse) =>
      void response.writeHead(302, { location, ...headers }).end("moved");
  const fetched = async (model: string, more = {}) =>
    readFileSync((await resolveModel(model, { ...folders, ...more })).path);

  test("that differ anywhere are different models", async () => {
    files.set("127.0.0.1/v1/m.gguf", body(models[0]!));
    files.set("127.0.0.1/v2/m.gguf", body(models[1]!));
    files.set("localhost/v1/m.gguf", body(models[2]!));
    files.set("127.0.0.1/v1/m.gguf?rev=2", body(models[3]!));
    files.set("127.0.0.1/v1%2Fm.gguf", body(models[4]!));
    const given = [
      `${hub}/v1/m.gguf`,
      `${hub}/v2/m.gguf`,
      `${elsewhere}/v1/m.gguf`,
      `${hub}/v1/m.gguf?rev=2`,
      `${hub}/v1%2Fm.gguf`,
    ];
    for (const round of [1, 2])
      for (const [i, one] of given.entries())
        expect((await fetched(one)).equals(models[i]!), `${round} ${one}`).toBe(true);
    expect(asked.filter(({ method }) => method === "GET")).toHaveLength(5);
  });

  test("stay themselves through redirects", async () => {
    files.set("127.0.0.1/a/m.gguf", moved("/same"));
    files.set("127.0.0.1/b/m.gguf", moved("/other"));
    files.set("127.0.0.1/same", body(models[0]!));
    files.set("127.0.0.1/other", body(models[1]!));
    expect((await fetched(`${hub}/a/m.gguf`)).equals(models[0]!)).toBe(true);
    expect((await fetched(`${hub}/b/m.gguf`)).equals(models[1]!)).toBe(true);
  });

  test("are kept under names that nobody can aim elsewhere", async () => {
    for (const path of [
      "/..%2f..%2f..%2fx.gguf",
      "/a/%2e%2e/x.gguf",
      "/",
      "/%00.gguf",
      "/con.gguf",
      `/${"é".repeat(300)}.gguf`,
      "/.hidden",
    ]) {
      const url = new URL(path, hub);
      files.set(`127.0.0.1${url.pathname}`, body(models[0]!));
      const { path: place } = await resolveModel(url.href, folders);
      expect(relative(process.env.GGUF_BENCH_CACHE!, realpathSync(place)), path).toMatch(
        /^models\/127\.0\.0\.1_\d+\/[^/]+\/[^/]+$/,
      );
    }
  });

  test("whose file is another by now give the new one; whose server is silent, the one that is there", async () => {
    files.set("127.0.0.1/m.gguf", body(models[0]!));
    expect((await fetched(`${hub}/m.gguf`)).equals(models[0]!)).toBe(true);
    files.set("127.0.0.1/m.gguf", body(models[1]!));
    expect((await fetched(`${hub}/m.gguf`)).equals(models[1]!)).toBe(true);
    files.set("127.0.0.1/m.gguf", (_, response) => response.writeHead(503).end());
    expect((await fetched(`${hub}/m.gguf`)).equals(models[1]!)).toBe(true);
  });

  test.each([
    ["cut", (path: string) => truncateSync(path, 100)],
    ["replaced by a page", (path: string) => writeFileSync(path, "<html>")],
    ["of zeros", (path: string) => writeFileSync(path, Buffer.alloc(statSync(path).size))],
    ["without what is known of it", (path: string) => rmSync(`${path}.json`)],
  ])("whose cached file is %s are fetched anew", async (_, damage) => {
    files.set("127.0.0.1/m.gguf", body(models[0]!));
    damage((await resolveModel(`${hub}/m.gguf`, folders)).path);
    expect((await fetched(`${hub}/m.gguf`)).equals(models[0]!)).toBe(true);
  });

  test("of a split model bring all parts, whichever is named", async () => {
    for (const [i, model] of models.slice(0, 3).entries())
      files.set(`127.0.0.1/m-0000${i + 1}-of-00003.gguf`, body(model));
    const told: string[] = [];
    const fetching = ({ name, file, files }: { name: string; file: number; files: number }) =>
      told.push(`${name} ${file}/${files}`);
    const { path } = await resolveModel(`${hub}/m-00002-of-00003.gguf?x=1`, { ...folders, fetching });
    expect(basename(path)).toBe("m-00001-of-00003.gguf");
    expect(readdirSync(join(path, "..")).filter((name) => name.endsWith(".gguf"))).toHaveLength(3);
    expect(told.at(-1)).toBe("m-00003-of-00003.gguf 3/3");
    expect((await failure(`${hub}/m-00001-of-99999.gguf`)).message).toContain("99999 parts");
    files.delete("127.0.0.1/m-00003-of-00003.gguf");
    expect((await failure(`${hub}/m-00001-of-00003.gguf?y`)).message).toMatch(/m-00003-of-00003\.gguf.*404/);
  });

  test("are located without being fetched, and it is said how much would be", async () => {
    files.set("127.0.0.1/m.gguf", body(models[0]!));
    expect(await locateModel(`${hub}/m.gguf`, folders)).toEqual({
      unfetched: { name: "m.gguf", bytes: models[0]!.length },
    });
    expect(asked.map(({ method }) => method)).toEqual(["HEAD"]);
    await fetched(`${hub}/m.gguf`);
    const found = await locateModel(`${hub}/m.gguf`, folders);
    expect("path" in found && readFileSync(found.path).equals(models[0]!)).toBe(true);
  });

  test("of matrices may lead to the form of before GGUF, not to a page", async () => {
    files.set("127.0.0.1/imatrix.dat", body(Buffer.from([7, 0, 0, 0, 200, 201, 202])));
    expect(await fetched(`${hub}/imatrix.dat`, { expect: "matrix" })).toHaveLength(7);
    files.set("127.0.0.1/page.dat", body(Buffer.from("<html>no")));
    const error = await resolveModel(`${hub}/page.dat`, { ...folders, expect: "matrix" }).catch((error) => error);
    expect(error.message).toContain("a web page");
  });

  describe("of a hub", () => {
    const sha = digest(models[0]!);
    const gated = (location: string) => (request: IncomingMessage, response: ServerResponse) => {
      if (request.headers.authorization !== "Bearer hf_PLANTED") return void response.writeHead(401).end("gated");
      moved(location, { "x-linked-etag": `"${sha}"`, "x-linked-size": String(models[0]!.length) })(request, response);
    };
    beforeEach(() => {
      process.env.HF_ENDPOINT = hub;
      files.set("127.0.0.1/o/r/resolve/main/dir/m.gguf", gated(`${elsewhere}/cdn/abc?sig=SIGNED`));
      files.set("localhost/cdn/abc", body(models[0]!, { etag: '"cdn"' }));
    });
    const seenBy = (host: string) => asked.filter((one) => one.host === host && one.authorization).length;

    test.each([
      ["HF_TOKEN", () => Object.assign(process.env, { HF_TOKEN: "hf_PLANTED" })],
      ["HUGGING_FACE_HUB_TOKEN", () => Object.assign(process.env, { HUGGING_FACE_HUB_TOKEN: "hf_PLANTED\n" })],
      [
        "a token's file",
        () => {
          process.env.HF_HOME = mkdtempSync(join(dir, "hf-"));
          writeFileSync(join(process.env.HF_HOME, "token"), "hf_PLANTED\n");
        },
      ],
    ])("%s goes to it, and to no host that it redirects to", async (_, plant) => {
      plant();
      expect((await fetched("hf:o/r/dir/m.gguf")).equals(models[0]!)).toBe(true);
      await fetched("hf:o/r/dir/m.gguf");
      await fetched(`${hub}/o/r/blob/main/dir/m.gguf?download=true`);
      expect(seenBy("127.0.0.1")).toBeGreaterThan(0);
      expect(asked.some(({ host }) => host === "localhost")).toBe(true);
      expect(seenBy("localhost")).toBe(0);
      expect(asked.filter(({ method, host }) => method === "GET" && host === "localhost")).toHaveLength(1);
    });

    test("a token does not come back by way of another host, nor goes to a server that is no hub", async () => {
      process.env.HF_TOKEN = "hf_PLANTED";
      files.set("127.0.0.1/o/r/resolve/main/dir/m.gguf", gated(`${elsewhere}/back`));
      files.set("localhost/back", moved(`${hub}/stolen`));
      files.set("127.0.0.1/stolen", body(models[0]!));
      await fetched("hf:o/r/dir/m.gguf");
      expect(asked.find(({ url }) => url === "/stolen")!.authorization).toBeUndefined();
      files.set("localhost/m.gguf", (_, response) => response.writeHead(401).end());
      await failure(`${elsewhere}/m.gguf`);
      expect(seenBy("localhost")).toBe(0);
    });

    test("a public file is fetched without a token", async () => {
      process.env.HF_TOKEN = "hf_PLANTED";
      files.set("127.0.0.1/o/r/resolve/main/dir/m.gguf", moved(`${elsewhere}/cdn/abc`));
      await fetched("hf:o/r/dir/m.gguf");
      expect(asked.filter(({ authorization }) => authorization)).toEqual([]);
    });

    test("without a token, with a wrong one, with one of other characters: what to do", async () => {
      const none = await failure("hf:o/r/dir/m.gguf");
      expect(none.message).toMatch(/^hf:o\/r\/dir\/m\.gguf could not be fetched: the hub asks for a token.*401/);
      expect(none.hint).toMatch(/HF_TOKEN=hf_….*huggingface\.co\/settings\/tokens/);
      process.env.HF_TOKEN = "hf_WRONG";
      expect((await failure("hf:o/r/dir/m.gguf")).message).toContain("refuses the token (401)");
      process.env.HF_TOKEN = "hf_WITH\nLINE";
      const odd = await failure("hf:o/r/dir/m.gguf");
      expect(odd.message).toContain("characters that no token has");
      expect(`${odd.message}${odd.hint}${odd.stack}`).not.toContain("hf_WITH");
    });

    test("a hub of another kind gets no token; an endpoint that is no address is said", async () => {
      process.env.HF_TOKEN = "hf_PLANTED";
      delete process.env.HF_ENDPOINT;
      process.env.MODEL_ENDPOINT = `${hub.replace("//", "//user:PASSWORD@")}`;
      expect((await failure("hf:o/r/dir/m.gguf")).message).toContain("the hub asks for a token");
      expect(seenBy("127.0.0.1")).toBe(0);
      process.env.MODEL_ENDPOINT = "mirror.example?key=SECRET";
      const error = await failure("hf:o/r/dir/m.gguf");
      expect(error.message).toBe("MODEL_ENDPOINT is no address.");
      expect(error.hint).not.toContain("SECRET");
    });

    test("what the host that it redirects to refuses is not the hub's refusal, and shows no token", async () => {
      process.env.HF_TOKEN = "hf_PLANTED";
      files.set("127.0.0.1/o/r/resolve/main/dir/m.gguf", moved(`${elsewhere}/expired`));
      files.set("localhost/expired", (_, response) => response.writeHead(403).end());
      expect((await failure("hf:o/r/dir/m.gguf")).message).toContain("its server gives no access (403)");
      expect(asked.filter(({ authorization }) => authorization)).toEqual([]);
    });

    test("its digest is held against what comes", async () => {
      process.env.HF_TOKEN = "hf_PLANTED";
      files.set("localhost/cdn/abc", body(Buffer.from(models[0]!).fill(1, 4000)));
      expect((await failure("hf:o/r/dir/m.gguf")).message).toContain("sha256");
    });

    test("a quantization is the file that it names, and stays so without it", async () => {
      files.set("127.0.0.1/v2/o/r/manifests/Q4_K_M", (_, response) =>
        response.end(JSON.stringify({ ggufFile: { rfilename: "sub/m-Q4_K_M.gguf" } })),
      );
      files.set("127.0.0.1/o/r/resolve/main/sub/m-Q4_K_M.gguf", body(models[1]!));
      expect((await fetched("hf:o/r:Q4_K_M")).equals(models[1]!)).toBe(true);
      expect(asked[0]!.agent).toBe("llama-cpp");
      files.clear();
      expect((await fetched("hf:o/r:Q4_K_M")).equals(models[1]!)).toBe(true);
      expect((await failure("hf:o/r:Q9")).message).toContain("no such file (404)");
      for (const [tag, rfilename] of [
        ["a", "../../x.gguf"],
        ["b", "/etc/x"],
        ["c", 7],
      ]) {
        files.set(`127.0.0.1/v2/o/r/manifests/${tag}`, (_, response) =>
          response.end(JSON.stringify({ ggufFile: { rfilename } })),
        );
        expect((await failure(`hf:o/r:${tag}`)).message).toContain("names no GGUF file");
      }
    });

    test("branches, folders and owners are told apart; what is no name of a file is said", async () => {
      files.set("127.0.0.1/o/r/resolve/dev/m.gguf", body(models[1]!));
      files.set("127.0.0.1/o/r/resolve/main/m.gguf", body(models[2]!));
      files.set("127.0.0.1/p/r/resolve/main/m.gguf", body(models[3]!));
      expect((await fetched("hf:o/r/m.gguf#dev")).equals(models[1]!)).toBe(true);
      expect((await fetched("hf://o/r/m.gguf")).equals(models[2]!)).toBe(true);
      expect((await fetched("huggingface:p/r/m.gguf")).equals(models[3]!)).toBe(true);
      for (const name of ["hf:o", "hf:", "hf:o/r/m.gguf?token=SECRET", "hf:/r/m.gguf"]) {
        const error = await failure(name);
        expect(error.code).toBe("model-source");
        expect(error.message).not.toContain("SECRET");
      }
    });
  });

  test("with user and password: these go to their host, and stand in no name", async () => {
    files.set("127.0.0.1/m.gguf", moved(`${elsewhere}/m.gguf`));
    files.set("localhost/m.gguf", body(models[0]!));
    await fetched(`${hub.replace("//", "//user:p%40ss@")}/m.gguf?key=SECRET`);
    const expected = `Basic ${Buffer.from("user:p@ss").toString("base64")}`;
    expect(asked.map(({ host, authorization }) => [host, authorization])).toEqual([
      ["127.0.0.1", expected],
      ["localhost", undefined],
    ]);
    const left = readdirSync(process.env.GGUF_BENCH_CACHE!, { recursive: true, encoding: "utf8" });
    expect(left.some((name) => name.endsWith("m.gguf"))).toBe(true);
    const texts = left
      .filter((name) => name.endsWith(".json"))
      .map((name) => readFileSync(join(process.env.GGUF_BENCH_CACHE!, name), "utf8"));
    expect([...left, ...texts].join("\n")).not.toMatch(/SECRET|p@ss|p%40ss|user/);
  });
});
