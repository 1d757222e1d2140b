import { execFileSync } from "node:child_process";
import { copyFileSync, mkdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { sha256 } from "../../dist/digest.js";
import { allowedOf, findNamed } from "../../dist/executors/queue/files.js";
import { freePort } from "../ollama-server.js";
import { hasRedis, killWorker, RedisHere, startWorker } from "../redis.js";
import { bench, start, temporaryFolder, until, writeRandomLlama } from "../support.js";

const folder = temporaryFolder();
const file = join(folder, "small.yaml");
writeFileSync(join(folder, "text.txt"), "word ".repeat(400));
writeFileSync(
  file,
  `
name: small
variants:
  a: { model: one.gguf }
measurements:
  perplexity: { text: text.txt, context: 64 }
`,
);
const one = writeRandomLlama(folder, "one");

const hasOpenssl = (() => {
  try {
    return execFileSync("openssl", ["version"], { encoding: "utf8" }).startsWith("OpenSSL");
  } catch {
    return false;
  }
})();

describe("files of a queue", () => {
  const named = {
    ...{ sha256: sha256(readFileSync(one)), bytes: statSync(one).size, parts: 1, name: "one.gguf" },
    sources: [
      "https://huggingface.co/owner/repo/resolve/main/one.gguf",
      "http://huggingface.co/a.gguf",
      "hf:owner/repo",
    ],
  };

  it("are found by their bytes, below a worker's folders and nowhere else", async () => {
    const models = join(folder, "models", "of", "others");
    mkdirSync(models, { recursive: true });
    // As large, with other bytes.
    writeFileSync(join(models, "one.gguf"), Buffer.alloc(named.bytes));
    const sources = { folders: [join(folder, "models")], allowed: [] };
    expect(await findNamed(named, sources)).toBeUndefined();
    copyFileSync(one, join(models, "called-otherwise.bin"));
    expect(await findNamed(named, sources)).toBe(join(models, "called-otherwise.bin"));
    expect(await findNamed(named, { ...sources, folders: [] })).toBeUndefined();
    expect(await findNamed({ ...named, parts: 2 }, sources)).toBeUndefined();
  });

  it("are fetched from allowed addresses alone, never without TLS", () => {
    const allowed = (...starts: string[]) => allowedOf(named, { folders: [], allowed: starts });
    expect(allowed()).toEqual([]);
    expect(allowed("https://huggingface.co/")).toEqual([named.sources[0]]);
    expect(allowed("https://huggingface.co/owner/", "hf:")).toEqual([named.sources[0], "hf:owner/repo"]);
    expect(allowed("https://example.org/")).toEqual([]);
    expect(allowed("http")).toEqual([named.sources[0]]);
  });
});

describe("options that a queue leaves no room for, or that do nothing without one", () => {
  const told = (...more: string[]) => bench(["run", file, "--out", join(folder, "options"), ...more]);

  it.each([
    [["--shard", "1/2", "--queue", "redis://127.0.0.1:1"], "--shard and --queue exclude each other."],
    [["--shard", "1/2", "--again"], "--shard and --again exclude each other."],
    [["--tags", "gpu"], "--tags chooses among the workers of a queue, and there is no --queue."],
    [
      ["--speed-host", "desk", "--dry-run"],
      "--speed-host chooses among the workers of a queue, and there is no --queue.",
    ],
  ])("%j are refused before anything is waited for", async (words, sentence) => {
    expect(await told(...words)).toMatchObject({ code: 1, stdout: "", stderr: expect.stringContaining(sentence) });
  });
});

describe.skipIf(!hasRedis)("reaching a queue", { timeout: 120_000 }, () => {
  const redis = new RedisHere();
  beforeAll(async () => {
    await redis.start();
  });
  afterAll(() => redis.kill());
  const run = (out: string, ...more: string[]) => ["run", file, "--plain", "--out", join(folder, out), ...more];

  it("says in a sentence what is missing", async () => {
    const queue = (address: string, env = {}) =>
      bench(run("nothing", "--queue", address), { env: { ...process.env, ...env } });
    const none = `127.0.0.1:${await freePort()}`;
    expect((await queue(`redis://${none}`)).stderr).toContain(`redis://${none}: nothing listens there.`);
    expect((await queue("http://localhost")).stderr).toContain("--queue: this is no address of a Redis.");
    expect((await queue("redis://:a/secret@localhost")).stderr).not.toContain("secret");
    const hook = `data:text/javascript,import { register } from "node:module"; register("data:text/javascript," + encodeURIComponent('export const resolve = async (name, context, next) => { if (name === "bullmq") throw Object.assign(new Error("no"), { code: "ERR_MODULE_NOT_FOUND" }); return next(name, context); };'))`;
    const without = await queue(redis.url, { NODE_OPTIONS: `--import=${JSON.stringify(hook)}` });
    expect(without.stderr).toContain("a queue needs the packages bullmq and ioredis, which are not installed.");
    const worker = await bench(["worker", "--queue", redis.url, "--models", join(folder, "nowhere")]);
    expect(worker).toMatchObject({ code: 1, stderr: expect.stringMatching(/nowhere is no folder\./) });
    const alone = await queue(redis.url);
    expect(alone).toMatchObject({ code: 1, stderr: expect.stringContaining(`no worker listens at ${redis.url}.`) });
  });

  it("a model that no worker has fails its cell alone, with the reason", async () => {
    const elsewhere = join(folder, "elsewhere");
    mkdirSync(elsewhere, { recursive: true });
    const worker = await startWorker(redis, "desk", ["--models", elsewhere, "--tags", "cpu,small"]);
    const outcome = await bench(run("lacks", "--queue", redis.url));
    expect(outcome.code).not.toBe(0);
    expect(outcome.stdout).toMatch(
      /no worker can take opening a: desk has no one\.gguf \(sha256 [0-9a-f]{12}\)\. \(A worker takes files from/,
    );
    const tagged = await bench(run("tagged", "--queue", redis.url, "--tags", "gpu"));
    expect(tagged.code).toBe(1);
    expect(tagged.stderr).toMatch(/no worker at \S+ has the tags gpu\.\s+There are desk with cpu, small\./);
    const host = await bench(run("host", "--queue", redis.url, "--speed-host", "tower"));
    expect(host).toMatchObject({
      code: 1,
      stdout: "",
      stderr: expect.stringContaining("--speed-host tower: no worker of that name can measure with the others"),
    });
    await killWorker(worker);
  });

  it.skipIf(!hasOpenssl)("by TLS, with a certificate that is trusted", async () => {
    const [key, certificate] = [join(folder, "key.pem"), join(folder, "certificate.pem")];
    execFileSync(
      "openssl",
      [
        ...["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"],
        ...["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", key, "-out", certificate],
      ],
      { stdio: "ignore" },
    );
    const port = await freePort();
    const tls = new RedisHere();
    await tls.start(
      ...["--tls-port", String(port), "--tls-cert-file", certificate, "--tls-key-file", key],
      ...["--tls-ca-cert-file", certificate, "--tls-auth-clients", "no"],
    );
    const address = `rediss://127.0.0.1:${port}`;
    const untrusted = await bench(run("tls", "--queue", address));
    expect(untrusted.stderr).toContain("its certificate is not trusted");
    const env = { ...process.env, NODE_EXTRA_CA_CERTS: certificate };
    const worker = start(["worker", "--queue", address, "--models", folder], { env });
    await until("it waits", () => worker.output.stdout.includes("waits for work"), 60);
    const outcome = await bench(run("tls", "--queue", address), { env });
    expect({ code: outcome.code, stderr: outcome.stderr }).toEqual({ code: 0, stderr: "" });
    await killWorker(worker);
    await tls.kill();
  });
});
