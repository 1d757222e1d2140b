import { finite, type RowComparison } from "./rows.js";

/** Comparisons of all scored positions of a window. */
export class WindowComparison {
  readonly nll: Float64Array;
  readonly nllReference: Float64Array;
  readonly top: Int32Array;
  readonly topReference: Int32Array;
  /** One array for each of the source's metrics. */
  readonly divergence: Float64Array[];

  constructor(tokens: number, metrics = 1) {
    this.nll = new Float64Array(tokens);
    this.nllReference = new Float64Array(tokens);
    this.top = new Int32Array(tokens);
    this.topReference = new Int32Array(tokens);
    this.divergence = Array.from({ length: metrics }, () => new Float64Array(tokens));
  }

  /** Throws if a model's log-probability is no number. */
  keep(row: number, { nll, nllReference, top, topReference, divergence }: RowComparison): void {
    this.nll[row] = finite(nll);
    this.nllReference[row] = finite(nllReference);
    this.top[row] = top;
    this.topReference[row] = topReference;
    for (const [i, value] of divergence.entries()) this.divergence[i]![row] = value;
  }
}
