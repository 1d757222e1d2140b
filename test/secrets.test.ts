import { describe, expect, test } from "vitest";
import { BenchError, toFailure } from "../dist/errors.js";
import { addressWithoutSecrets, commandWithoutSecrets, withoutSecrets } from "../dist/secrets.js";

describe("a text with addresses", () => {
  test.each([
    ["https://u:pw@h/m.gguf?token=1#x", "https://h/m.gguf?…"],
    ['"https://h/m?sig=a": no.', '"https://h/m?…": no.'],
    ["--model=HTTPS://u:p@ss@h:80/a/b.gguf", "--model=HTTPS://h:80/a/b.gguf"],
    ["https:\\\\u:pw@h\\x?y", "https:\\\\h\\x?…"],
    ["https:u:pw@h/m", "https:h/m"],
    ["s3://key:secret@bucket/m", "s3://bucket/m"],
    ["hf:o/r/f.gguf?token=3", "hf:o/r/f.gguf?…"],
    ["openai:http://u:pw@h:1/v1?k=1#m", "openai:http://h:1/v1?…"],
    ["openai:u:pw@h:1/v1", "openai:h:1/v1"],
    ["openai:h:1/v1?api_key=1", "openai:h:1/v1?…"],
    ["first https://h?x=1, then https://u:p@i/.", "first https://h?…, then https://i/."],
  ])("%s holds no secret afterwards", (given, shown) => expect(withoutSecrets(given)).toBe(shown));

  test.each([
    "hf:o/r/f.gguf#branch",
    "hf:o/r:Q4_K_M",
    "openai:qwen@q4_k_m",
    "openai:http://h:1/v1#qwen:8b",
    "file:///a?b#c",
    "mock:seed=1,damage=0.3",
    "C:\\x?y",
    "https://@h".slice(9),
  ])("%s stays as it is", (text) => expect(withoutSecrets(text)).toBe(text));

  test("blanks belong to an address that is the whole text", () => {
    expect(addressWithoutSecrets("https://u:p w@h/m.gguf?a b")).toBe("https://h/m.gguf?…");
    expect(addressWithoutSecrets("a model.gguf")).toBe("a model.gguf");
  });
});

test("no error's sentence holds a secret", () => {
  const error = new BenchError("config", "https://u:pw@h/m?token=1 is no model", { hint: "see https://h/?key=2" });
  expect(error.message).toBe("https://h/m?… is no model.");
  expect(error.hint).toBe("See https://h/?…");
  expect(toFailure(new Error("at https://u:pw@h/")).message).not.toContain("pw");
});

describe("a command", () => {
  test.each([
    [["s", "--api-key", "planted"], ["s", "--api-key", "…"], "--api-key", 1],
    [["s", "--hf-token=planted"], ["s", "--hf-token=…"], "--hf-token", 1],
    [["s", "-hft", "planted"], ["s", "-hft", "…"], "-hft", 1],
    [["env", "LLAMA_API_KEY=planted", "s"], ["env", "LLAMA_API_KEY=…", "s"], "LLAMA_API_KEY", 1],
    [["env", "PGPASSWORD=planted"], ["env", "PGPASSWORD=…"], "PGPASSWORD", 1],
    [["env", "API_KEY_OPENAI=planted"], ["env", "API_KEY_OPENAI=…"], "API_KEY_OPENAI", 1],
    [["env", "my_secret=$planted"], ["env", "my_secret=…"], "my_secret", 1],
    [["sh", "-c", "A_TOKEN='plan ted' s --x"], ["sh", "-c", "A_TOKEN=… s --x"], "A_TOKEN", 2],
    [["sh", "-c", "exec s --api-key planted"], ["sh", "-c", "exec s --api-key …"], "--api-key", 2],
  ])("%j holds no secret afterwards", (command, shown, name, index) =>
    expect(commandWithoutSecrets(command)).toEqual({ command: shown, secrets: [{ index, name }] }),
  );

  test.each([
    [["s", "--api-key-file", "f", "--port", "{port}", "--cache-type-k", "q8_0"]],
    [["vllm", "serve", "--max-num-batched-tokens", "512", "--tokenizer=x", "--ssl-keyfile=f"]],
    [["s", "--override-kv", "tokenizer.ggml.add_bos_token=bool:false"]],
    [["env", "TOKENIZERS_PARALLELISM=false", "CUDA_VISIBLE_DEVICES=0", "HF_TOKEN_PATH=/t", "LLAMA_API_KEY="]],
    [["s", "--chat-template", "{% set eos_token='x' %} bos_token=y"]],
    [["sh", "-c", 's --api-key "$LLAMA_API_KEY"']],
  ])("%j stays as it is", (command) => expect(commandWithoutSecrets(command)).toEqual({ command, secrets: [] }));
});
