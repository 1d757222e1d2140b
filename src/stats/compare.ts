import type { Sample } from "../events.js";
import { metric as describe, type Metric } from "../metrics.js";
import { blockedError, type Clustered, clusteredError } from "./blocks.js";
import { binomialAtLeast, binomialAtMost, binomialHigh, binomialLow, tQuantile, tTail } from "./distributions.js";
import {
  type Design,
  designOf,
  detectableChange,
  type Flips,
  scoreInterval,
  scoreP,
  scoreTail,
} from "./proportions.js";

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
  /** The same within a family of comparisons, see `inFamily`; NaN where too few pieces make it part of none. */
  adjusted?: number;
  /** Of "it is as large as the margin", in the same family. */
  adjustedEquivalence?: number;
  /** How many comparisons that family has. */
  family?: number;
  /**
   * Set where nothing can be told: as many items could begin to. Then there is no interval and no p: too few items, or an
   * interval over more than a factor of ten.
   */
  needed?: number;
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
 * counts and flips are those over the design effect of their groups, `freedom` as of `Design`. `floor`: the part of the
 * error that comes from a noise floor, which more items of B do not make smaller.
 */
type Basis =
  | { kind: "t"; link: Link; estimate: number; error: number; freedom: number; floor?: number }
  | { kind: "score"; flips: Flips; freedom?: number }
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
/** Of fewer pieces (repetitions, chunks, subjects) nothing is called certain: their own scatter is hardly known. */
const fewestPieces = 5;
/** Of fewer repetitions a spread is a guess. */
const fewestRepetitions = 3;
/** An interval that reaches further than by this factor tells nothing. */
const widest = Math.log(10);

/**
 * Compares B with A over the items that both have.
 *
 * - Perplexity: difference of ln PPL, that is of two means of negative log-likelihoods, told as `PPL(B) / PPL(A) − 1`.
 * - Means (bits per byte …): their difference. What scatters by factors (KLD): the log ratio of the means, by the delta
 *   method, told as `KLD(B) / KLD(A) − 1`. Root mean squares: by the delta method.
 *   All are ratio estimators linearized at their means (Cochran 1977, 6.4), the residuals of B and A subtracted item
 *   by item before they are squared: what both variants find hard cancels. Chunks hang together, see `blockedError`.
 * - Accuracy: flips of the same questions; p and interval by Tango's score test, with subjects on the flips over their
 *   design effect, see `designOf`.
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

/**
 * A figure by itself, as its distance from 0, with the one 95 % interval that it has wherever it is shown:
 *
 * - Perplexity: on the log scale, where it is a mean. Speed, KLD, bits per byte: log of the mean by the delta method,
 *   `mean · exp(± t · error / mean)`, which is never negative and holds the mean.
 * - Shares of questions or tokens: Clopper and Pearson's on counts over the design effect of subjects or chunks.
 * - Others: mean ± t · error.
 */
export function level(name: string, items: Observation[], { clusters }: CompareOptions = {}): Comparison {
  const metric = describe(name);
  const sorted = natural(items);
  const broken = sorted.filter(({ value, weight }) => !Number.isFinite(value + weight)).length;
  if (broken > 0 || sorted.length === 0) return nothing(name, [`${broken} values are not numbers.`]);
  if (isBinary(metric, sorted)) {
    const right = sorted.map(({ value }) => value);
    const count = right.filter((value) => value === 1).length;
    return share(name, count, sorted.length, clusters && groupsIn(sorted, clusters, right));
  }
  const { estimate, residuals, log } = linear(metric, sorted, isPositive(metric, sorted));
  const spread = errorOf(metric, residuals, sorted, clusters);
  if (metric.aggregation === "token-share") return tokenShare(name, sorted, estimate, spread);
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
  const [least, most] = metric.range;
  return {
    ...{ ...found, scale: "level", low: Math.max(least, found.low), high: Math.min(most, found.high) },
    // Nobody asks whether it is 0.
    ...{ p: Number.NaN, detectable: Number.NaN },
  };
}

/**
 * `count` of `n`, with the exact binomial law: for flips, and for accuracies by themselves. Clopper and Pearson's interval;
 * of groups, on the effective numbers `n / effect · (z / t)²` (Korn & Graubard 1998).
 */
export function share(name: string, count: number, n: number, design?: Design): Comparison {
  const value = count / n;
  const effective =
    (n / (design?.effect ?? 1)) * (tQuantile(1 - oneSided) / tQuantile(1 - oneSided, design?.freedom)) ** 2;
  const basis = { kind: "share" as const, count: value * effective, n: effective };
  return {
    ...nothing(name, []),
    scale: "level",
    a: 0,
    b: value,
    difference: value,
    low: binomialLow(basis.count, basis.n, oneSided),
    high: binomialHigh(basis.count, basis.n, oneSided),
    n,
    clusters: design?.groups ?? n,
    paired: true,
    detectable: Number.NaN,
    basis,
  };
}

/** A share of tokens: as many independent ones as would scatter as its pieces do, and no more than there are. */
function tokenShare(name: string, items: Observation[], value: number, { error, clusters, block, freedom }: Clustered) {
  const tokens = items.reduce((sum, { weight }) => sum + weight, 0);
  const n = items.length;
  // A single chunk cannot say how much chunks differ.
  if (!(freedom > 0)) return { ...unknown(nothing(name, []), n, 10), scale: "level" as const, b: value, n };
  const spread = value * (1 - value);
  const effect = Math.max(1, (tokens * error * error) / spread || 1);
  const found = share(name, value * tokens, tokens, { effect, groups: clusters, ...(effect > 1 ? { freedom } : {}) });
  return { ...found, n, clusters, block, warnings: fewWarnings(name, n, clusters, block) };
}

/** One-sided p of "the difference is at most `limit`": small where the data show more than that. */
export function pAtMost({ basis }: Comparison, limit: number): number {
  switch (basis.kind) {
    case "t":
      return tailOf((basis.estimate - linked(basis.link, limit)) / basis.error, basis.freedom);
    case "score":
      return scoreTail(basis.flips, limit, basis.freedom);
    case "share":
      return binomialAtLeast(basis.count, basis.n, limit);
  }
}

/** One-sided p of "the difference is at least `limit`": small where the data show less than that. */
export function pAtLeast({ basis }: Comparison, limit: number): number {
  switch (basis.kind) {
    case "t":
      return tailOf((linked(basis.link, limit) - basis.estimate) / basis.error, basis.freedom);
    case "score":
      return 1 - scoreTail(basis.flips, limit, basis.freedom);
    case "share":
      return binomialAtMost(basis.count, basis.n, limit);
  }
}

/** Shown to be there; `within`: and shown to be smaller than the margin that matters. */
export interface Different {
  kind: "different";
  direction: "better" | "worse" | "higher" | "lower";
  within: boolean;
}

/** Shown to be smaller than the margin: the 95 % interval lies within it (two one-sided tests, Schuirmann 1987, at 2.5 %). */
export interface Equivalent {
  kind: "equivalent";
  /** In the metric's unit, or a share of A: see `isRelative`. */
  margin: number;
}

export type Verdict =
  | Different
  | Equivalent
  /** The 95 % interval shows it by itself; among `among` comparisons, or from so few pieces, it is not certain. */
  | { kind: "likely"; what: Different | Equivalent; among?: number }
  /** Neither is shown; a difference of `detectable` would have been, four times in five. */
  | { kind: "undistinguished"; detectable: number }
  /** Too few items for any answer; `needed` of them could begin to tell. */
  | { kind: "unknown"; needed: number }
  /** A distance from the reference: no test, but where its interval lies to the margin; `floor` is that of the reference from itself. */
  | { kind: "size"; place: "within" | "around" | "beyond"; margin: number; floor: number };

/** What a comparison says, at 5 %; `margin` is the difference that begins to matter, see `isRelative`. */
export function verdict(comparison: Comparison, margin?: number): Verdict {
  if (comparison.needed !== undefined) return { kind: "unknown", needed: comparison.needed };
  const { p, adjusted = p, family = 0 } = comparison;
  const alone = margin === undefined ? Number.NaN : pOfEquivalence(comparison, margin);
  const equivalence = comparison.adjustedEquivalence ?? alone;
  const { better } = describe(comparison.metric);
  const rose = comparison.difference > 0;
  const different = (within: boolean): Different => ({
    kind: "different",
    direction: better === "neither" ? (rose ? "higher" : "lower") : rose === (better === "higher") ? "better" : "worse",
    within,
  });
  const equivalent: Equivalent = { kind: "equivalent", margin: margin ?? Number.NaN };
  const among = family > 1 ? { among: family } : {};
  if (adjusted < alpha) return different(equivalence < oneSided);
  if (equivalence < oneSided) return equivalent;
  if (p < alpha) return { kind: "likely", what: different(alone < oneSided), ...among };
  if (alone < oneSided) return { kind: "likely", what: equivalent, ...among };
  return { kind: "undistinguished", detectable: comparison.detectable };
}

/** Whether margins of this metric are shares of A rather than in its unit. */
export function isRelative(metric: string): boolean {
  return describe(metric).margin?.relative ?? false;
}

/** The larger p of the two one-sided tests; a relative margin is as far down as up on the log scale. */
function pOfEquivalence(comparison: Comparison, margin: number): number {
  if (comparison.needed !== undefined) return Number.NaN;
  const [lower, upper] = isRelative(comparison.metric)
    ? [1 / (1 + margin) - 1, margin]
    : comparison.scale === "relative"
      ? [-margin / comparison.a, margin / comparison.a]
      : [-margin, margin];
  return Math.max(pAtLeast(comparison, upper), pAtMost(comparison, lower));
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
 * The comparisons behind one answer: Holm's p, the same of equivalence within `margin`, and what each could have seen. With
 * the others as they are, r of them different, Holm calls the one different just where its p is at most 5 % / (m − r).
 * Of "no difference" and "at least the margin" one at most is true, so that the two adjustments hold together.
 * Comparisons of too few pieces are certain of nothing, and are not in the family: they would cost the others power.
 */
export function inFamily(comparisons: Comparison[], margin?: number): Comparison[] {
  const members = comparisons.filter(isCertain);
  const adjusted = holm(members);
  const equivalences = margin === undefined ? [] : holm(members.map((one) => ({ p: pOfEquivalence(one, margin) })));
  const different = adjusted.filter((one) => one.adjusted < alpha).length;
  return comparisons.map((one) => {
    const at = members.indexOf(one);
    if (at < 0) return { ...one, adjusted: Number.NaN, adjustedEquivalence: Number.NaN };
    const others = different - (adjusted[at]!.adjusted < alpha ? 1 : 0);
    const equivalence = equivalences[at]?.adjusted;
    return {
      ...adjusted[at]!,
      ...(equivalence === undefined ? {} : { adjustedEquivalence: equivalence }),
      family: members.length,
      detectable: detectableAt(one.basis, alpha / Math.max(1, members.length - others)),
    };
  });
}

/**
 * The differences that hold in their own family, but not in a report of all these families: families are selected by Simes'
 * p under Benjamini and Hochberg's rule, R of M, and tested inside at 5 % · R/M (Benjamini & Bogomolov 2014). Over the
 * families that show something the mean chance of a false difference in them then is at most 5 %.
 */
export function uncertainOverall(families: Comparison[][]): Comparison[] {
  const tested = families.map((family) => family.filter(isCertain)).filter((family) => family.length > 0);
  const simes = tested.map((family) => {
    const sorted = family.map(({ p }) => p).sort((a, b) => a - b);
    return Math.min(...sorted.map((p, i) => (p * sorted.length) / (i + 1)));
  });
  const ranked = simes.toSorted((a, b) => a - b);
  const selected = ranked.findLastIndex((p, i) => p <= (alpha * (i + 1)) / ranked.length) + 1;
  const level = (alpha * selected) / ranked.length;
  return tested.flatMap((family, i) =>
    family.filter(
      ({ p, adjusted = p }) => adjusted < alpha && (simes[i]! > level || selected === 0 || adjusted >= level),
    ),
  );
}

function isCertain({ p, basis, clusters, detectable, needed }: Comparison): boolean {
  if (needed !== undefined || Number.isNaN(p)) return false;
  // One question is one piece, of which few can never be significant.
  const pieces = basis.kind === "score" && basis.freedom === undefined ? Infinity : clusters;
  return pieces >= fewestPieces && Number.isFinite(detectable);
}

/** What a two-sided test at `level` sees four times in five, as a difference is reported. */
function detectableAt(basis: Basis, level: number): number {
  if (basis.kind === "share") return Number.NaN;
  if (basis.kind === "score") return detectableChange(basis.flips, level, basis.freedom);
  const { link, error, freedom } = basis;
  if (freedom < 1 || !Number.isFinite(error)) return Infinity;
  // A standard error from few clusters is too small on average by about 1/(4 · freedom), and by as much again where their
  // autocorrelation had to be estimated: here it promises power.
  const widened = error * (1 + 1 / (2 * freedom));
  const seen = (tQuantile(1 - level / 2, freedom) + tQuantile(0.8, freedom)) * widened;
  return link === "log1p" ? Math.expm1(seen) : seen;
}

/** Sorts as text the way a person counts: `chunk 9` before `chunk 10`. Neighbours in a text become neighbours here. */
export function natural<One extends { item: string }>(items: One[]): One[] {
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
  const lonely = a.length + b.length - 2 * first.length;
  const alone = lonely === 1 ? "1 item is" : `${lonely} items are`;
  const warnings = lonely > 0 ? [`${alone} in one of the two alone and left out; ${first.length} are compared.`] : [];
  return { first, second: first.map(({ item }) => byItem.get(item)!), paired: true, warnings };
}

/** Metrics of 0 and 1 per item; a share per chunk is a mean like others. */
function isBinary({ aggregation }: Metric, items: Observation[]): boolean {
  return aggregation === "proportion" && items.every(({ value }) => value === 0 || value === 1);
}

/** What is above 0 and scatters by factors: its mean has a logarithm. A KLD near its floor may round to 0 or below in a chunk. */
function isPositive({ aggregation }: Metric, items: Observation[]): boolean {
  if (aggregation === "positive-mean") return items.every(({ value }) => value > 0);
  return (aggregation === "rate" || aggregation === "ratio") && items.some(({ value }) => value > 0);
}

/**
 * A figure as a weighted mean m on the scale where it is one, carried to the scale that is compared by g, with each
 * item's residual `g′(m) · w(v − m) / Σw`; the residuals sum to 0 and their spread is that of g(m). `logarithm`: g is ln.
 * Repetitions that are compared take turns: there the mean is that of their logs.
 */
function linear({ aggregation }: Metric, items: Observation[], logarithm = false) {
  const turns = aggregation === "rate" && !logarithm;
  const values = items.map(({ value }) => (turns ? Math.log(value) : value));
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
  return { estimate, residuals, log: aggregation === "perplexity" || turns || logarithm };
}

function errorOf(
  { aggregation }: Metric,
  residuals: number[],
  items: Observation[],
  clusters: CompareOptions["clusters"],
): Clustered {
  if (clusters) {
    const weights = items.map(({ weight }) => weight);
    const found = clusteredError(sumsBy(items, clusters, residuals), sumsBy(items, clusters, weights));
    // A text's few documents would decide alone; its chunks' own autocorrelation then says more.
    if (found.clusters >= enoughClusters || aggregation === "proportion") return found;
  }
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
  const logarithm = metric.aggregation === "positive-mean" && isPositive(metric, [...first, ...second]);
  const [a, b] = [linear(metric, first, logarithm), linear(metric, second, logarithm)];
  const error = (residuals: number[], items: Observation[]) => errorOf(metric, residuals, items, clusters);
  let ofFloor: number | undefined;
  const unpaired = () => {
    const [x, y] = [error(a.residuals, first), error(b.residuals, second)];
    if (!floor) return welch(x, y);
    const few = logarithm ? noSurer(x, y, second.length / first.length) : x;
    ofFloor = few.error;
    return welch(few, y);
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
  const { basis } = found;
  return {
    ...found,
    paired,
    basis: basis.kind === "t" && ofFloor !== undefined ? { ...basis, floor: ofFloor } : basis,
  };
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
  return { error: Math.sqrt(x + y), clusters, block, freedom: Math.max(1, freedom) };
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
  const found: Comparison = {
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
  const isRate = describe(name).aggregation === "rate";
  const vague = !known || (link !== "identity" && half > widest) || (isRate && n < fewestRepetitions);
  return vague ? unknown(found, n, isRate ? 5 : 10) : found;
}

/** Without a word on the difference; the two figures stay. */
function unknown(comparison: Comparison, n: number, usual: number): Comparison {
  const none = Number.NaN;
  return {
    ...comparison,
    ...{ difference: none, low: none, high: none, p: none, detectable: Infinity, warnings: [] },
    needed: n < usual ? usual : 2 * n,
  };
}

function fewWarnings(name: string, n: number, clusters: number, block: number): string[] {
  if (clusters >= (describe(name).aggregation === "rate" ? fewestPieces : enoughClusters)) return [];
  if (describe(name).aggregation === "rate")
    return [`The interval rests on ${n} repetitions; 5 or more would be better.`];
  const blocks = block > 1 ? `${clusters} blocks of ${block} neighbours that hang together` : `${clusters} pieces`;
  return [`The interval rests on ${blocks}; 10 or more would be better.`];
}

/** Answers that are right or wrong. */
function accuracies(
  name: string,
  first: Observation[],
  second: Observation[],
  paired: boolean,
  clusters: CompareOptions["clusters"],
): Comparison {
  const rights = (items: Observation[]) => items.map(({ value }) => value);
  const rate = (items: Observation[]) => rights(items).filter((value) => value === 1).length / items.length;
  const [a, b] = [rate(first), rate(second)];
  const few = (n: number) => (n < 30 ? [`${n} questions are few: 100 or more would be better.`] : []);
  if (!paired) {
    const [x, y] = [first, second].map((items) => plusTwo(items, clusters && groupsIn(items, clusters, rights(items))));
    const spread = welch(x!.spread, y!.spread);
    const n = Math.min(first.length, second.length);
    const found = fromT(name, { link: "identity", estimate: y!.rate - x!.rate, spread, told: (d) => d, a, b, n });
    return { ...found, paired, warnings: few(n) };
  }
  const changes = second.map(({ value }, i) => value - first[i]!.value);
  const count = (change: number) => changes.filter((one) => one === change).length;
  const n = first.length;
  const flips: Flips = { n, toRight: count(1), toWrong: count(-1) };
  const design = clusters && groupsIn(first, clusters, changes);
  const effect = design?.effect ?? 1;
  const worth: Flips = { n: n / effect, toRight: flips.toRight / effect, toWrong: flips.toWrong / effect };
  const freedom = design?.freedom;
  const groups = design?.groups ?? n;
  return {
    ...{ metric: name, scale: "absolute", a, b, n, paired, flips },
    difference: (flips.toRight - flips.toWrong) / n,
    ...scoreInterval(worth, freedom),
    p: scoreP(worth, freedom),
    clusters: groups,
    block: 1,
    detectable: detectableChange(worth, alpha, freedom),
    warnings:
      groups < n && groups < enoughClusters ? [`${groups} subjects are few: 10 or more would be better.`] : few(n),
    basis: { kind: "score", flips: worth, ...(freedom === undefined ? {} : { freedom }) },
  };
}

/** The design of items in clusters, where there are more than one. */
function groupsIn(items: Observation[], clusters: ReadonlyMap<string, string>, values: number[]): Design | undefined {
  const design = designOf(values, (i) => clusters.get(items[i]!.item) ?? items[i]!.item);
  return design.groups > 1 ? design : undefined;
}

/**
 * A share with one right and one wrong answer added, which keeps a difference of two from being certain where all are right
 * (Agresti & Caffo 2000, "Simple and effective confidence intervals for proportions and differences of proportions").
 */
function plusTwo(items: Observation[], design: Design | undefined): { rate: number; spread: Clustered } {
  const n = items.length / (design?.effect ?? 1);
  const right = items.filter(({ value }) => value === 1).length / (design?.effect ?? 1);
  const rate = (right + 1) / (n + 2);
  const error = Math.sqrt((rate * (1 - rate)) / (n + 2));
  const clusters = design?.groups ?? items.length;
  return { rate, spread: { error, clusters, block: 1, freedom: design?.freedom ?? Math.max(1, items.length - 1) } };
}

/** `P(T > t)`; without any spread the data are certain. */
function tailOf(t: number, freedom: number): number {
  if (t === Infinity) return 0;
  return Number.isNaN(t) || t === -Infinity ? 1 : tTail(t, freedom);
}

/** A difference as reported, on the scale of the test. */
export function linked(link: Link, limit: number): number {
  // What is below nothing is infinitely far on the log scale.
  return link === "identity" ? limit : link === "log" ? Math.log(Math.max(0, limit)) : Math.log1p(Math.max(-1, limit));
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
