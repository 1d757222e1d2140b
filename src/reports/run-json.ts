import { definite } from "../definite.js";
import { harmlessJson } from "../harmless.js";
import type { Table } from "./table.js";

/** Where every figure comes from, for machines: models, engine, machine, data, settings, command. */
export function runJson(table: Table): string {
  const { started, sessions, engines } = table;
  const { type: _, at: __, provenance, ...plan } = started;
  const iso = (at: number) => new Date(at).toISOString();
  const record = {
    name: plan.name,
    sessions: sessions.map((session) => ({ ...session, at: iso(session.at) })),
    ...provenance,
    ...definite({ shard: plan.shard }),
    variants: plan.variants.map((variant) => ({ ...variant, opened: engines.get(variant.name) })),
    measurements: plan.measurements,
    jobs: plan.jobs,
    notes: notesOf(table),
  };
  return `${harmlessJson(record, 2)}\n`;
}

/** Notes of each figure by itself: tables for people say them once for all. */
function notesOf({ rows, columns }: Table) {
  return rows.flatMap(({ variant, cells }) =>
    cells.flatMap((cell, i) => {
      if (cell.state !== "measured") return [];
      const { measurement, metric } = columns[i]!;
      const { broken } = cell.summary;
      const notes = [
        ...(broken === undefined ? [] : [broken]),
        ...cell.notes.map(({ text, detail }) => detail ?? text),
      ];
      return notes.length > 0 ? [{ variant: variant.name, measurement, metric: metric.name, notes }] : [];
    }),
  );
}
