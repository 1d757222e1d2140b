import { z } from "zod";
import { expressionForm, matchesOf } from "../expressions.js";
import { metric as describedMetric, isMetric, isScore, isShareOfRight } from "../metrics.js";
import { classification } from "./classification.js";
import { codeSimilarity } from "./code-similarity.js";
import { exact } from "./exact.js";
import { f1 } from "./f1.js";
import { stripped } from "./python.js";
import { retrieval } from "./retrieval.js";
import { rougeL } from "./rouge-l.js";
import type { Scorer, Truth } from "./score.js";

/** The family of scorers, by the name that cards use. A new member: a file beside these, and its name here and in `scoreRule`. */
// biome-ignore lint/suspicious/noExplicitAny: each has keys of its own
const scorers: Record<string, Scorer<string, any>> = Object.fromEntries(
  [exact, f1, rougeL, retrieval, classification, codeSimilarity].map((one) => [one.by, one]),
);

const extraction = z
  .union([z.strictObject({ first: expressionForm }), z.strictObject({ last: expressionForm })])
  .describe(
    "What of the answer is scored: the first or the last match of a regular expression, by its first brackets that hold something.",
  );

const common = { extract: extraction.optional() };

/** A rule of one scorer; the metric of its samples is the scorer's own unless the rule names another. */
const ruleOf = <By extends string, Own extends z.ZodRawShape>({ by, metric, rightOrWrong, keys }: Scorer<By, Own>) =>
  z.strictObject({
    by: z.literal(by),
    metric: z
      .string()
      .default(metric)
      .refine(
        (name) => isMetric(name) && isScore(describedMetric(name)),
        "there is no metric of that name for scores of answers",
      )
      .refine(
        (name) => rightOrWrong || !isMetric(name) || !isShareOfRight(describedMetric(name)),
        "that metric is of answers right or wrong, and this scorer gives scores between",
      ),
    ...common,
    ...keys,
  });

/** How answers are scored, as a card says it. */
export const scoreRule = z.discriminatedUnion("by", [
  ruleOf(exact),
  ruleOf(f1),
  ruleOf(rougeL),
  ruleOf(retrieval),
  ruleOf(classification),
  ruleOf(codeSimilarity),
]);

export type ScoreRule = z.output<typeof scoreRule>;

/** What a question is held against: any of several right answers. */
export interface Truths {
  answers: readonly string[];
  classes?: readonly string[] | undefined;
}

export interface Scored {
  metric: string;
  /** Between 0 and 1, by the right answer that it fits best. */
  value: number;
  /** What of the answer was scored; absent where nothing was found. */
  extracted?: string;
}

const each = ({ answers, classes = [] }: Truths): Truth[] => answers.map((answer) => ({ answer, classes }));

/** An answer's score by a rule. An answer of which nothing can be extracted scores 0. */
export function scoreOf(text: string, truths: Truths, rule: ScoreRule): Scored {
  const { metric, by } = rule;
  const extracted = rule.extract ? extractedFrom(text, rule.extract) : text;
  if (extracted === undefined) return { metric, value: 0 };
  const value = Math.max(...each(truths).map((truth) => scorers[by]!.score(extracted, truth, rule)));
  return { metric, value, extracted };
}

/** Why a question cannot be scored by a rule, a phrase. */
export function unfitFor(truths: Truths, rule: ScoreRule): string | undefined {
  for (const truth of each(truths)) {
    const reason = scorers[rule.by]!.unfit?.(truth, rule);
    if (reason !== undefined) return reason;
  }
  return undefined;
}

function extractedFrom(text: string, extract: z.output<typeof extraction>): string | undefined {
  const [key, pattern] = Object.entries(extract)[0]!;
  const match = matchesOf(pattern, text, { key, text: "an answer" }).at(key === "last" ? -1 : 0);
  if (!match) return undefined;
  const { found, groups } = match;
  // One pair of brackets may hold nothing; of several, one that does is what was meant.
  const said = groups.length === 0 ? found : groups.length === 1 ? (groups[0] ?? "") : groups.find(Boolean);
  return said === undefined ? undefined : stripped(said);
}
