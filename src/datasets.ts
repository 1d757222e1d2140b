/** A text to measure likelihood on. */
export interface TextDataset {
  kind: "text";
  name: string;
  path: string;
  sha256: string;
  bytes: number;
  text: string;
  /** Set where the data differ from the card: other bytes than published, say. */
  note?: string;
}

export interface ChoiceItem {
  id: string;
  /** The text that all options continue. */
  context: string;
  options: string[];
  /** Index of the right option. */
  gold: number;
}

/** Questions with options that continue a context. */
export interface ChoiceDataset {
  kind: "choice";
  name: string;
  path: string;
  sha256: string;
  bytes: number;
  items: ChoiceItem[];
  /** Between context and option, one blank for most. */
  delimiter: string;
  note?: string;
}

export type Dataset = TextDataset | ChoiceDataset;
