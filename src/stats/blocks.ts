import { fTail } from "./distributions.js";

/** The standard error of a sum of residuals, and what it rests on. */
export interface Clustered {
  error: number;
  /** Independent pieces: blocks of neighbours, documents, subjects. */
  clusters: number;
  /** Consecutive items that form a block; 1 when they were given clusters or are taken as independent. */
  block: number;
  freedom: number;
  /** Of blocks: as of `Dependence`. */
  drift?: number;
}

/** From fewer blocks than these a variance is too uncertain to be worth less bias. */
const fewestBlocks = 8;
/** Of items that are too few for blocks. */
const leastFreedom = 2;
/** How much of the variance may be left to the analytic correction. */
const leftOver = 0.1;

/**
 * Standard error of `Σ residuals` when neighbours are alike: consecutive chunks of a text share an article, and so what a
 * quantization costs on one says something of the next.
 *
 * The residuals, which sum to 0, are cut into G blocks of consecutive items; the blocks are then the clusters:
 *
 *     error² = G/(G−1) · Σ (block sums)² / (1 − left),   t distribution with G − 1 degrees of freedom
 *
 * (batch means: Glynn & Whitt 1991; few blocks with t: Ibragimov & Müller 2010). What a chunk tells is the sum of what
 * hangs together and of its tokens' own noise, so its autocorrelation is ρ, ρφ, ρφ² … with a φ that lies above ρ (an ARMA(1,1)
 * process). Blocks of length L then miss the share
 *
 *     left = 2ρ(1 − φ^L) / (L(1 − φ)(1 − φ + 2ρ))
 *
 * of the variance. The shortest L that misses at most 10 % is taken, as far as 8 blocks remain, and what it misses is put
 * back. ρ is that of `dependence`, of these residuals alone where none is given. φ cannot be told from few chunks; it is taken as
 * one half, or as ρ where that is more. Fewer than 16 items are too few for blocks: what is put back may then be most of the
 * variance, by a ρ that so few hardly show. Their freedom is that of the part that they do show, (n − 1)(1 − left), and at least
 * the 2 of three items: with 1 a t interval tells nothing.
 *
 * `weights`: those of the items, where they are not alike, as of `clusteredError`.
 * `test/stats/simulation/` shows the coverage that this has.
 */
export function blockedError(
  residuals: ArrayLike<number>,
  dependence?: Dependence,
  weights?: ArrayLike<number>,
): Clustered {
  const { lag1: rho, drift } = dependence ?? dependenceOf([residuals]);
  const n = residuals.length;
  let block = 1;
  while (missing(rho, block) > leftOver && Math.floor(n / (block + 1)) >= fewestBlocks) block++;
  const clusters = Math.floor(n / block);
  const inBlocks = (values: ArrayLike<number>) => {
    const sums = new Float64Array(clusters);
    // Borders are spread evenly, so that no item of an incomplete block is lost.
    for (let i = 0; i < n; i++) sums[Math.min(clusters - 1, Math.floor(((i + 0.5) * clusters) / n))]! += values[i]!;
    return sums;
  };
  const { error, freedom } = clusteredError(inBlocks(residuals), weights && inBlocks(weights));
  const left = missing(rho, n / clusters);
  const shown = n < 2 * fewestBlocks ? Math.max(Math.min(leastFreedom, freedom), freedom * (1 - left)) : freedom;
  return { error: error / Math.sqrt(1 - left), clusters, block, freedom: shown, drift };
}

/** How the neighbours of a text hang together, as far as some series of residuals over its chunks show. */
export interface Dependence {
  /** Autocorrelation at lag 1, between 0 and 0.9. */
  lag1: number;
  /** p of "nothing hangs together over longer stretches than the blocks of that autocorrelation see". */
  drift: number;
}

/**
 * One dependence for all series (the comparisons on one text), each over its chunks in order: that of a single series of 16 to 64
 * chunks is mostly noise, and cuts a third of independent ones into blocks.
 *
 * `lag1` is the mean over the series of the autocorrelation r at lag 1 plus (1 + 4r)/n, its bias (Marriott & Pope 1954); a
 * negative mean is taken as 0, which errs on the wide side.
 *
 * `drift` asks the waves over 64 chunks and longer. Were there no dependence but the one that blocks allow for, each of the coefficients
 *
 *     c_k = √2 Σ r_i cos(πk(i + ½)/n),   k = 1 … n/32
 *
 * would have the variance of Σ r_i (Müller & Watson 2008), which is that of independent items over 1 − left at L = 1, and the mean of
 * their squares over it an F distribution. Of several series the mean of this ratio is taken: unless they are all alike it scatters less.
 */
export function dependenceOf(series: readonly ArrayLike<number>[]): Dependence {
  const varied = series.filter((residuals) => residuals.length > 2 && sumOfSquares(residuals) > 0);
  if (varied.length === 0) return { lag1: 0, drift: 1 };
  const mean = (of: (residuals: ArrayLike<number>) => number) =>
    varied.reduce((sum, one) => sum + of(one), 0) / varied.length;
  const lag1 = Math.min(0.9, Math.max(0, mean(autocorrelation)));
  const n = Math.min(...varied.map(({ length }) => length));
  const waves = Math.max(1, Math.round(n / shortestWave));
  const expected = (residuals: ArrayLike<number>) => clusteredError(residuals).error ** 2 / (1 - missing(lag1, 1));
  return {
    lag1,
    drift: fTail(
      mean((one) => slowWaves(one, waves) / expected(one)),
      waves,
      n - 1,
    ),
  };
}

/** Half the length of the shortest wave that counts as drift, in chunks: blocks are rarely longer. */
const shortestWave = 32;

/** The mean square of the coefficients of the slowest waves. */
function slowWaves(residuals: ArrayLike<number>, waves: number): number {
  const n = residuals.length;
  let squares = 0;
  for (let k = 1; k <= waves; k++) {
    let sum = 0;
    for (let i = 0; i < n; i++) sum += residuals[i]! * Math.cos((Math.PI * k * (i + 0.5)) / n);
    squares += 2 * sum * sum;
  }
  return squares / waves;
}

/**
 * Standard error of the sum of pieces that are independent of each other: residuals of a weighted mean, which sum to 0.
 * `weights`: each piece's, in any unit; alike when they are left out. With the shares h = w / Σw:
 *
 *     error² = Σ r² / (1 − h),   t distribution with 1/Σh² − 1 degrees of freedom
 *
 * (CR2 of a weighted mean: Bell & McCaffrey 2002; Imbens & Kolesár 2016). A long document's residual is small because it
 * drew the mean to itself, and few long ones among many short are worth few. Alike they are the usual G/(G−1) and G − 1.
 */
export function clusteredError(sums: ArrayLike<number>, weights?: ArrayLike<number>): Clustered {
  const clusters = sums.length;
  let total = weights ? 0 : clusters;
  if (weights) for (let i = 0; i < clusters; i++) total += weights[i]!;
  let [squares, shares] = [0, 0];
  for (let i = 0; i < clusters; i++) {
    const share = (weights ? weights[i]! : 1) / total;
    // A single piece cannot show its own error.
    squares += share < 1 ? (sums[i]! * sums[i]!) / (1 - share) : Number.NaN;
    shares += share * share;
  }
  const freedom = 1 / shares - 1;
  const whole = Math.round(freedom);
  return {
    error: Math.sqrt(squares),
    clusters,
    block: 1,
    // Rounding aside, the pieces are alike.
    freedom: Math.abs(freedom - whole) < 1e-9 ? whole : freedom,
  };
}

/** The autocorrelation fades to this share from one lag to the next, or more slowly. */
const leastFading = 0.5;

/** Share of the variance that blocks of this length do not see. */
function missing(rho: number, length: number): number {
  const phi = Math.max(rho, leastFading);
  return (2 * rho * (1 - phi ** length)) / (length * (1 - phi) * (1 - phi + 2 * rho));
}

/** At lag 1, its bias taken out. */
function autocorrelation(residuals: ArrayLike<number>): number {
  const n = residuals.length;
  let lagged = 0;
  for (let i = 1; i < n; i++) lagged += residuals[i]! * residuals[i - 1]!;
  const raw = lagged / sumOfSquares(residuals);
  return raw + (1 + 4 * raw) / n;
}

function sumOfSquares(residuals: ArrayLike<number>): number {
  let squares = 0;
  for (let i = 0; i < residuals.length; i++) squares += residuals[i]! ** 2;
  return squares;
}
