/** A table for a model card as plain data: formats draw it, and nothing of it is escaped yet. */
export interface ModelCard {
  /** What names have in common and the first column leaves out: `SmolLM2-….gguf`. */
  files?: string;
  columns: CardColumn[];
  rows: CardRow[];
  /** What the columns mean: whole sentences. */
  legend: string[];
  /** What the marks say, and what is left out and why: a sentence each. */
  notes: string[];
  /** Where the figures come from: phrases of one line, the command apart. */
  provenance: string[];
  command: string;
  /** Figures that others published beside those that were measured here. */
  published: BesideTable[];
}

export interface CardColumn {
  /** As `--columns` and `--sort` take it. */
  name: string;
  /** `PPL ↓`, `size MB` */
  head: string;
  align: "left" | "right";
  /** Which end comes first when rows are sorted by it. */
  better: "lower" | "higher" | "neither";
}

export interface CardRow {
  variant: string;
  /** The name of the file that was measured. */
  file?: string;
  quant?: string;
  /** One per column. */
  cells: CardCell[];
}

/** `text` is for people, in the unit of the head; the numbers are in `unit`. */
export interface CardCell {
  text: string;
  /** The ± of `text`, where it is told. */
  plusMinus?: string;
  /** In place of a ±, of all or none of some answers: where the 95 % interval ends, `≥ 91`. */
  end?: string;
  /** `†`, whose meaning is among the card's notes; with a blank before it. */
  marks?: string;
  /** Absent where there is nothing to tell; `text` then says why in a word, or is empty. */
  value?: number;
  error?: number;
  low?: number;
  high?: number;
  n?: number;
  unit?: string;
}

/** `27.1 ± 1.5`, `100 (≥ 91)`; `blank`: one that breaks no line, perhaps. */
export const figureWithError = ({ text, plusMinus, end }: CardCell, blank = " "): string =>
  plusMinus !== undefined
    ? `${text}${blank}±${blank}${plusMinus}`
    : end !== undefined
      ? `${text}${blank}(${end.replace(" ", blank)})`
      : text;

/** Measured and published figures of the same things, two lines a row. */
export interface BesideTable {
  title: string;
  source: { title: string; url: string; revision?: string | undefined };
  heads: string[];
  rows: { name: string; measured: string[]; published: string[] }[];
  notes: string[];
}
