/** Per-token values of a variant against its reference, over all chunks in order; nats. */
interface TokenDivergence {
  nll: ArrayLike<number>;
  nllReference: ArrayLike<number>;
  deltaP: Float32Array;
  top: Int32Array;
  topReference: Int32Array;
  /** Absent where the reference is known in part only. */
  kld?: Float32Array;
  /** Present instead of `kld`: an unbiased estimate, and bounds. */
  estimate?: Float32Array;
  low?: Float32Array;
  high?: Float32Array;
}

/** `metric` is a name of metrics.ts. */
export interface DivergenceFigure {
  metric: string;
  value: number;
  error?: number;
}

/** Percentiles that llama-perplexity prints. */
export const kldPercents = [99.9, 99, 95, 90, 10, 5, 1, 0.1];
export const deltaPercents = [99.9, 99, 95, 90, 75, 25, 10, 5, 1, 0.1];

const f = Math.fround;

/**
 * All figures of llama-perplexity's `--kl-divergence`, by its own formulas (llama.cpp, `tools/perplexity/perplexity.cpp`): products
 * and percentiles in float32, sums in double. For values that are float32 these are its figures to the printed digits. With
 * a = NLL of the variant, b = NLL of the reference per token, n tokens, and var x = (mean x² − mean² x) / (n − 1):
 *
 *     PPL = exp(mean a), ± PPL · sqrt(var a)             Cor = cov(a, b) / sqrt(var a · var b)
 *     ln ratio = mean a − mean b, ± sqrt(var a + var b − 2 cov(a, b));   ratio = exp(that), its ± by the delta method
 *     RMS Δp = sqrt(mean Δp²), ± sqrt(var Δp²) / (2 RMS);   same top p, ± sqrt(p (1 − p) / (n − 1))
 *
 * All ± take the tokens as independent.
 */
export function divergenceFigures(values: TokenDivergence): DivergenceFigure[] {
  const { nll, nllReference, deltaP, top, topReference, kld, estimate, low, high } = values;
  const n = nll.length;
  const [own, reference] = [mean(nll, n), mean(nllReference, n)];
  let cross = 0;
  let same = 0;
  for (let i = 0; i < n; i++) {
    cross += f(nll[i]! * nllReference[i]!);
    if (top[i] === topReference[i]) same++;
  }
  const covariance = (cross / n - own.value * reference.value) / (n - 1);
  const ppl = Math.exp(own.value);
  const pplReference = Math.exp(reference.value);
  const [error, errorReference] = [ppl * own.error, pplReference * reference.error];
  const logRatio = own.value - reference.value;
  const logRatioError = Math.sqrt(own.error ** 2 + reference.error ** 2 - 2 * covariance);
  const ratio = Math.exp(logRatio);
  const change = mean(deltaP, n);
  const squares = mean(
    Float64Array.from(deltaP, (difference) => f(difference * difference)),
    n,
    (square) => square * square,
  );
  const rms = Math.sqrt(squares.value);
  const share = same / n;
  const part = (metric: string, array: Float32Array | undefined) =>
    array ? [{ metric, ...mean(array, n, (value) => value * value) }] : [];
  const figures: DivergenceFigure[] = [
    { metric: "perplexity_variant", value: ppl, error },
    { metric: "perplexity_reference", value: pplReference, error: errorReference },
    { metric: "ln_ppl_correlation", value: covariance / (own.error * reference.error) },
    { metric: "ln_ppl_ratio", value: logRatio, error: logRatioError },
    { metric: "ppl_ratio", value: ratio, error: ratio * logRatioError },
    {
      metric: "ppl_difference",
      value: ppl - pplReference,
      error: Math.sqrt(error ** 2 + errorReference ** 2 - 2 * ppl * pplReference * covariance),
    },
    ...part("kld", kld),
    ...(kld ? order("kld", kld, kldPercents) : []),
    ...part("kld_estimate", estimate),
    ...part("kld_low", low),
    ...part("kld_high", high),
    ...(low && high
      ? part(
          "kld_width",
          high.map((value, i) => value - low[i]!),
        )
      : []),
    { metric: "delta_p", ...change },
    ...order("delta_p", deltaP, deltaPercents),
    { metric: "delta_p_rms", value: rms, error: (0.5 / rms) * squares.error },
    { metric: "same_top", value: share, error: Math.sqrt((share * (1 - share)) / (n - 1)) },
  ];
  return figures.map(({ metric, value, error }) => ({
    metric,
    value,
    ...(error !== undefined && Number.isFinite(error) ? { error } : {}),
  }));
}

/** Mean, and the root of the variance of single tokens over n − 1: 0 for so few tokens that it says nothing. */
function mean(values: ArrayLike<number>, n: number, square = (value: number) => f(value * value)) {
  let sum = 0;
  let squares = 0;
  for (let i = 0; i < n; i++) {
    sum += values[i]!;
    squares += square(values[i]!);
  }
  const value = sum / n;
  const variance = squares / n - value * value;
  return { value, error: variance > 0 && n > 10 ? Math.sqrt(variance / (n - 1)) : 0 };
}

function order(name: string, values: Float32Array, percents: number[]): DivergenceFigure[] {
  const sorted = values.toSorted();
  return [
    { metric: `${name}_max`, value: sorted.at(-1)! },
    ...percents.map((percent) => ({ metric: `${name}_p${percent}`, value: percentile(sorted, f(percent / 100)) })),
    { metric: `${name}_median`, value: median(sorted) },
    { metric: `${name}_min`, value: sorted[0]! },
  ];
}

function median(sorted: Float32Array): number {
  const half = sorted.length >> 1;
  return sorted.length % 2 === 0 ? f(0.5 * f(sorted[half]! + sorted[half - 1]!)) : sorted[half]!;
}

/** Linear between the two neighbours. */
function percentile(sorted: Float32Array, fraction: number): number {
  const place = f(fraction * f(sorted.length - 1));
  const below = Math.floor(place);
  const rest = f(place - below);
  const above = Math.min(below + 1, sorted.length - 1);
  return f(f(f(1 - rest) * sorted[below]!) + f(rest * sorted[above]!));
}
