import type { Windows } from "../backends/backend.js";
import { WindowComparison } from "../kernels/comparison.js";
import { finite, simdComparer, simdScorer } from "../kernels/rows.js";
import { LogitsFile } from "./logits-file.js";
import { type ComparedGroup, type ReferenceRows, through } from "./rows.js";

interface ScratchOptions {
  /** The reference, which is open now. */
  reference: Windows;
  /** Opens a variant, or the reference; the engine that was open before is closed. */
  open(variant?: string): Promise<Windows>;
  folder: string;
  /** Bytes that the file may take. */
  limit?: number;
}

/**
 * One model is in memory at a time: the reference decodes as many chunks as a temporary file has room for, then each variant
 * decodes the same chunks and is compared with the file row by row. The file holds the logits as they are, so the figures are
 * those of live rows.
 */
export function scratchRows({ reference, open, folder, limit }: ScratchOptions): ReferenceRows {
  return {
    reference,
    async *compare(request) {
      const { context, scoreFrom, groups, stopped, check } = request;
      const perChunk = context - 1 - scoreFrom;
      const names = [...new Set(groups.flatMap(({ variants }) => variants))];
      const wanted = (name: string) => (group: ComparedGroup) => group.variants.includes(name);
      const tell = through(request, [groups, ...names.map((name) => groups.filter(wanted(name)))].flat());
      const { vocabulary } = reference;
      const [compare, score] = [simdComparer(vocabulary), simdScorer(vocabulary)];
      const checked = new Set<string>();
      const file = new LogitsFile(folder, vocabulary, limit);
      try {
        for (const block of blocksOf(groups, Math.floor(file.rows / perChunk))) {
          const place = new Map(block.flatMap(({ chunks }) => chunks).map((chunk, i) => [chunk, i * perChunk]));
          const first = await open();
          for (const group of block) {
            if (await stopped()) return;
            const { chunks, windows } = group;
            const nll = windows.map(() => new Float64Array(perChunk));
            await first.visit(
              { context, windows, scoreFrom },
              ({ window, row, logits, token }) => {
                if (group.variants.length > 0) file.write(place.get(chunks[window]!)! + row, logits);
                if (group.reference) nll[window]![row] = finite(score(logits, token));
              },
              tell,
            );
            if (group.reference) yield { engine: first, group, nll };
          }
          for (const variant of names) {
            const left = block.filter(wanted(variant));
            if (left.length === 0) continue;
            const own = await open(variant);
            if (!checked.has(variant)) check?.(own);
            checked.add(variant);
            for (const group of left) {
              if (await stopped()) return;
              const { chunks, windows } = group;
              const against = windows.map(() => new WindowComparison(perChunk));
              await own.visit(
                { context, windows, scoreFrom },
                ({ window, row, logits, token }) => {
                  const [found] = compare(file.read(place.get(chunks[window]!)! + row), [logits], token);
                  against[window]!.keep(row, found!);
                },
                tell,
              );
              yield { variant, engine: own, group, nll: against.map(({ nll }) => nll), against };
            }
          }
        }
      } finally {
        file.close();
      }
    },
  };
}

/** Cuts the groups into runs of at most so many chunks, each of at least one group. */
function blocksOf(groups: ComparedGroup[], most: number): ComparedGroup[][] {
  const blocks: ComparedGroup[][] = [];
  let chunks = 0;
  for (const group of groups) {
    chunks += group.chunks.length;
    if (blocks.length > 0 && chunks <= most) blocks.at(-1)!.push(group);
    else {
      blocks.push([group]);
      chunks = group.chunks.length;
    }
  }
  return blocks;
}
