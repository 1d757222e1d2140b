import type { RowComparison } from "../kernels/rows.js";
import { expf, softMax } from "../kernels/softmax.js";
import { damaged, PlacedFile } from "./file.js";
import {
  type ReferenceForm,
  type ReferenceHead,
  type ReferencePlan,
  type ReferenceWriter,
  rowsPerChunk,
  type StoredReference,
} from "./reference.js";

/**
 * A reference in a fiftieth of the space. Of every scored position it keeps the K most likely tokens with their
 * log-probabilities, some sampled tokens of the rest (the tail), and of the tail as a whole, exactly,
 *
 *     T = Σ p   and   S = Σ p ln p.
 *
 * With p the reference's and q a variant's probabilities at a position, three figures come from it.
 *
 * **An unbiased estimate.** Split by the chain rule, with Q = Σ q over the tail, w = p/T and v = q/Q:
 *
 *     KLD = Σ_K p ln(p/q) + T ln(T/Q) + T · Σ w f(v/w),   f(r) = r − 1 − ln r ≥ 0  (for Σ v = Σ w = 1).
 *
 * All but the last sum is exact. The sampled tokens, each drawn with probability w, give that as T · mean f; f is of second
 * order where the tails agree, so the samples scatter little. They are drawn systematically (equal steps along the cumulated
 * tail from a start that depends on the position alone), so the same model and text give the same file.
 *
 * **A bracket, for certain.** Let A be all tokens that are known: the K and the sampled. KLD = Σ_A p ln(p/q) + R, where over the n
 * tokens of the remaining tail, with mass T', entropy sum S', w = p/T' and c = −ln q,
 *
 *     R = S' + T' · Σ w c,      s = Σ w ln w = S'/T' − ln T'.
 *
 * Only Σ w c is unknown. For every β > 0 let v ∝ exp(βc) and u ∝ exp(−βc) = q^β. That Σ w ln(w/v) ≥ 0 and Σ w ln(w/u) ≥ 0 (Gibbs)
 * reads, written out,
 *
 *     (−s − ln Σ exp(−βc)) / β  ≤  Σ w c  ≤  (s + ln Σ exp(βc)) / β.
 *
 * So the tail cannot lie where the variant has hardly any mass at all without being more concentrated than S says. The lower
 * bound with β = 1 is R ≥ T' ln(T'/Q'), Q' = Σ q over the remaining tail: the data-processing inequality with A's tokens as
 * cells of their own and the tail as one cell; a better β can only raise it. A second upper bound: each tail token's p is at most the
 * K-th largest, so Σ w c is at most what comes of filling the least likely tokens of the variant up to that cap. The best of each
 * side is taken. For speed c is counted in bins of 1/64 nat, each taken at the edge that widens the bracket.
 *
 * All of it holds up to the rounding of float32 log-probabilities, 10⁻⁷ relative.
 *
 * The most likely token of the reference and the log-probability of the one that follows are kept, so same top, Δp and the
 * PPL ratio are exact.
 *
 * Layout, little-endian: "ggufbref", uint32 version, context, vocabulary, chunks, K, samples; sha256 of model, tokenizer and text;
 * int32 tokens[chunks · context]; per scored position double T, S, float ln p of what follows, float ln p[K + samples] and the
 * ids, uint16 where the vocabulary allows, else uint32; padded to a multiple of 4 bytes.
 */
export const compact: ReferenceForm = {
  name: "compact",
  magic: "ggufbref",
  open: (path) => new CompactReference(path),
  create: (path, plan) => new CompactWriter(path, plan),
};

const version = 1;
const headBytes = 8 + 6 * 4 + 3 * 32;
/** 1.9 % of llama-perplexity's file at a vocabulary of 49,152; the same number of bytes at any vocabulary. */
const defaultTop = 256;
const defaultSamples = 48;

type FileShape = Pick<ReferenceHead, "context" | "vocabulary" | "chunks"> & { top: number; samples: number };

/** One row's parts as views of one buffer. */
class CompactRow {
  readonly buffer: Uint8Array;
  /** T and S. */
  readonly tail: Float64Array;
  /** ln p of the token that follows; of the K in falling order; of the samples. */
  readonly logP: Float32Array;
  readonly ids: Uint16Array | Uint32Array;
  readonly #from: number;
  readonly #perChunk: number;

  constructor({ context, vocabulary, chunks, top, samples }: FileShape) {
    const kept = top + samples;
    const idBytes = vocabulary <= 65536 ? 2 : 4;
    const bytes = Math.ceil((16 + 4 * (1 + kept) + idBytes * kept) / 4) * 4;
    const buffer = new ArrayBuffer(bytes);
    this.buffer = new Uint8Array(buffer);
    this.tail = new Float64Array(buffer, 0, 2);
    this.logP = new Float32Array(buffer, 16, 1 + kept);
    const idsAt = 16 + 4 * (1 + kept);
    this.ids = idBytes === 2 ? new Uint16Array(buffer, idsAt, kept) : new Uint32Array(buffer, idsAt, kept);
    this.#from = headBytes + 4 * context * chunks;
    this.#perChunk = rowsPerChunk(context);
  }

  place(chunk: number, row: number): number {
    return this.#from + (chunk * this.#perChunk + row) * this.buffer.length;
  }
}

class CompactWriter implements ReferenceWriter {
  readonly #file: PlacedFile;
  readonly #shape: FileShape;
  readonly #row: CompactRow;
  readonly #bins = new Uint32Array(binCount);
  readonly #taken: Uint8Array;

  constructor(path: string, plan: ReferencePlan) {
    const { context, vocabulary, tokens } = plan;
    const top = Math.min(plan.top ?? defaultTop, vocabulary);
    const samples = top < vocabulary ? defaultSamples : 0;
    this.#shape = { context, vocabulary, chunks: tokens.length / context, top, samples };
    this.#row = new CompactRow(this.#shape);
    this.#taken = new Uint8Array(vocabulary);
    this.#file = new PlacedFile(path, "write");
    const digests = [plan.modelSha256, plan.tokenizerSha256, plan.textSha256].map((hex) => {
      const bytes = Buffer.alloc(32);
      bytes.write(hex, "hex");
      return bytes;
    });
    const numbers = Uint32Array.of(version, context, vocabulary, this.#shape.chunks, top, samples);
    this.#file.write(Buffer.concat([Buffer.from(compact.magic, "latin1"), Buffer.from(numbers.buffer), ...digests]), 0);
    this.#file.write(tokens, headBytes);
  }

  add(chunk: number, row: number, logits: Float32Array, token: number): void {
    const { maximum, sum } = softMax(logits);
    const logTotal = maximum + Math.log(sum);
    const { top, samples } = this.#shape;
    const { ids, logP, tail, buffer } = this.#row;
    const kept = this.#mostLikely(logits, maximum);
    logP[0] = logits[token]! - logTotal;
    for (const [i, id] of kept.entries()) {
      ids[i] = id;
      logP[1 + i] = logits[id]! - logTotal;
      this.#taken[id] = 1;
    }
    let mass = 0;
    let entropy = 0;
    for (let id = 0; id < logits.length; id++) {
      if (this.#taken[id]) continue;
      const log = logits[id]! - logTotal;
      const p = Math.exp(log);
      mass += p;
      if (p > 0) entropy += p * log;
    }
    tail[0] = mass;
    tail[1] = entropy;
    // Systematic sampling: the tail's masses end to end, and a mark at every step.
    const step = mass / samples;
    let mark = startOf(chunk, row) * step;
    let drawn = 0;
    let along = 0;
    let last = 0;
    for (let id = 0; id < logits.length && drawn < samples; id++) {
      if (this.#taken[id]) continue;
      const log = logits[id]! - logTotal;
      along += Math.exp(log);
      last = id;
      for (; along > mark && drawn < samples; mark += step, drawn++) {
        ids[top + drawn] = id;
        logP[1 + top + drawn] = log;
      }
    }
    // The last mark may be missed by a rounding error.
    for (; drawn < samples; drawn++) {
      ids[top + drawn] = last;
      logP[1 + top + drawn] = logits[last]! - logTotal;
    }
    for (const id of kept) this.#taken[id] = 0;
    this.#file.write(buffer, this.#row.place(chunk, row));
  }

  /** The K largest logits in falling order, the lower id first on a tie; found by counting, for sorting all takes far longer. */
  #mostLikely(logits: Float32Array, maximum: number): number[] {
    const { top } = this.#shape;
    const bins = this.#bins.fill(0);
    for (let id = 0; id < logits.length; id++) bins[binOf(maximum - logits[id]!)]!++;
    let last = 0;
    for (let count = bins[0]!; count < top; count += bins[++last]!);
    const candidates: number[] = [];
    for (let id = 0; id < logits.length; id++) if (binOf(maximum - logits[id]!) <= last) candidates.push(id);
    return candidates.sort((a, b) => logits[b]! - logits[a]! || a - b).slice(0, top);
  }

  finish(): void {
    this.#file.sync();
    this.#file.close();
  }
}

/** In (0, 1), by the position alone. */
function startOf(chunk: number, row: number): number {
  let t = (Math.imul(chunk + 1, 0x9e3779b1) ^ Math.imul(row + 1, 0x85ebca6b)) | 0;
  t = Math.imul(t ^ (t >>> 15), 1 | t);
  t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
  return (((t ^ (t >>> 14)) >>> 0) + 0.5) / 4294967296;
}

/** Bin of a logit by its distance below the largest; the last bin holds all that lie farther. */
const perNat = 64;
const binCount = 64 * perNat;
const binOf = (below: number) => Math.min(Math.floor(below * perNat), binCount - 1);

class CompactReference implements StoredReference {
  readonly head: ReferenceHead;
  readonly #file: PlacedFile;
  readonly #shape: FileShape;
  readonly #row: CompactRow;
  /** The row in which a token was last known; rows are numbered as they come. */
  readonly #known: Uint32Array;
  #serial = 0;
  readonly #tail: TailBins;

  constructor(path: string) {
    this.#file = new PlacedFile(path, "read");
    const start = new Uint8Array(headBytes);
    this.#file.read(start, 0);
    const [written, context, vocabulary, chunks, top, samples] = new Uint32Array(start.buffer, 8, 6);
    if (written !== version) throw damaged(path, `it has version ${written}; this program reads version ${version}`);
    if (context! < 4 || vocabulary! < 2 || chunks! < 1 || top! < 1 || top! > vocabulary!)
      throw damaged(path, `its head says context ${context}, vocabulary ${vocabulary}, ${chunks} chunks, top ${top}`);
    this.#shape = { context: context!, vocabulary: vocabulary!, chunks: chunks!, top: top!, samples: samples! };
    this.#row = new CompactRow(this.#shape);
    const whole = this.#row.place(chunks!, 0);
    if (this.#file.bytes < whole) throw damaged(path, `${this.#file.bytes} of ${whole} bytes are there`);
    const digest = (i: number) => Buffer.from(start.subarray(32 + 32 * i, 64 + 32 * i)).toString("hex");
    this.head = {
      form: "compact",
      context: context!,
      vocabulary: vocabulary!,
      chunks: chunks!,
      top: top!,
      modelSha256: digest(0),
      tokenizerSha256: digest(1),
      textSha256: digest(2),
      metrics: ["kld_estimate", "kld_low", "kld_high"],
    };
    this.#known = new Uint32Array(vocabulary!);
    this.#tail = new TailBins();
  }

  tokens(chunk: number): Int32Array {
    const tokens = new Int32Array(this.head.context);
    this.#file.read(tokens, headBytes + 4 * chunk * this.head.context);
    return tokens;
  }

  compare(chunk: number, row: number, logits: Float32Array, token: number): RowComparison {
    this.#file.read(this.#row.buffer, this.#row.place(chunk, row));
    const { top, samples } = this.#shape;
    const { ids, logP, tail } = this.#row;
    const now = ++this.#serial;
    const { maximum, top: own, sum } = softMax(logits);
    const logTotal = maximum + Math.log(sum);
    const known = this.#known;
    let certain = 0;
    const keep = (i: number): number => {
      const id = ids[i]!;
      if (known[id] === now) return 0;
      known[id] = now;
      const p = Math.exp(logP[1 + i]!);
      certain += p * (logP[1 + i]! + logTotal - logits[id]!);
      return p;
    };
    for (let i = 0; i < top; i++) keep(i);
    const overTop = certain;
    const [tailMass = 0, tailEntropy = 0] = tail;
    const drawn = tailMass > 0 ? samples : 0;
    let [mass, entropy] = [tailMass, tailEntropy];
    let sampledQ = 0;
    for (let i = top; i < top + drawn; i++) {
      const p = keep(i);
      if (p === 0) continue;
      mass -= p;
      entropy -= p * logP[1 + i]!;
      sampledQ += Math.exp(logits[ids[i]!]! - logTotal);
    }
    this.#tail.clear();
    for (let id = 0; id < logits.length; id++) if (known[id] !== now) this.#tail.add(maximum - logits[id]!);

    let estimate = overTop;
    if (drawn > 0) {
      const rest = Math.exp(this.#tail.logMass() + maximum - logTotal);
      const logRatio = Math.log(tailMass / Math.max(rest + sampledQ, Number.MIN_VALUE));
      let excess = 0;
      for (let i = top; i < top + drawn; i++) {
        const d = logits[ids[i]!]! - logTotal - logP[1 + i]! + logRatio; // ln(v/w)
        excess += Math.expm1(d) - d;
      }
      estimate += tailMass * (logRatio + excess / drawn);
    }
    const cap = Math.exp(logP[top]!) * (1 + 1e-6);
    const [low, high] = this.#tail.bracket({ mass, entropy, cap, offset: logTotal - maximum, of: tailMass });
    return {
      nll: logTotal - logits[token]!,
      nllReference: -logP[0]!,
      top: own,
      topReference: ids[0]!,
      divergence: [estimate, Math.max(0, certain + low), Math.max(0, certain + high)],
    };
  }

  close(): void {
    this.#file.close();
  }
}

/** The variant's costs c = −ln q over the tail, counted; see the bounds above. */
class TailBins {
  readonly #counts = new Uint32Array(binCount);
  #first = binCount;
  #last = -1;
  /** Σ exp(−distance), and the largest distance. */
  #sum = 0;
  #farthest = 0;
  #tokens = 0;

  clear(): void {
    if (this.#last >= 0) this.#counts.fill(0, this.#first, this.#last + 1);
    this.#first = binCount;
    this.#last = -1;
    this.#sum = 0;
    this.#farthest = 0;
    this.#tokens = 0;
  }

  /** A token whose logit lies this far below the largest. */
  add(below: number): void {
    const bin = binOf(below);
    this.#counts[bin]!++;
    this.#tokens++;
    if (bin < this.#first) this.#first = bin;
    if (bin > this.#last) this.#last = bin;
    if (below > this.#farthest) this.#farthest = below;
    this.#sum += expf(Math.fround(-below));
  }

  /** Bounds of R, with c = distance + offset; `of`: the mass of the whole tail. */
  bracket({ mass, entropy, cap, offset, of }: Record<"mass" | "entropy" | "cap" | "offset" | "of", number>) {
    if (of <= 0 || this.#tokens === 0) return [0, 0] as const;
    // The mass left is below the rounding error of the mass subtracted: R ≥ m ln(m/Q') ≥ −Q'/e, and S' ≤ 0.
    if (mass <= 1e-4 * of) {
      const most = Math.max(0, mass) + 1e-6 * of;
      return [-Math.exp(this.logMass() - offset) / Math.E, most * (this.#farthest + offset)] as const;
    }
    const s = entropy / mass - Math.log(mass);
    const least = (b: number) => b / perNat;
    const most = (b: number) => (b === binCount - 1 ? this.#farthest : Math.min((b + 1) / perNat, this.#farthest));
    const upper = (beta: number) => (s + this.#logSum(beta, (b) => most(b))) / beta;
    const lower = (beta: number) => (-s - this.#logSum(-beta, (b) => least(b))) / beta;
    const highest = Math.min(best(upper, 1), this.#filled(mass, cap, most), this.#farthest) + offset;
    // β = 1 without bins: the data-processing inequality.
    const processing = -s - this.logMass() + offset;
    const lowest = Math.max(-best((beta) => -lower(beta), 1) + offset, processing);
    return [entropy + mass * lowest, entropy + mass * highest] as const;
  }

  /** ln Σ exp(−distance); at most a bin's width too large when float32 cannot hold it. */
  logMass(): number {
    if (this.#tokens === 0) return -Infinity;
    return this.#sum > 1e-30 ? Math.log(this.#sum) : this.#logSum(-1, (bin) => bin / perNat);
  }

  /** ln Σ exp(β · distance) over the tail. */
  #logSum(beta: number, edge: (bin: number) => number): number {
    const peak = Math.max(beta * edge(this.#first), beta * edge(this.#last));
    let sum = 0;
    for (let b = this.#first; b <= this.#last; b++) {
      const count = this.#counts[b]!;
      if (count > 0) sum += count * Math.exp(beta * edge(b) - peak);
    }
    return peak + Math.log(sum);
  }

  /** Mean distance when the farthest tokens are filled up to the cap. */
  #filled(mass: number, cap: number, edge: (bin: number) => number): number {
    let left = mass;
    let sum = 0;
    for (let b = this.#last; b >= this.#first && left > 0; b--) {
      const put = Math.min(left, this.#counts[b]! * cap);
      sum += put * edge(b);
      left -= put;
    }
    return (sum + left * edge(this.#last)) / mass;
  }
}

/**
 * A small value of `bound` over β > 0, by golden sections on a logarithmic scale around `start`. Every β gives a valid bound, so a
 * minimum that is missed costs width, not truth.
 */
function best(bound: (beta: number) => number, start: number): number {
  const section = (Math.sqrt(5) - 1) / 2;
  let [from, to] = [Math.log(start / 32), Math.log(start * 32)];
  let [a, b] = [to - section * (to - from), from + section * (to - from)];
  let [atA, atB] = [bound(Math.exp(a)), bound(Math.exp(b))];
  for (let i = 0; i < 10; i++)
    if (atA < atB) {
      [to, b, atB] = [b, a, atA];
      a = to - section * (to - from);
      atA = bound(Math.exp(a));
    } else {
      [from, a, atA] = [a, b, atB];
      b = from + section * (to - from);
      atB = bound(Math.exp(b));
    }
  return Math.min(atA, atB);
}
