import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { BenchError, messageOf, writeRemedy } from "../../errors.js";
import { complaint } from "../../programs.js";
import type { ChunkLikelihood, ChunkRequest, Likelihood } from "../backend.js";
import type { ToolModel } from "./model.js";

/**
 * Half a unit of the last digit that llama-perplexity prints of a mean negative log-likelihood, in nats: six digits after the
 * point. It prints the mean over the chunks so far, so a single chunk is known only as far as its number times as much.
 */
export const rounding = 5e-7;

/**
 * The likelihood of a text by llama-perplexity. It prints, after each chunk, perplexity, mean and standard error over all chunks so
 * far (`--ppl-output-type 1`); chunks are the differences. Whatever is done already, all chunks are computed again.
 */
export class ToolPerplexity implements Likelihood {
  constructor(private readonly model: ToolModel) {}

  async *measure(
    text: string,
    { context, chunks: most, done, progress }: ChunkRequest,
  ): AsyncGenerator<ChunkLikelihood> {
    const folder = folderWith(text);
    try {
      const weight = context - 1 - Math.floor(context / 2);
      const args = ["-f", join(folder, "text"), "-c", `${context}`, "--ppl-output-type", "1"];
      // A further batch is asked for and not waited for, where the ones before stay as they are: their rows then come for sure.
      const together = Math.max(1, Math.floor(this.model.batch / context));
      const further = most !== undefined && most % together === 0 ? together : 0;
      if (most !== undefined) args.push("--chunks", `${most + further}`);
      const given = new Set(done);
      const fresh = (known: ChunkLikelihood[]) =>
        known.filter(({ chunk }) => !given.has(String(chunk)) && given.add(String(chunk)));
      for (let attempt = 1; attempt <= attempts; attempt++) {
        const reader = new PerplexityReader(weight, most);
        for await (const line of this.model.run("perplexity", args)) {
          yield* fresh(reader.read(line.text));
          if (reader.total !== undefined) progress(reader.chunks, reader.total);
          if (further > 0 && reader.chunks === reader.total) break;
        }
        if (reader.isCut && attempt < attempts) continue;
        yield* fresh(reader.end());
        return;
      }
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  }
}

/** A folder of its own, with the text in the file `text`. */
function folderWith(text: string): string {
  let folder: string | undefined;
  try {
    folder = mkdtempSync(join(tmpdir(), "gguf-bench-"));
    writeFileSync(join(folder, "text"), text);
    return folder;
  } catch (cause) {
    if (folder) rmSync(folder, { recursive: true, force: true });
    throw new BenchError("disk", `${folder ?? tmpdir()} cannot be written to: ${messageOf(cause)}`, {
      hint: `${writeRemedy(cause)}, or name another folder for temporary files in TMPDIR`,
      cause,
    });
  }
}

/**
 * Builds of 2026 print from a thread that they do not wait for at their end: the last lines may be lost, most often of tiny models
 * on a busy machine.
 */
const attempts = 8;

/** Sums over the chunks so far, in nats: of −ln p and of its square. */
interface PrintedSums {
  nll: number;
  squares: number;
}

const number = String.raw`(-?(?:\d+\.\d+|nan|inf))`;
const row = new RegExp(String.raw`^\s*\d+\s+${number}\s+${number}\s+${number}\s*$`);
const last = new RegExp(String.raw`Final estimate: PPL = ${number} \+/- ${number}`);

/**
 * What llama-perplexity prints, chunk by chunk. `weight`: tokens that are scored of each.
 *
 * A mean is printed twice, as a perplexity p with four digits and as its logarithm with six; it lies where both allow it. The last
 * chunk takes up what the final line says, so that the whole gives the tool's own PPL and ±, digit by digit.
 */
export class PerplexityReader {
  /** Chunks that were printed, and those to come. */
  chunks = 0;
  total: number | undefined;
  readonly #log: string[] = [];
  #before: PrintedSums = { nll: 0, squares: 0 };
  /** The last row, kept until it is known whether another one follows. */
  #row: PrintedRow | undefined;
  #final: Pick<PrintedRow, "perplexity" | "error"> | undefined;

  /** `most`: chunks that are wanted, where the program may have been asked for more. */
  constructor(
    private readonly weight: number,
    private readonly most = Infinity,
  ) {}

  /** The chunks that a line makes known. */
  read(line: string): ChunkLikelihood[] {
    const [, perplexity, mean, error] = line.match(row) ?? [];
    if (mean === undefined) {
      const [, count] = line.match(/over (\d+) chunks/) ?? [];
      if (count !== undefined) this.total = Math.min(Number(count), this.most);
      const [, ppl, plusMinus] = line.match(last) ?? [];
      if (ppl !== undefined) this.#final = { perplexity: parsed(ppl), error: parsed(plusMinus!) };
      else this.#log.push(line);
      return [];
    }
    const known = this.#flush();
    this.#row = { perplexity: parsed(perplexity!), mean: parsed(mean), error: parsed(error!) };
    this.chunks++;
    return known;
  }

  /** It complains of nothing, and yet chunks are missing. */
  get isCut(): boolean {
    const complains = this.#log.some((line) => /\b(error|failed|unable|need at least)\b/i.test(line));
    return (this.#row === undefined || this.chunks !== this.total) && !complains;
  }

  /**
   * The last chunk. Throws a BenchError for an output that is not whole; the final line only says some of the last row with other
   * digits.
   */
  end(): ChunkLikelihood[] {
    const { total, chunks } = this;
    const few = this.#log
      .findLast((line) => /need at least \d+ tokens/.test(line))
      ?.match(/at least (\d+) tokens/)?.[1];
    if (few !== undefined)
      throw new BenchError("text-too-short", `the text has fewer than the ${few} tokens that llama-perplexity needs`, {
        hint: "take a longer text, or a smaller context",
      });
    if (this.#row === undefined || chunks !== total)
      throw new BenchError(
        "program-failed",
        `llama-perplexity ended after ${chunks} of ${total ?? "?"} chunks without its result: ${complaint(this.#log)}`,
        { hint: "the same command measures this cell again" },
      );
    return this.#flush(this.#final);
  }

  #flush(final?: Pick<PrintedRow, "perplexity" | "error">): ChunkLikelihood[] {
    const printed = this.#row;
    if (!printed) return [];
    const chunk = this.chunks - 1;
    const count = this.chunks * this.weight;
    const mean = agreed([
      [printed.mean, rounding],
      logarithm(printed.perplexity, 5e-5),
      ...(final ? [logarithm(final.perplexity, 5e-5)] : []),
    ]);
    const error = agreed([
      [printed.error, rounding],
      // Five digits of ± in the unit of the perplexity.
      ...(final ? [[final.error / Math.exp(mean), 5e-6 / Math.exp(mean)] as const] : []),
    ]);
    const squares = mean * mean + error * error * (count - 1);
    const now = { nll: count * mean, squares: count * squares };
    const own = (now.nll - this.#before.nll) / this.weight;
    const square = (now.squares - this.#before.squares) / this.weight;
    this.#before = now;
    this.#row = undefined;
    // A mean of squares is not below the square of the mean; by what the print leaves out it might be.
    return [{ chunk, mean: own, weight: this.weight, square: Math.max(square, own * own) }];
  }
}

interface PrintedRow {
  perplexity: number;
  /** Of −ln p over all chunks so far, and its standard error. */
  mean: number;
  error: number;
}

const parsed = (text: string) => (/nan/.test(text) ? Number.NaN : text.includes("inf") ? Infinity : Number(text));

/** A value and how far it may lie from that. */
type Printed = readonly [value: number, within: number];

function logarithm(perplexity: number, within: number): Printed {
  return [Math.log(perplexity), within / perplexity];
}

/** The middle of what all of them allow; where they contradict each other by a rounding, the first. */
function agreed(all: readonly Printed[]): number {
  const [[first]] = all as [Printed];
  const usable = all.filter(([value, within]) => Number.isFinite(value) && Number.isFinite(within));
  const low = Math.max(...usable.map(([value, within]) => value - within));
  const high = Math.min(...usable.map(([value, within]) => value + within));
  return Number.isFinite(first) && low <= high ? (low + high) / 2 : first;
}
