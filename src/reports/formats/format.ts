import type { Run } from "../../replay/index.js";
import type { ModelCard } from "../card/card.js";
import type { Facts } from "../index.js";

/** What a format draws. */
export interface Material {
  run: Run;
  facts: Facts;
  /** With the columns, rows and figures of others that were asked for. */
  card: ModelCard;
  /** The variants that were chosen, in the order of the plan; all where none was named. */
  variants: readonly string[];
}

export interface Rendered {
  content: string | Uint8Array;
  /** What could not be told in this format, and why: sentences for the person who asked. */
  notes: string[];
}

/** A form in which a finished run goes to others. */
export interface Format {
  /** As `--format` takes it: where a program reads it, the program's own name for it. */
  name: string;
  /** For whom it is, a phrase. */
  meaning: string;
  /** Not text: it goes into a file. */
  binary?: true;
  /** Whether it shows the card's columns and rows, so that `--columns`, `--sort` and `--published` mean something. */
  ofCard?: true;
  render(drawn: Material): Rendered | Promise<Rendered>;
}
