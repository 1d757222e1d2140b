import { t as student, type T, tailOf } from "./bases/t.js";
import { type Clustered, clusteredError } from "./blocks.js";
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
 * Compares two speeds, told as `speed(B) / speed(A) − 1`.
 *
 * - In turns (`paired`: the same item stands for repetitions beside each other): the log ratios of the repetitions, of which
 *   `location` is taken. From three sessions on each has one, and the t interval is over sessions.
 * - Otherwise in runs apart, between which the machine changed: the runs are the pieces. With three or more on each side, Welch's
 *   t interval over them. A side with fewer is taken to scatter as the other side's runs do, or by `assumedSpread` where neither
 *   shows it, and the comparison says so.
 *
 * `a` and `b` are means, as tables print them. The difference is that of typical repetitions: single ones that are far off move the
 * means. A warning says so where the two would contradict each other.
 */
export function compareSpeeds(
  metric: string,
  first: Observation[],
  second: Observation[],
  { paired, runs }: { paired: boolean; runs?: Runs },
): Comparison {
  const found = paired ? inTurns(first, second, runs) : apart(first, second, runs);
  const { estimate, below, above, freedom, perRun, fixed, warnings } = found;
  const known = freedom >= 1 && Number.isFinite(below + above);
  const quantile = known ? tQuantile(1 - oneSided, freedom) : Number.NaN;
  const n = Math.min(first.length, second.length);
  const [a, b] = [first, second].map((items) => meanOf(items.map(({ value }) => value))) as [number, number];
  const basis: T = {
    ...{ kind: "t", link: "log1p", estimate, error: (below + above) / 2, freedom },
    ...(below === above ? {} : { sides: { below, above } }),
    ...(perRun ? { per: "run" as const } : {}),
    ...(fixed === undefined
      ? {}
      : { fixed: { error: fixed, freedom: perRun ? freedom : Number.POSITIVE_INFINITY, of: "runs" as const } }),
  };
  const p = known ? Math.min(1, 2 * tailOf(Math.abs(estimate) / (estimate > 0 ? below : above), freedom)) : Number.NaN;
  const comparison: Comparison = {
    ...{ metric, scale: "relative", a, b, p, n, paired },
    difference: Math.expm1(estimate),
    low: Math.expm1(estimate - quantile * below),
    high: Math.expm1(estimate + quantile * above),
    clusters: found.pieces,
    block: 1,
    detectable: student.detectable(basis, alpha),
    warnings: [],
    basis,
  };
  if (!known || quantile * Math.max(below, above) > widest || n < fewestRepetitions) return untold(comparison);
  return { ...comparison, warnings: [...fewNote(comparison), ...warnings, ...contradiction(comparison)] };
}

interface SpeedRatio extends Location {
  /** Independent pieces that the errors rest on: repetitions, or runs. */
  pieces: number;
  perRun: boolean;
  /** The part of the error that more repetitions do not make smaller. */
  fixed?: number;
  warnings: string[];
}

function inTurns(first: Observation[], second: Observation[], runs: Runs): SpeedRatio {
  const ratios = second.map(({ value }, i) => Math.log(value / first[i]!.value));
  const sessions = byRun(first, runs, ratios);
  if (sessions.length >= fewestRuns) return { ...overRuns(sessions), warnings: [] };
  const warnings =
    sessions.length > 1 ? ["2 sessions do not show yet how much sessions differ; from 3 on (`--again`) they do."] : [];
  return { ...location(ratios), pieces: ratios.length, perRun: false, warnings };
}

/** Each run has one typical value; the mean over runs. */
function overRuns(runs: number[][]): Omit<SpeedRatio, "warnings"> {
  const centres = runs.map((values) => location(values).estimate);
  const estimate = meanOf(centres);
  const { error, freedom } = clusteredError(centres.map((one) => (one - estimate) / centres.length));
  return { estimate, below: error, above: error, freedom, pieces: runs.length, perRun: true };
}

function apart(first: Observation[], second: Observation[], runs: Runs): SpeedRatio {
  const logs = (items: Observation[]) =>
    byRun(
      items,
      runs,
      items.map(({ value }) => Math.log(value)),
    );
  const [a, b] = [sideOf(logs(first)), sideOf(logs(second))];
  const estimate = b.estimate - a.estimate;
  const counts = `${counted(a.runs)} against ${b.runs}`;
  if (a.spread && b.spread) {
    const spread = sumOf([a.spread, b.spread]);
    const warnings = [`${counts}, which are the pieces of the interval: they were not timed in turns.`];
    return { estimate, ...twice(spread), pieces: Math.min(a.runs, b.runs), perRun: true, warnings };
  }
  const shown = a.spread ?? b.spread;
  if (shown) {
    const few = a.spread ? b : a;
    // Repetitions that scatter more than runs are no sign that the run is as sure as those.
    const ofFew = Math.max(shown.variance * shown.runs, few.within.variance * few.runs) / few.runs;
    const variance = shown.variance + ofFew;
    return {
      ...{ estimate, ...twice({ variance, freedom: shown.freedom }), fixed: Math.sqrt(variance) },
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
    ...{ estimate, ...twice(sumOf([a.within, b.within, assumed(a), assumed(b)])), fixed: Math.sqrt(fixed.variance) },
    ...{ pieces: Math.min(first.length, second.length), perRun: false },
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
  estimate: number;
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
  const centres = runs.map((values) => location(values));
  const estimate = meanOf(centres.map((one) => one.estimate));
  const within = sumOf(
    centres.map(({ below, above, freedom }) => ({ variance: ((below + above) / 2 / count) ** 2, freedom })),
  );
  if (count < fewestRuns) {
    const between = count < 2 ? 0 : clusteredError(centres.map((one) => (one.estimate - estimate) / count)).error ** 2;
    return { estimate, runs: count, within, between };
  }
  const { below, freedom } = overRuns(runs);
  return { estimate, runs: count, within, between: 0, spread: { variance: below ** 2, freedom, runs: count } };
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

/** The values of each run, in the order in which they first come. */
function byRun(items: Observation[], runs: Runs, values: number[]): number[][] {
  const groups = new Map<string, number[]>();
  items.forEach(({ item }, i) => {
    const run = runs?.get(item) ?? "";
    groups.set(run, [...(groups.get(run) ?? []), values[i]!]);
  });
  return [...groups.values()];
}

/** How many runs timed these items. */
export const runsIn = (items: Observation[], runs: Runs) => byRun(items, runs, []).length;

/** The error of a speed by itself: from three sessions on they are its pieces, before that the repetitions. */
export function errorOfSpeed(residuals: number[], items: Observation[], runs: Runs): Clustered {
  const sums = byRun(items, runs, residuals).map((of) => of.reduce((sum, one) => sum + one, 0));
  return clusteredError(sums.length >= fewestRuns ? sums : residuals);
}

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

/** The means that stand in tables say another thing than typical repetitions do. */
function contradiction({ a, b, low, high, difference }: Comparison): string[] {
  const means = b / a - 1;
  if (low <= means && means <= high) return [];
  const percent = (share: number) => `${share < 0 ? "−" : "+"}${Math.abs(100 * share).toPrecision(2)} %`;
  return [
    `Single repetitions are far off: the means differ by ${percent(means)}, typical repetitions by ${percent(difference)}.`,
  ];
}
