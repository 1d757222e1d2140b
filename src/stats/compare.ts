import type { Sample } from "../events.js";
import { metric as describe, type Metric } from "../metrics.js";
import { blockedError, type Clustered, clusteredError } from "./blocks.js";
import { binomialAtLeast, binomialAtMost, tQuantile, tTail } from "./distributions.js";
import { detectableChange, type Flips, mcnemar, scoreInterval, scoreTail } from "./proportions.js";
import { random } from "./random.js";

/** What one item (chunk, question, repetition) gave. */
export type Observation = Pick<Sample, "value" | "weight"> & { item: string };

/** How far B lies from A, and how sure that is. Made of plain data: it goes into files as it is. */
export interface Comparison {
  metric: string;
  /**
   * `relative`: differences are shares of A (0.02: B is 2 % above A); `absolute`: they are in the metric's unit;
   * `level`: there is no A, the difference is the figure itself.
   */
  scale: "relative" | "absolute" | "level";
  /** The two values over the items that were compared. */
  a: number;
  b: number;
  /** B less A, and its 95 % interval; NaN where there is none. */
  difference: number;
  low: number;
  high: number;
  /** Two-sided, of "there is no difference". */
  p: number;
  /** The same within a family of comparisons, see `holm`. */
  adjusted?: number;
  /** Items compared. */
  n: number;
  paired: boolean;
  /** Independent pieces that the error rests on, and consecutive items in each. */
  clusters: number;
  block: number;
  /**
   * The smallest difference that would have been called different with a probability of 80 %: by a two-sided test at 5 %,
   * and within a family by Holm's adjustment with all other comparisons as they are, see `inFamily`.
   */
  detectable: number;
  /** Of questions: how many answers changed, each way. */
  flips?: Flips;
  /** Whole sentences: what a reader of this comparison should know. */
  warnings: string[];
  basis: Basis;
}

/**
 * What a test at any margin needs. `link`: from a difference as reported to the scale on which the estimate is a mean;
 * `stretch`: how much farther than Student's t strays what a bootstrap drew.
 */
type Basis =
  | { kind: "t"; link: Link; estimate: number; error: number; freedom: number; stretch?: number }
  | { kind: "score"; flips: Flips }
  | { kind: "share"; count: number; n: number };

type Link = "log1p" | "log" | "identity";

export interface CompareOptions {
  /** False where the same item does not mean the same thing in both: other runs of a speed test, other tokenizers. */
  paired?: boolean;
  /** Which items hang together: documents of a text, subjects of a task. */
  clusters?: ReadonlyMap<string, string>;
  /** A is a noise floor, measured on a few items: by how many times B is A, unpaired. */
  floor?: boolean;
}

export const alpha = 0.05;
/** Of a one-sided test, which makes it the 95 % interval that is shown: nothing is decided unless all of it lies on one side. */
export const oneSided = alpha / 2;
/** Below this the t quantile is far from the normal one, and one odd piece decides. */
const enoughClusters = 8;

/**
 * Compares B with A over the items that both have.
 *
 * - Perplexity: difference of ln PPL, that is of two means of negative log-likelihoods, told as `PPL(B) / PPL(A) − 1`.
 * - Means (bits per byte, KLD …): their difference; from a noise floor the ratio, by the delta method on logs. Root mean squares: by the delta method.
 *   Both are ratio estimators linearized at their means (Cochran 1977, 6.4), the residuals of B and A subtracted item
 *   by item before they are squared: what both variants find hard cancels. Chunks hang together, see `blockedError`.
 * - Accuracy: flips of the same questions; exact McNemar p, Tango's score interval; with clusters the difference of means
 *   with a cluster bootstrap of the t statistic (Cameron, Gelbach & Miller 2008), which keeps its level with few clusters.
 * - Speed: mean of the log ratios of repetitions with a t interval, told as `speed(B) / speed(A) − 1`. With the usual five
 *   repetitions a percentile bootstrap covers only 84 %, t covers 95 % (`test/stats/simulation.test.ts`).
 */
export function compare(name: string, a: Observation[], b: Observation[], options: CompareOptions = {}): Comparison {
  const metric = describe(name);
  const { first, second, paired, warnings } = pairs(a, b, !options.floor && (options.paired ?? true));
  const broken = [...first, ...second].filter(({ value, weight }) => !Number.isFinite(value + weight)).length;
  if (broken > 0 || first.length === 0 || second.length === 0)
    return nothing(name, [
      ...warnings,
      broken > 0
        ? `${broken} values are not numbers: the model computes infinities or NaN.`
        : "There is nothing to compare.",
    ]);
  const found = isBinary(metric, [...first, ...second])
    ? accuracies(name, first, second, paired, options.clusters)
    : means(metric, first, second, paired, options);
  return { ...found, warnings: [...warnings, ...found.warnings] };
}

/** A figure by itself, as its distance from 0: for limits that no baseline is needed for. */
export function level(name: string, items: Observation[], { clusters }: CompareOptions = {}): Comparison {
  const metric = describe(name);
  const sorted = natural(items);
  const broken = sorted.filter(({ value, weight }) => !Number.isFinite(value + weight)).length;
  if (broken > 0 || sorted.length === 0) return nothing(name, [`${broken} values are not numbers.`]);
  if (isBinary(metric, sorted)) return share(name, sorted.filter(({ value }) => value === 1).length, sorted.length);
  const { estimate, residuals, log } = linear(metric, sorted, isPositive(metric, sorted));
  const spread = errorOf(metric, residuals, sorted, clusters);
  const told = log ? Math.exp : (x: number) => x;
  const found = fromT(name, {
    link: log ? "log" : "identity",
    estimate,
    spread,
    told,
    a: 0,
    b: told(estimate),
    n: sorted.length,
  });
  return { ...found, scale: "level" };
}

/** `count` of `n`, with the exact binomial law: for flips, and for accuracies by themselves. Clopper and Pearson's interval. */
export function share(name: string, count: number, n: number): Comparison {
  const value = count / n;
  const solve = (from: number, to: number, below: (p: number) => boolean) => {
    let [low, high] = [from, to];
    for (let i = 0; i < 50; i++) {
      const middle = (low + high) / 2;
      if (below(middle)) low = middle;
      else high = middle;
    }
    return (low + high) / 2;
  };
  return {
    ...nothing(name, []),
    scale: "level",
    a: 0,
    b: value,
    difference: value,
    low: count === 0 ? 0 : solve(0, value, (p) => binomialAtLeast(count, n, p) < alpha / 2),
    high: count === n ? 1 : solve(value, 1, (p) => binomialAtMost(count, n, p) > alpha / 2),
    n,
    clusters: n,
    paired: true,
    detectable: Number.NaN,
    basis: { kind: "share", count, n },
  };
}

/** One-sided p of "the difference is at most `limit`": small where the data show more than that. */
export function pAtMost({ basis }: Comparison, limit: number): number {
  switch (basis.kind) {
    case "t":
      return tailOf((basis.estimate - linked(basis.link, limit)) / strayOf(basis), basis.freedom);
    case "score":
      return scoreTail(basis.flips, limit);
    case "share":
      return binomialAtLeast(basis.count, basis.n, limit);
  }
}

/** One-sided p of "the difference is at least `limit`": small where the data show less than that. */
export function pAtLeast({ basis }: Comparison, limit: number): number {
  switch (basis.kind) {
    case "t":
      return tailOf((linked(basis.link, limit) - basis.estimate) / strayOf(basis), basis.freedom);
    case "score":
      return 1 - scoreTail(basis.flips, limit);
    case "share":
      return binomialAtMost(basis.count, basis.n, limit);
  }
}

export type Verdict =
  /** `within`: shown to be there, and shown to be smaller than the margin that matters. */
  | { kind: "different"; direction: "better" | "worse" | "higher" | "lower"; within: boolean }
  /** Shown to be smaller than the margin: the 95 % interval lies within it (two one-sided tests, Schuirmann 1987, at 2.5 %). */
  | { kind: "equivalent"; margin: number }
  /** Neither is shown; a difference of `detectable` would have been, four times in five. */
  | { kind: "undistinguished"; detectable: number };

/** What a comparison says, at 5 %; `margin` is the difference that begins to matter, on the comparison's scale. */
export function verdict(comparison: Comparison, margin?: number): Verdict {
  const p = comparison.adjusted ?? comparison.p;
  const equivalent = margin !== undefined && pOfEquivalence(comparison, margin) < oneSided;
  if (p < alpha) {
    const { better } = describe(comparison.metric);
    const rose = comparison.difference > 0;
    const direction =
      better === "neither" ? (rose ? "higher" : "lower") : rose === (better === "higher") ? "better" : "worse";
    return { kind: "different", direction, within: equivalent };
  }
  if (equivalent) return { kind: "equivalent", margin };
  return { kind: "undistinguished", detectable: comparison.detectable };
}

/** The larger p of the two one-sided tests; a relative margin is as far down as up on the log scale. */
function pOfEquivalence(comparison: Comparison, margin: number): number {
  const lower = comparison.scale === "relative" ? 1 / (1 + margin) - 1 : -margin;
  return Math.max(pAtLeast(comparison, margin), pAtMost(comparison, lower));
}

/**
 * Holm's step-down adjustment (1979): the chance of a single false "different" in the whole family is at most 5 %, whatever
 * depends on what. Comparisons without a p do not count. Order is kept.
 */
export function holm<One extends Pick<Comparison, "p">>(family: One[]): (One & { adjusted: number })[] {
  const order = family
    .map((_, index) => index)
    .filter((index) => !Number.isNaN(family[index]!.p))
    .sort((i, j) => family[i]!.p - family[j]!.p);
  const adjusted = family.map(() => Number.NaN);
  let largest = 0;
  order.forEach((index, rank) => {
    largest = Math.min(1, Math.max(largest, (order.length - rank) * family[index]!.p));
    adjusted[index] = largest;
  });
  return family.map((one, index) => ({ ...one, adjusted: adjusted[index]! }));
}

/**
 * The comparisons of one report: Holm's p, and what each could have seen. With the others as they are, r of them different,
 * Holm calls the one different just where its p is at most 5 % / (m − r).
 */
export function inFamily(comparisons: Comparison[]): Comparison[] {
  const family = holm(comparisons);
  const tested = family.filter(({ adjusted }) => !Number.isNaN(adjusted));
  const different = tested.filter(({ adjusted }) => adjusted < alpha).length;
  return family.map((one) => {
    const others = different - (one.adjusted < alpha ? 1 : 0);
    const level = alpha / Math.max(1, tested.length - others);
    return Number.isNaN(one.adjusted) ? one : { ...one, detectable: detectableAt(one.basis, level) };
  });
}

/** What a two-sided test at `level` sees four times in five, as a difference is reported. */
function detectableAt(basis: Basis, level: number): number {
  if (basis.kind === "share") return Number.NaN;
  if (basis.kind === "score") return detectableChange(basis.flips, level);
  const { link, error, freedom, stretch = 1 } = basis;
  if (freedom < 1 || !Number.isFinite(error)) return Infinity;
  // A standard error from few clusters is too small on average by about 1/(4 · freedom), and by as much again where their
  // autocorrelation had to be estimated: here it promises power.
  const widened = error * (1 + 1 / (2 * freedom));
  const seen = (stretch * tQuantile(1 - level / 2, freedom) + tQuantile(0.8, freedom)) * widened;
  return link === "log1p" ? Math.expm1(seen) : seen;
}

/** Sorts as text the way a person counts: `chunk 9` before `chunk 10`. Neighbours in a text become neighbours here. */
function natural<One extends { item: string }>(items: One[]): One[] {
  const key = ({ item }: One) => item.replace(/\d+/g, (digits) => digits.padStart(16, "0"));
  return items
    .map((one) => ({ one, key: key(one) }))
    .sort((a, b) => (a.key < b.key ? -1 : a.key > b.key ? 1 : 0))
    .map(({ one }) => one);
}

function pairs(a: Observation[], b: Observation[], wanted: boolean) {
  const byItem = new Map(b.map((one) => [one.item, one]));
  const first = natural(a.filter(({ item }) => byItem.has(item)));
  if (!wanted || first.length === 0) {
    const unexpected = wanted && a.length > 0 && b.length > 0;
    const warnings = unexpected
      ? ["No item of one is an item of the other: compared unpaired, which sees far less."]
      : [];
    return { first: natural(a), second: natural(b), paired: false, warnings };
  }
  const [lonelyA, lonelyB] = [a.length - first.length, b.length - first.length];
  const warnings =
    lonelyA + lonelyB > 0
      ? [`${lonelyA + lonelyB} items are in one of the two alone and are left out; ${first.length} are compared.`]
      : [];
  return { first, second: first.map(({ item }) => byItem.get(item)!), paired: true, warnings };
}

/** Metrics of 0 and 1 per item; a share per chunk is a mean like others. */
function isBinary({ aggregation }: Metric, items: Observation[]): boolean {
  return aggregation === "proportion" && items.every(({ value }) => value === 0 || value === 1);
}

/** What scatters by factors, and has a logarithm in every item. */
function isPositive({ aggregation }: Metric, items: Observation[]): boolean {
  return aggregation === "positive-mean" && items.every(({ value }) => value > 0);
}

/**
 * A figure as a weighted mean m on the scale where it is one, carried to the scale that is compared by g, with each
 * item's residual `g′(m) · w(v − m) / Σw`; the residuals sum to 0 and their spread is that of g(m). `logarithm`: g is ln.
 */
function linear({ aggregation }: Metric, items: Observation[], logarithm = false) {
  const log = aggregation === "perplexity" || aggregation === "rate";
  const values = items.map(({ value }) => (aggregation === "rate" ? Math.log(value) : value));
  let [weights, sum] = [0, 0];
  items.forEach(({ weight }, i) => {
    weights += weight;
    sum += weight * values[i]!;
  });
  const mean = sum / weights;
  const root = aggregation === "root-mean-square";
  const estimate = root ? Math.sqrt(mean) : logarithm ? Math.log(mean) : mean;
  const slope = root && estimate > 0 ? 1 / (2 * estimate) : logarithm ? 1 / mean : 1;
  const residuals = items.map(({ weight }, i) => (slope * weight * (values[i]! - mean)) / weights);
  return { estimate, residuals, log: log || logarithm };
}

function errorOf(
  { aggregation }: Metric,
  residuals: number[],
  items: Observation[],
  clusters: CompareOptions["clusters"],
): Clustered {
  const sums = clusters && sumsBy(items, clusters, residuals);
  // A text's few documents would decide alone; its chunks' own autocorrelation then says more.
  if (sums && (sums.length >= enoughClusters || aggregation === "proportion")) return clusteredError(sums);
  // Neither repetitions nor questions follow from each other.
  return aggregation === "rate" || aggregation === "proportion" ? clusteredError(residuals) : blockedError(residuals);
}

function sumsBy(items: Observation[], clusters: ReadonlyMap<string, string>, values: number[]): number[] {
  const sums = new Map<string, number>();
  items.forEach(({ item }, i) => {
    const cluster = clusters.get(item) ?? item;
    sums.set(cluster, (sums.get(cluster) ?? 0) + values[i]!);
  });
  return [...sums.values()];
}

function means(
  metric: Metric,
  first: Observation[],
  second: Observation[],
  paired: boolean,
  { clusters, floor = false }: CompareOptions,
): Comparison {
  const logarithm = floor && isPositive(metric, [...first, ...second]);
  const [a, b] = [linear(metric, first, logarithm), linear(metric, second, logarithm)];
  const error = (residuals: number[], items: Observation[]) => errorOf(metric, residuals, items, clusters);
  const unpaired = () => {
    const [x, y] = [error(a.residuals, first), error(b.residuals, second)];
    return welch(logarithm ? noSurer(x, y, second.length / first.length) : x, y);
  };
  const differences = () => b.residuals.map((residual, i) => residual - a.residuals[i]!);
  const spread = paired ? error(differences(), first) : unpaired();
  const value = (estimate: number) => (a.log ? Math.exp(estimate) : estimate);
  const found = fromT(metric.name, {
    link: a.log ? "log1p" : "identity",
    estimate: b.estimate - a.estimate,
    spread,
    told: a.log ? Math.expm1 : (x) => x,
    a: value(a.estimate),
    b: value(b.estimate),
    n: Math.min(first.length, second.length),
  });
  return { ...found, paired };
}

/** A few items may scatter little by chance: no less is believed of them than the `times` as many others show. */
function noSurer(few: Clustered, others: Clustered, times: number): Clustered {
  const error = others.error * Math.sqrt(times);
  return few.error > error ? few : { ...others, error };
}

/** Two errors that have nothing to do with each other (Welch 1947, degrees of freedom after Satterthwaite). */
function welch(a: Clustered, b: Clustered): Clustered {
  const [x, y] = [a.error ** 2, b.error ** 2];
  const freedom = x + y === 0 ? a.freedom : (x + y) ** 2 / (x ** 2 / a.freedom + y ** 2 / b.freedom);
  // The one that the sum rests on.
  const { clusters, block } = a.error > b.error ? a : b;
  return { error: Math.sqrt(x + y), clusters, block, freedom: Math.max(1, Math.floor(freedom)) };
}

interface Found {
  link: Link;
  estimate: number;
  spread: Clustered;
  /** From the scale of the test to the one that is reported. */
  told(estimate: number): number;
  a: number;
  b: number;
  n: number;
}

function fromT(name: string, { link, estimate, spread, told, a, b, n }: Found): Comparison {
  const { error, clusters, block, freedom } = spread;
  const known = freedom >= 1 && Number.isFinite(error);
  const half = known ? tQuantile(0.975, freedom) * error : Number.NaN;
  const basis: Basis = { kind: "t", link, estimate, error, freedom };
  return {
    metric: name,
    scale: link === "log1p" ? "relative" : "absolute",
    a,
    b,
    difference: told(estimate),
    low: told(estimate - half),
    high: told(estimate + half),
    p: known ? Math.min(1, 2 * tailOf(Math.abs(estimate) / error, freedom)) : Number.NaN,
    n,
    paired: true,
    clusters,
    block,
    detectable: detectableAt(basis, alpha),
    warnings: fewWarnings(name, n, clusters, block),
    basis,
  };
}

function fewWarnings(name: string, n: number, clusters: number, block: number): string[] {
  if (n < 2) return ["One item gives no interval: 2 are needed, 10 or more would be better."];
  const rate = describe(name).aggregation === "rate";
  if (clusters >= (rate ? 3 : enoughClusters)) return [];
  if (rate) return [`The interval rests on ${n} repetitions; 5 or more would be better.`];
  const blocks = block > 1 ? `${clusters} blocks of ${block} neighbours that hang together` : `${clusters} pieces`;
  return [`The interval rests on ${blocks}; 10 or more would be better.`];
}

function accuracies(
  name: string,
  first: Observation[],
  second: Observation[],
  paired: boolean,
  clusters: CompareOptions["clusters"],
): Comparison {
  if (!paired) return means(describe(name), first, second, false, clusters ? { clusters } : {});
  const changes = second.map(({ value }, i) => value - first[i]!.value);
  const count = (change: number) => changes.filter((one) => one === change).length;
  const n = first.length;
  const flips: Flips = { n, toRight: count(1), toWrong: count(-1) };
  const rate = (items: Observation[]) => items.filter(({ value }) => value === 1).length / n;
  const common = { metric: name, scale: "absolute" as const, a: rate(first), b: rate(second), n, paired, flips };
  if (clusters && new Set(first.map(({ item }) => clusters.get(item) ?? item)).size > 1)
    return { ...common, ...bootstrapped(changes, first, clusters) };
  return {
    ...common,
    difference: (flips.toRight - flips.toWrong) / n,
    ...scoreInterval(flips),
    p: mcnemar(flips),
    clusters: n,
    block: 1,
    detectable: detectableChange(flips, alpha),
    warnings: n < 30 ? [`${n} questions are few: 100 or more would be better.`] : [],
    basis: { kind: "score", flips },
  };
}

/** No p is below 1 in 10,000, which a family of 500 can still hold below 5 %. */
const bootstrapDraws = 9_999;

/** Whole clusters are drawn again; the t statistic of each draw says how far t strays by chance. */
function bootstrapped(changes: number[], items: Observation[], clusters: ReadonlyMap<string, string>) {
  const sums = sumsBy(items, clusters, changes);
  const sizes = sumsBy(
    items,
    clusters,
    changes.map(() => 1),
  );
  const groups = sums.length;
  const drawn = new Int32Array(groups);
  /** Mean and standard error over the clusters in `drawn`. */
  const figures = () => {
    let [sum, size, squares] = [0, 0, 0];
    for (const group of drawn) {
      sum += sums[group]!;
      size += sizes[group]!;
    }
    const mean = sum / size;
    for (const group of drawn) squares += (sums[group]! - mean * sizes[group]!) ** 2;
    return { mean, error: Math.sqrt((groups / (groups - 1)) * squares) / size };
  };
  drawn.forEach((_, group) => {
    drawn[group] = group;
  });
  const { mean, error } = figures();
  const next = random(groups);
  const strays = Float64Array.from({ length: bootstrapDraws }, () => {
    for (let group = 0; group < groups; group++) drawn[group] = Math.floor(next() * groups);
    const again = figures();
    return again.mean === mean ? 0 : Math.abs(again.mean - mean) / again.error;
  }).sort();
  const critical = strays[Math.ceil(0.95 * (bootstrapDraws + 1)) - 1]!;
  const observed = mean === 0 ? 0 : Math.abs(mean) / error;
  const further = strays.filter((stray) => stray >= observed).length;
  const freedom = groups - 1;
  const stretch = critical / tQuantile(0.975, freedom);
  const basis: Basis = { kind: "t", link: "identity", estimate: mean, error, freedom, stretch };
  return {
    difference: mean,
    low: Math.max(-1, mean - critical * error),
    high: Math.min(1, mean + critical * error),
    p: (further + 1) / (bootstrapDraws + 1),
    clusters: groups,
    block: 1,
    detectable: detectableAt(basis, alpha),
    warnings: groups < enoughClusters ? [`${groups} clusters are few: 10 or more would be better.`] : [],
    basis,
  };
}

/** `P(T > t)`; without any spread the data are certain. */
function tailOf(t: number, freedom: number): number {
  if (t === Infinity) return 0;
  return Number.isNaN(t) || t === -Infinity ? 1 : tTail(t, freedom);
}

/** The error, as far as it strays by Student's t: one-sided p and interval then say the same. */
export function strayOf({ error, stretch = 1 }: Extract<Basis, { kind: "t" }>): number {
  return stretch * error;
}

/** A difference as reported, on the scale of the test. */
export function linked(link: Link, limit: number): number {
  return link === "identity" ? limit : link === "log" ? Math.log(limit) : Math.log1p(limit);
}

function nothing(name: string, warnings: string[]): Comparison {
  const none = Number.NaN;
  return {
    metric: name,
    scale: "absolute",
    a: none,
    b: none,
    difference: none,
    low: none,
    high: none,
    p: none,
    n: 0,
    paired: false,
    clusters: 0,
    block: 1,
    detectable: Infinity,
    warnings,
    basis: { kind: "t", link: "identity", estimate: none, error: none, freedom: 0 },
  };
}
