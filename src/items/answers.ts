import { z } from "zod";
import type { ShownPrompt } from "../backends/backend.js";
import { findKind } from "../data/index.js";
import { definite } from "../definite.js";
import type { JobRecord } from "../events.js";
import { measurementOn, measurements } from "../measurements/index.js";
import { shareOf } from "../metrics.js";

/** What a variant made of an item. */
export interface ItemAnswer {
  /** Whether there is anything of it. */
  isThere: boolean;
  /** Index of the option, from 0. */
  prediction?: number;
  /** Absent where the item has no key, or was not asked. */
  right?: boolean;
  /** By the task's first metric: 1 or 0, or a share. */
  score?: number;
  /** Of each option: the log-probability in nats. */
  scores?: number[];
  /** Which option the question listed first, second …; absent where it has the order of the data. */
  order?: number[];
  /** Share that the chosen option has in the probability of all. */
  confidence?: number;
  /** Indices of the right options, or right answers, as they were when it was measured. */
  gold?: number[] | string[];
  /** What the model wrote, and what was found in it. */
  text?: string;
  extracted?: string;
  finish?: string;
  unanswerable?: string;
  /** For comparison with another variant's answer. */
  said?: string;
  prompt?: string;
  given?: ShownPrompt;
}

const kept = z.looseObject({
  prompt: z.string().optional().catch(undefined),
  given: z
    .object({ text: z.string(), ids: z.array(z.int()).optional() })
    .transform(definite)
    .optional()
    .catch(undefined),
  prediction: z.number().optional().catch(undefined),
  scores: z.array(z.number()).optional().catch(undefined),
  order: z.array(z.number()).optional().catch(undefined),
  gold: z
    .union([z.number().transform((one) => [one]), z.array(z.number()), z.array(z.string())])
    .optional()
    .catch(undefined),
  right: z.array(z.number()).optional().catch(undefined),
  text: z.string().optional().catch(undefined),
  finish: z.string().optional().catch(undefined),
  extracted: z
    .union([
      z.string(),
      z.record(z.string(), z.string().nullable()).transform((by) => Object.values(by)[0] ?? undefined),
    ])
    .optional()
    .catch(undefined),
});

/** Whether a job's items are questions. */
export function isAsked({ kind }: JobRecord): boolean {
  if (!Object.hasOwn(measurements, kind)) return false;
  return findKind(measurementOn(kind, undefined).data)?.shown !== undefined;
}

/** A score of half or more is right. */
const least = 0.5;

export function answerOf(
  detail: Record<string, unknown> | undefined,
  score: number | undefined,
  unanswerable: string | undefined,
): ItemAnswer {
  const { prediction, scores, order, gold, right, text, finish, extracted, prompt, given } = kept.parse(detail ?? {});
  const answer = {
    prediction,
    scores,
    order,
    text,
    finish,
    extracted,
    prompt,
    given,
    unanswerable,
    score,
    gold: right ?? gold,
    right: score === undefined ? undefined : score >= least,
    confidence: scores && prediction !== undefined ? shareOf([prediction], scores) : undefined,
    said: prediction === undefined ? (extracted ?? text) : String(prediction),
  };
  return { isThere: detail !== undefined, ...definite(answer) };
}
