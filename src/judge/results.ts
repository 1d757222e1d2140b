import { definite } from "../definite.js";
import type { JobRecord } from "../events.js";
import { metric as describe, isChange, isDistance } from "../metrics.js";
import { type Dependence, dependenceOf } from "../stats/blocks.js";
import { besideChance, chanceOf } from "../stats/chance.js";
import type { Comparison, Observation } from "../stats/comparison.js";
import { compare, level, residualsOf, unchanged } from "../stats/estimate.js";
import { clustersIn, foreignLoad, type Series } from "../stats/series.js";
import { comparability, isOnSameChunks } from "./comparable.js";
import { isDisturbed, loadApart } from "./disturbance.js";
import { asPrinted } from "./rounding.js";
import { isSame, withoutChance } from "./same.js";
import type { Verdict } from "./verdict.js";
import { distance } from "./words.js";

/** One metric of two variants, compared or refused. */
export interface Result {
  measurement: string;
  dataset: string;
  metric: string;
  /** `PPL`; with the measurement's name before it when several give that metric. */
  label: string;
  /** Absent when it was refused. */
  comparison?: Comparison;
  verdict?: Verdict;
  /** A difference that holds in its own answer, but not if the mean error over all answers that show something is to be 5 %. */
  doubted?: true;
  /** A speed beside which other processes computed: the CPU cores that they used, at most. */
  foreign?: number;
  refused?: string;
  notes: string[];
}

/** Whether a metric of a job is compared. */
export type WantedMetric = (metric: string, job: JobRecord) => boolean;

/** How the chunks of a measurement's text hang together under a metric. */
export type Dependences = (measurement: string, metric: string) => Dependence | undefined;

/** All that was measured of both, compared metric by metric. */
export function resultsOf(
  a: Series[],
  b: Series[],
  wanted: WantedMetric,
  { across, dependences }: { across: boolean; dependences: Dependences },
): Result[] {
  return measuredOfBoth(a, b).flatMap(([first, second]) =>
    first.job.metrics
      .filter((name) => wanted(name, first.job) && isInBoth(name, first, second))
      .flatMap((name) => measuredPair(name, first, second, across, dependences)),
  );
}

/** What was wanted of either and is not compared, because it is not in both: refused, with the reason. */
export function leftOut(a: Series[], b: Series[], wanted: WantedMetric): Result[] {
  const measurements = new Set([...a, ...b].map(({ job }) => job.measurement));
  return [...measurements].flatMap((measurement): Result[] => {
    const sides = [a, b].map((side) => side.find(({ job }) => job.measurement === measurement));
    const there = sides.filter((one) => one !== undefined);
    const why = whyAbsent(measurement, sides);
    const names = [...new Set(there.flatMap(({ job }) => job.metrics.filter((name) => wanted(name, job))))];
    return names.flatMap((metric) => {
      const having = sides.filter((one) => one?.observations.has(metric));
      const lacking =
        why ?? (having.length === 1 ? `only ${having[0] === sides[0] ? "the first" : "the second"} has it` : undefined);
      if (lacking === undefined) return [];
      const label = labelOf(metric, there[0]!);
      const { dataset } = there[0]!.job;
      return [{ measurement, dataset, metric, label, refused: `${label} is not compared: ${lacking}.`, notes: [] }];
    });
  });
}

/** Why a measurement is not there to be compared, as the end of a sentence. */
function whyAbsent(measurement: string, [first, second]: (Series | undefined)[]): string | undefined {
  if (!first || !second) return `only ${first ? "the first" : "the second"} has a measurement ${measurement}`;
  const told = (missing: string) => missing.replace(/\.$/, "");
  if (first.missing !== undefined && first.missing === second.missing) return `both: ${told(first.missing)}`;
  const reasons = [
    ...(first.missing === undefined ? [] : [`the first: ${told(first.missing)}`]),
    ...(second.missing === undefined ? [] : [`the second: ${told(second.missing)}`]),
  ];
  return reasons.length > 0 ? reasons.join("; ") : undefined;
}

/** `PPL`, `prose-en PPL` */
export function labelOf(name: string, { job: { measurement, kind } }: Series): string {
  const { label, per } = describe(name);
  return measurement === kind || per === "repetition" ? label : `${measurement} ${label}`;
}

/** The most that others took of the machine during a repetition of either, where speed suffers from it. */
function foreignIn(name: string, ...sides: Series[]): number | undefined {
  if (describe(name).per !== "repetition") return undefined;
  const most = Math.max(
    ...sides.flatMap(({ foreign = 0, foreignBy, observations }) =>
      foreignBy ? (observations.get(name) ?? []).map(({ item }) => foreignBy.get(item) ?? 0) : [foreign],
    ),
  );
  return most > foreignLoad ? most : undefined;
}

/**
 * One dependence per text and metric, from all `pairs` that are compared on it: found when it is asked for. A change from the reference
 * has that of the metric that changes, where that was measured on the same chunks.
 */
export function dependencesOf(pairs: readonly (readonly [Series[], Series[]])[], across: boolean): Dependences {
  const known = new Map<string, Dependence | undefined>();
  const dependences: Dependences = (measurement, metric) => {
    const { changeOf } = describe(metric);
    const twin = changeOf === undefined ? undefined : twinOf(measurement, changeOf, pairs);
    if (twin !== undefined) return dependences(twin, changeOf!);
    const key = JSON.stringify([measurement, metric]);
    if (!known.has(key)) {
      const measured = pairs.flatMap(([a, b]) => measuredOfBoth(a, b));
      const series = measured.flatMap(([first, second]) =>
        first.job.measurement === measurement ? chunksOf(metric, first, second, across) : [],
      );
      known.set(key, series.length > 0 ? dependenceOf(series) : undefined);
    }
    return known.get(key);
  };
  return dependences;
}

/** The measurement that has this metric of the same chunks. */
function twinOf(
  measurement: string,
  metric: string,
  pairs: readonly (readonly [Series[], Series[]])[],
): string | undefined {
  const all = pairs.flatMap(([, b]) => b);
  const own = all.find(({ job }) => job.measurement === measurement);
  return own && all.find((one) => one.observations.has(metric) && isOnSameChunks(own, one))?.job.measurement;
}

function chunksOf(name: string, a: Series, b: Series, across: boolean): number[][] {
  if (!isInBoth(name, a, b) || (isFloor(a) && !isChange(describe(name)))) return [];
  const { refused, paired } = comparability(name, a, b, { across });
  if (refused !== undefined || !paired) return [];
  const residuals = residualsOf(name, ...observed(name, a, b), definite({ clusters: clustersIn(a, b) }));
  return residuals ? [residuals] : [];
}

/** What is compared of two that have it: a change from the reference is held against none. */
function observed(name: string, a: Series, b: Series): [a: Observation[], b: Observation[]] {
  const own = b.observations.get(name)!;
  return [isFloor(a) && isChange(describe(name)) ? unchanged(own) : a.observations.get(name)!, own];
}

/** The measurements that both have. */
function measuredOfBoth(a: Series[], b: Series[]): [Series, Series][] {
  return a.flatMap((first): [Series, Series][] => {
    const second = b.find(({ job }) => job.measurement === first.job.measurement);
    return second && first.missing === undefined && second.missing === undefined ? [[first, second]] : [];
  });
}

const isInBoth = (name: string, a: Series, b: Series) => a.observations.has(name) && b.observations.has(name);

/** The reference's distance from itself is the noise floor, measured on fewer chunks; its size is the same in all of them. */
const isFloor = ({ job }: Series) => job.against !== undefined && job.against === job.variant;

function measuredPair(name: string, a: Series, b: Series, across: boolean, dependences: Dependences): Result[] {
  const { refused, instead, paired, notes } = comparability(name, a, b, { across });
  const { measurement, dataset } = a.job;
  const result = {
    measurement,
    dataset,
    metric: name,
    label: labelOf(name, a),
    ...definite({ foreign: foreignIn(name, a, b) }),
  };
  const noted = (found: Comparison) => [
    ...notes,
    ...found.warnings.map((warning) => `${result.label}: ${warning}`),
    ...driftNote(result.label, found, b),
  ];
  if (refused !== undefined) {
    const offered = instead && a.observations.has(instead) ? measuredPair(instead, a, b, across, dependences) : [];
    return [{ ...result, refused, notes: [] }, ...offered];
  }
  const [x, y] = observed(name, a, b);
  const options = definite({ clusters: clustersIn(a, b) });
  if (isFloor(a) && isDistance(describe(name))) {
    const found = { ...level(name, y, options), a: level(name, x).b };
    return [{ ...result, comparison: found, verdict: sizeOf(name, found), notes: noted(found) }];
  }
  const dependence = dependences(measurement, name);
  const compared = compare(name, x, y, {
    paired: paired && (!isFloor(a) || isChange(describe(name))),
    ...options,
    ...definite({ dependence }),
  });
  const same = compared.paired && isSame(name, a, b);
  const apart = loadApart(name, compared, a, b);
  const isDoubtful = apart !== undefined || [a, b].some((one) => isDisturbed(name, one));
  const comparison: Comparison = {
    ...(same ? withoutChance(compared) : asPrinted(compared, a, b)),
    ...(isDoubtful ? { disturbed: true } : {}),
  };
  if (comparison.n === 0)
    return [{ ...result, refused: `${result.label} is not compared: ${comparison.warnings.join(" ")}`, notes: [] }];
  const chance = chanceOf(a.job, name);
  const guessed =
    !same && chance !== undefined && [x, y].every((items) => besideChance(level(name, items, options), chance));
  const verdict: Verdict | undefined = guessed ? { kind: "chance", chance } : undefined;
  const told = [...noted(comparison), ...(apart === undefined ? [] : [`${result.label}: ${apart}`])];
  return [{ ...result, comparison, ...definite({ verdict }), notes: told }];
}

/** Chunks from all over a text are a sample of it, whatever drifts there; chunks in a row are not. */
export function driftNote(label: string, { drifts }: Comparison, { job }: Series): string[] {
  if (!drifts || job.settings.spread !== undefined) return [];
  return [
    `${label}: Chunks far from each other are alike, too, so the interval may be too narrow: take chunks from all over the text (spread: N).`,
  ];
}

/** The place of a distance's interval: within the margin, around it, or beyond. */
function sizeOf(name: string, { low, high, a, needed }: Comparison): Verdict {
  if (needed !== undefined) return { kind: "unknown", needed };
  const margin = describe(name).margin?.size ?? Number.NaN;
  const [from, to] = [distance(name, low), distance(name, high)].sort((one, other) => one - other);
  return { kind: "size", place: from! > margin ? "beyond" : to! < margin ? "within" : "around", margin, floor: a };
}
