import type { Sample } from "../events.js";
import { type Aggregation, metric as describe, type Metric } from "../metrics.js";
import { normalQuantile, tQuantile } from "./distributions.js";

/** One (job, metric) as a figure. */
export interface Summary {
  metric: string;
  /** In `unit`; NaN where nothing or something that is not a number was measured. */
  value: number;
  /** The ± that the tool people know prints, see `figures`; in `unit`. */
  error: number | undefined;
  /** Ends of the 95 % interval, in `unit`. */
  low: number | undefined;
  high: number | undefined;
  /** Items: chunks, questions, repetitions. */
  n: number;
  unit: string;
  /** Whole sentences: what a reader of this figure should know. */
  warnings: string[];
}

type Value = Pick<Sample, "value" | "weight" | "square">;
type Figure = Pick<Summary, "value"> & Partial<Pick<Summary, "error" | "low" | "high" | "warnings">>;

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

  add({ value, weight, square }: Value): void {
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

/** Half of the 95 % interval in units of the standard error that `n` clusters give. */
const halfWidth = (n: number) => tQuantile(0.975, n - 1);

/** From here on the t quantile is within 15 % of the normal one, and one odd chunk no longer decides. */
const enoughChunks = 10;
const enoughRepetitions = 3;

function chunkWarnings(n: number): string[] {
  if (n < 2) return [`1 chunk gives no interval: 2 are needed, ${enoughChunks} or more would be better`];
  if (n < enoughChunks)
    return [`${n} chunks: the interval rests on few pieces of text, ${enoughChunks} or more would be better`];
  return [];
}

/** How the sums of an aggregation become a figure; called with at least one sample, all of them finite. */
const figures: Record<Aggregation, (sums: Sums) => Figure> = {
  /**
   * `exp(mean NLL)` over all tokens, and two measures of its uncertainty:
   *
   * - `error`: llama-perplexity's ±, `PPL · sqrt((mean of squares − mean²) / (tokens − 1))` (llama.cpp,
   *   `tools/perplexity/perplexity.cpp`). It takes the tokens as independent draws.
   * - `low`, `high`: `exp(mean ± t · standard error)` with the chunks as clusters. Tokens of one chunk share a topic, an
   *   author and a style and so are not independent; how much the chunks differ from each other says what other
   *   pieces of such text would give. The interval is made in log space, where the estimate is a mean.
   *
   * The two differ by as much as the tokens of a chunk hang together; neither contains the other.
   */
  perplexity(sums) {
    const value = Math.exp(sums.mean);
    const error = sums.w > 1 ? value * Math.sqrt(sums.unitVariance / (sums.w - 1)) : Number.NaN;
    const half = sums.n < 2 ? Number.NaN : halfWidth(sums.n) * sums.clusteredError;
    const [low, high] = [Math.exp(sums.mean - half), Math.exp(sums.mean + half)];
    return { value, error, low, high, warnings: chunkWarnings(sums.n) };
  },

  /**
   * Weighted mean over all tokens. `error`: `sqrt((mean of squares − mean²) / (tokens − 1))`, llama-perplexity's ± of its
   * divergence figures, which takes the tokens as independent; `low`, `high`: with the chunks as clusters.
   */
  "token-mean"(sums) {
    const value = sums.mean;
    const error = sums.w > 1 ? Math.sqrt(sums.unitVariance / (sums.w - 1)) : Number.NaN;
    const half = sums.n < 2 ? Number.NaN : halfWidth(sums.n) * sums.clusteredError;
    return { value, error, low: value - half, high: value + half, warnings: chunkWarnings(sums.n) };
  },

  /**
   * A mean of what cannot be below 0 and scatters by factors rather than by sums. `low`, `high`: `mean · exp(± t · standard
   * error / mean)`, the delta method; nearer to its level on both sides than `mean ± t · standard error`, and never
   * below 0 (`test/stats/simulation.test.ts`). Where rounding brings a chunk to 0 or below, the latter.
   */
  "positive-mean"(sums) {
    const found = figures["token-mean"](sums);
    if (!(sums.smallest > 0) || found.high === undefined) return found;
    const half = (found.high - found.value) / found.value;
    return { ...found, low: found.value * Math.exp(-half), high: found.value * Math.exp(half) };
  },

  /** Samples are means of squares. The errors of the mean of squares, carried through the root (delta method). */
  "root-mean-square"(sums) {
    const { value: mean, error, low, high, warnings } = figures["token-mean"](sums);
    const value = Math.sqrt(mean);
    return {
      value,
      error: error === undefined ? error : error / (2 * value),
      low: low === undefined ? low : Math.sqrt(Math.max(0, low)),
      high: high === undefined ? high : Math.sqrt(high),
      warnings: warnings ?? [],
    };
  },

  /** Weighted mean with the chunks as clusters; no other tool prints an error, so `error` is the clustered one. */
  ratio(sums) {
    const value = sums.mean;
    if (sums.n < 2) return { value, warnings: chunkWarnings(sums.n) };
    const half = halfWidth(sums.n) * sums.clusteredError;
    return {
      value,
      error: sums.clusteredError,
      low: value - half,
      high: value + half,
      warnings: chunkWarnings(sums.n),
    };
  },

  /**
   * Share p of right answers. `error`: `sqrt(p(1 − p) / (n − 1))`, as llama-perplexity's ± of multiple choice and lm-eval's
   * `stderr` (sample standard deviation over √n). `low`, `high`: Wilson's interval, which unlike p ± 2·error stays
   * inside 0 … 1 and holds its level near the ends (Brown, Cai & DasGupta 2001).
   */
  proportion(sums) {
    const { n, mean: p } = sums;
    const z2 = normalQuantile(0.975) ** 2;
    const centre = (p + z2 / (2 * n)) / (1 + z2 / n);
    const half = Math.sqrt(z2 * ((p * (1 - p)) / n + z2 / (4 * n * n))) / (1 + z2 / n);
    return {
      value: p,
      error: Math.sqrt((p * (1 - p)) / (n - 1)),
      low: Math.max(0, centre - half),
      high: Math.min(1, centre + half),
    };
  },

  /**
   * Mean of repetitions. `error`: their sample standard deviation, as llama-bench prints; it says how much one
   * repetition scatters and does not shrink with n. `low`, `high`: t interval of the mean.
   */
  rate(sums) {
    const { n, mean: value } = sums;
    if (n < 2)
      return { value, warnings: [`1 repetition gives no error: ${enoughRepetitions} or more would be better`] };
    const half = halfWidth(n) * sums.clusteredError;
    return {
      value,
      error: Math.sqrt(sums.squaredResiduals / (n - 1)),
      low: value - half,
      high: value + half,
      warnings:
        n < enoughRepetitions
          ? [`${n} repetitions: the interval is very wide, ${enoughRepetitions} or more would be better`]
          : [],
    };
  },

  count: (sums) => ({ value: sums.wv }),
  maximum: (sums) => ({ value: sums.largest }),
  single: (sums) => ({ value: sums.last }),
};

/** A summary that grows with its samples, for the live view; `summarize` is the same over a whole job. */
export interface Running {
  add(sample: Value): void;
  summary(): Summary;
}

export function running(name: string): Running {
  const metric = describe(name);
  const sums = new Sums();
  return { add: (sample) => sums.add(sample), summary: () => summaryOf(metric, sums) };
}

function summaryOf(metric: Metric, sums: Sums): Summary {
  const figure = usable(sums, metric) ?? figures[metric.aggregation](sums);
  const finite = (number: number | undefined) => (Number.isFinite(number) ? number : undefined);
  return {
    metric: metric.name,
    value: figure.value,
    error: finite(figure.error),
    low: finite(figure.low),
    high: finite(figure.high),
    n: sums.n,
    unit: metric.unit,
    warnings: figure.warnings ?? [],
  };
}

/** The figure of what cannot be summed up: leaving out the broken samples would flatter the model. */
function usable(sums: Sums, { aggregation }: Metric): Figure | undefined {
  if (sums.n === 0 && aggregation !== "count") return { value: Number.NaN };
  if (sums.broken > 0)
    return {
      value: Number.NaN,
      warnings: [`${sums.broken} of ${sums.n} values are not numbers: the model computes infinities or NaN`],
    };
  return undefined;
}

/**
 * The figure of one (job, metric) from one sample per item. Summed in the items' natural order, whatever order they
 * come in: floating-point sums depend on it, and a run that was interrupted must give the very same digits.
 */
export function summarize(name: string, samples: Iterable<Value & { item: string }>): Summary {
  const whole = running(name);
  const keyed = Array.from(samples, (sample) => ({ key: naturalKey(sample.item), sample }));
  keyed.sort((a, b) => (a.key < b.key ? -1 : a.key > b.key ? 1 : 0));
  for (const { sample } of keyed) whole.add(sample);
  return whole.summary();
}

/** Sorts as text the way a person counts: `chunk 9` before `chunk 10`. */
function naturalKey(item: string): string {
  return item.replace(/\d+/g, (digits) => digits.padStart(16, "0"));
}
