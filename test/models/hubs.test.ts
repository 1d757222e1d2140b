import { spawn } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { type AddressInfo, createServer } from "node:net";
import { homedir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { BenchError } from "../../dist/errors.js";
import { parseAddress } from "../../dist/models/addresses.js";
import { readModelFacts } from "../../dist/models/gguf.js";
import { hubs } from "../../dist/models/hubs/index.js";
import { locateModel, resolveModel } from "../../dist/models/sources.js";
import { finish } from "../repository.js";
import { temporaryFolder, until } from "../support.js";
import { HubServer, sha256Of } from "./hub-server.js";
import { randomLlama } from "./random-llama.js";
import { tinyGguf } from "./tiny-gguf.js";

const dir = temporaryFolder();
const hub = new HubServer();
/** Holds the same repositories as `hub`, as a mirror of Hugging Face does. */
const mirror = new HubServer();
const large = (layers: number) =>
  tinyGguf({
    metadata: { "llama.block_count": layers },
    tensors: [{ name: "token_embd.weight", shape: [64, 1024], type: 1, bytes: 131072 }],
  });
const models = [1, 2, 3, 4].map(large);
let warnings: string[];
let folders: { baseDir: string; warning: (message: string) => void; patience: number; pause: number };

beforeAll(async () => {
  await hub.start();
  await mirror.start();
});
afterAll(() => {
  hub.stop();
  mirror.stop();
});
beforeEach(() => {
  for (const name of ["HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_TOKEN_PATH", "MODEL_ENDPOINT", "MODELSCOPE_API_TOKEN"])
    delete process.env[name];
  process.env.GGUF_BENCH_CACHE = mkdtempSync(join(dir, "cache-"));
  process.env.HF_HOME = process.env.MODELSCOPE_HOME = join(dir, "no-login");
  process.env.HF_ENDPOINT = process.env.MODELSCOPE_ENDPOINT = process.env.WISEMODEL_ENDPOINT = hub.at;
  for (const server of [hub, mirror]) {
    server.asked = [];
    server.ails.clear();
    server.tokens.clear();
    server.repositories.clear();
    server.put("o/r", "ggml-model-q4_k.gguf", models[0]!);
    server.put("o/r", "ggml-model-q4_k-im.gguf", models[1]!);
    server.put("o/r", "sub/m-Q8_0.gguf", models[2]!);
    server.put("o/r", "README.md", Buffer.from("#"));
  }
  warnings = [];
  folders = { baseDir: dir, warning: (message) => warnings.push(message), patience: 2000, pause: 5 };
});

async function failure(model: string | string[], more = {}): Promise<BenchError> {
  const error = await resolveModel(model, { ...folders, ...more }).then(
    () => undefined,
    (error) => error,
  );
  expect(error).toBeInstanceOf(BenchError);
  expect(error.message.length).toBeLessThan(200);
  expect(error.hint).toBeTruthy();
  return error;
}

const bytesOf = async (model: string | string[], more = {}) =>
  readFileSync((await resolveModel(model, { ...folders, ...more })).path);

describe("an address of a hub", () => {
  const parsed = (model: string) => {
    const address = parseAddress(model);
    if (address.kind !== "hub") throw new Error(address.kind);
    const { hub, repository, wanted } = address;
    return [hub.title, `${repository.owner}/${repository.name}@${repository.revision}`, Object.values(wanted)[0]];
  };
  test.each([
    ["hf:o/r:Q4_K_M", "Hugging Face", "o/r@main", "Q4_K_M"],
    ["hf:o/r", "Hugging Face", "o/r@main", undefined],
    ["HF://o/r:sub/m.gguf", "Hugging Face", "o/r@main", "sub/m.gguf"],
    ["hf:o/r:m.gguf@v1.0", "Hugging Face", "o/r@v1.0", "m.gguf"],
    ["hf:o/r:Q8_0@refs/pr/3", "Hugging Face", "o/r@refs/pr/3", "Q8_0"],
    ["hf:o/r@dev", "Hugging Face", "o/r@dev", undefined],
    ["hf:o/r/sub/m.gguf#dev", "Hugging Face", "o/r@dev", "sub/m.gguf"],
    ["hf:o/r/m.gguf@dev", "Hugging Face", "o/r@dev", "m.gguf"],
    ["huggingface:o/r/imatrix.dat", "Hugging Face", "o/r@main", "imatrix.dat"],
    ["ms:o/r:Q4_K_M", "ModelScope", "o/r@master", "Q4_K_M"],
    ["modelscope:o/r/m.gguf", "ModelScope", "o/r@master", "m.gguf"],
    ["wisemodel:o/r/m.gguf", "wisemodel", "o/r@main", "m.gguf"],
    ["wisemodel:o/r.v2:m.gguf@1.0", "wisemodel", "o/r.v2@1.0", "m.gguf"],
  ])("%s", (model, ...expected) => {
    expect(parsed(model)).toEqual(expected);
  });

  test("of ModelScope's pages is the file in the repository, so that its digest is known", () => {
    process.env.MODELSCOPE_ENDPOINT = "";
    const file = ["ModelScope", "o/r@v1", "sub/m.gguf"];
    expect(parsed("https://www.modelscope.cn/models/o/r/file/view/v1/sub%2Fm.gguf?status=2")).toEqual(file);
    expect(parsed("https://modelscope.cn/models/o/r/resolve/v1/sub/m.gguf")).toEqual(file);
    expect(parseAddress("https://modelscope.cn/models/o/r/summary").kind).toBe("web");
    expect(() => parseAddress("https://modelscope.cn/models/o/r/resolve/v1/..%2Fx.gguf")).toThrow(/no file of a hub/);
  });

  test.each([
    "hf:o",
    "hf:",
    "hf:/r:Q4",
    "hf:o/r:",
    "ms:o/r:../x.gguf",
    "ms:../r:Q4",
    "hf:o/r//m.gguf",
    "hf:o/r:a:b",
    "ms:o/r/m.gguf?x=1",
  ])("%s is none", (model) => {
    expect(() => parseAddress(model)).toThrow(/is no file of a hub/);
  });
});

describe("the family's repositories", () => {
  const names = ["llama-3-chinese-8b", "llama-3-chinese-8b-instruct", "llama-3-chinese-8b-instruct-v2"];
  const nine = names.flatMap((name) => [name, `${name}-lora`, `${name}-gguf`]);

  // The addresses that the family's README links to; wisemodel has no GGUF edition.
  test.each(nine)("%s has the address of its page on each hub", (name) => {
    for (const variable of ["HF_ENDPOINT", "MODELSCOPE_ENDPOINT", "WISEMODEL_ENDPOINT"]) delete process.env[variable];
    const owners = { hf: "hfl", ms: "ChineseAlpacaGroup", wisemodel: "ChineseAlpacaGroup" };
    const file = name.endsWith("gguf") ? "ggml-model-q4_k.gguf" : "README.md";
    const urls = Object.entries(owners).map(([scheme, owner]) => {
      const address = parseAddress(`${scheme}:${owner}/${name}:${file}`);
      if (address.kind !== "hub" || !("file" in address.wanted)) throw new Error("no hub");
      const { hub, repository, wanted } = address;
      return [
        hub.list(hub.endpoints()[0]!, repository).href,
        hub.file(hub.endpoints()[0]!, repository, wanted.file).href,
      ];
    });
    expect(urls).toEqual([
      [
        `https://huggingface.co/api/models/hfl/${name}/tree/main?recursive=true`,
        `https://huggingface.co/hfl/${name}/resolve/main/${file}`,
      ],
      [
        `https://www.modelscope.cn/api/v1/models/ChineseAlpacaGroup/${name}/repo/files?Recursive=true&Revision=master`,
        `https://www.modelscope.cn/models/ChineseAlpacaGroup/${name}/resolve/master/${file}`,
      ],
      [
        `https://wisemodel.cn/api/v4/projects/ChineseAlpacaGroup%2F${name}/repository/tree?ref=main&recursive=true&per_page=100`,
        `https://download.wisemodel.cn/file-proxy/ChineseAlpacaGroup/${name}/-/raw/main/${file}`,
      ],
    ]);
  });
});

describe.each([
  ["hf", true],
  ["ms", true],
  ["wisemodel", false],
] as const)("%s", (scheme, digests) => {
  const one = `${scheme}:o/r:ggml-model-q4_k.gguf`;

  test("a file is fetched, by its redirect, and remembered with its digest and origin", async () => {
    const found = await resolveModel(one, folders);
    expect(readFileSync(found.path).equals(models[0]!)).toBe(true);
    expect(found.from).toContain(`${hub.at}/`);
    expect(found.from).toContain("ggml-model-q4_k.gguf");
    const record = JSON.parse(readFileSync(`${found.path}.json`, "utf8"));
    expect(record).toMatchObject({ sha256: sha256Of(models[0]!), bytes: models[0]!.length });
    expect(JSON.stringify(record)).not.toContain("SIGNED");
    expect(await resolveModel(one, folders)).toEqual(found);
    expect(hub.fetched).toHaveLength(1);
  });

  test("a quantization is the file whose name ends so; folders and both spellings are known", async () => {
    expect((await bytesOf(`${scheme}:o/r:q4_k`)).equals(models[0]!)).toBe(true);
    expect((await bytesOf(`${scheme}:o/r:Q4_K-IM`)).equals(models[1]!)).toBe(true);
    expect((await bytesOf(`${scheme}:o/r/sub/m-Q8_0.gguf`)).equals(models[2]!)).toBe(true);
    expect((await bytesOf(`${scheme}:o/r:q8_0@other`)).equals(models[2]!)).toBe(true);
    expect(hub.asked.some(({ url }) => /other/.test(url))).toBe(true);
    const error = await failure(`${scheme}:o/r:Q9@other`);
    expect(error.message).toContain("has no file of Q9 alone");
    expect(error.hint).toContain("ggml-model-q4_k-im.gguf, ggml-model-q4_k.gguf, m-Q8_0.gguf");
  });

  test("a dry run fetches nothing, and knows the size", async () => {
    expect(await locateModel(one, folders)).toEqual({
      unfetched: { name: "ggml-model-q4_k.gguf", bytes: models[0]!.length },
    });
    expect(hub.fetched).toEqual([]);
  });

  test("cut again and again, it is gone on with by ranges", async () => {
    hub.ails.set(scheme, "cut");
    expect((await bytesOf(one)).equals(models[0]!)).toBe(true);
    expect(hub.fetched.length).toBeGreaterThan(3);
    expect(hub.fetched.filter(({ range }) => range !== undefined).length).toBeGreaterThan(2);
  });

  test.each([
    ["404", /no such file \(404\)/],
    ["401", scheme === "hf" ? /asks for a token.*\(401\)/ : /gives no access \(401\)/],
    ["503", /fails \(503\)/],
    ["slow", /was silent|sent next to nothing/],
  ] as const)(
    "%s is one sentence with a remedy",
    async (ailment, said) => {
      hub.ails.set(scheme, ailment);
      expect((await failure(one)).message).toMatch(said);
    },
    60_000,
  );

  test.each(["404", "401", "503", "slow"] as const)("its mirror is asked after %s, and it is said", async (ailment) => {
    for (const variable of ["HF_ENDPOINT", "MODELSCOPE_ENDPOINT", "WISEMODEL_ENDPOINT"])
      process.env[variable] = `${hub.at},${mirror.at}`;
    hub.ails.set(scheme, ailment);
    const found = await resolveModel(one, folders);
    expect(readFileSync(found.path).equals(models[0]!)).toBe(true);
    expect(found.from).toContain(mirror.at);
    expect(warnings).toHaveLength(1);
  });

  test(`other bytes are ${digests ? "refused" : "kept with their own digest, for nobody states another"}`, async () => {
    hub.ails.set(scheme, "wrong");
    if (!digests) return void expect((await bytesOf(one)).length).toBe(models[0]!.length);
    const error = await failure(one);
    expect(error.message).toContain("does not have the sha256 that the hub states");
    const left = readdirSync(process.env.GGUF_BENCH_CACHE!, { recursive: true, encoding: "utf8" });
    expect(left.filter((name) => /gguf/.test(name))).toEqual([]);
  });

  test("a file that was damaged in the cache is found out, said, and fetched anew", async () => {
    const { path } = await resolveModel(one, folders);
    const damaged = readFileSync(path).fill(1, 100_000, 100_010);
    writeFileSync(path, damaged);
    expect(await locateModel(one, folders)).toHaveProperty("unfetched");
    expect((await bytesOf(one)).equals(models[0]!)).toBe(true);
    expect(warnings.join()).toContain("was damaged since it was fetched");
  });

  test("it is still there when the hub is not", async () => {
    const first = await resolveModel(`${scheme}:o/r:q4_k`, folders);
    hub.ails.set(scheme, "503");
    expect(await resolveModel(`${scheme}:o/r:q4_k`, folders)).toEqual(first);
  });
});

test("an address of ModelScope in the web is held to the digest of its list", async () => {
  hub.ails.set("ms", "wrong");
  const error = await failure(`${hub.at}/models/o/r/resolve/master/ggml-model-q4_k.gguf`);
  expect(error.message).toContain("sha256");
  hub.ails.clear();
  const found = await resolveModel(`${hub.at}/models/o/r/resolve/master/ggml-model-q4_k.gguf`, folders);
  expect(await resolveModel("ms:o/r:ggml-model-q4_k.gguf", folders)).toEqual(found);
});

describe("a private model of ModelScope", () => {
  test("is fetched with the token as its client sends it, which no other host is shown", async () => {
    hub.tokens.set("ms", "ms-PLANTED");
    expect((await failure("ms:o/r:q4_k")).hint).toContain("MODELSCOPE_API_TOKEN");
    process.env.MODELSCOPE_API_TOKEN = "ms-PLANTED";
    expect((await bytesOf("ms:o/r:q4_k")).equals(models[0]!)).toBe(true);
    const shown = hub.asked.filter(({ cookie }) => cookie?.includes("ms-PLANTED"));
    expect(shown.length).toBeGreaterThan(0);
    expect(shown.some(({ url }) => url.startsWith("/cdn/"))).toBe(false);
    process.env.MODELSCOPE_API_TOKEN = "ms-; evil";
    expect((await failure("ms:o/r:q8_0")).message).toContain("characters that no token has");
  });
});

describe("mirrors", () => {
  test.each(["404", "503", "401", "slow", "cut", "wrong"] as const)(
    "of HF_ENDPOINT: %s, then the next",
    async (ailment) => {
      process.env.HF_ENDPOINT = `${hub.at}, ${mirror.at}`;
      hub.ails.set("hf", ailment);
      const found = await resolveModel("hf:o/r:ggml-model-q4_k.gguf", folders);
      expect(readFileSync(found.path).equals(models[0]!)).toBe(true);
      // A server that cuts sends everything in the end, if it is given the time.
      if (ailment !== "cut") {
        expect(found.from).toContain(mirror.at);
        expect(warnings).toHaveLength(1);
        expect(warnings[0]).toContain(`It came from ${new URL(mirror.at).host} instead`);
      }
      if (ailment === "wrong") expect(warnings[0]).toContain("sha256");
      // One place in the cache, whichever server is asked.
      hub.ails.clear();
      expect((await resolveModel("hf:o/r:ggml-model-q4_k.gguf", folders)).path).toBe(found.path);
      expect(mirror.fetched.length + hub.fetched.length).toBeLessThanOrEqual(ailment === "cut" ? 14 : 3);
    },
    60_000,
  );

  test("go on where the one before stopped", async () => {
    process.env.HF_ENDPOINT = `${hub.at},${mirror.at}`;
    hub.ails.set("hf", "slow");
    expect((await bytesOf("hf:o/r:ggml-model-q4_k.gguf")).equals(models[0]!)).toBe(true);
    expect(mirror.fetched[0]!.range).toMatch(/^bytes=[1-9]/);
  });

  test("hold to the digest that the first server states", async () => {
    process.env.HF_ENDPOINT = `${hub.at} ${mirror.at}`;
    mirror.put("o/r", "ggml-model-q4_k.gguf", models[3]!);
    hub.ails.set("hf", "wrong");
    const error = await failure("hf:o/r:ggml-model-q4_k.gguf");
    expect(error.message).toMatch(/sha256.*; another server had no better answer/);
    expect(error.hint).toContain("sha256");
  });

  test("get no token, but for the first of them", async () => {
    process.env.HF_ENDPOINT = `${hub.at},${mirror.at}`;
    process.env.HF_TOKEN = "hf_PLANTED";
    for (const server of [hub, mirror]) server.tokens.set("hf", "hf_PLANTED");
    hub.put("o/r", "ggml-model-q4_k.gguf", models[0]!);
    hub.ails.set("hf", "404");
    await failure("hf:o/r:ggml-model-q4_k.gguf");
    expect(mirror.asked.length).toBeGreaterThan(0);
    expect(mirror.asked.filter(({ authorization }) => authorization)).toEqual([]);
    hub.ails.clear();
    await bytesOf("hf:o/r:ggml-model-q4_k.gguf");
    expect(hub.asked.some(({ authorization }) => authorization === "Bearer hf_PLANTED")).toBe(true);
  });

  test("of a benchmark file come after the hub's own; a slip in one is said", async () => {
    hub.ails.set("hf", "503");
    const found = await resolveModel("hf:o/r:ggml-model-q4_k.gguf", { ...folders, mirrors: [mirror.at] });
    expect(found.from).toContain(mirror.at);
    const error = await resolveModel("hf:o/r:q4_k", { ...folders, mirrors: ["hf-mirror.com"] }).catch((error) => error);
    expect(error.message).toBe("the mirror hf-mirror.com is no address.");
  });
});

describe("several addresses of one model", () => {
  const both = ["hf:o/r:ggml-model-q4_k.gguf", "ms:o/r:ggml-model-q4_k.gguf"];

  test("the first that has it serves, and another that served before is not fetched again", async () => {
    hub.ails.set("hf", "404");
    const found = await resolveModel(both, folders);
    expect(found.from).toContain("/models/o/r/resolve/");
    expect(warnings[0]).toMatch(/404.*ms:o\/r:ggml-model-q4_k\.gguf is used instead/);
    hub.ails.clear();
    hub.asked = [];
    expect(await resolveModel(both, folders)).toEqual(found);
    // What was never fetched is not asked for.
    expect(hub.asked.filter(({ url }) => url.startsWith("/o/r/"))).toEqual([]);
    expect(await locateModel(both, folders)).toEqual(found);
    expect(hub.fetched).toHaveLength(0);
  });

  test("a path may be one of them; slips are said at once; none has it", async () => {
    const path = join(dir, "here.gguf");
    writeFileSync(path, models[3]!);
    expect(await resolveModel(["hf:o/none:Q4_K_M", path], folders)).toEqual({ path });
    expect((await failure([path, "ftp:x"])).code).toBe("model-source");
    const error = await failure(["hf:o/none:a.gguf", "ms:o/none:b.gguf", join(dir, "not-there.gguf")]);
    expect(error.message).toMatch(
      /^hf:o\/none:a\.gguf could not be fetched: .*404.*; 2 other servers had no better answer\.$/,
    );
  });
});

describe("ollama:NAME", () => {
  const store = join(dir, "ollama");
  const digest = sha256Of(models[0]!);
  const blob = join(store, "blobs", `sha256-${digest}`);
  const layer = (kind: string, of = digest) => ({
    mediaType: `application/vnd.ollama.image.${kind}`,
    digest: `sha256:${of}`,
    size: 1,
  });
  const manifest = (path: string, layers: unknown[]) => {
    const file = join(store, "manifests", path);
    mkdirSync(join(file, ".."), { recursive: true });
    writeFileSync(file, JSON.stringify({ schemaVersion: 2, config: {}, layers }));
  };

  beforeAll(() => {
    mkdirSync(join(store, "blobs"), { recursive: true });
    writeFileSync(blob, models[0]!);
    manifest("registry.ollama.ai/library/smol/latest", [layer("model"), layer("params")]);
    manifest("registry.ollama.ai/me/tuned/v1", [layer("model"), layer("adapter")]);
    manifest("hf.co/o/r/Q4_K_M", [layer("model")]);
    manifest("registry.ollama.ai/library/gone/latest", [layer("model", "0".repeat(64))]);
    manifest("registry.ollama.ai/library/tensors/latest", [layer("tensor")]);
    writeFileSync(join(store, "manifests/registry.ollama.ai/library/smol/torn"), "{");
  });
  beforeEach(() => {
    process.env.OLLAMA_MODELS = store;
  });

  test.each(["ollama:smol", "ollama:Smol:latest", "ollama:library/smol", "ollama:hf.co/o/r:Q4_K_M"])(
    "%s is the file that Ollama keeps, without its server",
    async (model) => {
      expect(await resolveModel(model, folders)).toEqual({ path: blob });
      expect(await locateModel(model, folders)).toEqual({ path: blob });
    },
  );

  test.each([
    ["ollama:none", /^Ollama has no model none in/, /smol:latest.*|There:/],
    ["ollama:smol:torn", /manifest of smol:torn.*cannot be read/, /ollama pull/],
    ["ollama:gone", /Ollama's file of gone is gone/, /ollama pull gone/],
    ["ollama:tensors", /not kept as one GGUF file/, /GGUF/],
    ["ollama:me/tuned:v1", /has a LoRA adapter of its own/, /backend: ollama/],
    ["ollama:../../etc", /is no name of a model/, /ollama list/],
    ["ollama:", /is no name of a model/, /ollama list/],
  ])("%s: one sentence and a remedy", async (model, said, hint) => {
    const error = await failure(model);
    expect(error.message).toMatch(said);
    expect(error.hint).toMatch(hint);
  });
});

const ollama = join(process.env.BENCH_PEERS ?? join(homedir(), ".cache", "bench-peers"), "bin", "ollama");

test.skipIf(!existsSync(ollama))(
  "what a real Ollama keeps is found, and it is the model that it was made from",
  async () => {
    const store = join(dir, "real-ollama");
    writeFileSync(join(dir, "own.gguf"), randomLlama());
    writeFileSync(join(dir, "Modelfile"), `FROM ${join(dir, "own.gguf")}\n`);
    const port = await freePort();
    const env = { ...process.env, OLLAMA_HOST: `127.0.0.1:${port}`, OLLAMA_MODELS: store, HOME: dir };
    const server = spawn(ollama, ["serve"], { env, stdio: "ignore" });
    try {
      let made = { code: 1 as number | null, output: "" };
      for (let tries = 0; tries < 60 && made.code !== 0; tries++) {
        await new Promise((resolve) => setTimeout(resolve, 500));
        made = await finish(ollama, ["create", "own", "-f", join(dir, "Modelfile")], { env });
      }
      expect(made.code, made.output).toBe(0);
    } finally {
      server.kill();
      await until("it has ended", () => server.exitCode !== null || server.signalCode !== null);
    }
    process.env.OLLAMA_MODELS = store;
    const { path } = await resolveModel("ollama:own", folders);
    expect(sha256Of(readFileSync(path))).toBe(path.slice(-64));
    expect((await readModelFacts(path)).tensorBytes).toBe((await readModelFacts(join(dir, "own.gguf"))).tensorBytes);
  },
  120_000,
);

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening));
  const { port } = server.address() as AddressInfo;
  await new Promise((closed) => server.close(closed));
  return port;
}

test("every hub has a title, schemes and servers of its own", () => {
  for (const variable of ["HF_ENDPOINT", "MODELSCOPE_ENDPOINT", "WISEMODEL_ENDPOINT"]) delete process.env[variable];
  const schemes = hubs.flatMap((one) => one.schemes);
  expect(new Set(schemes).size).toBe(schemes.length);
  expect(new Set(hubs.map((one) => one.endpoints()[0]!.host)).size).toBe(hubs.length);
  expect(existsSync(process.env.GGUF_BENCH_CACHE!) && statSync(process.env.GGUF_BENCH_CACHE!).isDirectory()).toBe(true);
});
