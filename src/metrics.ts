import { definite } from "./definite.js";
/**
 * How the samples of a metric become one figure.
 * - `perplexity`: exp of the weighted mean of negative log-likelihoods (nats per token).
 * - `ratio`: weighted mean (bits per byte: nats summed over bytes summed).
 * - `token-mean`: weighted mean, its ± from the spread of the tokens, as llama-perplexity's.
 * - `token-share`: the same of a share of the tokens, whose interval stays within 0 … 1.
 * - `positive-mean`: the same of what cannot be below 0, and scatters by factors: its interval is made on the log scale.
 * - `root-mean-square`: square root of the weighted mean.
 * - `proportion`: share of samples that are 1.
 * - `mean`: mean of the questions' scores between 0 and 1.
 * - `rate`: mean of independent repetitions.
 * - `count`: how many; none where there is no sample.
 * - `maximum`: the largest sample.
 * - `single`: one value that is exact or taken once.
 */
export type Aggregation =
  | "perplexity"
  | "ratio"
  | "token-mean"
  | "token-share"
  | "positive-mean"
  | "root-mean-square"
  | "proportion"
  | "mean"
  | "rate"
  | "count"
  | "maximum"
  | "single";

/** A metric described once; every table, view and rule reads it from here, and no other place knows metrics by name. */
export interface Metric {
  /** The name in files and rules. */
  name: string;
  /** The name under which rules and options ask for all metrics of its kind: `tg` for `tg128` and `tg256`. */
  family?: string;
  /** The head of a column. */
  label: string;
  /** The unit of the stored value. */
  unit: string;
  better: "lower" | "higher" | "neither";
  aggregation: Aggregation;
  /** How people read it: as it is; in per cent, its differences in points; in MB or GB; as a number of millions or billions. */
  scale: "plain" | "percent" | "bytes" | "count";
  /** Digits after the point in tables for people. */
  digits: number;
  /** The same of its ±; `digits` unless the tool that people know prints another number. */
  errorDigits?: number;
  /**
   * The thing that one value belongs to. Values per token mean something within one tokenizer only; those per text hold for any. Questions
   * are the same under any tokenizer; repetitions depend on the machine and on the moment; what a variant has as a whole
   * is one exact number.
   */
  per: Per;
  /** The smallest and the largest value that there can be. */
  range: readonly [least: number, most: number];
  /**
   * Whether it is the headline metric of what it measures: the one on which verdicts are given. More metrics of the same
   * thing would add comparisons and so cost every other one power. `without`: only when that metric was not measured.
   */
  leads: boolean | { without: string };
  /** The difference that begins to matter: a smaller one counts as none. A convention; absent when there is none. */
  margin?: Margin;
  /** The value of a distance from a reference when both predict alike; absent for other metrics. A distance is a size: chance explains none of it. */
  identical?: number;
  /** The larger, the earlier it is shown when there is little room; see `prominences`. */
  prominence: number;
  /** Characters that a usual value takes. */
  width: number;
  /** Tells of the measurement rather than of the variant: no report leads with it, and without it nothing is missing. */
  beside: boolean;
  /** It counts the items that the other figures of its measurement leave out. */
  leftOut?: true;
  /** It counts the items of which nothing could be read, and which the other figures of its measurement count as wrong. */
  unread?: true;
  /** It counts the answers that were longer than they may be, and are scored without their end. */
  cutOff?: true;
  /** It tells of answers that are each one of the same few options: letters, yes and no. */
  ofSameOptions?: true;
  /** The field of a model's facts that holds it before anything is measured. */
  fact?: "bytes" | "bpw" | "parameters";
  /** The field of an opened engine's facts that holds it. */
  opened?: "loadSeconds";
  /** It is that of a whole process, whatever else the process holds. */
  process?: true;
  /** For people it stands in a table only where variants differ in it. */
  whenDiffers?: true;
  /** Each token reads all weights, so that its time grows with the bytes of the file. */
  memoryBound?: true;
  /** A model card tells it beside the principal figures of the measurements. */
  onCard?: true;
  /** The metric of which it is the change from the reference, in logarithms: what is told of the one holds of the other. */
  changeOf?: string;
  /** What its value of an item must be, where values per token of the item are kept; undefined where these do not say it. */
  byTokens?: (values: TokensOf, weight: number) => Followed | undefined;
  /** What its value of a question must be, where it follows from what the answer names. */
  byAnswer?: (answer: KeptAnswer) => number | undefined;
  /** Its name among the metrics of the Hugging Face Hub, where that is another. */
  hubName?: string;
  /** One sentence: what it is and whose definition. */
  meaning: string;
}

export type Per = "token" | "text" | "question" | "repetition" | "variant";

/** Values per token of an item, by the name under which they are kept. */
export type TokensOf = (name: string) => ArrayLike<number> | undefined;

/** A value that follows from others, each of about `scale`: those are kept with fewer digits, perhaps. */
export interface Followed {
  value: number;
  scale: number;
  /** How many values it is the mean of, and the mean of their squares: the sample's weight and square. */
  weight?: number;
  square?: number;
}

/**
 * What is kept of an answer: the option that it names, by the sum of its log-probabilities, per character and per token; the right
 * ones; and the log-probability of each.
 */
export interface KeptAnswer {
  prediction?: number;
  byLength?: number;
  byToken?: number;
  right: readonly number[];
  scores?: readonly number[];
}

/** In the metric's unit; `relative`: a share of the value that it is held against. */
export interface Margin {
  size: number;
  relative: boolean;
}

/** From the figure that a reader looks for first in a measurement to the one that hardly anyone misses. */
export const prominences = {
  perplexity: 9,
  distance: 8,
  estimate: 7,
  accuracy: 6,
  generation: 5,
  /** From here up it is what a measurement is about. */
  prompt: 4,
  usual: 3,
  /** Follows from other columns or matters to few. */
  minor: 2,
  last: 1,
};

type Defaults = "scale" | "range" | "leads" | "prominence" | "width" | "beside";
type Described = Omit<Metric, "name" | Defaults> & Partial<Pick<Metric, Defaults>>;

const defaults: Pick<Metric, Defaults> = {
  scale: "plain",
  range: [-Infinity, Infinity],
  leads: false,
  prominence: prominences.usual,
  width: 6,
  beside: false,
};

/** One point is what reports of accuracy round to. */
const onePoint: Margin = { size: 0.01, relative: false };

const meanOf = (
  values: ArrayLike<number> | undefined,
  of = (value: number, _: number) => value,
): Followed | undefined => {
  if (!values || values.length === 0) return undefined;
  let [sum, sizes, squares] = [0, 0, 0];
  for (let i = 0; i < values.length; i++) {
    const value = of(values[i]!, i);
    sum += value;
    sizes += Math.abs(value);
    squares += value * value;
  }
  const weight = values.length;
  return { value: sum / weight, scale: sizes / weight, weight, square: squares / weight };
};

/** The mean of the values per token that have the metric's own name. */
const ownMean = (name: string) => (values: TokensOf) => meanOf(values(name));

/** Of two lists of values per token, if both are there. */
const meanOfBoth = (a: string, b: string, of: (one: number, other: number) => number) => (values: TokensOf) => {
  const [first, second] = [values(a), values(b)];
  return first && second && meanOf(first, (one, i) => of(one, second[i]!));
};

/** Nats of all tokens in bits, over so many bytes or characters. */
const bitsPer = (values: TokensOf, weight: number) => {
  const nll = values("nll");
  const mean = meanOf(nll, (one) => (one * nll!.length) / Math.LN2 / weight);
  return mean && { value: mean.value, scale: mean.scale };
};

/** Distances of the next token's distribution from the reference's, in nats. */
const divergence = {
  unit: "nat",
  better: "lower",
  digits: 6,
  per: "token",
  margin: { size: 0.001, relative: false },
  identical: 0,
} as const;

/** Shares of questions, scored by another rule each. */
const accuracy = {
  unit: "1",
  better: "higher",
  aggregation: "proportion",
  scale: "percent",
  digits: 4,
  per: "question",
  range: [0, 1],
  margin: onePoint,
} as const;

const rightness = (option: number | undefined, { right }: KeptAnswer) =>
  option !== undefined && right.includes(option) ? 1 : 0;

/** Scores of questions, each between 0 and 1. */
const score = { ...accuracy, aggregation: "mean" } as const;

/** Repetitions of one test of speed. */
const speed = {
  unit: "tok/s",
  better: "higher",
  aggregation: "rate",
  digits: 2,
  per: "repetition",
  range: [0, Infinity],
  leads: true,
  width: 8,
  // As much as a warm processor loses.
  margin: { size: 0.02, relative: true },
} as const;

/** The share of these options in the probability of all, by its logarithms, less the largest one: what is far below 1 stays a number. */
export function shareOf(options: readonly number[], scores: readonly number[]): number {
  const most = Math.max(...scores);
  const shares = scores.map((one) => Math.exp(one - most));
  const sum = (some: number[]) => some.reduce((all, one) => all + one, 0);
  return sum(options.map((option) => shares[option] ?? 0)) / sum(shares);
}

/** The probability of all options, by its logarithms. A rounding above 1 is none. */
export const massOf = (scores: readonly number[]): number =>
  Math.min(
    1,
    scores.reduce((sum, one) => sum + Math.exp(one), 0),
  );

/** A count of questions beside the figures that it belongs to. */
const tally = {
  unit: "1",
  better: "lower",
  aggregation: "count",
  digits: 0,
  per: "question",
  range: [0, Infinity],
  beside: true,
} as const;

const described: Record<string, Described> = {
  perplexity: {
    byTokens: ownMean("nll"),
    label: "PPL",
    unit: "1",
    better: "lower",
    aggregation: "perplexity",
    digits: 4,
    errorDigits: 5,
    per: "token",
    range: [1, Infinity],
    leads: true,
    // Less than Q6_K costs.
    margin: { size: 0.005, relative: true },
    prominence: prominences.perplexity,
    width: 8,
    meaning:
      "exp of the mean negative log-likelihood per token over the second half of each chunk, as llama-perplexity",
  },
  bits_per_byte: {
    byTokens: bitsPer,
    label: "bits/byte",
    unit: "bit",
    better: "lower",
    aggregation: "ratio",
    digits: 4,
    per: "text",
    range: [0, Infinity],
    margin: { size: 0.005, relative: false },
    prominence: prominences.minor,
    meaning: "negative log2-likelihood per UTF-8 byte of the scored text; comparable across tokenizers",
  },
  bits_per_character: {
    byTokens: bitsPer,
    label: "bits/char",
    unit: "bit",
    better: "lower",
    aggregation: "ratio",
    digits: 4,
    per: "text",
    range: [0, Infinity],
    prominence: prominences.last,
    meaning: "negative log2-likelihood per Unicode character of the scored text; comparable across tokenizers",
  },
  kld: {
    byTokens: ownMean("kld"),
    ...divergence,
    label: "KLD",
    aggregation: "positive-mean",
    range: [0, Infinity],
    leads: true,
    prominence: prominences.distance,
    meaning:
      "mean Kullback-Leibler divergence of the next token's distribution from the reference's, over the whole vocabulary",
  },
  same_top: {
    byTokens: meanOfBoth("top", "top_reference", (one, other) => (one === other ? 1 : 0)),
    label: "same top",
    unit: "1",
    better: "higher",
    aggregation: "token-share",
    digits: 5,
    scale: "percent",
    per: "token",
    range: [0, 1],
    margin: onePoint,
    identical: 1,
    onCard: true,
    meaning: "share of tokens whose most likely prediction is the reference's, as llama-perplexity",
  },
  delta_p: {
    byTokens: ownMean("delta_p"),
    label: "Δp",
    unit: "1",
    better: "neither",
    aggregation: "token-mean",
    digits: 5,
    scale: "percent",
    per: "token",
    range: [-1, 1],
    margin: onePoint,
    meaning: "mean difference of the right token's probability from the reference's, as llama-perplexity",
  },
  delta_p_rms: {
    byTokens: (values) => meanOf(values("delta_p"), (one) => one * one),
    label: "Δp RMS",
    unit: "1",
    better: "lower",
    aggregation: "root-mean-square",
    digits: 5,
    scale: "percent",
    per: "token",
    range: [0, 1],
    margin: onePoint,
    identical: 0,
    meaning: "root mean square of the difference of the right token's probability, as llama-perplexity",
  },
  ln_ppl_ratio: {
    byTokens: meanOfBoth("nll", "nll_reference", (one, other) => one - other),
    label: "ln PPL ratio",
    changeOf: "perplexity",
    unit: "1",
    better: "lower",
    aggregation: "token-mean",
    digits: 6,
    per: "token",
    margin: onePoint,
    meaning:
      "ln of the ratio of the perplexities of the variant and of the reference, token by token, as llama-perplexity",
  },
  kld_estimate: {
    byTokens: ownMean("kld_estimate"),
    ...divergence,
    label: "KLD est.",
    aggregation: "positive-mean",
    range: [0, Infinity],
    prominence: prominences.estimate,
    meaning:
      "mean Kullback-Leibler divergence as a compact reference gives it: exact over the tokens that it keeps, an unbiased estimate by sampled tokens over the others",
  },
  kld_low: {
    byTokens: ownMean("kld_low"),
    ...divergence,
    label: "KLD ≥",
    aggregation: "token-mean",
    meaning: "what the mean Kullback-Leibler divergence is at least, whatever a compact reference leaves out",
  },
  kld_high: {
    byTokens: ownMean("kld_high"),
    ...divergence,
    label: "KLD ≤",
    aggregation: "token-mean",
    meaning: "what the mean Kullback-Leibler divergence is at most, whatever a compact reference leaves out",
  },
  kld_width: {
    byTokens: ownMean("kld_width"),
    ...divergence,
    label: "KLD width",
    aggregation: "token-mean",
    meaning: "width of the bracket that a compact reference gives",
  },
  perplexity_variant: {
    label: "PPL",
    unit: "1",
    better: "lower",
    aggregation: "single",
    digits: 6,
    per: "token",
    meaning: "perplexity of the variant over the tokens that were compared",
  },
  perplexity_reference: {
    label: "PPL of the reference",
    unit: "1",
    better: "neither",
    aggregation: "single",
    digits: 6,
    per: "token",
    meaning: "perplexity of the reference over the tokens that were compared",
  },
  ln_ppl_correlation: {
    label: "Cor(ln PPL)",
    unit: "1",
    better: "higher",
    aggregation: "single",
    digits: 4,
    per: "token",
    meaning: "correlation of the negative log-likelihoods of variant and reference, as llama-perplexity",
  },
  ppl_ratio: {
    label: "PPL ratio",
    unit: "1",
    better: "lower",
    aggregation: "single",
    digits: 6,
    per: "token",
    meaning: "perplexity of the variant over that of the reference, as llama-perplexity",
  },
  ppl_difference: {
    label: "PPL difference",
    unit: "1",
    better: "lower",
    aggregation: "single",
    digits: 6,
    per: "token",
    meaning: "perplexity of the variant less that of the reference, as llama-perplexity",
  },
  acc: {
    ...accuracy,
    byAnswer: (answer) => rightness(answer.prediction, answer),
    label: "acc",
    hubName: "accuracy",
    leads: true,
    prominence: prominences.accuracy,
    meaning: "share of questions whose option with the highest sum of log-probabilities is right, as lm-eval's acc",
  },
  acc_norm: {
    ...accuracy,
    byAnswer: (answer) => (answer.byLength === undefined ? undefined : rightness(answer.byLength, answer)),
    label: "acc_norm",
    meaning:
      "share of questions whose option with the highest log-probability per character is right, as lm-eval's acc_norm",
  },
  acc_token: {
    ...accuracy,
    byAnswer: (answer) => (answer.byToken === undefined ? undefined : rightness(answer.byToken, answer)),
    label: "acc_token",
    leads: { without: "acc" },
    prominence: prominences.minor,
    meaning:
      "share of questions whose option with the highest mean log-probability per token is right, as llama-perplexity --hellaswag",
  },
  mc2: {
    ...score,
    byAnswer: ({ right, scores }) => scores && shareOf(right, scores),
    label: "mc2",
    leads: true,
    prominence: prominences.accuracy,
    meaning: "share of the options' probability that falls on right ones, mean over the questions, as lm-eval's mc2",
  },
  exact_match: {
    ...accuracy,
    label: "exact match",
    leads: true,
    prominence: prominences.accuracy,
    meaning: "share of questions whose answer, read from the text by the task's rule, is the key",
  },
  exact_match_flexible: {
    ...accuracy,
    label: "exact match, flexible",
    prominence: prominences.accuracy,
    meaning:
      "the same by the task's second rule, such as the last number of the text, wherever it stands, as lm-eval's flexible-extract",
  },
  f1: {
    ...score,
    label: "F1",
    leads: true,
    prominence: prominences.accuracy,
    meaning: "harmonic mean of precision and recall of the key's words, the best over the keys, as LongBench",
  },
  rouge_l: {
    ...score,
    label: "ROUGE-L",
    leads: true,
    prominence: prominences.accuracy,
    meaning: "F score of the longest common subsequence of words, the best over the keys, as LongBench",
  },
  retrieval: {
    ...score,
    label: "retrieval",
    leads: true,
    prominence: prominences.accuracy,
    meaning: "share of the numbers in the text that are the right paragraph's, as LongBench",
  },
  classification: {
    ...score,
    label: "classification",
    leads: true,
    prominence: prominences.accuracy,
    meaning: "one over the number of classes that the text names, if the right one is among them, as LongBench",
  },
  code_similarity: {
    ...score,
    label: "code similarity",
    leads: true,
    prominence: prominences.accuracy,
    meaning: "likeness of the first line of code and the key, by matching blocks, as LongBench",
  },
  acc_corrected: {
    ...accuracy,
    label: "acc without priors",
    prominence: prominences.last,
    beside: true,
    meaning:
      "accuracy of the answers once each option's mean log-probability over all questions is subtracted (batch calibration): a diagnostic of a model that favours a letter, no score",
  },
  answer_mass: {
    ...score,
    byAnswer: ({ scores }) => scores && massOf(scores),
    label: "answer mass",
    better: "neither",
    prominence: prominences.last,
    beside: true,
    ofSameOptions: true,
    meaning:
      "probability that falls on the options, of all that could stand there, mean over the questions: small where the model does not answer in their form",
  },
  unanswerable: {
    label: "unanswerable",
    ...tally,
    leftOut: true,
    meaning: "questions that could not be asked as they stand; no accuracy counts them",
  },
  ungraded: {
    label: "ungraded",
    ...tally,
    better: "neither",
    meaning: "questions whose key the data do not hold: their answers are kept, and no accuracy counts them",
  },
  unparsed: {
    label: "unparsed",
    ...tally,
    unread: true,
    meaning: "generated answers in which nothing was found to score: no option, no number; they count as wrong",
  },
  cut_off: {
    label: "cut off",
    ...tally,
    cutOff: true,
    meaning: "generated answers that were cut off at `maxTokens`; they are scored as they stand",
  },
  thoughts: {
    label: "thoughts",
    ...tally,
    better: "neither",
    meaning:
      "generated answers that begin with thoughts between <think> and </think>, which are not part of the answer",
  },
  size: {
    label: "size",
    unit: "B",
    better: "lower",
    aggregation: "single",
    digits: 0,
    scale: "bytes",
    width: 8,
    per: "variant",
    fact: "bytes",
    onCard: true,
    meaning: "bytes of the model's files",
  },
  bpw: {
    label: "BPW",
    unit: "bit",
    better: "lower",
    aggregation: "single",
    digits: 2,
    per: "variant",
    fact: "bpw",
    onCard: true,
    meaning: "bits per weight: 8 × bytes of all tensors / number of weights, as llama.cpp prints",
  },
  parameters: {
    label: "parameters",
    unit: "1",
    better: "neither",
    aggregation: "single",
    digits: 0,
    scale: "count",
    per: "variant",
    prominence: prominences.last,
    fact: "parameters",
    meaning: "number of weights",
  },
  load_time: {
    label: "load",
    unit: "s",
    better: "lower",
    aggregation: "single",
    digits: 2,
    per: "variant",
    prominence: prominences.last,
    opened: "loadSeconds",
    range: [0, Infinity],
    meaning: "seconds to load the model in its engine process, with whatever the page cache held",
  },
  peak_memory: {
    label: "peak memory",
    unit: "B",
    better: "lower",
    aggregation: "maximum",
    digits: 0,
    scale: "bytes",
    width: 8,
    per: "variant",
    range: [0, Infinity],
    beside: true,
    process: true,
    meaning: "largest resident set of the engine process during the measurement",
  },
  kv_cache: {
    label: "KV cache",
    unit: "B",
    better: "lower",
    aggregation: "maximum",
    digits: 0,
    scale: "bytes",
    width: 8,
    per: "variant",
    prominence: prominences.minor,
    range: [0, Infinity],
    beside: true,
    whenDiffers: true,
    meaning:
      "bytes of the K and V caches at the largest context of the measurement, of all windows that are decoded together",
  },
};

const families: { name?: string; pattern: RegExp; metric: (match: RegExpMatchArray) => Described }[] = [
  {
    name: "pp",
    pattern: /^pp(\d+)(?:@d(\d+))?$/,
    metric: ([, n, depth]) => ({
      ...speed,
      label: `pp${n}${depth ? ` @ d${depth}` : ""}`,
      prominence: prominences.prompt,
      meaning: `prompt processing: ${n} tokens in one prompt${depth ? ` after ${depth} cached tokens` : ""}, as llama-bench`,
    }),
  },
  {
    name: "tg",
    pattern: /^tg(\d+)(?:@d(\d+))?$/,
    metric: ([, n, depth]) => ({
      ...speed,
      label: `tg${n}${depth ? ` @ d${depth}` : ""}`,
      prominence: prominences.generation,
      memoryBound: true,
      meaning: `token generation: ${n} tokens one by one${depth ? ` after ${depth} cached tokens` : ""}, as llama-bench`,
    }),
  },
  {
    pattern: /^(kld|delta_p)_(max|min|median|p(\d+(?:\.\d+)?))$/,
    metric: ([, of, which, percent]) => {
      const place = { max: "largest", min: "smallest", median: "median" }[which!] ?? `${percent} % percentile`;
      return {
        label: `${of === "kld" ? "KLD" : "Δp"} ${percent ? `${percent} %` : which}`,
        unit: of === "kld" ? "nat" : "1",
        better: of === "kld" ? "lower" : "neither",
        aggregation: "single",
        digits: of === "kld" ? 6 : 5,
        ...(of === "kld" ? {} : { scale: "percent" }),
        ...(of === "kld" && percent === "99" ? { onCard: true } : {}),
        per: "token",
        meaning: `${place} over the tokens of ${of === "kld" ? "the Kullback-Leibler divergence" : "the difference of the right token's probability"}, as llama-perplexity`,
      };
    },
  },
];

const known = new Map(
  Object.entries(described).map(([name, own]): [string, Metric] => [name, { ...defaults, name, ...own }]),
);

function find(name: string): Metric | undefined {
  const found = known.get(name);
  if (found) return found;
  for (const { pattern, metric, name: family } of families) {
    const match = name.match(pattern);
    if (!match) continue;
    const made: Metric = { ...defaults, name, ...definite({ family }), ...metric(match) };
    if (known.size < 1000) known.set(name, made);
    return made;
  }
  return undefined;
}

/** Whether some measurement of this version produces a metric of that name. */
export const isMetric = (name: string): boolean => find(name) !== undefined;

/** The description of a metric. Throws for a name that no measurement produces: that is a fault of the program. */
export function metric(name: string): Metric {
  const found = find(name);
  if (!found) throw new Error(`no metric is named "${name}"`);
  return found;
}

/** A computed probability may be above 1 by a rounding, and a logarithm below 0. */
const rounding = 1e-3;
/** Tokens, bytes or characters of one item: more than any memory holds. */
const mostUnits = 2 ** 40;

/**
 * Why an item cannot have given this, in words; undefined where it can. `null` is what is not a number: a broken model gives it.
 * An item's perplexity is a mean negative log-likelihood, the mean of its squares at most that of a root mean square's.
 */
export function impossibleIn(
  name: string,
  value: number | null,
  weight: number,
  square?: number | null,
): string | undefined {
  const described = metric(name);
  const { aggregation, per, range } = described;
  const isLogarithm = isLogarithmic(described);
  const [least, most] = isLogarithm ? range.map(Math.log) : range;
  if (value !== null && aggregation === "proportion" && value !== 0 && value !== 1)
    return `${name} is ${value}, but an answer is right (1) or wrong (0)`;
  if (value !== null && (value < least! - rounding || value > most! + rounding))
    return `${name} is ${value}, which cannot be${isLogarithm ? " for a negative log-likelihood" : ""}`;
  if (square !== undefined && square !== null && square < 0) return `the square of ${name} is ${square}, below 0`;
  const single = per === "question" || per === "repetition" || per === "variant";
  if (single ? weight !== 1 : !(weight > 0 && weight <= mostUnits))
    return `the weight of ${name} is ${weight}, ${single ? "and one item weighs 1" : "which no item has"}`;
  return undefined;
}

/** Whether verdicts are given on it, in a job that gives all these metrics. */
export function leadsAmong(name: string, metrics: readonly string[]): boolean {
  const { leads } = metric(name);
  return typeof leads === "boolean" ? leads : !metrics.includes(leads.without);
}

/** Exact, or taken once: it has no error. */
export function isExact({ aggregation }: Metric): boolean {
  return aggregation === "single" || aggregation === "maximum" || aggregation === "count";
}

/** A number of items. */
export const isTally = ({ aggregation }: Metric): boolean => aggregation === "count";

/** Whether its samples are the scores of answers, each between 0 and 1. */
export const isScore = (one: Metric): boolean =>
  one.per === "question" && !isTally(one) && one.range[0] === 0 && one.range[1] === 1;

/** Whether each of its samples is right (1) or wrong (0). */
export const isShareOfRight = ({ aggregation }: Metric): boolean => aggregation === "proportion";

/** Whether its values are nats per token and the figure is the exponential of their mean. */
export const isLogarithmic = ({ aggregation }: Metric): boolean => aggregation === "perplexity";

/** Counts the items that the other figures of its measurement leave out. */
export const countsLeftOut = ({ leftOut }: Metric): boolean => leftOut === true;

/** Counts the items of which nothing could be read, and which the other figures of its measurement count as wrong. */
export const countsUnread = ({ unread }: Metric): boolean => unread === true;

/** Tells of answers that are each one of the same few options. */
export const tellsOfSameOptions = ({ ofSameOptions }: Metric): boolean => ofSameOptions === true;

/** Counts the answers that were longer than they may be, and are scored without their end. */
export const countsCutOff = ({ cutOff }: Metric): boolean => cutOff === true;

/** The largest over all measurements of a variant. */
export const isPeak = ({ aggregation }: Metric): boolean => aggregation === "maximum";

/** Whether it says how well a model predicts: not how fast it is, how large, or what befell the measurement. */
export const isQuality = ({ beside, per }: Metric): boolean => !beside && per !== "repetition" && per !== "variant";

/** A size of distance from a reference, which chance explains no part of. */
export const isDistance = ({ identical }: Metric): boolean => identical !== undefined;

/** A change of another metric from the reference, by itself a comparison. */
export const isChange = ({ changeOf }: Metric): boolean => changeOf !== undefined;

/** How good the model's predictions of a text are, by themselves. */
export const isLikelihood = ({ per, identical }: Metric): boolean =>
  (per === "token" || per === "text") && identical === undefined;

/** The items of a metric, by the thing that one value belongs to. */
export const itemsPer: Record<Per, string> = {
  token: "chunks",
  text: "chunks",
  question: "questions",
  repetition: "repetitions",
  variant: "values",
};

/** The metric that shows a broken model, for which guessing has a known value, and a foreign tokenizer. */
export const soundness = "perplexity";

/** The tally of questions whose key the data do not hold. */
export const keyless = "ungraded";

/** The accuracy of answers less what the model favours whatever is asked. */
export const withoutPriors = "acc_corrected";

/** The metric that is compared in place of one per token when the tokenizers differ. */
export const acrossTokenizers = "bits_per_byte";

/** The metric that 99 % of the tokens stay below, where there is one. */
export const tailOf = (name: string): string | undefined => (isMetric(`${name}_p99`) ? `${name}_p99` : undefined);

/** The metric of the token in the middle, where there is one. */
export const medianOf = (name: string): string | undefined =>
  isMetric(`${name}_median`) ? `${name}_median` : undefined;

/** The metrics of a variant as a whole, in the order of reading. */
export const variantMetrics: readonly Metric[] = [...known.values()].filter(({ per }) => per === "variant");

/** The meaning of ± and of the 95 % interval, for each kind of figure among these metrics. */
export function errorsExplained(metrics: readonly Metric[]): string[] {
  const there = new Set<string>(metrics.map(({ aggregation }) => aggregation));
  return Object.entries(explanations).flatMap(([kind, text]) => (there.has(kind) ? [text] : []));
}

const explanations: Partial<Record<Aggregation, string>> = {
  perplexity:
    "PPL: ± is llama-perplexity's, which takes the tokens as independent. The 95 % interval takes whole chunks as the unit, because the tokens of one chunk hang together; it says what other text of this kind would give. Variants measured on the same text share its difficulty: two overlapping intervals do not mean that they cannot be told apart.",
  ratio:
    "bits/byte, bits/char: ± is the standard error with chunks as the unit; comparable across tokenizers, PPL is not.",
  "positive-mean":
    "KLD: ± is llama-perplexity's, which takes the tokens as independent. The 95 % interval takes chunks as the unit and is made on the log scale, for what a quantization costs a chunk scatters by factors.",
  proportion:
    "Accuracy: ± is the standard error, as llama-perplexity and lm-eval print it; the 95 % interval is Clopper and Pearson's, with subjects on as many questions as they are worth.",
  rate: "Speed: the geometric mean of the repetitions; from ten on their centre by ranks (Hodges and Lehmann, log scale), so that a few that are far off do not decide. From three sessions on it is the mean of the sessions. ± is the standard deviation of single repetitions, as llama-bench prints it. A difference is the quotient of the two figures. Its 95 % interval rests on what was timed in turns, that of a figure on its repetitions: three or more, or three sessions.",
};

// ---- Names

/** Whether a rule or an option that asks for `asked` means this metric: `tg` means every speed of generation. */
export const isMeantBy = (asked: string, name: string): boolean => name === asked || metric(name).family === asked;

/** The metric that `asked` means, or one that stands for all that it means. */
export function meant(asked: string): Metric | undefined {
  return find(asked) ?? (families.some(({ name }) => name === asked) ? find(`${asked}1`) : undefined);
}

/** The metrics that a rule may ask for: all that have a better side and are measured in every run of their kind. */
export function judgeable(): string[] {
  const own = [...known.values()].filter(
    ({ family, better, per, aggregation, prominence }) =>
      family === undefined &&
      better !== "neither" &&
      prominence >= prominences.minor &&
      (per === "variant" || aggregation !== "single"),
  );
  return [...own.map(({ name }) => name), ...families.flatMap(({ name }) => name ?? [])];
}

/** Other names of metrics and measurements that people use. */
const otherNames: Record<string, string> = {
  ...{ ppl: "perplexity", accuracy: "acc" },
  // The entry of before, when divergence from a stored reference was a measurement of its own.
  "stored-divergence": "divergence",
};

/** Other names of it that people use. */
export function alsoCalled(name: string): string[] {
  return Object.keys(otherNames).filter((other) => otherNames[other] === name);
}

/** The name that is used here for one that people also use: `ppl` is `perplexity`. Any other name stays. */
export function usualName(name: string): string {
  const lower = name.toLowerCase();
  return Object.hasOwn(otherNames, lower) ? otherNames[lower]! : name;
}
