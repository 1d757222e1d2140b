import type { Windows } from "../backends/backend.js";
import { throughGroup } from "../backends/chunks.js";
import type { ReferenceRows } from "./rows.js";

/** Reference and variants are all in memory and decode the same chunks side by side: no row is kept. */
export function liveRows(reference: Windows, variants: ReadonlyMap<string, Windows>): ReferenceRows {
  return {
    reference,
    async *compare({ context, scoreFrom, groups, progress, stopped, check }) {
      for (const name of new Set(groups.flatMap(({ variants }) => variants))) check?.(variants.get(name)!);
      for (const group of groups) {
        if (await stopped()) return;
        let decoded = 0;
        const tell = (tokens: number) => {
          decoded += tokens;
          progress(throughGroup(group, decoded, context));
        };
        const request = { context, windows: group.windows, scoreFrom };
        const names = group.variants;
        if (names.length === 0) {
          yield { engine: reference, group, nll: await reference.score(request, tell) };
          continue;
        }
        const compared = await reference.compare(
          request,
          names.map((name) => variants.get(name)!),
          tell,
        );
        for (const [i, variant] of names.entries()) {
          const against = compared[i]!;
          yield { variant, engine: variants.get(variant)!, group, nll: against.map(({ nll }) => nll), against };
        }
        if (group.reference)
          yield { engine: reference, group, nll: compared[0]!.map(({ nllReference }) => nllReference) };
      }
    },
  };
}
