import type { Windows } from "../backends/backend.js";
import { throughGroup } from "../backends/chunks.js";
import { WindowComparison } from "../kernels/comparison.js";
import type { StoredReference } from "./reference.js";
import type { ReferenceRows } from "./rows.js";

/** The rows of a file, for one variant. `variant` decodes all groups, by whatever name they call it. */
export function storedRows(reference: StoredReference, variant: Windows): ReferenceRows {
  return {
    async *compare({ context, scoreFrom, groups, progress, stopped, check }) {
      check?.(variant);
      for (const group of groups) {
        if (await stopped()) return;
        const { chunks, windows, variants } = group;
        const against = windows.map(() => new WindowComparison(context - 1 - scoreFrom, reference.head.metrics.length));
        let decoded = 0;
        await variant.visit(
          { context, windows, scoreFrom },
          ({ window, row, logits, token }) =>
            against[window]!.keep(row, reference.compare(chunks[window]!, row, logits, token)),
          (tokens) => {
            decoded += tokens;
            progress(throughGroup(group, decoded, context));
          },
        );
        for (const name of variants)
          yield { variant: name, engine: variant, group, nll: against.map(({ nll }) => nll), against };
      }
    },
  };
}
