import type { VariantRecord } from "../../events.js";
import { several } from "../../harmless.js";
import type { Summary } from "../../stats/summary.js";
import { absence, type Column, figureIn, joinMemory } from "../table.js";
import type { Material } from "./format.js";

/** A figure that stands, with its column and its variant. */
export interface SoundFigure {
  variant: VariantRecord;
  column: Column;
  summary: Summary;
}

/** The figures of the chosen variants, and sentences about what there is none of: what a program would read must be sound. */
export function soundFigures({ facts: { table }, variants }: Material): { figures: SoundFigure[]; notes: string[] } {
  const { columns, rows } = joinMemory(table);
  const missing = new Map<string, Set<string>>();
  const figures = rows.flatMap(({ variant, cells }) => {
    if (!variants.includes(variant.name)) return [];
    return cells.flatMap((cell, i): SoundFigure[] => {
      const column = columns[i]!;
      const measured = cell.state === "measured" && !cell.floor ? cell : undefined;
      const why = absence(cell) ?? measured?.guessed;
      if (why !== undefined) {
        const told = column.measurement === "" ? why : `${column.measurement} ${why}`;
        missing.set(told, (missing.get(told) ?? new Set()).add(variant.name));
      }
      const summary = measured?.guessed === undefined ? figureIn(measured) : undefined;
      return summary && Number.isFinite(summary.value) ? [{ variant, column, summary }] : [];
    });
  });
  return { figures, notes: Array.from(missing, ([why, names]) => `left out: ${several([...names], 4)}: ${why}`) };
}
