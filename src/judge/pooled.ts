import { definite } from "../definite.js";
import { metric as describe, itemsPer } from "../metrics.js";
import type { Dependence } from "../stats/blocks.js";
import type { Comparison } from "../stats/comparison.js";
import { pooled } from "../stats/pooled.js";
import type { Series } from "../stats/series.js";
import { sameTokenizer } from "./comparable.js";
import type { Dependences, Result } from "./results.js";
import { asPrinted } from "./rounding.js";
import { isAtChance } from "./verdict.js";

/** What was measured of a pair, and what came of it. */
export interface MeasuredPair {
  a: Series[];
  b: Series[];
  results: Result[];
}

/** A metric of a measurement. */
export const keyOf = ({ measurement, metric }: Pick<Result, "measurement" | "metric">) =>
  JSON.stringify([measurement, metric]);

/** What belongs to each metric of each measurement, in the order in which they come. */
export function byMetric<One>(list: One[], resultOf: (one: One) => Result): One[][] {
  const groups = new Map<string, One[]>();
  for (const one of list) {
    const key = keyOf(resultOf(one));
    groups.set(key, [...(groups.get(key) ?? []), one]);
  }
  return [...groups.values()];
}

/** Whether a pair's difference counts in the mean: guesses have none, and a distance from the reference is a size. */
export const hasEffect = ({ comparison, verdict }: Result): boolean =>
  comparison !== undefined && comparison.scale !== "level" && !(verdict && isAtChance(verdict));

/** One metric of a pair, with where it comes from. */
interface PooledPair {
  first: Series;
  second: Series;
  result: Result;
}

/**
 * The mean over the pairs of a question, a result per metric of a measurement that several pairs have; refused, with the reason, where
 * they have none. Its verdict is given with those of its pairs.
 */
export function pooledOf(pairs: MeasuredPair[], dependences: Dependences): Result[] {
  return byMetric(pairs.flatMap(measuredOf), ({ result }) => result).flatMap((family): Result[] => {
    const { measurement, dataset, metric, label } = family[0]!.result;
    if (family.length < 2 || describe(metric).per === "repetition") return [];
    const found = meanOf(metric, family, dependences(measurement, metric));
    const what = typeof found === "string" ? { refused: `no mean: ${found}` } : { comparison: found };
    return [{ measurement, dataset, metric, label, ...what, notes: [] }];
  });
}

const measuredOf = ({ a, b, results }: MeasuredPair): PooledPair[] =>
  results.filter(hasEffect).flatMap((result) => {
    const [first, second] = [a, b].map((side) => side.find(({ job }) => job.measurement === result.measurement));
    return first && second ? [{ first, second, result }] : [];
  });

/** The mean, or why there is none, as the end of a sentence. */
function meanOf(metric: string, family: PooledPair[], dependence: Dependence | undefined): Comparison | string {
  const { first, second, result } = family[0]!;
  const paired = result.comparison!.paired;
  // Under another tokenizer the same chunk is another text, whose residuals belong to nothing here.
  const isOfText = describe(metric).per !== "question";
  const alike = (side: "first" | "second") => family.every((one) => sameTokenizer(family[0]![side], one[side]));
  if (isOfText && !(alike("first") && alike("second"))) return "the pairs are of different tokenizers";
  if (family.some((one) => one.result.comparison!.paired !== paired)) return "some are compared unpaired";
  const clusters = first.clusters ?? second.clusters;
  const found = pooled(
    metric,
    family.map((one) => ({ a: one.first.observations.get(metric)!, b: one.second.observations.get(metric)! })),
    { paired, ...definite({ clusters, dependence }) },
  );
  if (!found) return `the pairs share no ${itemsPer[describe(metric).per]} with a value above 0`;
  const rounding = ({ engine }: Series) => engine?.rounding ?? 0;
  const coarsest = family.toSorted(
    (one, other) => rounding(other.first) + rounding(other.second) - rounding(one.first) - rounding(one.second),
  )[0]!;
  return asPrinted(found, coarsest.first, coarsest.second);
}
