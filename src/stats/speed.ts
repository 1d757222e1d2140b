import { reported, t as student, type T, tailOf } from "./bases/t.js";
import { clusteredError } from "./blocks.js";
import { alpha, type Comparison, type Observation, oneSided } from "./comparison.js";
import { tQuantile } from "./distributions.js";
import { fewestPieces } from "./family.js";
import { type Location, location, meanOf } from "./location.js";

/** From so many runs on their own spread is used. */
export const fewestRuns = 3;
/** With fewer repetitions the spread is a guess. */
const fewestRepetitions = 3;
/** An interval that reaches further than this factor up or down is not shown: it tells nothing. */
const widest = Math.log(10);
/**
 * The standard deviation between runs of one build on one quiet machine that is assumed where fewer than three runs show it. Single
 * machines have 1 to 5 %: at the upper end false alarms stay at 5 % for all of them, and a slowdown of 20 % is still found in
 * seven of eight cases (`test/stats/speed.test.ts`).
 */
export const assumedSpread = 0.05;

/** By item, the run (a session of one folder) in which it was timed; those of the first session need not be there. */
type Runs = ReadonlyMap<string, string> | undefined;

/**
 * Where a speed lies on the log scale, the one place that says so: `exp` of it is the figure in every table, and the difference of two
 * is that of their figures.
 *
 * `location` of the logarithms of its repetitions: below ten their geometric mean. From three runs on each has one, and
 * the t interval is over runs.
 */
export function speedOf(runs: readonly number[][]): SpeedLocation {
  if (runs.length >= fewestRuns) return overRuns(runs.map((logs) => location(logs).estimate));
  const logs = runs.flat();
  return { ...location(logs), pieces: logs.length, perRun: false };
}

interface SpeedLocation extends Location {
  /** Independent pieces that the errors rest on: repetitions, or runs. */
  pieces: number;
  perRun: boolean;
}

/** The mean over runs, each of one value. */
function overRuns(values: readonly number[]): SpeedLocation {
  const estimate = meanOf(values);
  const { error, freedom } = clusteredError(values.map((one) => (one - estimate) / values.length));
  return { estimate, below: error, above: error, freedom, pieces: values.length, perRun: true };
}

/** A speed by itself, see `speedOf`. */
export function levelOfSpeed(metric: string, items: Observation[], runs: Runs): Comparison {
  const found = { ...speedOf(logsByRun(items, runs)), warnings: [] };
  const b = Math.exp(found.estimate);
  const told = comparisonOf(found, "log", { metric, scale: "level", a: 0, b, n: items.length, paired: true });
  // Nobody asks whether it is 0.
  return { ...told, p: Number.NaN, detectable: Number.NaN };
}

/**
 * Compares two speeds, told as `speed(B) / speed(A) − 1`: the quotient of the two figures that `speedOf` gives of the repetitions
 * compared, and so of those that stand beside it. The interval is of
 *
 * - the log ratios of repetitions, in turns (`paired`: the same item stands for repetitions beside each other), see `inTurns`; from
 *   three sessions on the t interval over sessions.
 * - the runs, otherwise: apart, with a machine that changed between them. With three or more on each side, Welch's t interval over
 *   them. A side with fewer is taken to scatter as the other side's runs do, or by `assumedSpread` where neither shows it, and the
 *   comparison says so.
 */
export function compareSpeeds(
  metric: string,
  first: Observation[],
  second: Observation[],
  { paired, runs }: { paired: boolean; runs?: Runs },
): Comparison {
  const sides = [first, second].map((items) => logsByRun(items, runs)) as [number[][], number[][]];
  const [a, b] = sides.map(speedOf) as [SpeedLocation, SpeedLocation];
  const estimate = b.estimate - a.estimate;
  const found = paired
    ? inTurns(estimate, ...sides)
    : { ...apart(...sides, Math.min(first.length, second.length)), estimate };
  const n = Math.min(first.length, second.length);
  const figures = { a: Math.exp(a.estimate), b: Math.exp(b.estimate), n, paired };
  return comparisonOf(found, "log1p", { metric, scale: "relative", ...figures });
}

/** An estimate on the log scale. */
interface SpeedEstimate extends SpeedLocation {
  /** The part of the error that more repetitions do not make smaller. */
  fixed?: number;
  warnings: string[];
}

function comparisonOf(
  { estimate, below, above, freedom, pieces, perRun, fixed, warnings }: SpeedEstimate,
  link: "log" | "log1p",
  told: Pick<Comparison, "metric" | "scale" | "a" | "b" | "n" | "paired">,
): Comparison {
  const known = freedom >= 1 && Number.isFinite(below + above);
  const quantile = known ? tQuantile(1 - oneSided, freedom) : Number.NaN;
  const basis: T = {
    ...{ kind: "t", link, estimate, error: (below + above) / 2, freedom },
    ...(below === above ? {} : { sides: { below, above } }),
    ...(perRun ? { per: "run" as const } : {}),
    ...(fixed === undefined
      ? {}
      : { fixed: { error: fixed, freedom: perRun ? freedom : Number.POSITIVE_INFINITY, of: "runs" as const } }),
  };
  const comparison: Comparison = {
    ...told,
    difference: reported[link](estimate),
    low: reported[link](estimate - quantile * below),
    high: reported[link](estimate + quantile * above),
    p: known ? Math.min(1, 2 * tailOf(Math.abs(estimate) / (estimate > 0 ? below : above), freedom)) : Number.NaN,
    clusters: pieces,
    block: 1,
    detectable: student.detectable(basis, alpha),
    warnings: [],
    basis,
  };
  if (!known || quantile * Math.max(below, above) > widest || told.n < fewestRepetitions) return untold(comparison);
  return { ...comparison, warnings: [...fewNote(comparison), ...warnings] };
}

/**
 * In turns what the machine did to both of a round cancels in their ratio, whose `location` has the interval. Below ten
 * repetitions that is the difference of the two figures. Of ranks the one is near the other and not the same, and on a machine that jumps
 * they may lie apart: then the interval holds both, each side that of the ratios from the farther of the two. So it covers
 * at least as often as that of the ratios, and single rounds that are far off widen it no more.
 */
function inTurns(estimate: number, first: number[][], second: number[][]): SpeedEstimate {
  if (first.length >= fewestRuns) {
    const sessions = second.map((logs, run) => location(logs).estimate - location(first[run]!).estimate);
    return { ...overRuns(sessions), estimate, warnings: [] };
  }
  const others = first.flat();
  const ratios = location(second.flat().map((log, i) => log - others[i]!));
  const gap = estimate - ratios.estimate;
  const apart = Math.abs(gap) < 1e-12 ? 0 : gap / tQuantile(1 - oneSided, ratios.freedom);
  const warnings =
    first.length > 1 ? ["2 sessions do not show yet how much sessions differ; from 3 on (`--again`) they do."] : [];
  return {
    ...{ estimate, below: ratios.below + Math.max(0, apart), above: ratios.above + Math.max(0, -apart) },
    ...{ freedom: ratios.freedom, pieces: others.length, perRun: false, warnings },
  };
}

function apart(first: number[][], second: number[][], n: number): Omit<SpeedEstimate, "estimate"> {
  const [a, b] = [sideOf(first), sideOf(second)];
  const counts = `${counted(a.runs)} against ${b.runs}`;
  if (a.spread && b.spread) {
    const spread = sumOf([a.spread, b.spread]);
    const warnings = [`${counts}, which are the pieces of the interval: they were not timed in turns.`];
    return { ...twice(spread), pieces: Math.min(a.runs, b.runs), perRun: true, warnings };
  }
  const shown = a.spread ?? b.spread;
  if (shown) {
    const few = a.spread ? b : a;
    // Repetitions that scatter more than runs are no sign that the run is as sure as those.
    const ofFew = Math.max(shown.variance * shown.runs, few.within.variance * few.runs) / few.runs;
    const variance = shown.variance + ofFew;
    return {
      ...{ ...twice({ variance, freedom: shown.freedom }), fixed: Math.sqrt(variance) },
      ...{ pieces: shown.runs, perRun: true },
      warnings: [
        `${counts}: ${few.runs === 1 ? "the one is" : "the fewer are"} taken to scatter as the ${shown.runs} do; ${fewestRuns} on each side (\`--again\`) would show it.`,
      ],
    };
  }
  const assumed = (side: OneSide) => ({
    variance: Math.max(assumedSpread ** 2 / side.runs, side.between),
    freedom: Number.POSITIVE_INFINITY,
  });
  const fixed = sumOf([assumed(a), assumed(b)]);
  return {
    ...{ ...twice(sumOf([a.within, b.within, assumed(a), assumed(b)])), fixed: Math.sqrt(fixed.variance) },
    ...{ pieces: n, perRun: false },
    warnings: [
      `${counts}: runs of one build are assumed to differ by ${100 * assumedSpread} % (standard deviation) by themselves; ${fewestRuns} or more on each side (\`--again\`) show it.`,
    ],
  };
}

/** A variance of an estimate, and what it rests on. */
interface Variance {
  variance: number;
  freedom: number;
}

interface OneSide {
  runs: number;
  /** Of the mean over runs, as the runs show it; absent where there are too few. */
  spread?: Variance & { runs: number };
  /** Of the mean, as the repetitions inside runs show it. */
  within: Variance;
  /** Of the mean of two runs, by their distance; 0 of one. */
  between: number;
}

function sideOf(runs: number[][]): OneSide {
  const count = runs.length;
  const centres = runs.map((logs) => location(logs));
  const within = sumOf(
    centres.map(({ below, above, freedom }) => ({ variance: ((below + above) / 2 / count) ** 2, freedom })),
  );
  const { below, freedom } = overRuns(centres.map(({ estimate }) => estimate));
  if (count < fewestRuns) return { runs: count, within, between: count < 2 ? 0 : below ** 2 };
  return { runs: count, within, between: 0, spread: { variance: below ** 2, freedom, runs: count } };
}

/** The variance of a sum of independent estimates (Welch 1947, degrees of freedom after Satterthwaite). */
function sumOf(parts: Variance[]): Variance {
  const variance = parts.reduce((sum, one) => sum + one.variance, 0);
  const spread = parts.reduce((sum, one) => sum + (one.variance === 0 ? 0 : one.variance ** 2 / one.freedom), 0);
  return { variance, freedom: spread === 0 ? parts[0]!.freedom : Math.max(1, variance ** 2 / spread) };
}

const twice = ({ variance, freedom }: Variance) => {
  const error = Math.sqrt(variance);
  return { below: error, above: error, freedom };
};

const counted = (runs: number) => `${runs} ${runs === 1 ? "run" : "runs"}`;

/** The logarithms of each run's values, the runs in the order in which they first come. */
function logsByRun(items: Observation[], runs: Runs): number[][] {
  const groups = new Map<string, number[]>();
  for (const { item, value } of items) {
    const run = runs?.get(item) ?? "";
    const logs = groups.get(run) ?? [];
    groups.set(run, logs);
    logs.push(Math.log(value));
  }
  return [...groups.values()];
}

/** How many runs timed these items. */
export const runsIn = (items: Observation[], runs: Runs) => logsByRun(items, runs).length;

/** Without a word on the difference; the two figures stay. */
function untold(comparison: Comparison): Comparison {
  const none = Number.NaN;
  const usual = 5;
  return {
    ...comparison,
    ...{ difference: none, low: none, high: none, p: none, detectable: Infinity },
    needed: comparison.n < usual ? usual : 2 * comparison.n,
  };
}

function fewNote({ n }: Comparison): string[] {
  return n < fewestPieces ? [`The interval rests on ${n} repetitions; 5 or more would be better.`] : [];
}
