import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import fc from "fast-check";
import { afterAll, beforeEach, describe, expect, test } from "vitest";
import { BenchError } from "../../dist/errors.js";
import { notMeasurable, readModelFacts } from "../../dist/models/gguf.js";
import { estimateMemory } from "../../dist/models/memory.js";
import { f32, i32, i32s, i64, i64s, tinyGguf } from "./tiny-gguf.js";

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
    const tensors = [{ name: "a", shape: [256, 4], type: 10, bytes: 336 }];
    const facts = await readModelFacts(file("m.gguf", tinyGguf({ metadata, tensors })));
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

  const weights = (type: number, bytes: number) => [
    { name: "token_embd.weight", shape: [256, 4], type, bytes },
    { name: "norm.weight", shape: [256], type: 0, bytes: 1024 },
  ];
  test.each([
    // [general.file_type, tensors, the name]
    [15, weights(1, 2048), "F16", "Q4_K_M"], // F16 under the label of a quantization
    [1, weights(12, 576), "Q4_K", "F16"],
    [7, weights(14, 840), "Q6_K", "Q8_0"],
    [20, weights(0, 4096), "F32", "IQ2_XS"],
    [15, weights(12, 576), "Q4_K_M", undefined],
    [15, weights(6, 704), "Q4_K_M", undefined], // rows of no whole block of Q4_K have Q5_0
    [29, weights(22, 328), "IQ2_M", undefined],
    [11, weights(11, 440), "Q3_K_S", undefined],
    [7, weights(8, 1088), "Q8_0", undefined],
  ])("a file type of %i over such tensors is called by what the tensors are", async (type, tensors, quant, said) => {
    const facts = await readModelFacts(file("m.gguf", tinyGguf({ metadata: { "general.file_type": type }, tensors })));
    expect(facts.quant).toBe(quant);
    expect(facts.notes?.join() ?? "").toBe(
      said ? `its general.file_type says ${said}, but most of its weights are ${quant}: it is named ${quant} here` : "",
    );
  });

  const cut = (metadata: Parameters<typeof tinyGguf>[0] = {}) => readModelFacts(file("t.gguf", tinyGguf(metadata)));
  test.each<[string, Record<string, string | number | boolean | Buffer>]>([
    ["EOS is not added, as is the rule", { "tokenizer.ggml.add_eos_token": false }],
    ["BOS is not added, as is the rule", { "tokenizer.ggml.add_bos_token": false }],
    ["an unknown token that this kind never gives", { "tokenizer.ggml.unknown_token_id": 0 }],
    ["EOS after the text, which is not scored", { "tokenizer.ggml.add_eos_token": true }],
    ["a padding token", { "tokenizer.ggml.padding_token_id": 1 }],
    ["BOS that is not added", { "tokenizer.ggml.bos_token_id": 1 }],
    ["the pre-tokenizer that is taken where none is said", { "tokenizer.ggml.pre": "default" }],
    ["all tokens are normal ones", { "tokenizer.ggml.token_type": i32s([1, 1, 1]) }],
    ["a chat template", { "tokenizer.chat_template": "{{ x }}" }],
    ["scores, which merges replace", { "tokenizer.ggml.scores": i32s([1, 2, 3]) }],
    ["white space stays, as is the rule", { "tokenizer.ggml.remove_extra_whitespaces": false }],
  ])("a tokenizer is the same one where its file adds: %s", async (_, metadata) => {
    expect((await cut({ metadata })).tokenizerBehaviour).toBe((await cut()).tokenizerBehaviour);
  });

  test.each<[string, Record<string, string | number | boolean | string[] | Buffer>]>([
    ["BOS is added", { "tokenizer.ggml.add_bos_token": true, "tokenizer.ggml.bos_token_id": 1 }],
    ["another pre-tokenizer", { "tokenizer.ggml.pre": "qwen2" }],
    ["a pre-tokenizer that adds BOS", { "tokenizer.ggml.pre": "llama-bpe" }],
    ["another merge", { "tokenizer.ggml.merges": ["a b"] }],
    ["a token of another kind", { "tokenizer.ggml.token_type": i32s([1, 4, 1]) }],
    ["another token", { "tokenizer.ggml.tokens": ["a", "b", "d"] }],
    ["another kind of tokenizer", { "tokenizer.ggml.model": "llama" }],
  ])("a tokenizer is another one where: %s", async (_, metadata) => {
    expect((await cut({ metadata })).tokenizerBehaviour).not.toBe((await cut()).tokenizerBehaviour);
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

  const weight = (name: string) => [{ name, shape: [64, 32], type: 1, bytes: 4096 }];
  test.each<[string, Parameters<typeof tinyGguf>[0], string]>([
    ["BERT", { metadata: { "general.architecture": "bert" } }, "is an embedding model (bert)"],
    ["Nomic", { metadata: { "general.architecture": "nomic-bert-moe" } }, "is an embedding model (nomic-bert-moe)"],
    ["attention both ways", { metadata: { "llama.attention.causal": false } }, "its attention is not causal"],
    ["pools, no head", { metadata: { "llama.pooling_type": 1 } }, "it pools, and has no output matrix"],
    ["reranker by pooling", { metadata: { "llama.pooling_type": 4 } }, "is a reranker or classifier"],
    ["reranker by its head", { tensors: weight("cls.output.weight") }, "is a reranker or classifier"],
    ["T5", { metadata: { "general.architecture": "t5" } }, "is an encoder-decoder model (t5)"],
    ["T5 encoder", { metadata: { "general.architecture": "t5encoder" } }, "is an encoder (t5encoder)"],
    ["Dream", { metadata: { "general.architecture": "dream" } }, "is a diffusion model (dream)"],
    ["draft head", { metadata: { "general.architecture": "eagle3" } }, "is a draft head of another model"],
    ["projector", { metadata: { "general.architecture": "clip" } }, "is a vision projector, not a language model"],
    ["adapter by tensors", { tensors: weight("blk.0.attn_q.weight.lora_a") }, "is a LoRA adapter, not a model"],
    ["matrix by keys", { metadata: { "imatrix.chunk_count": 4 } }, "is an importance matrix, not a model"],
    ["control vector", { metadata: { "general.architecture": "controlvector" } }, "is a control vector"],
    ["no tokenizer", { metadata: { "tokenizer.ggml.model": "no_vocab" } }, "has no tokenizer"],
    ["vocabulary", { tensors: [] }, "holds no weights, a vocabulary only"],
  ])("what gives no next-token probabilities: %s", async (_, options, what) => {
    const path = file("x.gguf", tinyGguf(options));
    const error = await failure(path);
    // What quantize says of it, one sentence of the same.
    expect(await notMeasurable(path)).toContain(what);
    expect(error.code).toBe("model-unfit");
    expect(error.message).toContain(what);
    expect(error.message).toContain("it gives no next-token probabilities.");
    expect(error.hint).toBeTruthy();
  });

  test.each<[string, Record<string, number | boolean>, string]>([
    ["pools the last token, as Qwen3-Embedding", { "llama.pooling_type": 3 }, "token_embd.weight"],
    ["pools, with an output matrix", { "llama.pooling_type": 1 }, "output.weight"],
    ["says that it is causal", { "llama.attention.causal": true }, "token_embd.weight"],
    ["adds EOS", { "tokenizer.ggml.add_eos_token": true, "llama.pooling_type": 0 }, "token_embd.weight"],
  ])("a causal model is one, though it %s", async (_, metadata, name) => {
    const path = file("m.gguf", tinyGguf({ metadata, tensors: weight(name) }));
    expect(await notMeasurable(path)).toBeUndefined();
    const facts = await readModelFacts(path);
    expect(facts.architecture).toBe("llama");
  });

  test.each<[string, Buffer | string | number]>([
    ["llama.block_count", 2 ** 31],
    ["llama.block_count", f32(1.5)],
    ["llama.block_count", i64(-1n)],
    ["llama.block_count", i64(2n ** 63n - 1n)],
    ["llama.block_count", f32(Number.NaN)],
    ["llama.context_length", i32(-1)],
    ["llama.context_length", "many"],
    ["llama.embedding_length", f32(Number.POSITIVE_INFINITY)],
    ["llama.attention.head_count_kv", i32s([2, -2])],
    ["llama.attention.head_count", i64s([2n ** 62n])],
    ["llama.feed_forward_length", i64s([-5n, 1n])],
    ["llama.attention.key_length", i64(-(2n ** 63n))],
    ["split.count", f32(0.5)],
  ])("a header value that no model can have: %s", async (key, value) => {
    const started = Date.now();
    const error = await failure(file("x.gguf", tinyGguf({ metadata: { [key]: value } })));
    expect(error.message).toMatch(new RegExp(`says ${key.replaceAll(".", "\\.")} = .*, which no model can have\\.$`));
    expect(Date.now() - started).toBeLessThan(1000);
  });

  test.each(["tokens", "token_type", "scores", "merges", "pre", "model", "bos_token_id", "add_bos_token"])(
    "64-bit integers in tokenizer.ggml.%s are read",
    async (key) => {
      const value = key.endsWith("s") || key === "token_type" ? i64s([1n, 2n ** 60n]) : i64(2n ** 60n);
      const facts = await readModelFacts(file("m.gguf", tinyGguf({ metadata: { [`tokenizer.ggml.${key}`]: value } })));
      expect(facts.tokenizerSha256).toMatch(/^[0-9a-f]{64}$/);
    },
  );

  test("a context length that is not said, or is said for another architecture", async () => {
    const zero = await failure(file("a.gguf", tinyGguf({ metadata: { "llama.context_length": 0 } })));
    expect(zero.message).toContain("does not say llama.context_length");
    const foreign = await failure(file("b.gguf", tinyGguf({ metadata: { "general.architecture": "zebra9" } })));
    expect(foreign.message).toContain("does not say zebra9.context_length");
    expect(foreign.hint).toContain('"zebra9"');
  });

  test("parts that are not what their names say", async () => {
    const piece = (count: number, no: number) => tinyGguf({ metadata: { "split.count": count, "split.no": no } });
    const at = (name: string, content: Buffer) => failure(file(name, content));
    const lone = await at("big-00001-of-99999.gguf", piece(3, 0));
    expect(lone.message).toContain("is split into 99999 files, of which big-00002-of-99999.gguf and 99997 more are");
    expect(lone.message.length).toBeLessThan(300);
    file("two-00002-of-00002.gguf", tinyGguf());
    expect((await at("two-00001-of-00002.gguf", tinyGguf())).message).toContain("but is a whole one");
    file("swapped-00002-of-00002.gguf", piece(2, 0));
    expect((await at("swapped-00001-of-00002.gguf", piece(2, 1))).message).toContain("says that it is part 2 of 2");
    file("mixed-00002-of-00002.gguf", piece(3, 1));
    expect((await at("mixed-00001-of-00002.gguf", piece(2, 0))).message).toContain("says that it is part 2 of 3");
    expect((await at("lone.gguf", piece(3, 0))).message).toContain("but is not named as such");
    const joined = await at("joined.gguf", Buffer.concat([piece(2, 0), piece(2, 1)]));
    expect(joined.message).toContain("holds the parts of a split model one after another");
    expect(joined.hint).toContain("llama-gguf-split --merge");
  });

  test.each(["m-00000-of-00000.gguf", "m-00003-of-00002.gguf", "m-00001-of-00001.gguf", "m-00000-of-00002.gguf"])(
    "%s, a name of no part, is a model by itself",
    async (name) => {
      expect((await readModelFacts(file(name, tinyGguf()))).files).toEqual([join(dir, name)]);
    },
  );

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
  /** Facts, beside the digest of the file. */
  const ofFacts = () => entries().filter((entry) => readFileSync(entry, "utf8").includes('"layers"'));

  test("serves unchanged files, and nothing else", async () => {
    const path = file("m.gguf", tinyGguf());
    const first = await readModelFacts(path);
    expect(ofFacts()).toHaveLength(1);
    // The kept entry is believed: an altered one with a right digest would be served.
    expect(await readModelFacts(path)).toEqual(first);

    const other = tinyGguf({ metadata: { "tokenizer.ggml.model": "gpt3" } });
    writeFileSync(path, other);
    expect((await readModelFacts(path)).sha256).not.toBe(first.sha256);
    utimesSync(path, new Date(1e12), new Date(1e12));
    expect((await readModelFacts(path)).bytes).toBe(other.length);
    expect(entries()).toHaveLength(2);
  });

  test("a torn or altered entry is found out again", async () => {
    const path = file("m.gguf", tinyGguf());
    const facts = await readModelFacts(path);
    const [entry] = ofFacts();
    for (const damage of ["", "{", "null", readFileSync(entry!, "utf8").replace('"layers":2', '"layers":9')]) {
      writeFileSync(entry!, damage);
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
  const usual = { ubatch: 512, cacheBitsK: 16, cacheBitsV: 16 };
  const small = estimateMemory(facts, { ...usual, context: 512, parallel: 1, rows: 256 });
  // 2 layers × 2 heads × (16 + 16) × 2 bytes a token
  expect(small).toMatchObject({ weights: 4096, kv: 512 * 256, logits: 256 * 3 * 4 });
  expect(small.total).toBe(small.weights + small.kv + small.compute + small.logits + 100e6);
  const large = estimateMemory(facts, { ...usual, context: 513, parallel: 4, rows: 256, cacheBitsK: 8, cacheBitsV: 8 });
  expect(large.kv).toBe((4 * 768 * 256) / 2);
});
