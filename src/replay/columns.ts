import { definite } from "../definite.js";
import type { ItemFacts, Sample } from "../events.js";

/** The value of one metric that one item gave. */
export type ItemSample = Omit<Sample, "metric"> & { item: string };

/** The samples of one metric of a job: lists that grow while it is being measured, arrays once it is done. */
export class MetricColumn {
  #growing: GrowingColumn | undefined = { places: [], values: [], weights: [], squares: [] };
  #sealed: SealedColumn | undefined;

  get length(): number {
    return (this.#growing ?? this.#sealed)!.values.length;
  }

  push(place: number, { value, weight, square }: Sample): void {
    const { places, values, weights, squares } = this.#growing!;
    places.push(place);
    // A file holds NaN as null.
    values.push(value ?? Number.NaN);
    weights.push(weight);
    squares.push(square ?? Number.NaN);
  }

  /** Forgets what is at a place; returns how many samples are left. */
  drop(place: number): number {
    const lists = this.#growing!;
    const at = lists.places.indexOf(place);
    if (at >= 0) for (const list of [lists.places, lists.values, lists.weights, lists.squares]) list.splice(at, 1);
    return this.length;
  }

  seal(): void {
    if (!this.#growing) return;
    const { places, values, weights, squares } = this.#growing;
    const [first = 1] = weights;
    this.#sealed = {
      places: places.every((place, i) => place === i) ? undefined : Int32Array.from(places),
      values: values.every((value) => value === 0 || value === 1) ? Uint8Array.from(values) : Float64Array.from(values),
      weights: weights.every((weight) => weight === first) ? first : Float64Array.from(weights),
      squares: squares.every(Number.isNaN) ? undefined : Float64Array.from(squares),
    };
    this.#growing = undefined;
  }

  /** Makes a sealed column one that can grow. */
  open(): void {
    if (!this.#sealed) return;
    const { places, weights, squares } = this.#sealed;
    const values = Array.from(this.#sealed.values);
    this.#growing = {
      places: Array.from(places ?? values.keys()),
      values,
      weights: typeof weights === "number" ? values.map(() => weights) : Array.from(weights),
      squares: squares ? Array.from(squares) : values.map(() => Number.NaN),
    };
    this.#sealed = undefined;
  }

  samples(items: readonly string[]): ItemSample[] {
    const { places, values, weights, squares } = (this.#growing ?? this.#sealed)!;
    const samples: ItemSample[] = [];
    for (let i = 0; i < values.length; i++) {
      const square = squares?.[i] ?? Number.NaN;
      const item = items[places?.[i] ?? i]!;
      const weight = typeof weights === "number" ? weights : weights[i]!;
      const value = values[i]!;
      samples.push(Number.isNaN(square) ? { item, value, weight } : { item, value, weight, square });
    }
    return samples;
  }
}

interface GrowingColumn {
  /** Places in the list of items, ascending but for what was measured twice. */
  places: number[];
  values: number[];
  weights: number[];
  /** NaN where there is none. */
  squares: number[];
}

interface SealedColumn {
  /** Absent where they are 0, 1, 2 … */
  places: Int32Array | undefined;
  values: Float64Array | Uint8Array;
  /** One for all where they are alike. */
  weights: Float64Array | number;
  squares: Float64Array | undefined;
}

/** What a model answered to one question, as indices of its options. */
export interface OptionAnswer extends Pick<ItemFacts, "prediction" | "gold" | "scores" | "order"> {
  item: string;
}

/** The answers of a job, by place: a few bytes a question once it is done. */
export class AnswerColumns {
  readonly #predictions: IndexColumn = [];
  readonly #golds: IndexColumn = [];
  readonly #orders: (number[] | undefined)[] = [];
  #growing: (number[] | undefined)[] | undefined = [];
  /** All scores in a row, and where those of each place end. */
  #sealed: { scores: Float32Array; ends: Int32Array } | undefined;

  put(place: number, { prediction, gold, scores, order }: Omit<OptionAnswer, "item">): void {
    // Most items are no questions.
    if ((prediction ?? gold ?? scores) === undefined && place >= this.#predictions.length) return;
    this.#open();
    this.#predictions[place] = prediction;
    this.#golds[place] = gold;
    if (order || place < this.#orders.length) this.#orders[place] = order;
    this.#growing![place] = scores;
  }

  seal(): void {
    if (!this.#growing) return;
    const rows = Array.from(this.#growing);
    let end = 0;
    const ends = Int32Array.from(rows, (row) => (end += row?.length ?? 0));
    // A file holds NaN as null.
    const scores = Float32Array.from(rows.flatMap((row) => row?.map((score) => score ?? Number.NaN) ?? []));
    this.#sealed = { scores, ends };
    this.#growing = undefined;
  }

  list(items: readonly string[]): OptionAnswer[] {
    return items.flatMap((item, place) => {
      const [prediction, gold, scores] = [this.#predictions[place], this.#golds[place], this.#scoresAt(place)];
      if ((prediction ?? gold ?? scores) === undefined) return [];
      return [definite({ item, prediction, gold, scores, order: this.#orders[place] })];
    });
  }

  #scoresAt(place: number): number[] | undefined {
    if (this.#growing) return this.#growing[place];
    const { scores, ends } = this.#sealed!;
    const own = scores.subarray(ends[place - 1] ?? 0, ends[place]);
    return own.length > 0 ? Array.from(own) : undefined;
  }

  #open(): void {
    if (!this.#sealed) return;
    this.#growing = Array.from(this.#sealed.ends, (_, place) => this.#scoresAt(place));
    this.#sealed = undefined;
  }
}

type IndexColumn = (number | undefined)[];
