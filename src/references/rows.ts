import type { Windows } from "../backends/backend.js";
import type { WindowComparison } from "../kernels/comparison.js";

/** Chunks that are decoded together, and by which variants. */
export interface ComparedGroup {
  chunks: number[];
  /** `context` tokens for each chunk. */
  windows: Int32Array[];
  /** Names of the variants that are compared with the reference here. */
  variants: string[];
  /** Whether the reference's own likelihoods are asked for. */
  reference: boolean;
}

export interface ComparisonRequest {
  context: number;
  /** The first position whose logits predict a scored token. */
  scoreFrom: number;
  groups: ComparedGroup[];
  /** Called often, with the chunks that are through: those before the first group are. */
  progress(chunks: number): void;
  /** Whether the user wants it to end; to be asked before every decode. */
  stopped(): Promise<boolean>;
  /** Called with each variant's windows before they decode; throws if they cannot be compared. */
  check?(variant: Windows): void;
}

/** What one decode of a group gives. */
export interface Compared {
  /** Absent: the reference. */
  variant?: string;
  group: ComparedGroup;
  /** Of each window: nats per scored token, the same as without a comparison. */
  nll: Float64Array[];
  /** Of each window; of a variant. */
  against?: WindowComparison[];
}

/** Where the rows of a reference come from, that those of variants are compared with. */
export interface ReferenceRows {
  /** Engines of the reference and of its variants, by name; a stored reference has no engine. */
  readonly reference?: Windows;
  /** Yields every group once for each of its variants, and for the reference if that is asked for. */
  compare(request: ComparisonRequest): AsyncGenerator<Compared>;
}

/** Progress through groups that are decoded `passes` times in all, from the first chunk of the first on. */
export function through({ context, groups, progress }: ComparisonRequest, passes: ComparedGroup[]) {
  const [first, last] = [groups[0]?.chunks[0] ?? 0, (groups.at(-1)?.chunks.at(-1) ?? -1) + 1];
  const all = passes.reduce((sum, { windows }) => sum + windows.length * context, 0);
  let decoded = 0;
  return (tokens: number) => {
    decoded += tokens;
    progress(first + ((last - first) * decoded) / all);
  };
}
