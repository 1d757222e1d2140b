import { harmlessJson } from "../harmless.js";
import type { Table } from "./table.js";

/** Where every figure comes from, for machines: models, engine, machine, data, settings, command. */
export function runJson({ started, sessions, engines }: Table): string {
  const { type: _, at: __, provenance, ...plan } = started;
  const iso = (at: number) => new Date(at).toISOString();
  const record = {
    name: plan.name,
    sessions: sessions.map((session) => ({ ...session, at: iso(session.at) })),
    ...provenance,
    variants: plan.variants.map((variant) => ({ ...variant, opened: engines.get(variant.name) })),
    measurements: plan.measurements,
    jobs: plan.jobs,
  };
  return `${harmlessJson(record, 2)}\n`;
}
