import { definite } from "../definite.js";
import { several } from "../harmless.js";
import { metric as describe } from "../metrics.js";
import { hasEffect, keyOf } from "./pooled.js";
import type { Result } from "./results.js";
import { differenceIn, isAtChance, shownIn, type Verdict } from "./verdict.js";
import { clause, opening, type Says, winner } from "./words.js";

/** B held against A. */
export interface Pair {
  a: string;
  b: string;
  results: Result[];
  /** The whole pair in one sentence. */
  sentence: string;
}

/** All that was compared of a pair, the refusals, and what a reader should know; `told`: notes that stand elsewhere. */
export function sentenceOf(a: string, b: string, results: Result[], told: ReadonlySet<string> = new Set()): string {
  const compared = results.filter((result) => result.comparison);
  const refused = results.flatMap((result) => result.refused ?? []);
  const [lead, ...rest] = compared;
  const parts = lead
    ? [
        winner(lead.comparison!, lead.verdict!, lead.label, a, b) ??
          `${b} against ${a}, ${lead.label}: ${wording(lead)}`,
        ...rest.map((result) => `${result.label}: ${wording(result)}`),
      ]
    : [];
  const notes = [...new Set(compared.flatMap((result) => result.notes))].filter((note) => !told.has(note));
  const said = parts.length > 0 ? parts.map((part) => `${part}.`) : [`${b} against ${a}: nothing was compared.`];
  return [...said, ...refused, ...notes].join(" ");
}

const wording = ({ comparison, verdict: said }: Result) => clause(comparison!, said!);

/**
 * An answer per metric, which begins with the mean over the pairs: `PPL: helps: 21 % lower on average over 6 pairs (95 % CI 20 … 22 %; pairs
 * 0.6 … 43 %; 38 chunks). Shown by itself in 5 of 6, likely in 1 (Q4_K_M-im).` Pairs that are shown to differ both ways have no
 * common answer.
 */
export function answersOf(pairs: Pair[], pooled: Result[], says: Says): string[] {
  // Speed stands in the sentences; no such question is about it.
  const asked = pairs.flatMap(({ results }) => results).filter(({ metric }) => describe(metric).per !== "repetition");
  const labels = new Map(asked.map((result) => [keyOf(result), result.label]));
  return Array.from(labels).flatMap(([key, label]) => {
    const answer = answered(
      pairs.flatMap(({ a, b, results }) => {
        const result = results.find((one) => keyOf(one) === key);
        return result ? [{ a, b, result }] : [];
      }),
      pooled.find((one) => keyOf(one) === key),
      says,
    );
    return answer === undefined ? [] : [`${label}: ${answer}.`];
  });
}

interface PairResult {
  a: string;
  b: string;
  result: Result;
}

function answered(told: PairResult[], mean: Result | undefined, says: Says): string | undefined {
  const compared = told.filter(({ result }) => result.verdict);
  const [one] = compared;
  if (!one) return undefined;
  if (told.length === 1) {
    const { comparison, verdict } = one.result;
    return `${opening(comparison!, verdict!, says)}, ${one.b} against ${one.a}`;
  }
  const groups = groupsOf(told, says);
  const isSplit = groups.some(({ side }) => side === "better") && groups.some(({ side }) => side === "worse");
  const effective = compared.filter(({ result }) => hasEffect(result));
  const over = effective.map(({ result }) => result.comparison!);
  const average =
    mean?.comparison &&
    opening(mean.comparison, mean.verdict!, says, { over, ...definite({ most: mostOf(effective) }) });
  const counts = `${says.better} in ${listed(groups, `of ${told.length} pairs`)}`;
  if (isSplit) return `no common answer: ${counts}${average ? `; ${average}` : ""}`;
  if (average) return `${average}. Shown by itself in ${listed(groups, `of ${told.length}`)}`;
  return `${counts}${mean?.refused ? `; ${mean.refused}` : ""}`;
}

/** The pair without which the mean would be less than half as large, or turn round. */
function mostOf(pairs: PairResult[]): string | undefined {
  const sizes = pairs.map(({ result: { comparison } }) =>
    comparison!.scale === "relative" ? Math.log1p(comparison!.difference) : comparison!.difference,
  );
  if (sizes.length < 3 || !sizes.every(Number.isFinite)) return undefined;
  const sum = sizes.reduce((all, size) => all + size, 0);
  const mean = Math.abs(sum) / sizes.length;
  const most = sizes.findIndex((size) => ((sum - size) * Math.sign(sum)) / (sizes.length - 1) < mean / 2);
  return most < 0 ? undefined : pairs[most]!.b;
}

/** Pairs that say the same. */
interface Group {
  words: string;
  side?: "better" | "worse";
  names: string[];
}

const unsure = "not sure in ";

/** In the order of telling; those without a pair are left out, but for the first. */
function groupsOf(told: PairResult[], says: Says): Group[] {
  const rest = new Set(told);
  const group = (words: string, fits: (said: Verdict) => boolean, side?: Group["side"]): Group[] => {
    const found = [...rest].filter(({ result: { verdict } }) => verdict && fits(verdict));
    for (const one of found) rest.delete(one);
    return found.length > 0 || side === "better"
      ? [{ words, names: found.map(({ b }) => b), ...definite({ side }) }]
      : [];
  };
  const differs = (direction: string, sure: boolean) => (said: Verdict) =>
    differenceIn(said, sure)?.direction === direction;
  const groups = [
    ...group("", differs("better", true), "better"),
    ...group("likely in ", differs("better", false)),
    ...group(`${says.worse} in `, differs("worse", true), "worse"),
    ...group(`likely ${says.worse} in `, differs("worse", false)),
    ...group("equivalent in ", (said) => shownIn(said) !== undefined),
    ...group("no better than guessing in ", isAtChance),
    ...group(unsure, () => true),
  ];
  const refused = [...rest].map(({ b }) => b);
  return refused.length > 0 ? [...groups, { words: "not compared in ", names: refused }] : groups;
}

/** Each with its pairs by name, but for the most common one, which has those that are not named. `of`: `of 6` */
function listed(groups: Group[], of: string): string {
  const [shown, other] = groups;
  const all = shown!.names.length;
  if (groups.length === 1 && all > 1) return all === 2 ? of.replace("of 2", "both") : of.replace("of", "all");
  if (groups.length === 2 && shown!.names.length === 0 && other!.words === unsure) return `none ${of}`;
  const most = Math.max(...groups.map(({ names }) => names.length));
  const common = groups.find(({ names }) => names.length === most)!;
  return groups
    .map((group, i) => {
      const { words, names } = group;
      const count = i > 0 ? names.length : names.length === 0 ? "none" : `${names.length}`;
      const named = group === common || names.length === 0 ? "" : ` (${several(names)})`;
      return `${words}${count}${i === 0 ? ` ${of}` : ""}${named}`;
    })
    .join(", ");
}
