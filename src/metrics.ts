/**
 * How the samples of a metric become one figure.
 * - `perplexity`: exp of the weighted mean of negative log-likelihoods (nats per token).
 * - `ratio`: weighted mean (bits per byte: nats summed over bytes summed).
 * - `token-mean`: weighted mean, its ± from the spread of the tokens, as llama-perplexity's.
 * - `token-share`: the same of a share of the tokens, whose interval stays within 0 … 1.
 * - `positive-mean`: the same of what cannot be below 0, and scatters by factors: its interval is made on the log scale.
 * - `root-mean-square`: square root of the weighted mean.
 * - `proportion`: share of samples that are 1.
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
  | "rate"
  | "count"
  | "maximum"
  | "single";

/** A metric described once; every table, view and rule reads it from here. */
export interface Metric {
  /** The name in files and rules. */
  name: string;
  /** The head of a column. */
  label: string;
  /** The unit of the stored value. */
  unit: string;
  better: "lower" | "higher" | "neither";
  aggregation: Aggregation;
  /** Digits after the point in tables for people. */
  digits: number;
  /** One sentence: what it is and whose definition. */
  meaning: string;
}

const described: Record<string, Omit<Metric, "name">> = {
  perplexity: {
    label: "PPL",
    unit: "1",
    better: "lower",
    aggregation: "perplexity",
    digits: 4,
    meaning:
      "exp of the mean negative log-likelihood per token over the second half of each chunk, as llama-perplexity",
  },
  bits_per_byte: {
    label: "bits/byte",
    unit: "bit",
    better: "lower",
    aggregation: "ratio",
    digits: 4,
    meaning: "negative log2-likelihood per UTF-8 byte of the scored text; comparable across tokenizers",
  },
  bits_per_character: {
    label: "bits/char",
    unit: "bit",
    better: "lower",
    aggregation: "ratio",
    digits: 4,
    meaning: "negative log2-likelihood per Unicode character of the scored text; comparable across tokenizers",
  },
  kld: {
    label: "KLD",
    unit: "nat",
    better: "lower",
    aggregation: "positive-mean",
    digits: 6,
    meaning:
      "mean Kullback-Leibler divergence of the next token's distribution from the reference's, over the whole vocabulary",
  },
  same_top: {
    label: "same top",
    unit: "1",
    better: "higher",
    aggregation: "token-share",
    digits: 5,
    meaning: "share of tokens whose most likely prediction is the reference's, as llama-perplexity",
  },
  delta_p: {
    label: "Δp",
    unit: "1",
    better: "neither",
    aggregation: "token-mean",
    digits: 5,
    meaning: "mean difference of the right token's probability from the reference's, as llama-perplexity",
  },
  delta_p_rms: {
    label: "Δp RMS",
    unit: "1",
    better: "lower",
    aggregation: "root-mean-square",
    digits: 5,
    meaning: "root mean square of the difference of the right token's probability, as llama-perplexity",
  },
  ln_ppl_ratio: {
    label: "ln PPL ratio",
    unit: "1",
    better: "lower",
    aggregation: "token-mean",
    digits: 6,
    meaning:
      "ln of the ratio of the perplexities of the variant and of the reference, token by token, as llama-perplexity",
  },
  kld_estimate: {
    label: "KLD est.",
    unit: "nat",
    better: "lower",
    aggregation: "positive-mean",
    digits: 6,
    meaning:
      "mean Kullback-Leibler divergence as a compact reference gives it: exact over the tokens that it keeps, an unbiased estimate by sampled tokens over the others",
  },
  kld_low: {
    label: "KLD ≥",
    unit: "nat",
    better: "lower",
    aggregation: "token-mean",
    digits: 6,
    meaning: "what the mean Kullback-Leibler divergence is at least, whatever a compact reference leaves out",
  },
  kld_high: {
    label: "KLD ≤",
    unit: "nat",
    better: "lower",
    aggregation: "token-mean",
    digits: 6,
    meaning: "what the mean Kullback-Leibler divergence is at most, whatever a compact reference leaves out",
  },
  kld_width: {
    label: "KLD width",
    unit: "nat",
    better: "lower",
    aggregation: "token-mean",
    digits: 6,
    meaning: "width of the bracket that a compact reference gives",
  },
  perplexity_variant: {
    label: "PPL",
    unit: "1",
    better: "lower",
    aggregation: "single",
    digits: 6,
    meaning: "perplexity of the variant over the tokens that were compared",
  },
  perplexity_reference: {
    label: "PPL of the reference",
    unit: "1",
    better: "neither",
    aggregation: "single",
    digits: 6,
    meaning: "perplexity of the reference over the tokens that were compared",
  },
  ln_ppl_correlation: {
    label: "Cor(ln PPL)",
    unit: "1",
    better: "higher",
    aggregation: "single",
    digits: 4,
    meaning: "correlation of the negative log-likelihoods of variant and reference, as llama-perplexity",
  },
  ppl_ratio: {
    label: "PPL ratio",
    unit: "1",
    better: "lower",
    aggregation: "single",
    digits: 6,
    meaning: "perplexity of the variant over that of the reference, as llama-perplexity",
  },
  ppl_difference: {
    label: "PPL difference",
    unit: "1",
    better: "lower",
    aggregation: "single",
    digits: 6,
    meaning: "perplexity of the variant less that of the reference, as llama-perplexity",
  },
  acc: {
    label: "acc",
    unit: "1",
    better: "higher",
    aggregation: "proportion",
    digits: 4,
    meaning: "share of questions whose option with the highest sum of log-probabilities is right, as lm-eval's acc",
  },
  acc_norm: {
    label: "acc_norm",
    unit: "1",
    better: "higher",
    aggregation: "proportion",
    digits: 4,
    meaning:
      "share of questions whose option with the highest log-probability per character is right, as lm-eval's acc_norm",
  },
  acc_token: {
    label: "acc_token",
    unit: "1",
    better: "higher",
    aggregation: "proportion",
    digits: 4,
    meaning:
      "share of questions whose option with the highest mean log-probability per token is right, as llama-perplexity --hellaswag",
  },
  unanswerable: {
    label: "unanswerable",
    unit: "1",
    better: "lower",
    aggregation: "count",
    digits: 0,
    meaning: "questions that could not be asked as they stand; no accuracy counts them",
  },
  size: {
    label: "size",
    unit: "B",
    better: "lower",
    aggregation: "single",
    digits: 0,
    meaning: "bytes of the model's files",
  },
  bpw: {
    label: "BPW",
    unit: "bit",
    better: "lower",
    aggregation: "single",
    digits: 2,
    meaning: "bits per weight: 8 × bytes of all tensors / number of weights, as llama.cpp prints",
  },
  parameters: {
    label: "parameters",
    unit: "1",
    better: "neither",
    aggregation: "single",
    digits: 0,
    meaning: "number of weights",
  },
  load_time: {
    label: "load",
    unit: "s",
    better: "lower",
    aggregation: "single",
    digits: 2,
    meaning: "seconds to load the model in its engine process, with whatever the page cache held",
  },
  peak_memory: {
    label: "peak memory",
    unit: "B",
    better: "lower",
    aggregation: "maximum",
    digits: 0,
    meaning: "largest resident set of the engine process during the measurement",
  },
};

const families: { pattern: RegExp; metric: (match: RegExpMatchArray) => Omit<Metric, "name"> }[] = [
  {
    pattern: /^pp(\d+)(?:@d(\d+))?$/,
    metric: ([, n, depth]) => ({
      label: `pp${n}${depth ? ` @ d${depth}` : ""}`,
      unit: "tok/s",
      better: "higher",
      aggregation: "rate",
      digits: 2,
      meaning: `prompt processing: ${n} tokens in one prompt${depth ? ` after ${depth} cached tokens` : ""}, as llama-bench`,
    }),
  },
  {
    pattern: /^tg(\d+)(?:@d(\d+))?$/,
    metric: ([, n, depth]) => ({
      label: `tg${n}${depth ? ` @ d${depth}` : ""}`,
      unit: "tok/s",
      better: "higher",
      aggregation: "rate",
      digits: 2,
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
        meaning: `${place} over the tokens of ${of === "kld" ? "the Kullback-Leibler divergence" : "the difference of the right token's probability"}, as llama-perplexity`,
      };
    },
  },
];

/** Stored as a share, told in per cent, and its differences in points. */
export function isShare({ name, aggregation }: Metric): boolean {
  return aggregation === "proportion" || name === "same_top" || name.startsWith("delta_p");
}

const known = new Map<string, boolean>();

/** Whether some measurement of this version produces a metric of that name. */
export function isMetric(name: string): boolean {
  let found = known.get(name);
  if (found === undefined) {
    found = Object.hasOwn(described, name) || families.some(({ pattern }) => pattern.test(name));
    if (known.size < 1000) known.set(name, found);
  }
  return found;
}

/** The description of a metric. Throws for a name that no measurement produces: that is a fault of the program. */
export function metric(name: string): Metric {
  const own = Object.hasOwn(described, name) ? described[name] : undefined;
  if (own) return { name, ...own };
  for (const family of families) {
    const match = name.match(family.pattern);
    if (match) return { name, ...family.metric(match) };
  }
  throw new Error(`no metric is named "${name}"`);
}

/** What people also call a metric or a measurement. */
const otherNames: Record<string, string> = { ppl: "perplexity", accuracy: "acc" };

/** The name that is used here for one that people also use: `ppl` is `perplexity`. Any other name stays. */
export function usualName(name: string): string {
  const lower = name.toLowerCase();
  return Object.hasOwn(otherNames, lower) ? otherNames[lower]! : name;
}
