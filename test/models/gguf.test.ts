import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import fc from "fast-check";
import { afterAll, beforeEach, describe, expect, test } from "vitest";
import { BenchError } from "../../dist/errors.js";
import { estimateMemory, readModelFacts } from "../../dist/models/gguf.js";
import { tinyGguf } from "./tiny-gguf.js";

const smollm2 = resolve("../shared/models/smollm2-135m-instruct-Q4_1.gguf");
const imatrix = resolve("../shared/models/smollm2-imatrix.gguf");
const there = existsSync(smollm2);

const made: string[] = [];
let dir: string;

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "gguf-bench-test-"));
  made.push(dir);
  process.env.GGUF_BENCH_CACHE = join(dir, "cache");
});

afterAll(() => {
  for (const folder of made) rmSync(folder, { recursive: true });
});

function file(name: string, content: Buffer | string): string {
  writeFileSync(join(dir, name), content);
  return join(dir, name);
}

async function failure(path: string): Promise<BenchError> {
  const error = await readModelFacts(path).then(
    () => undefined,
    (error) => error,
  );
  expect(error).toBeInstanceOf(BenchError);
  return error;
}

describe("facts", () => {
  test.skipIf(!there)("of a real model are those that llama.cpp prints", async () => {
    expect(await readModelFacts(smollm2)).toMatchObject({
      files: [smollm2],
      sha256: "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
      bytes: 98362432,
      tensorBytes: 96576768,
      parameters: 134515008,
      quant: "Q4_1",
      architecture: "llama",
      contextLength: 8192,
      vocabulary: 49152,
      layers: 30,
      // 30 layers × 3 heads × (64 + 64) × 2 bytes
      kvBytesPerToken: 23040,
    });
  });

  test("of a file without a file type: the type that most weights have", async () => {
    const tensors = [
      { name: "a", shape: [256], type: 0, bytes: 1024 },
      { name: "b", shape: [256, 4], type: 12, bytes: 576 },
    ];
    const facts = await readModelFacts(file("m.gguf", tinyGguf({ tensors })));
    expect(facts).toMatchObject({ quant: "Q4_K", parameters: 1280, tensorBytes: 1600, bpw: 10, name: "m" });
  });

  test("say which importance matrix made the file", async () => {
    const metadata = {
      "general.file_type": 10,
      "quantize.imatrix.file": "im.gguf",
      "quantize.imatrix.dataset": "wiki.txt",
      "quantize.imatrix.chunks_count": 40,
    };
    const facts = await readModelFacts(file("m.gguf", tinyGguf({ metadata })));
    expect(facts).toMatchObject({ quant: "Q2_K", imatrix: { file: "im.gguf", dataset: "wiki.txt", chunks: 40 } });
  });

  test("the tokenizer's digest holds what cuts text, not the end of a text or the chat template", async () => {
    const plain = await readModelFacts(file("a.gguf", tinyGguf()));
    const chat = { "tokenizer.ggml.eos_token_id": 2, "tokenizer.chat_template": "{{ x }}" };
    const instruct = await readModelFacts(file("b.gguf", tinyGguf({ metadata: chat })));
    const merges = { "tokenizer.ggml.merges": ["a b"] };
    const other = await readModelFacts(file("c.gguf", tinyGguf({ metadata: merges })));
    expect(instruct.tokenizerSha256).toBe(plain.tokenizerSha256);
    expect(other.tokenizerSha256).not.toBe(plain.tokenizerSha256);
    expect(instruct.chatTemplateSha256).toMatch(/^[0-9a-f]{64}$/);
    expect(plain.chatTemplateSha256).toBeUndefined();
  });

  test("a tensor type from the future takes the room it takes", async () => {
    const tensors = [
      { name: "a", shape: [256], type: 99, bytes: 96 },
      { name: "b", shape: [256], type: 1, bytes: 512 },
    ];
    const facts = await readModelFacts(file("m.gguf", tinyGguf({ tensors })));
    expect(facts.tensorBytes).toBe(96 + 512);
  });

  test("of a split model: any part stands for all", async () => {
    const part = (no: number) => tinyGguf({ metadata: { "split.count": 2, "split.no": no } });
    const first = file("big-00001-of-00002.gguf", part(0));
    const second = file("big-00002-of-00002.gguf", part(1));
    const facts = await readModelFacts(second);
    expect(facts.files).toEqual([first, second]);
    expect(facts.parameters).toBe(2 * 2048);
    expect(facts.sha256).toBe((await readModelFacts(first)).sha256);
  });
});

describe("one sentence for", () => {
  test("a missing file", async () => {
    expect(await failure(join(dir, "no.gguf"))).toMatchObject({
      code: "model-missing",
      message: `There is no model file ${join(dir, "no.gguf")}.`,
    });
  });

  test.each([
    ["empty", "", "empty"],
    ["text", "Once upon a time — ja, 从前\n", "text"],
    ["a web page", "\n<!DOCTYPE html><html>", "a web page"],
    ["a Git LFS pointer", "version https://git-lfs.github.com/spec/v1\noid sha256:0", "a Git LFS pointer"],
    ["zeros", Buffer.alloc(5000), "zeros only"],
    ["gzip", Buffer.from([0x1f, 0x8b, 8, 0, 0, 0]), "compressed with gzip"],
    ["safetensors", Buffer.concat([Buffer.from([40, 0, 0, 0, 0, 0, 0, 0]), Buffer.from('{"a":{}}')]), "safetensors"],
    ["two bytes", Buffer.from([1, 2]), "some other binary file"],
  ])("what is no GGUF: %s", async (_, content, what) => {
    const error = await failure(file("x.gguf", content));
    expect(error.code).toBe("model-not-gguf");
    expect(error.message).toContain(`it seems to be ${what}`);
    expect(error.hint).toBeTruthy();
  });

  test("a folder", async () => {
    expect((await failure(dir)).message).toBe(`${dir} is a folder.`);
  });

  test.each([1, 20, 30, 200, 4000])("a file that lacks its last %i bytes", async (missing) => {
    const whole = tinyGguf();
    const error = await failure(file("cut.gguf", whole.subarray(0, whole.length - missing)));
    expect(error.code).toBe("model-truncated");
    expect(error.message).toContain(`cut off ${missing} bytes before the end of its data`);
  });

  test("a file cut off anywhere in its header", async () => {
    const whole = tinyGguf();
    for (let length = 4; length < whole.length - 4096; length += 13)
      expect((await failure(file("cut.gguf", whole.subarray(0, length)))).code).toMatch(/^model-(truncated|damaged)$/);
  });

  test.skipIf(!there)("a real model cut off in its data and in its header", async () => {
    const whole = readFileSync(smollm2);
    expect((await failure(file("a.gguf", whole.subarray(0, 50_000_000)))).message).toContain("48362432 bytes");
    expect((await failure(file("b.gguf", whole.subarray(0, 1_000_000)))).message).toContain("inside its header");
  });

  test("a missing part of a split model", async () => {
    const path = file("big-00001-of-00003.gguf", tinyGguf());
    file("big-00003-of-00003.gguf", tinyGguf());
    const error = await failure(path);
    expect(error.code).toBe("model-part-missing");
    expect(error.message).toContain("split into 3 files, of which big-00002-of-00003.gguf is missing");
  });

  test("GGUF files that are no models", async () => {
    const of = (metadata: Record<string, string>) => failure(file("x.gguf", tinyGguf({ metadata })));
    expect((await of({ "general.type": "adapter" })).message).toContain("is a LoRA adapter");
    expect((await of({ "general.type": "mmproj" })).message).toContain("vision projector");
    expect((await failure(file("v.gguf", tinyGguf({ tensors: [] })))).message).toContain("holds no weights");
    if (there) expect((await failure(imatrix)).message).toContain("is an importance matrix, not a model");
  });

  test("absurd counts, versions and byte orders, before they cost memory", async () => {
    const head = (edit: (bytes: Buffer) => void) => {
      const bytes = tinyGguf();
      edit(bytes);
      return failure(file("x.gguf", bytes));
    };
    expect((await head((b) => b.writeBigUInt64LE(2n ** 60n, 8))).code).toBe("model-damaged");
    expect((await head((b) => b.writeBigUInt64LE(2n ** 60n, 16))).code).toBe("model-damaged");
    expect((await head((b) => b.writeBigUInt64LE(900_000n, 8))).code).toBe("model-truncated");
    expect((await head((b) => b.writeUInt32LE(77, 4))).message).toContain("GGUF version 77");
    expect((await head((b) => b.writeUInt32BE(3, 4))).message).toContain("big-endian");
  });

  test("any damage to a header: facts or a sentence, never a hang", async () => {
    const whole = tinyGguf();
    const header = whole.length - 4096;
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.tuple(fc.nat(header - 1), fc.nat(255)), { minLength: 1, maxLength: 4 }),
        async (edits) => {
          const bytes = Buffer.from(whole);
          for (const [at, value] of edits) bytes[at] = value;
          const started = Date.now();
          await readModelFacts(file("fuzz.gguf", bytes)).catch((error) => expect(error).toBeInstanceOf(BenchError));
          expect(Date.now() - started).toBeLessThan(10_000);
        },
      ),
      { numRuns: 150, seed: 1 },
    );
  });
});

describe("the cache", () => {
  const entries = () => readdirSync(join(dir, "cache", "facts")).map((name) => join(dir, "cache", "facts", name));

  test("serves unchanged files, and nothing else", async () => {
    const path = file("m.gguf", tinyGguf());
    const first = await readModelFacts(path);
    expect(entries()).toHaveLength(1);
    // The kept entry is believed: an altered one with a right digest would be served.
    expect(await readModelFacts(path)).toEqual(first);

    const other = tinyGguf({ metadata: { "tokenizer.ggml.model": "gpt3" } });
    writeFileSync(path, other);
    expect((await readModelFacts(path)).sha256).not.toBe(first.sha256);
    utimesSync(path, new Date(1e12), new Date(1e12));
    expect((await readModelFacts(path)).bytes).toBe(other.length);
    expect(entries()).toHaveLength(1);
  });

  test("a torn or altered entry is found out again", async () => {
    const path = file("m.gguf", tinyGguf());
    const facts = await readModelFacts(path);
    for (const damage of ["", "{", "null", readFileSync(entries()[0]!, "utf8").replace('"layers":2', '"layers":9')]) {
      writeFileSync(entries()[0]!, damage);
      expect(await readModelFacts(path)).toEqual(facts);
    }
  });

  test("keeps no failure, and its own failure stops nobody", async () => {
    const whole = tinyGguf();
    const path = file("m.gguf", whole.subarray(0, -100));
    await failure(path);
    expect(existsSync(join(dir, "cache"))).toBe(false);
    writeFileSync(join(dir, "cache"), "a file where the folder should be");
    writeFileSync(path, whole);
    expect((await readModelFacts(path)).layers).toBe(2);
  });
});

test("the memory estimate grows with what is asked for", async () => {
  const facts = await readModelFacts(file("m.gguf", tinyGguf()));
  const small = estimateMemory(facts, { context: 512, parallel: 1, rows: 256 });
  // 2 layers × 2 heads × (16 + 16) × 2 bytes a token
  expect(small).toMatchObject({ weights: 4096, kv: 512 * 256, logits: 256 * 3 * 4 });
  expect(small.total).toBe(small.weights + small.kv + small.compute + small.logits + 100e6);
  const large = estimateMemory(facts, { context: 513, parallel: 4, rows: 256, cacheBitsK: 8, cacheBitsV: 8 });
  expect(large.kv).toBe((4 * 768 * 256) / 2);
});
