import { definite } from "../definite.js";
import type { Sample } from "../events.js";
import { type Aggregation, metric as describe, isExact, isTally, itemsPer, type Metric } from "../metrics.js";
import { natural } from "./comparison.js";
import { type CompareOptions, level } from "./estimate.js";
import { speedOf } from "./speed.js";

/** One (job, metric) as a figure. */
export interface Summary {
  metric: string;
  /** In `unit`; NaN when nothing was measured, or a value that is not a number. */
  value: number;
  /** The ± that the tool people know prints, see `figures`; in `unit`. */
  error: number | undefined;
  /** Ends of the 95 % interval, in `unit`: `level`'s, as the gate's. A running summary has none. */
  low: number | undefined;
  high: number | undefined;
  /** Items: chunks, questions, repetitions. */
  n: number;
  unit: string;
  /** Whole sentences: what a reader of this figure should know. */
  warnings: string[];
  /** As of `Comparison`. */
  drifts?: true;
  /** Why the figure must not be believed, one sentence: no table shows it, no verdict rests on it. */
  broken?: string;
}

/** `run`: of a speed, the session that timed it, where that is not the first. */
type WeightedValue = Pick<Sample, "value" | "weight" | "square"> & { run?: string };
type SummaryFigure = Pick<Summary, "value"> & Partial<Pick<Summary, "error" | "warnings" | "broken">>;

/**
 * Sums from which every figure follows, so that one sample costs the same whether it is the first or the millionth.
 *
 * Squares are summed of `d = value − first` rather than of the value: the variance then does not come from the
 * difference of two large sums (shifted data; Chan, Golub & LeVeque 1983, "Algorithms for computing the sample variance").
 */
class Sums {
  n = 0;
  /** Samples that are not finite numbers. A file holds NaN as null, which must not count as 0. */
  broken = 0;
  first = 0;
  last = 0;
  smallest = Number.POSITIVE_INFINITY;
  largest = Number.NEGATIVE_INFINITY;
  /** Σw, Σwv, Σwd, Σwd² */
  w = 0;
  wv = 0;
  wdd = 0;
  /** Σw², Σw²d, Σw²d² */
  ww = 0;
  wwd = 0;
  wwdd = 0;
  /** Σw(square − v²): the spread of the units inside their samples. */
  within = 0;
  /** Of a speed the logarithms, by run: its figure is no sum. */
  readonly logs?: Map<string, number[]>;

  constructor({ per }: Metric) {
    if (per === "repetition") this.logs = new Map();
  }

  add({ value, weight, square, run = "" }: WeightedValue): void {
    this.n++;
    if (!Number.isFinite(value) || !Number.isFinite(weight)) {
      this.broken++;
      return;
    }
    if (this.n - this.broken === 1) this.first = value;
    this.last = value;
    this.smallest = Math.min(this.smallest, value);
    this.largest = Math.max(this.largest, value);
    const d = value - this.first;
    this.w += weight;
    this.wv += weight * value;
    this.wdd += weight * d * d;
    this.ww += weight * weight;
    this.wwd += weight * weight * d;
    this.wwdd += weight * weight * d * d;
    this.within += weight === 1 ? 0 : weight * ((square ?? Number.NaN) - value * value);
    if (!this.logs) return;
    const logs = this.logs.get(run) ?? [];
    this.logs.set(run, logs);
    logs.push(Math.log(value));
  }

  /** Weighted mean: that of all units. */
  get mean(): number {
    return this.wv / this.w;
  }

  /** Variance of the single units around the mean, divided by their number; NaN without the samples' squares. */
  get unitVariance(): number {
    const r = this.mean - this.first;
    return Math.max(0, (this.within + this.wdd - r * r * this.w) / this.w);
  }

  /** Σ (w (v − mean))² */
  get squaredResiduals(): number {
    const r = this.mean - this.first;
    return Math.max(0, this.wwdd - 2 * r * this.wwd + r * r * this.ww);
  }

  /**
   * Standard error of the weighted mean with the samples as clusters: a ratio estimator, linearized,
   * `sqrt(n/(n−1) · Σ(wᵢ(vᵢ − mean))²) / Σw` (Cochran 1977, "Sampling Techniques", 6.4 and 9A.2).
   * With equal weights it is the sample standard deviation over √n.
   */
  get clusteredError(): number {
    return Math.sqrt((this.n / (this.n - 1)) * this.squaredResiduals) / this.w;
  }
}

/** From here on the t quantile is within 15 % of the normal one, and one odd chunk no longer decides. */
const enoughChunks = 10;
const enoughRepetitions = 5;

function chunkWarnings(n: number): string[] {
  if (n < 2) return [`1 chunk gives no interval: 2 are needed, ${enoughChunks} or more would be better`];
  if (n < enoughChunks)
    return [`${n} chunks: the interval rests on few pieces of text, ${enoughChunks} or more would be better`];
  return [];
}

/** How the sums of an aggregation become a figure; called with at least one sample, all of them finite. */
const figures: Record<Aggregation, (sums: Sums, vocabulary?: number) => SummaryFigure> = {
  /**
   * `exp(mean NLL)` over all tokens. `error`: llama-perplexity's ±, `PPL · sqrt((mean of squares − mean²) / (tokens − 1))`
   * (llama.cpp, `tools/perplexity/perplexity.cpp`). It takes the tokens as independent draws. Tokens of one chunk share a
   * topic, an author and a style and so are not: the 95 % interval has the chunks as its pieces, and neither contains the other.
   */
  perplexity(sums, vocabulary) {
    const value = Math.exp(sums.mean);
    const error = sums.w > 1 ? value * Math.sqrt(sums.unitVariance / (sums.w - 1)) : Number.NaN;
    return { value, error, warnings: chunkWarnings(sums.n), ...definite({ broken: beyondBelief(value, vocabulary) }) };
  },

  /**
   * Weighted mean over all tokens. `error`: `sqrt((mean of squares − mean²) / (tokens − 1))`, llama-perplexity's ± of its
   * divergence figures, which takes the tokens as independent.
   */
  "token-mean": tokenMean,
  "token-share": tokenMean,
  "positive-mean": tokenMean,

  /** Samples are means of squares. The error of the mean of squares, carried through the root (delta method). */
  "root-mean-square"(sums) {
    const { value: mean, error, warnings } = tokenMean(sums);
    const value = Math.sqrt(mean);
    return { value, error: error / (2 * value), warnings };
  },

  /** Weighted mean; no other tool prints an error, so `error` is that with the chunks as clusters. */
  ratio(sums) {
    const { mean: value, clusteredError: error } = sums;
    return { value, ...(sums.n < 2 ? {} : { error }), warnings: chunkWarnings(sums.n) };
  },

  /**
   * Share p of right answers. `error`: `sqrt(p(1 − p) / (n − 1))`, as llama-perplexity's ± of multiple choice and lm-eval's
   * `stderr` (sample standard deviation over √n).
   */
  proportion({ n, mean: p }) {
    return { value: p, error: Math.sqrt((p * (1 - p)) / (n - 1)) };
  },

  /** Mean of scores. `error`: sample standard deviation over √n, as lm-eval's `stderr`. */
  mean({ n, mean: value, squaredResiduals }) {
    return { value, error: Math.sqrt(squaredResiduals / (n - 1) / n) };
  },

  /**
   * `speedOf` the repetitions, of which llama-bench prints the arithmetic mean: on a quiet machine the same to 0.1 %. `error`: their
   * sample standard deviation, as llama-bench prints; it says how much one repetition scatters and does not shrink with n.
   */
  rate(sums) {
    const { n, logs } = sums;
    const value = Math.exp(speedOf([...logs!.values()]).estimate);
    if (n < 2)
      return { value, warnings: [`1 repetition gives no error: ${enoughRepetitions} or more would be better`] };
    return { value, error: Math.sqrt(sums.squaredResiduals / (n - 1)) };
  },

  count: (sums) => ({ value: sums.wv }),
  maximum: (sums) => ({ value: sums.largest }),
  single: (sums) => ({ value: sums.last }),
};

function tokenMean(sums: Sums) {
  const error = sums.w > 1 ? Math.sqrt(sums.unitVariance / (sums.w - 1)) : Number.NaN;
  return { value: sums.mean, error, warnings: chunkWarnings(sums.n) };
}

/** A summary that grows with its samples, for the live view; `summarize` is the same over a whole job. */
export interface Running {
  add(sample: WeightedValue): void;
  summary(): Summary;
}

/** `vocabulary`: tokens of the model's, where they are known; they bound a perplexity that can be believed. */
export function running(name: string, vocabulary?: number): Running {
  const metric = describe(name);
  const sums = new Sums(metric);
  return { add: (sample) => sums.add(sample), summary: () => summaryOf(metric, sums, vocabulary) };
}

function summaryOf(metric: Metric, sums: Sums, vocabulary: number | undefined): Summary {
  const figure = usable(sums, metric) ?? figures[metric.aggregation](sums, vocabulary);
  return {
    metric: metric.name,
    value: figure.value,
    error: finite(figure.error),
    low: undefined,
    high: undefined,
    n: sums.n,
    unit: metric.unit,
    warnings: figure.warnings ?? [],
    ...definite({ broken: figure.broken }),
  };
}

/** Equal probabilities for all tokens give a perplexity of the vocabulary's size: a model that is not below it is broken. */
function beyondBelief(value: number, vocabulary: number | undefined): string | undefined {
  if (vocabulary !== undefined && vocabulary > 0 && value >= vocabulary)
    return `a perplexity of ${Number.isFinite(value) ? value.toPrecision(4) : "infinity"} is no better than guessing among the ${vocabulary} tokens of the vocabulary: the model is broken`;
  return Number.isFinite(value) ? undefined : "the perplexity is infinite: the model is broken";
}

const finite = (number: number | undefined) => (Number.isFinite(number) ? number : undefined);

/** The figure of what cannot be summed up: leaving out the broken samples would flatter the model. */
function usable(sums: Sums, metric: Metric): SummaryFigure | undefined {
  if (sums.n === 0 && !isTally(metric)) return { value: Number.NaN };
  if (sums.broken > 0)
    return {
      value: Number.NaN,
      warnings: [`${sums.broken} of ${sums.n} values are not numbers: the model computes infinities or NaN`],
    };
  return undefined;
}

/**
 * A perplexity in the digits that are known where mean log-likelihoods come rounded: no fewer than its engine prints of it, which
 * are those of tables.
 */
function asPrinted(metric: Metric, value: number, rounding: number): number {
  if (metric.aggregation !== "perplexity") return value;
  const digits = Math.floor(-Math.log10(2 * value * rounding));
  return Number(value.toFixed(Math.min(100, Math.max(metric.digits, digits))));
}

/**
 * The figure of one (job, metric) from one sample per item, with the interval that the gate has. Summed in the items'
 * natural order, whatever order they come in: floating-point sums depend on it, and a run that was interrupted must give
 * the very same digits. `clusters`, `dependence`: as of `CompareOptions`; `rounding`: of the engine, see `EngineName`.
 */
export function summarize(
  name: string,
  samples: Iterable<WeightedValue & { item: string }>,
  {
    clusters,
    dependence,
    vocabulary,
    rounding,
  }: Pick<CompareOptions, "clusters" | "dependence"> & {
    vocabulary?: number | undefined;
    rounding?: number | undefined;
  } = {},
): Summary {
  const whole = running(name, vocabulary);
  const sorted = natural([...samples]);
  const metric = describe(name);
  const runs = metric.per === "repetition" ? clusters : undefined;
  for (const sample of sorted) whole.add(runs ? { ...sample, ...definite({ run: runs.get(sample.item) }) } : sample);
  const summary = whole.summary();
  if (isExact(metric) || !Number.isFinite(summary.value)) return summary;
  const { low, high, needed, n, drifts } = level(name, sorted, definite({ clusters, dependence }));
  const vague = needed !== undefined && n > 1;
  return {
    ...summary,
    value: rounding === undefined ? summary.value : asPrinted(metric, summary.value, rounding),
    low: finite(low),
    high: finite(high),
    ...definite({ drifts }),
    warnings: vague ? [`${n} ${itemsPer[metric.per]} are too few for an interval: take ${needed}`] : summary.warnings,
  };
}
