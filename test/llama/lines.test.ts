import { readdirSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { Lines } from "../../dist/backends/llama/lines.js";
import type { LlamaModel } from "../../dist/backends/llama/model.js";
import { Tokenizer } from "../../dist/backends/llama/tokenizer.js";
import { loadLibrary } from "../../dist/llama/library.js";
import { chooseLibrary } from "../../dist/llama/location.js";
import { realVocabularies, unpackVocabularies } from "../chat/vocabulary.js";
import { random } from "../draws.mjs";
import { temporaryFolder } from "../support.js";

const folder = temporaryFolder();

/** What vocabularies and their patterns treat apart: digits in threes, blanks before line ends, names of special tokens … */
const pieces =
  "A|b|7|12|1234567|汉|字|。|！|：|.|,|?| |  |\n|\n\n|\n\n\n|\r\n|\t|é|🦙|'s|'|(|)|/|</s>|<|im_end|>|<s>|[INST]|def |the|ﬁ|ａ|\u3000|\ufeff|答案：|0\n|A\n\n|_|\u0301|ー"
    .split("|")
    .concat("<|im_end|>", "|");

/** Texts of such pieces, and questions that have their examples in common. */
function texts(): string[] {
  const next = random(3);
  const some = (most: number) =>
    Array.from({ length: 1 + Math.floor(next() * most) }, () => pieces[Math.floor(next() * pieces.length)]!).join("");
  const questions = Array.from({ length: 20 }, (_, i) => {
    const example = (k: number) => `${k}. 下列${some(6)}\nA. ${some(4)}\nB. ${some(4)}1\nC. 三\nD. x\n答案：`;
    const shared = `Heading。\n\n${example(1)}A\n\n${example(2)}B\n\n`;
    return Array.from({ length: 3 }, () => shared + example(3)).flatMap((text) => [
      text,
      `${text}A`,
      `${text}D`,
      `${text} ${i}`,
    ]);
  });
  return [...Array.from({ length: 300 }, () => some(30)), ...questions.flat()];
}

describe.skipIf(!realVocabularies)(
  `lines of a text${realVocabularies ? "" : " (no vocabularies on this machine)"}`,
  () => {
    beforeAll(() => unpackVocabularies(folder), 60_000);

    it("have the tokens of the whole text, in the vocabularies of real models", () => {
      const library = loadLibrary(chooseLibrary("cpu"), { quiet: true });
      const all = texts();
      const files = readdirSync(join(folder, "vocabularies")).filter((name) => name.endsWith(".gguf"));
      expect(files.length).toBeGreaterThan(15);
      const fewer: string[] = [];
      for (const file of files) {
        const parameters = { ...library.modelDefaults(), vocab_only: true };
        const pointer = library.loadModel(join(folder, "vocabularies", file), parameters)!;
        const vocab = library.vocab(pointer);
        const model = { library, pointer, vocab, vocabulary: library.vocabSize(vocab), doing() {} };
        const tokens = new Tokenizer(model as unknown as LlamaModel);
        let asked = 0;
        const counted = new Tokenizer({
          ...model,
          library: {
            ...library,
            tokenize: (...all: Parameters<typeof library.tokenize>) => {
              asked += all[2];
              return library.tokenize(...all);
            },
          },
        } as unknown as LlamaModel);
        const lines = new Lines(model as unknown as LlamaModel, counted);
        let bytes = 0;
        const same = (text: string) => {
          const [fast, plain] = [lines.tokenize(text), tokens.tokenize(text, true)];
          return fast.length === plain.length && fast.every((token, i) => token === plain[i]);
        };
        expect(
          all.find((text) => !same(text)),
          file,
        ).toBeUndefined();
        for (const text of all) bytes += Buffer.byteLength(text);
        if (asked < bytes / 2) fewer.push(file);
        library.freeModel(pointer);
      }
      // WordPiece and unigram vocabularies are no language models'.
      expect(fewer).toEqual(files.filter((file) => !file.includes("bert")));
    }, 120_000);
  },
);
