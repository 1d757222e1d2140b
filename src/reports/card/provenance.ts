import { harmless } from "../../harmless.js";
import { counted } from "../../units.js";
import type { Facts } from "../index.js";
import { inShell } from "../markup.js";
import { commandWithoutFolders, withoutFolders } from "../places.js";
import type { Row } from "../table.js";
import { askedOf } from "../task-tables.js";
import type { ModelCard } from "./card.js";
import type { Offered } from "./columns.js";

/** Engine and build, data, the machine where speed is told, the date, and the command; no folder of this machine. */
export function provenanceOf(
  { table: { started, engines, sessions } }: Pick<Facts, "table">,
  rows: readonly Row[],
  columns: readonly Offered[],
): Pick<ModelCard, "provenance" | "command"> {
  const { engine, machine, versions } = started.provenance;
  // A variant that failed had no engine.
  const had = rows.flatMap(({ variant }) => engines.get(variant.name) ?? []);
  const used = new Set(
    (had.length > 0 ? had : [{ ...engine, build: undefined }]).map(({ version, library, build }) => {
      return `${version} (${[library, ...(build === undefined ? [] : [`build ${build}`])].join(", ")})`;
    }),
  );
  const measured = new Set(
    columns.flatMap(({ metric, measurement }) => (metric && !metric.fact ? (measurement ?? []) : [])),
  );
  const jobs = started.jobs.filter(
    ({ measurement }, i, all) =>
      measured.has(measurement) && all.findIndex((one) => one.measurement === measurement) === i,
  );
  const timed = columns.some(({ metric }) => metric?.per === "repetition");
  const threads = [...new Set(rows.flatMap(({ variant }) => engines.get(variant.name)?.threads ?? []))];
  const cores = threads.length > 0 ? [threads.map((count) => counted(count, "thread")).join(" or ")] : [];
  const last = sessions.at(-1) ?? sessions[0];
  return {
    provenance: [
      `gguf-bench ${versions["gguf-bench"] ?? ""}`.trim(),
      [...used].join("; "),
      ...jobs.map((job) => `${job.measurement}: ${[job.dataset, ...askedOf(job)].filter(Boolean).join(", ")}`),
      ...(timed ? [`timed on ${[machine.cpu, ...machine.gpus, ...cores].join(", ")}`] : []),
      ...(last ? [new Date(last.at).toISOString().slice(0, 10)] : []),
    ].map((phrase) => harmless(withoutFolders(started)(phrase))),
    command: commandWithoutFolders(started)
      .map((argument) => inShell(harmless(argument)))
      .join(" "),
  };
}
