import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { BenchError } from "../../dist/errors.js";
import { resolveModel } from "../../dist/models/sources.js";
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
    expect(error.hint).toMatch(/^There: model-Q4_K_M\.gguf, model-Q8_0\.gguf/);
  });

  test("of a folder: its models", async () => {
    expect((await failure("../models")).hint).toContain("a.gguf, model-Q4_K_M.gguf");
  });
});

describe("a scheme", () => {
  test("that will come says so; any other is named", async () => {
    expect((await failure("ms:owner/repo/a.gguf")).message).toContain("cannot be fetched yet");
    expect((await failure("ollama:qwen")).code).toBe("model-source");
    expect((await failure("ftp://x/a.gguf")).message).toContain("no source of models is named ftp:");
  });

  test("http(s) is fetched once, into the cache", async () => {
    const { path } = await resolveModel(`${address}/tiny.gguf`, folders);
    expect(path.startsWith(join(dir, "cache", "models"))).toBe(true);
    expect(await resolveModel(`${address}/tiny.gguf`, folders)).toEqual({ path });
  });

  test("that leads nowhere is one sentence", async () => {
    const missing = await failure(`${address}/none.gguf`);
    expect(missing.code).toBe("model-download");
    expect(missing.message).toMatch(/none\.gguf could not be fetched: .*404.*\.$/);
    const closed = await failure("http://127.0.0.1:1/a.gguf");
    expect(closed.message).toBe("http://127.0.0.1:1/a.gguf could not be fetched: its server cannot be reached.");
  });
});
