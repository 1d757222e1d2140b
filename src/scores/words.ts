import { createRequire } from "node:module";
import { z } from "zod";
import { asciiPunctuation, splitAtBlanks, withoutBlanks } from "./python.js";

export const languages = ["zh", "en"] as const;
export const wordKeys = {
  words: z
    .enum(languages)
    .describe("How a text falls into words: Chinese ones by jieba's precise mode, or English ones at blanks."),
};
export type Language = (typeof languages)[number];

const require = createRequire(import.meta.url);

/** Loaded for the first Chinese text: its dictionary takes a third of a second and some 70 MB. */
let jieba: typeof import("jieba-wasm") | undefined;

/** Ideographs that Python's jieba takes for characters by themselves, and jieba-rs for parts of words. */
const rare = /([\u3400-\u4dbf\u9fd6-\u9fff\uf900-\ufaff\u{20000}-\u{2ebef}\u{2f800}-\u{2fa1f}])/u;

/**
 * Where jieba-rs looks for numbers in a text without ideographs, a dot of its expression stands for any character: 75-80 is one
 * word of it, and 75, -, 80 are those of Python's jieba.
 */
const glued = /^[a-zA-Z0-9]+[^.a-zA-Z0-9]\d+%?$/;
const numbersAndSigns = /^(?:[a-zA-Z0-9]+(?:.\d+)?%?|[+#&._%-]+)$/;
const latin = /([a-zA-Z0-9]+(?:\.\d+)?%?)/;

/** Chinese words as Python's jieba cuts them, blanks and punctuation among them; joined they are the text again. */
export function chineseWords(text: string): string[] {
  jieba ??= require("jieba-wasm") as typeof import("jieba-wasm");
  const { cut } = jieba;
  return text.split(rare).flatMap((part) => (part === "" ? [] : rare.test(part) ? [part] : unglued(cut(part, true))));
}

function unglued(words: string[]): string[] {
  if (!words.some((word) => glued.test(word))) return words;
  const out: string[] = [];
  for (let i = 0; i < words.length; ) {
    let joined = words[i++]!;
    if (!glued.test(joined)) {
      out.push(joined);
      continue;
    }
    while (i < words.length && numbersAndSigns.test(words[i]!)) joined += words[i++]!;
    out.push(...joined.split(latin).filter((part) => part !== ""));
  }
  return out;
}

/** LongBench's, without the opening 《. */
const chinesePunctuation =
  /[！？｡。＂＃＄％＆＇（）＊＋，－／：；＜＝＞＠［＼］＾＿｀｛｜｝～｟｠｢｣､、〃》「」『』【】〔〕〖〗〘〙〚〛〜〝〞〟〰〾〿–—‘’‛“”„‟…‧﹏.]/gu;

const articles = /(?<![\p{L}\p{N}_])(?:a|an|the)(?![\p{L}\p{N}_])/gu;

/**
 * The words by which two texts are compared, as LongBench's `normalize_zh_answer` and `normalize_answer` have them: in small
 * letters, without punctuation, and in English without articles.
 */
export const comparedWords: Record<Language, (text: string) => string[]> = {
  zh: (text) =>
    chineseWords(text)
      .map((word) => withoutBlanks(word.toLowerCase().replace(asciiPunctuation, "").replace(chinesePunctuation, "")))
      .filter((word) => word !== ""),
  en: (text) => splitAtBlanks(text.toLowerCase().replace(asciiPunctuation, "").replace(articles, " ")),
};
