import type { Document } from "./documents.js";

// Prompts as lm-eval 0.4.13 builds them without a chat template: `Task.fewshot_context` and `build_qa_turn`.

/** Python's `str.isspace` of a character. */
const isBlank = (one: string | undefined) => one !== undefined && /[\s\x1c-\x1f\x85]/.test(one) && one !== "\ufeff";

/** Whether something must stand between two texts that no blank separates. */
const needsBetween = (before: string, after: string) => before !== "" && !isBlank(before.at(-1)) && !isBlank(after[0]);

function joined(before: string | undefined, after: string, between: string): string {
  if (!before) return after;
  if (!after) return before;
  return needsBetween(before, after) ? before + between + after : before + after;
}

export interface Delimiters {
  target: string;
  fewshot: string;
}

/** A question with its answer, as an example before others. Throws an Error with the reason if it is no text. */
export function solved(document: Document, delimiters: Delimiters, several: boolean): string {
  const { choices, target, prefix } = document;
  const question = several ? choices?.[Number(document.text)] : document.text;
  if (typeof question !== "string") throw new Error("its question is no text");
  const answer =
    !several && choices && (typeof target === "number" || typeof target === "boolean")
      ? choices.at(Number(target))
      : Array.isArray(target)
        ? target[0]
        : target;
  if (answer === undefined || answer === null || answer === "") return question + opening(question, prefix, delimiters);
  if (typeof answer !== "string") throw new Error("its answer is no text");
  return question + delimiters.target + joined(prefix, answer, " ") + delimiters.fewshot;
}

/** What follows a question that is asked. */
function opening(question: string, prefix: string | undefined, { target }: Delimiters): string {
  return prefix ? (needsBetween(question, prefix) ? target : "") + prefix : "";
}

/** The text that an answer continues. `before`: description and examples, as far as they are not held apart. */
export function asked(before: string, question: string, { prefix }: Document, delimiters: Delimiters): string {
  return before + question + opening(question, prefix, delimiters);
}
