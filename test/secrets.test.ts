import { describe, expect, test } from "vitest";
import { BenchError, toFailure } from "../dist/errors.js";
import { addressWithoutSecrets, withoutSecrets } from "../dist/secrets.js";

describe("a text with addresses", () => {
  test.each([
    ["https://u:pw@h/m.gguf?token=1#x", "https://h/m.gguf?…"],
    ['"https://h/m?sig=a": no.', '"https://h/m?…": no.'],
    ["--model=HTTPS://u:p@ss@h:80/a/b.gguf", "--model=HTTPS://h:80/a/b.gguf"],
    ["https:\\\\u:pw@h\\x?y", "https:\\\\h\\x?…"],
    ["https:u:pw@h/m", "https:h/m"],
    ["s3://key:secret@bucket/m", "s3://bucket/m"],
    ["hf:o/r/f.gguf?token=3", "hf:o/r/f.gguf?…"],
    ["first https://h?x=1, then https://u:p@i/.", "first https://h?…, then https://i/."],
  ])("%s holds no secret afterwards", (given, shown) => expect(withoutSecrets(given)).toBe(shown));

  test.each([
    "hf:o/r/f.gguf#branch",
    "hf:o/r:Q4_K_M",
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
