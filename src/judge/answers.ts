import { metric as describe } from "../metrics.js";
import type { Result } from "./results.js";
import { differenceIn } from "./verdict.js";
import { clause, winner } from "./words.js";

/** B held against A. */
export interface Pair {
  a: string;
  b: string;
  results: Result[];
  /** The whole pair in one sentence. */
  sentence: string;
}

/** All that was compared of a pair, the refusals, and what a reader should know. */
export function sentenceOf(a: string, b: string, results: Result[]): string {
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
  const notes = [...new Set(compared.flatMap((result) => result.notes))];
  const said = parts.length > 0 ? parts.map((part) => `${part}.`) : [`${b} against ${a}: nothing was compared.`];
  return [...said, ...refused, ...notes].join(" ");
}

const wording = ({ comparison, verdict: said }: Result) => clause(comparison!, said!);

/** `PPL: helps in 2 of 3 pairs (Q4_K_M-im, Q2_K-im), likely in 1 (…).`, a sentence per metric. */
export function answersOf(pairs: Pair[], verb: string): string[] {
  // Speed stands in the sentences; neither question is about it.
  const asked = pairs.flatMap(({ results }) => results).filter(({ metric }) => describe(metric).per !== "repetition");
  const labels = [...new Set(asked.map(({ label }) => label))];
  return labels.flatMap((label) => {
    const of = pairs.flatMap(({ b, results }) => {
      const result = results.find((one) => one.label === label && one.verdict);
      return result ? [{ b, said: result.verdict! }] : [];
    });
    if (of.length === 0) return [];
    const names = (direction: string, certain = true) =>
      of.flatMap(({ b, said }) => (differenceIn(said, certain)?.direction === direction ? [b] : []));
    const [better, worse] = [names("better"), names("worse")];
    const list = (some: string[]) => (some.length > 0 ? ` (${some.join(", ")})` : "");
    const told = (some: string[], words: string) => (some.length > 0 ? `, ${words} ${some.length}${list(some)}` : "");
    const harm = [
      told(names("better", false), "likely in"),
      told(worse, "the contrary in"),
      told(names("worse", false), "likely the contrary in"),
    ].join("");
    const all = of.length > 1 && better.length === of.length;
    const helped = all
      ? of.length === 2
        ? "both pairs"
        : `all ${of.length} pairs`
      : `${better.length} of ${of.length} pairs${list(better)}`;
    return [`${label}: ${verb} in ${helped}${harm}.`];
  });
}
