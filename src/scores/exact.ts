import { z } from "zod";
import { replaced, replacementForm } from "../expressions.js";
import { asciiPunctuation, stripped } from "./python.js";
import type { Scorer } from "./score.js";

const keys = {
  clean: z
    .array(replacementForm)
    .default([])
    .describe("What is replaced in the answer and in the right one, in this order, before they are compared."),
  ignoreCase: z.boolean().default(false).describe("Whether capital and small letters are alike."),
  ignorePunctuation: z.boolean().default(false).describe("Whether ASCII punctuation counts for nothing."),
  trim: z.boolean().default(true).describe("Whether blanks at the ends count for nothing."),
};

/** 1 where the text is the right answer, character by character, after both were cleaned alike: lm-eval's `exact_match`. */
export const exact: Scorer<"exact", typeof keys> = {
  by: "exact",
  metric: "exact_match",
  rightOrWrong: true,
  keys,
  score(said, { answer }, { clean, ignoreCase, ignorePunctuation, trim }) {
    const [own, right] = [said, answer].map((text) => {
      let cleaned = replaced(text, clean, { key: "clean", text: "an answer" });
      if (ignoreCase) cleaned = cleaned.toLowerCase();
      if (ignorePunctuation) cleaned = cleaned.replace(asciiPunctuation, "");
      return trim ? stripped(cleaned) : cleaned;
    });
    return own === right ? 1 : 0;
  },
};
