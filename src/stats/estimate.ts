import { definite } from "../definite.js";
import { type Aggregation, metric as describe, type Metric } from "../metrics.js";
import { type Flips, type Score, score, scoreInterval, scoreP } from "./bases/score.js";
import { type Fixed, type Link, reported, t as student, type T, tailOf } from "./bases/t.js";
import { blockedError, type Clustered, clusteredError, type Dependence } from "./blocks.js";
import { alpha, type Comparison, natural, type Observation, oneSided } from "./comparison.js";
import { type Design, designOf } from "./design.js";
import { binomialHigh, binomialLow, tQuantile } from "./distributions.js";
import { fewestPieces } from "./family.js";
import { compareSpeeds, levelOfSpeed } from "./speed.js";

export interface CompareOptions {
  /** False when the same item is another thing in each: a repetition of another run, a chunk of another tokenizer. */
  paired?: boolean;
  /** Which items hang together: documents of a text, subjects of a task, sessions of a speed. */
  clusters?: ReadonlyMap<string, string>;
  /**
   * How the chunks of the text hang together, over all comparisons on it: see `residualsOf` and `dependenceOf`. Absent: as far as
   * this one shows. Of no effect where documents or items are the pieces.
   */
  dependence?: Dependence;
  /** A is a noise floor, measured on a few items: by how many times B is A, unpaired. */
  floor?: boolean;
}

/** Below this the t quantile is far from the normal one, and one odd piece decides. */
const enoughClusters = 8;
/** A p of "no drift" below this is taken for drift. */
const surelyDrifts = 0.05;
/** An interval that reaches further than this factor up or down is not shown: it tells nothing. */
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
 * - Mean scores of questions: as flips of which each is as large as its change, see `scores`.
 * - Speed: see `compareSpeeds`.
 */
export function compare(name: string, a: Observation[], b: Observation[], options: CompareOptions = {}): Comparison {
  const metric = describe(name);
  const { first, second, paired, warnings } = pairs(a, b, !options.floor && (options.paired ?? true));
  const broken = [...first, ...second].filter((one) => !isNumber(one)).length;
  if (broken > 0 || first.length === 0 || second.length === 0)
    return nothing(name, [
      ...warnings,
      broken > 0
        ? `${broken} values are not numbers: the model computes infinities or NaN.`
        : "There is nothing to compare.",
    ]);
  const form = forms[metric.aggregation];
  if (form.counts === "repetitions") {
    const one = compareSpeeds(name, first, second, { paired, ...definite({ runs: options.clusters }) });
    // Speeds of two sessions are told as such.
    return { ...one, warnings: [...(paired ? warnings : []), ...one.warnings] };
  }
  const found = isBinary(form, [...first, ...second])
    ? accuracies(name, first, second, paired, options.clusters)
    : (form.counts === "scores" || form.counts === "items") && paired
      ? scores(name, first, second, options.clusters)
      : means(metric, first, second, paired, options);
  return { ...withinRange(found, metric, first, options), warnings: [...warnings, ...found.warnings] };
}

/**
 * What each chunk of a text adds to the difference of two figures beyond its mean, in the text's order: that on which `compare`
 * rests. Undefined where that rests on no neighbours: on questions, repetitions, documents, or on chunks of two tokenizers.
 */
export function residualsOf(
  name: string,
  a: Observation[],
  b: Observation[],
  { clusters, paired: wanted = true }: CompareOptions = {},
): number[] | undefined {
  const { first, second, paired } = pairs(a, b, wanted);
  const metric = describe(name);
  if (metric.per === "repetition" || !paired || !first.every(isNumber) || !second.every(isNumber)) return undefined;
  const [x, y] = onOneScale(metric, first, second);
  const residuals = y.residuals.map((residual, i) => residual - x.residuals[i]!);
  return errorOf(metric, residuals, first, definite({ clusters })).drift === undefined ? undefined : residuals;
}

/** The reference's own figures under a metric that is a change from it: none. */
export const unchanged = (items: Observation[]): Observation[] => items.map((one) => ({ ...one, value: 0 }));

/**
 * B cannot leave the range of its metric, so no difference reaches further than from the far end of A's own 95 % interval to
 * the end of that range. Such an interval holds 0 whenever the wider one does: no verdict changes.
 */
function withinRange(
  found: Comparison,
  { name, range: [least, most] }: Metric,
  first: Observation[],
  { clusters }: CompareOptions,
): Comparison {
  const { scale, a, low, high } = found;
  const change = (from: number, to: number) => (scale === "relative" ? to / from - 1 : to - from);
  // Most intervals stay inside even of what B could be were A known exactly.
  if (!(low < change(a, least) || high > change(a, most))) return found;
  const own = level(name, first, definite({ clusters }));
  const [from, to] = own.needed === undefined ? [own.low, own.high] : [least, most];
  return { ...found, low: Math.max(low, change(to, least)), high: Math.min(high, change(from, most)) };
}

/**
 * A figure by itself, as its distance from 0, with the one 95 % interval that it has wherever it is shown:
 *
 * - Perplexity: on the log scale, where it is a mean. KLD, bits per byte: log of the mean by the delta method,
 *   `mean · exp(± t · error / mean)`, which is never negative and holds the mean. Speed: see `speedOf`.
 * - Shares of questions or tokens: Clopper and Pearson's on counts over the design effect of subjects or chunks. Mean scores of
 *   questions: the same, as a share of as many questions right or wrong as would scatter as they do, see `scoreShare`.
 * - Others: mean ± t · error.
 */
export function level(
  name: string,
  items: Observation[],
  { clusters: given, dependence }: CompareOptions = {},
): Comparison {
  const metric = describe(name);
  const sorted = natural(items);
  // How much so few subjects differ cannot be told: then the interval is over other questions of just these.
  const subjects =
    given && metric.per === "question" ? new Set(sorted.map(({ item }) => given.get(item) ?? item)).size : Infinity;
  const clusters = subjects < fewestPieces ? undefined : given;
  const broken = sorted.filter((one) => !isNumber(one)).length;
  if (broken > 0 || sorted.length === 0) return nothing(name, [`${broken} values are not numbers.`]);
  const form = forms[metric.aggregation];
  if (form.counts === "repetitions") return levelOfSpeed(name, sorted, clusters);
  if (isBinary(form, sorted)) {
    const right = sorted.map(({ value }) => value);
    const count = right.filter((value) => value === 1).length;
    return share(name, count, sorted.length, clusters && groupsIn(sorted, clusters, right));
  }
  const { estimate, residuals, log, shares } = linear(form.alone(sorted), sorted);
  const spread = errorOf(metric, residuals, sorted, definite({ clusters, dependence, shares }));
  if (form.counts === "tokens") return tokenShare(name, sorted, estimate, spread);
  if (form.counts === "scores") return scoreShare(name, sorted, estimate, residuals, spread);
  const link = log ? "log" : "identity";
  const found = fromT(name, { link, estimate, spread, a: 0, b: reported[link](estimate), n: sorted.length });
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
function tokenShare(name: string, items: Observation[], value: number, spread: Clustered) {
  const { error, clusters, block, freedom } = spread;
  const tokens = items.reduce((sum, { weight }) => sum + weight, 0);
  const n = items.length;
  // A single chunk cannot say how much chunks differ.
  if (!(freedom > 0)) return { ...unknown(nothing(name, []), n, 10), scale: "level" as const, b: value, n };
  const effect = Math.max(1, (tokens * error * error) / (value * (1 - value)) || 1);
  const found = share(name, value * tokens, tokens, { effect, groups: clusters, ...(effect > 1 ? { freedom } : {}) });
  return { ...found, n, clusters, block, ...drifting(spread), warnings: fewWarnings(clusters, block) };
}

/**
 * A mean of scores between 0 and 1, as the share of as many questions right or wrong as would scatter as they do: of mean m,
 * those vary by m(1 − m), the most that such scores can. `effect` is the variance of the mean with its subjects as pieces, no less
 * than that of independent questions, over the one of right and wrong answers, and most often below 1. One question more is taken
 * to vary by m(1 − m): scores that are all but a few 0 have hardly shown how much they vary, and t intervals over twenty of them
 * cover the truth in 45 % where this one does in 99 (`test/stats/scores.test.ts`).
 */
function scoreShare(name: string, items: Observation[], value: number, residuals: number[], spread: Clustered) {
  const n = items.length;
  const { error, clusters, freedom } = atLeastIndependent(spread, residuals);
  const effect = smoothed((n * error * error) / (value * (1 - value)), n);
  const found = share(name, value * n, n, { effect, groups: clusters, ...(freedom > 0 ? { freedom } : {}) });
  return { ...found, n, clusters };
}

/** Subjects are never worth more than their questions; see `designOf`. */
function atLeastIndependent(spread: Clustered, residuals: number[]): Clustered {
  const independent = clusteredError(residuals);
  return independent.error >= spread.error || !(spread.freedom > 0) ? independent : spread;
}

/** A variance over the largest there can be, with one item more that has the largest. Where nothing varies, it is 1. */
const smoothed = (effect: number, n: number) => (Number.isFinite(effect) ? (n * effect + 1) / (n + 1) : 1);

const isNumber = ({ value, weight }: Observation) => Number.isFinite(value + weight);

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

/** The scale on which a figure is a mean m, and by g from there the one that is compared; `log`: that is a logarithm's. */
export interface Scale {
  of(value: number): number;
  g(mean: number): number;
  /** The mean of which g is this. */
  inverse(figure: number): number;
  /** g′ */
  slope(mean: number): number;
  log: boolean;
  /** Values scatter by factors, so that an item counts in the figure by its own size, too. */
  bySize?: true;
}

const same = (value: number) => value;
const plain: Scale = { of: same, g: same, inverse: same, slope: () => 1, log: false };
/** Values are logarithms already. */
const ofLogs: Scale = { ...plain, log: true };
const logOfMean: Scale = { ...plain, g: Math.log, inverse: Math.exp, slope: (mean) => 1 / mean, log: true };
const logOfFactors: Scale = { ...logOfMean, bySize: true };
const meanOfLogs: Scale = { ...ofLogs, of: Math.log };
const root: Scale = {
  ...plain,
  ...{
    g: Math.sqrt,
    inverse: (figure) => figure * figure,
    slope: (mean) => (mean > 0 ? 1 / (2 * Math.sqrt(mean)) : 1),
  },
};

/** How the items of an aggregation are one figure: by itself, and when it is compared. */
interface Form {
  alone(items: Observation[]): Scale;
  compared(items: Observation[]): Scale;
  /**
   * Items, or tokens of items, that are right or wrong: their counts follow the binomial law; or scores of items, of which at most
   * as much is left to chance; or timings.
   */
  counts?: "items" | "tokens" | "scores" | "repetitions";
}

const always = (scale: Scale): Form => ({ alone: () => scale, compared: () => scale });
const isAbove0 = ({ value }: Observation) => value > 0;
/** The scale of values that scatter by factors. A KLD near its floor may round to 0 or below in a chunk: then there is no logarithm. */
const factors = (items: Observation[]) => (items.every(isAbove0) ? logOfFactors : plain);

const forms: Record<Aggregation, Form> = {
  perplexity: always(ofLogs),
  ratio: { alone: (items) => (items.some(isAbove0) ? logOfMean : plain), compared: () => plain },
  "token-mean": always(plain),
  "token-share": { ...always(plain), counts: "tokens" },
  "positive-mean": { alone: factors, compared: factors },
  "root-mean-square": always(root),
  proportion: { ...always(plain), counts: "items" },
  mean: { ...always(plain), counts: "scores" },
  rate: { ...always(meanOfLogs), counts: "repetitions" },
  count: always(plain),
  maximum: always(plain),
  single: always(plain),
};

/** The scale on which two series of these items are compared. */
export const comparedOn = (name: string, items: Observation[]): Scale =>
  forms[describe(name).aggregation].compared(items);

/** Items of 0 and 1; a share per chunk is a mean like others. */
const isBinary = ({ counts }: Form, items: Observation[]): boolean =>
  counts === "items" && items.every(({ value }) => value === 0 || value === 1);

/**
 * A figure g(m) of a weighted mean m, with each item's residual `g′(m) · w(v − m) / Σw`; they sum to 0, their spread is that of g(m).
 * `shares`: what scatters by factors changes by factors, so that an item has the part w·v / Σw·v in a change of the figure: one
 * chunk of a large KLD may be worth more than all others, and then few decide.
 */
function linear({ of, g, slope, log, bySize }: Scale, items: Observation[]) {
  const values = items.map(({ value }) => of(value));
  let [weights, sum] = [0, 0];
  items.forEach(({ weight }, i) => {
    weights += weight;
    sum += weight * values[i]!;
  });
  const mean = sum / weights;
  const steepness = slope(mean);
  const residuals = items.map(({ weight }, i) => (steepness * weight * (values[i]! - mean)) / weights);
  const shares = bySize ? items.map(({ weight }, i) => (weight * values[i]!) / sum) : undefined;
  return { estimate: g(mean), residuals, log, ...definite({ shares }) };
}

function onOneScale({ aggregation }: Metric, first: Observation[], second: Observation[]) {
  const scale = forms[aggregation].compared([...first, ...second]);
  return [first, second].map((items) => ({ ...linear(scale, items), scale })) as [OnScale, OnScale];
}

type OnScale = ReturnType<typeof linear> & { scale: Scale };

function errorOf(
  { per }: Metric,
  residuals: number[],
  items: Observation[],
  { clusters, dependence, shares }: Pick<CompareOptions, "clusters" | "dependence"> & { shares?: number[] },
): Clustered {
  if (clusters) {
    const weights = shares ?? items.map(({ weight }) => weight);
    const found = clusteredError(sumsBy(items, clusters, residuals), sumsBy(items, clusters, weights));
    // How much so few documents differ cannot be told: then the interval is over other chunks of just these.
    if (found.clusters >= fewestPieces || per === "question") return found;
  }
  // Questions do not follow from each other.
  return per === "question" ? clusteredError(residuals) : blockedError(residuals, dependence, shares);
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
  { clusters, dependence, floor = false }: CompareOptions,
): Comparison {
  const [a, b] = onOneScale(metric, first, second);
  const error = (residuals: number[], items: Observation[], shares?: number[]) =>
    errorOf(metric, residuals, items, definite({ clusters, shares, dependence: paired ? dependence : undefined }));
  let fixed: Fixed | undefined;
  const unpaired = () => {
    const [x, y] = [error(a.residuals, first, a.shares), error(b.residuals, second, b.shares)];
    if (!floor) return welch(x, y);
    const few = a.scale.bySize ? noSurer(x, y, second.length / first.length) : x;
    fixed = { error: few.error, freedom: few.freedom, of: "floor" };
    return welch(few, y);
  };
  const differences = () => b.residuals.map((residual, i) => residual - a.residuals[i]!);
  const both = a.shares?.map((share, i) => share + b.shares![i]!);
  const spread = paired ? error(differences(), first, both) : unpaired();
  const value = (estimate: number) => (a.log ? Math.exp(estimate) : estimate);
  const found = fromT(metric.name, {
    link: a.log ? "log1p" : "identity",
    estimate: b.estimate - a.estimate,
    spread,
    a: value(a.estimate),
    b: value(b.estimate),
    n: Math.min(first.length, second.length),
  });
  return {
    ...found,
    paired,
    basis: { ...found.basis, ...definite({ fixed }) },
  };
}

/**
 * A small sample can look too quiet by chance. Assume it is at least as noisy as the larger one (`times` as many items), scaled to
 * its size.
 */
function noSurer(few: Clustered, others: Clustered, times: number): Clustered {
  const error = others.error * Math.sqrt(times);
  return few.error > error ? few : { ...others, error };
}

/** The error of a difference of two independent estimates (Welch 1947, degrees of freedom after Satterthwaite). */
function welch(a: Clustered, b: Clustered): Clustered {
  const [x, y] = [a.error ** 2, b.error ** 2];
  const freedom = x + y === 0 ? a.freedom : (x + y) ** 2 / (x ** 2 / a.freedom + y ** 2 / b.freedom);
  // The one that the sum rests on.
  const { clusters, block, drift } = a.error > b.error ? a : b;
  return { error: Math.sqrt(x + y), clusters, block, freedom: Math.max(1, freedom), ...definite({ drift }) };
}

interface Found {
  link: Link;
  estimate: number;
  spread: Clustered;
  a: number;
  b: number;
  n: number;
}

function fromT(name: string, { link, estimate, spread, a, b, n }: Found): Comparison & { basis: T } {
  const { error, clusters, block, freedom } = spread;
  const known = freedom >= 1 && Number.isFinite(error);
  const half = known ? tQuantile(0.975, freedom) * error : Number.NaN;
  const basis: T = { kind: "t", link, estimate, error, freedom };
  const told = reported[link];
  const found = {
    metric: name,
    scale: link === "log1p" ? ("relative" as const) : ("absolute" as const),
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
    ...drifting(spread),
    detectable: student.detectable(basis, alpha),
    warnings: fewWarnings(clusters, block),
    basis,
  };
  const vague = !known || (link !== "identity" && half > widest);
  return vague ? unknown(found, n, 10) : found;
}

const drifting = ({ drift = 1 }: Clustered) => (drift < surelyDrifts ? { drifts: true as const } : {});

/** Without a word on the difference; the two figures stay. */
function unknown<One extends Comparison>(comparison: One, n: number, usual: number): One {
  const none = Number.NaN;
  return {
    ...comparison,
    ...{ difference: none, low: none, high: none, p: none, detectable: Infinity, warnings: [] },
    needed: n < usual ? usual : 2 * n,
  };
}

function fewWarnings(clusters: number, block: number): string[] {
  if (clusters >= enoughClusters) return [];
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
  if (!paired) {
    const [x, y] = [first, second].map((items) => plusTwo(items, clusters && groupsIn(items, clusters, rights(items))));
    const spread = welch(x!.spread, y!.spread);
    const n = Math.min(first.length, second.length);
    const found = fromT(name, { link: "identity", estimate: y!.rate - x!.rate, spread, a, b, n });
    return { ...found, paired, warnings: fewQuestions(n, n) };
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
  const basis: Score = { kind: "score", flips: worth, ...definite({ freedom }) };
  return {
    ...{ metric: name, scale: "absolute", a, b, n, paired, flips },
    difference: (flips.toRight - flips.toWrong) / n,
    ...scoreInterval(worth, freedom),
    p: scoreP(worth, freedom),
    clusters: groups,
    block: 1,
    detectable: score.detectable(basis, alpha),
    warnings: fewQuestions(n, groups),
    basis,
  };
}

function fewQuestions(n: number, groups: number): string[] {
  if (groups < n && groups < enoughClusters) return [`${groups} subjects are few: 10 or more would be better.`];
  return n < 30 ? [`${n} questions are few: 100 or more would be better.`] : [];
}

/**
 * Scores between 0 and 1 of the same questions. A change of 0.4 is counted as 0.4 of a flip; were changes all or nothing, their
 * mean d would vary by Σ|changes|/n − d², the most that it can. Tango's score test then is on flips over `effect`, the variance of
 * d with its subjects as pieces over that one, with one question more as in `scoreShare`. With many small changes that is the
 * t interval; with few or none it stays as wide as that of answers that may flip (`test/stats/scores.test.ts`).
 */
function scores(
  name: string,
  first: Observation[],
  second: Observation[],
  clusters: CompareOptions["clusters"],
): Comparison {
  const n = first.length;
  const changes = second.map(({ value }, i) => value - first[i]!.value);
  const sum = (of: (change: number) => number) => changes.reduce((all, change) => all + of(change), 0);
  const [up, down] = [sum((change) => Math.max(0, change)), sum((change) => Math.max(0, -change))];
  const difference = (up - down) / n;
  const residuals = changes.map((change) => (change - difference) / n);
  const spread = atLeastIndependent(errorOf(describe(name), residuals, first, definite({ clusters })), residuals);
  const effect = smoothed((n * spread.error ** 2) / ((up + down) / n - difference ** 2), n);
  const worth: Flips = { n: n / effect, toRight: up / effect, toWrong: down / effect };
  const freedom = spread.freedom > 0 ? spread.freedom : undefined;
  const basis: Score = { kind: "score", flips: worth, ...definite({ freedom }) };
  const mean = (items: Observation[]) => items.reduce((all, { value }) => all + value, 0) / n;
  return {
    ...{ metric: name, scale: "absolute", a: mean(first), b: mean(second), n, paired: true },
    difference,
    ...scoreInterval(worth, freedom),
    p: scoreP(worth, freedom),
    clusters: spread.clusters,
    block: 1,
    detectable: score.detectable(basis, alpha),
    warnings: fewQuestions(n, spread.clusters),
    basis,
  };
}

/** The design of items in clusters, if there are two or more. */
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
