import { WindowComparison } from "../../kernels/comparison.js";
import { finite } from "../../kernels/rows.js";
import type { Context, Rows } from "../../llama/context.js";
import { floatsAt } from "../../llama/library.js";
import type { ScoredRow, TokenCount, WindowRequest, Windows } from "../backend.js";
import { type LlamaModel, mostSequences } from "./model.js";
import type { Tokenizer } from "./tokenizer.js";

/** One decode call of windows, its batch filled: the tokens that its rows of logits predict, and where those stand. */
interface Block {
  context: Context;
  targets: number[];
  /** Undefined for a row that is not scored. */
  places: ([window: number, row: number] | undefined)[];
  /** Tokens that were decoded. */
  tokens: number;
}

/** How windows are cut into decode calls: sequences side by side, tokens of a batch, of each window in one call. */
interface Cut {
  sequences: number;
  batch: number;
  step: number;
}

/** Windows of tokens in llama-perplexity's geometry. */
export class LlamaWindows implements Windows {
  readonly bos: number;
  readonly vocabulary: number;

  constructor(
    private readonly model: LlamaModel,
    private readonly tokens: Tokenizer,
  ) {
    this.bos = model.bos;
    this.vocabulary = model.vocabulary;
  }

  tokenize(text: string, special: boolean, parse?: boolean): Int32Array {
    return this.tokens.tokenize(text, special, parse);
  }

  measureTokens(tokens: Int32Array): TokenCount {
    return this.tokens.measureTokens(tokens);
  }

  textOf(tokens: Int32Array): string {
    return this.tokens.textOf(tokens);
  }

  parallel(context: number): number {
    return Math.min(Math.max(1, Math.floor(this.model.batch / context)), mostSequences);
  }

  async score(request: WindowRequest, progress?: (tokens: number) => void): Promise<Float64Array[]> {
    const { context: length, windows, scoreFrom } = request;
    const results = windows.map(() => new Float64Array(length - 1 - scoreFrom));
    for (const block of this.#blocks(request)) {
      const rows = this.model.decode(block.context);
      if (block.targets.length > 0) {
        const scores = this.model.scoring().score(rows.pointer, block.targets);
        for (const [i, place] of block.places.entries()) if (place) results[place[0]]![place[1]] = finite(scores[i]!);
      }
      progress?.(block.tokens);
    }
    return results;
  }

  async visit(request: WindowRequest, visit: (row: ScoredRow) => void, progress?: (tokens: number) => void) {
    const width = this.vocabulary;
    for (const { context, places, targets, tokens } of this.#blocks(request)) {
      const rows = this.model.decode(context);
      const logits = rows.count > 0 ? floatsAt(rows.pointer, rows.count * width) : undefined;
      for (const [i, place] of places.entries())
        if (place)
          visit({
            window: place[0],
            row: place[1],
            logits: logits!.subarray(i * width, (i + 1) * width),
            token: targets[i]!,
          });
      progress?.(tokens);
    }
  }

  async compare(request: WindowRequest, variants: readonly Windows[], progress?: (tokens: number) => void) {
    const { context: length, windows, scoreFrom } = request;
    const scored = length - 1 - scoreFrom;
    const results = variants.map(() => windows.map(() => new WindowComparison(scored)));
    // Another batch size of a variant must not cut the windows elsewhere: row i is the same token in all.
    const cut = this.#cut(request);
    const others = variants.map((variant) => {
      if (!(variant instanceof LlamaWindows)) throw new Error("windows of another backend have rows elsewhere");
      return variant;
    });
    const models = [this, ...others].map(({ model }) => model);
    const atOnce = Math.min(models.length, ...models.map(({ sideBySide }) => sideBySide));
    const rest = others.map((other) => other.#blocks(request, cut));
    for (const block of this.#blocks(request, cut)) {
      const contexts = [block, ...rest.map((blocks) => blocks.next().value as Block)].map(({ context }) => context);
      const [rows, ...decoded] = await decodeAll(models, contexts, atOnce);
      const { targets, places, tokens } = block;
      if (targets.length > 0) {
        const pointers = decoded.map(({ pointer }) => pointer);
        const compared = this.model.scoring(variants.length, atOnce).compare(rows!.pointer, pointers, targets);
        for (const [v, result] of results.entries())
          for (const [i, place] of places.entries()) {
            if (place) result[place[0]]!.keep(place[1], compared[v]![i]!);
          }
      }
      progress?.(tokens);
    }
    return results;
  }

  #cut({ context, windows, asTheyAre }: WindowRequest): Cut {
    // Windows that are decoded by themselves always are: nothing is held for others.
    const sequences = asTheyAre ? windows.length : Math.max(this.parallel(context), windows.length);
    const batch = Math.min(this.model.batch, sequences * context);
    return { sequences, batch, step: Math.max(1, Math.floor(this.model.ubatch / windows.length)) };
  }

  /**
   * llama-perplexity's geometry: as many windows side by side as fit a batch, each a sequence of its own with its own part
   * of the cache. llama.cpp splits such a batch of 2048 tokens into micro-batches of ⌊n_ubatch / windows⌋ tokens of every
   * window; here each of those is a decode call of its own. The computation is the same to the last bit, but the logits
   * of only one micro-batch are held at a time: 512 × vocabulary, whatever the context.
   */
  *#blocks(request: WindowRequest, { sequences, batch, step }: Cut = this.#cut(request)): Generator<Block> {
    const { context: length, windows, scoreFrom, asTheyAre } = request;
    const shape = {
      context: sequences * length,
      batch,
      ubatch: Math.min(this.model.ubatch, batch),
      sequences,
      unified: false,
    };
    const context = this.model.open(shape);
    context.clear();
    for (let batchStart = 0; batchStart < length; batchStart += batch) {
      const batchEnd = Math.min(batchStart + batch, length);
      for (let from = batchStart; from < batchEnd; from += step) {
        const to = Math.min(from + step, batchEnd);
        const targets: number[] = [];
        const places: Block["places"] = [];
        for (const [sequence, window] of windows.entries())
          for (let position = from; position < to; position++) {
            const token = position === 0 && this.bos >= 0 && !asTheyAre ? this.bos : window[position]!;
            // The last position's logits predict nothing of this window. llama-perplexity computes them all the same, and
            // the rows of one product shape each other's last digits: they are computed here too, and left out of `places`.
            const wanted = position >= scoreFrom;
            context.add(token, position, sequence, wanted);
            if (!wanted) continue;
            targets.push(position + 1 < length ? window[position + 1]! : 0);
            places.push(position + 1 < length ? [sequence, position - scoreFrom] : undefined);
          }
        yield { context, targets, places, tokens: (to - from) * windows.length };
      }
    }
  }
}

/** Computes the batch of each model, so many at a time. */
async function decodeAll(models: LlamaModel[], contexts: Context[], atOnce: number): Promise<Rows[]> {
  // What becomes resident at first is counted for each model, and the process has one count.
  if (atOnce === 1 || contexts.some(({ used }) => !used)) return models.map((model, i) => model.decode(contexts[i]!));
  const waiting = contexts.map((context, i) => ({ context, i }));
  const decoded: Rows[] = [];
  const lane = async () => {
    for (let next = waiting.shift(); next; next = waiting.shift()) decoded[next.i] = await next.context.decodeAside();
  };
  // A context must not be freed while it decodes, whatever becomes of the others.
  const ended = await Promise.allSettled(Array.from({ length: atOnce }, lane));
  for (const one of ended) if (one.status === "rejected") throw one.reason;
  return decoded;
}
