import type { z } from "zod";

/** What an answer is held against. */
export interface Truth {
  /** One right answer; of several, the one that scores best counts. */
  answer: string;
  /** All that the question could be answered with, where the data name them. */
  classes: readonly string[];
}

/** A way to score a text. It knows no data and no model. */
export interface Scorer<By extends string = string, Own extends z.ZodRawShape = z.ZodRawShape> {
  /** What a card calls it. */
  readonly by: By;
  /** The metric of its samples, where the card names no other. */
  readonly metric: string;
  /** Whether every score is 0 or 1. */
  readonly rightOrWrong: boolean;
  /** Keys of a rule besides those that all have. */
  readonly keys: Own;
  /** Why these right answers cannot be scored by, a phrase; undefined where they can. */
  unfit?(truth: Truth, rule: z.output<z.ZodObject<Own>>): string | undefined;
  /** Between 0 and 1. `said`: what was extracted from the answer. */
  score(said: string, truth: Truth, rule: z.output<z.ZodObject<Own>>): number;
}
