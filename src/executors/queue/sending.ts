import { statSync } from "node:fs";
import { basename } from "node:path";
import type { VariantSpec } from "../../backends/backend.js";
import { findBackend, pathSettings } from "../../backends/index.js";
import type { Dataset } from "../../data/index.js";
import { definite } from "../../definite.js";
import { BenchError } from "../../errors.js";
import type { NamedFile, SentVariant } from "./messages.js";
import { type Parcel, parcel } from "./parcels.js";

/** A variant as plain data without paths: files by their hashes. Throws a BenchError where a worker could not open it. */
export async function sentVariant({
  name,
  backend,
  settings,
  model,
  lora = [],
  facts,
  from,
}: VariantSpec): Promise<SentVariant> {
  await checkSendable({ name, backend, settings });
  const [first] = facts?.files ?? [];
  return {
    name,
    backend,
    settings,
    model:
      facts && first !== undefined
        ? {
            file: {
              sha256: facts.sha256,
              bytes: facts.bytes,
              parts: facts.files.length,
              name: basename(first),
              // An address with a key in it is told without, and leads nowhere then.
              sources: from === undefined || from.includes("?…") ? [] : [from],
            },
          }
        : { known: model },
    lora: lora.map(({ path, sha256, scale }) => ({
      sha256,
      bytes: statSync(path).size,
      parts: 1,
      name: basename(path),
      sources: [],
      scale,
    })),
  };
}

/** Throws a BenchError for a variant that is bound to this machine. */
export async function checkSendable({
  name,
  backend,
  settings,
}: Pick<VariantSpec, "backend" | "settings"> & { name?: string }): Promise<void> {
  const which = name === undefined ? "this variant" : name;
  if (!(await findBackend(backend)).builds)
    throw new BenchError("config", `${which} runs on ${backend}, which workers of a queue do not open`, {
      hint: "measure it without --queue; several servers go by `servers:`",
    });
  const path = pathSettings(backend).find((key) => settings[key] !== undefined);
  if (path !== undefined)
    throw new BenchError(
      "config",
      `${which} has \`${path}\`, a path on this machine, which a queue's workers do not open`,
      {
        hint: "measure it without --queue",
      },
    );
}

/** Data as they are sent: their path stays here. */
export interface SentData {
  parcel: Parcel;
  /** What is read again while a model is measured goes by its hash, and workers look for it. */
  file?: NamedFile;
}

const known = new WeakMap<Dataset, Promise<SentData>>();

/** Packed once, however many requests are about them. Throws a BenchError for data that are too large to be sent. */
export function sentData(dataset: Dataset): Promise<SentData> {
  const sent = known.get(dataset) ?? packed(dataset);
  known.set(dataset, sent);
  return sent;
}

async function packed({ path, ...data }: Dataset): Promise<SentData> {
  const { sha256, bytes } = data;
  const file = data.reread ? { sha256, bytes, parts: 1, name: basename(path), sources: [] } : undefined;
  return { parcel: await parcel(data, data.name), ...definite({ file }) };
}
