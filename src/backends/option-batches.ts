import { type CutQuestion, cells, type OptionRequest, type Room, requestsOf, sequences } from "./option-cut.js";

/** Questions that are decoded together. */
export interface PackedQuestions {
  /** Tokens that all of them begin with, which their requests are without; the same array for all that share them. */
  start: Int32Array;
  questions: CutQuestion[];
  /** Mostly one; several for a question that has too much for one. */
  batches: OptionRequest[][];
}

/**
 * Less than this is not decoded by itself: a start of so few tokens, or one that spares so few of them. A decode of few tokens
 * reads all weights, too.
 */
const shortStart = 8;
const sparedTokens = 64;

/**
 * Packs questions into batches as they come. What a run of questions of one group begins with goes to the start of its
 * batches, and is dropped here, so that no more is held than the tokens in which questions differ.
 */
export class Packing {
  readonly packed: PackedQuestions[] = [];
  #group: string | undefined;
  #run = new Stretch();
  #apart: CutQuestion[] = [];

  constructor(private readonly room: Room) {}

  add(question: CutQuestion, group: string | undefined): void {
    if (group !== this.#group) this.#endRun();
    this.#group = group;
    this.#run.add(question);
  }

  /** All that were added, in their order. */
  end(): PackedQuestions[] {
    this.#endRun();
    this.#endApart();
    return this.packed;
  }

  #endRun(): void {
    const run = this.#run;
    this.#run = new Stretch();
    const spared = run.start.length * (run.questions.length - 1);
    // Neighbours that share nothing share batches.
    if (this.room.options === 1 || run.start.length < shortStart || spared < sparedTokens) {
      for (const question of run.whole()) this.#apart.push(question);
      return;
    }
    this.#endApart();
    this.packed.push(...packed(run.rest(), run.start, this.room));
  }

  #endApart(): void {
    this.packed.push(...packed(this.#apart, new Int32Array(0), this.room));
    this.#apart = [];
  }
}

/** Questions in a row, and what they begin with: it gets shorter with each that begins otherwise. */
class Stretch {
  readonly questions: CutQuestion[] = [];
  /** Of each request, how many tokens were cut off its prefix: so many as all before it had in common. */
  readonly #cut = new Map<OptionRequest, number>();
  #first = new Int32Array(0);
  #length = -1;

  get start(): Int32Array {
    return this.#first.subarray(0, Math.max(0, this.#length));
  }

  add(question: CutQuestion): void {
    this.questions.push(question);
    const requests = requestsOf(question);
    for (const { prefix, scoreFrom } of requests) {
      // The row that predicts the first scored token is the request's own.
      const most = Math.min(scoreFrom, prefix.length) - 1;
      if (this.#length < 0) {
        this.#first = prefix.slice(0, most);
        this.#length = most;
      }
      let length = 0;
      while (length < Math.min(this.#length, most) && prefix[length] === this.#first[length]) length++;
      this.#length = length;
    }
    for (const request of requests) this.#trim(request, this.#length);
  }

  #trim(request: OptionRequest, length: number): void {
    const before = this.#cut.get(request) ?? 0;
    const kept = request.prefix.subarray(Math.max(0, length - before));
    const prefix = new Int32Array(Math.max(0, before - length) + kept.length);
    prefix.set(this.#first.subarray(length, Math.max(length, before)));
    prefix.set(kept, prefix.length - kept.length);
    request.prefix = prefix;
    request.scoreFrom += before - length;
    this.#cut.set(request, length);
  }

  /** The questions without what all begin with. */
  rest(): CutQuestion[] {
    for (const request of this.questions.flatMap(requestsOf)) this.#trim(request, this.#length);
    return this.questions;
  }

  whole(): CutQuestion[] {
    for (const request of this.questions.flatMap(requestsOf)) this.#trim(request, 0);
    return this.questions;
  }
}

/** Questions in file order, as many to a batch as have room; one that has none in any stands alone, in several. */
function packed(all: CutQuestion[], start: Int32Array, room: Room): PackedQuestions[] {
  const found: PackedQuestions[] = [];
  let questions: CutQuestion[] = [];
  let batch: OptionRequest[] = [];
  const fits = (requests: OptionRequest[]) =>
    cells(requests) <= Math.min(room.tokens, room.most - start.length) && sequences(requests) <= room.options;
  const flush = (batches: OptionRequest[][]) => {
    if (questions.length > 0) found.push({ start, questions, batches: batches.filter(({ length }) => length > 0) });
    questions = [];
    batch = [];
  };
  for (const question of all) {
    const requests = requestsOf(question);
    if (!fits([...batch, ...requests])) flush([batch]);
    questions.push(question);
    batch.push(...requests);
    if (!fits(batch)) flush(requests.map((request) => [request]));
  }
  flush([batch]);
  return found;
}
