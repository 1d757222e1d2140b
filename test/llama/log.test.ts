import { describe, expect, it } from "vitest";
import { reasonIn, warningsIn } from "../../dist/llama/log.js";

const warning = (text: string) => ({ level: "warning" as const, text });
const error = (text: string) => ({ level: "error" as const, text });

describe("what llama.cpp warns of", () => {
  it("is a sentence without the function that said it, and without the frame around it", () => {
    const lines = [
      "load: missing pre-tokenizer type, using: 'default'",
      "load:",
      "load: ************************************",
      "load: GENERATION QUALITY WILL BE DEGRADED!",
      "load: CONSIDER REGENERATING THE MODEL",
    ];
    expect(warningsIn(lines.map(warning))).toEqual([
      "llama.cpp warns: missing pre-tokenizer type, using: 'default'; GENERATION QUALITY WILL BE DEGRADED!",
    ]);
  });

  it("is told once for a kind, with how many there were", () => {
    const lines = [1, 2, 33].map((i) =>
      warning(`load: control-looking token: ${i} '<|x${i}|>' was not control-type; its type will be overridden`),
    );
    expect(warningsIn([...lines, warning("load: bad special token: 'a.b' = 9, using default id 1")])).toEqual([
      "llama.cpp warns: control-looking token: 1 '<|x1|>' was not control-type; its type will be overridden (and 2 more of this kind)",
      "llama.cpp warns: bad special token: 'a.b' = 9, using default id 1",
    ]);
  });

  it("is bounded in length and number", () => {
    const words = (n: number) => Array.from({ length: n }, (_, i) => String.fromCharCode(97 + i)).join("");
    const many = Array.from({ length: 20 }, (_, i) => warning(`load: ${words(i + 1)} is odd`));
    const told = warningsIn(many);
    expect(told).toHaveLength(9);
    expect(told.at(-1)).toBe("llama.cpp warns of 12 more things");
    expect(warningsIn([warning(`load: ${"x".repeat(5000)}`)])[0]!.length).toBeLessThan(200);
  });

  it("leaves out what is about the machine, or was asked for", () => {
    const lines = [
      "llama_kv_cache_iswa: using full-size SWA cache (ref: https://example.org)",
      "warning: posix_madvise(.., WILLNEED) failed: Invalid argument",
      "/proc/sys/kernel/numa_balancing is enabled, this has been observed to impair performance",
      "load: n_ctx is not divisible by n_seq_max - rounding down to 512",
    ];
    expect(warningsIn([...lines.map(warning), error("load: a complaint")])).toEqual([]);
  });
});

describe("the reason of a failure", () => {
  it.each([
    [
      [
        "llama_model_load: error loading model: missing tensor 'blk.1.ffn_up.weight'",
        "load_file: failed to load model",
      ],
      "missing tensor 'blk.1.ffn_up.weight'",
    ],
    [["llama_init_from_model: quantized V cache requires flash_attn to be enabled"], "quantized V cache requires"],
    [
      [
        "ggml_aligned_malloc: insufficient memory (attempted to allocate 99 MB)",
        "llama_init_from_model: failed to initialize the context: failed to allocate buffer for kv cache",
      ],
      "failed to allocate buffer for kv cache",
    ],
    [["llama_model_load_from_file_impl: failed to load model"], ""],
    [[], ""],
  ])("%#", (lines, reason) => {
    const found = reasonIn([warning("load: unknown type"), ...lines.map(error)]);
    if (reason) expect(found).toContain(reason);
    else expect(found).toBe("");
  });
});
