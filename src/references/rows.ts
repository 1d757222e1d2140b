import type { Windows } from "../backends/backend.js";
import type { ChunkGroup } from "../backends/chunks.js";
import type { WindowComparison } from "../kernels/comparison.js";

/** Chunks that are decoded together, and by which variants. */
export interface ComparedGroup extends ChunkGroup {
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
  /** Called often, with the number of chunks that are done, those before the first group included. */
  progress(chunks: number): void;
  /** Whether the user wants to stop; asked before every decode. */
  stopped(): Promise<boolean>;
  /** Called with each variant's windows before they decode; throws if they cannot be compared. */
  check?(variant: Windows): void;
}

/** The result of one decode of a group. */
interface Compared {
  /** Absent: the reference. */
  variant?: string;
  /** The variant's engine, or the reference's: while models take turns in memory, the one that is open. */
  engine: Windows;
  group: ComparedGroup;
  /** By window: nats per scored token, the same as without a comparison. */
  nll: Float64Array[];
  /** By window; absent for the reference. */
  against?: WindowComparison[];
}

/** A source of a reference's rows, with which those of variants are compared. */
export interface ReferenceRows {
  /** Engines of the reference and of its variants, by name; a stored reference has no engine. */
  readonly reference?: Windows;
  /** Yields every group once for each of its variants, and for the reference if that is asked for. */
  compare(request: ComparisonRequest): AsyncGenerator<Compared>;
}

/** Progress through groups that are decoded `passes` times each, from the first chunk of the first group on. */
export function through({ context, groups, progress }: ComparisonRequest, passes: ComparedGroup[]) {
  const [first, last] = [groups[0]?.before ?? 0, (groups.at(-1)?.before ?? 0) + (groups.at(-1)?.asked.length ?? 0)];
  const all = passes.reduce((sum, { windows }) => sum + windows.length * context, 0);
  let decoded = 0;
  return (tokens: number) => {
    decoded += tokens;
    progress(first + ((last - first) * decoded) / all);
  };
}
