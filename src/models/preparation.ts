import { definite } from "../definite.js";
import { type Adapter, type AdapterSource, fetchAdapter, locateAdapter, readAdapter } from "./adapters.js";
import { markUsed } from "./cached.js";
import { type ModelFacts, readModelFacts } from "./gguf.js";
import { locateQuantization, makeQuantization, type Quantizing } from "./quantize.js";
import { locateModel, resolveModel, type SourceFolders, type Unfetched } from "./sources.js";

/** Which model a variant is made of. */
export interface ModelSource {
  /** Path, URI, or the name by which a server knows it. */
  model: string;
  /** Other addresses of the same model, tried in turn where the first does not have it. */
  elsewhere?: readonly string[];
  /** Made from the model when first asked for, and kept in the user's cache. */
  quantize?: { type: string; imatrix?: string };
  lora?: AdapterSource[];
}

/** The work to do before a variant can be opened. */
export type Missing =
  | ({ kind: "fetch" } & Unfetched)
  /** `damaged`: the cache has one, whose bytes are no longer those that were written. */
  | { kind: "quantize"; type: string; damaged: boolean; notes: string[] };

/** A variant's model as far as it is here. */
export type Located =
  | {
      state: "ready";
      model: string;
      /** Absent where a server tells nothing of the file. */
      facts?: ModelFacts;
      lora: Adapter[];
      /** Digest of what decides the weights: of the file's bytes, or of all that a quantization is made from. */
      weights: string;
      /** The address that the model came from, without secrets; absent where it was not fetched. */
      from?: string;
    }
  | {
      state: "missing";
      missing: Missing[];
      /** With `lora`, where only a quantization is missing: all that decides its bytes is here. */
      weights?: string;
      lora?: Adapter[];
    };

export interface PreparationFolders extends SourceFolders {
  quantizing?: (state: Quantizing) => void;
  /** Only fetches: what is to be quantized of it is another step. */
  fetchOnly?: boolean;
}

const matrixOf = (folders: SourceFolders) => ({ ...folders, expect: "matrix" as const });

/** Finds a variant's files and reads what they say of themselves. Fetches and makes nothing. Throws a BenchError that says why it cannot. */
export async function locateVariant(source: ModelSource, folders: SourceFolders): Promise<Located> {
  const { model, elsewhere = [], quantize, lora = [] } = source;
  const base = await locateModel([model, ...elsewhere], folders);
  const matrix = quantize?.imatrix === undefined ? undefined : await locateModel(quantize.imatrix, matrixOf(folders));
  const adapters = await Promise.all(lora.map((one) => locateAdapter(one, folders)));
  const missing = [base, ...(matrix ? [matrix] : []), ...adapters].flatMap((one): Missing[] =>
    "unfetched" in one ? [{ kind: "fetch", ...one.unfetched }] : [],
  );
  if ("unfetched" in base || missing.length > 0) return { state: "missing", missing };

  const facts = await readModelFacts(base.path);
  const origin = definite({ from: base.from });
  await markUsed(base.path);
  const read = await Promise.all(
    adapters.flatMap((one, i) => ("path" in one ? readAdapter(lora[i]!, one.path, facts) : [])),
  );
  const made =
    quantize &&
    (await locateQuantization(base.path, {
      type: quantize.type,
      ...(matrix && "path" in matrix ? { imatrix: matrix.path } : {}),
    }));
  if (!made) return { state: "ready", model: base.path, facts, lora: read, weights: facts.sha256, ...origin };
  const { recipe: weights, damaged, notes } = made;
  if (!made.facts)
    return {
      state: "missing",
      missing: [{ kind: "quantize", type: quantize.type, damaged, notes }],
      weights,
      lora: read,
    };
  await markUsed(made.path);
  const all = [...(made.facts.notes ?? []), ...notes];
  const noted = { ...made.facts, ...(all.length > 0 ? { notes: all } : {}) };
  return { state: "ready", model: made.path, facts: noted, lora: read, weights, ...origin };
}

/** Fetches and makes what a variant's model lacks. Throws a BenchError, or the signal's reason when it is aborted. */
export async function prepareVariant(source: ModelSource, folders: PreparationFolders): Promise<void> {
  const { model, elsewhere = [], quantize, lora = [] } = source;
  const { path } = await resolveModel([model, ...elsewhere], folders);
  const imatrix =
    quantize?.imatrix === undefined ? undefined : (await resolveModel(quantize.imatrix, matrixOf(folders))).path;
  for (const one of lora) await fetchAdapter(one, folders);
  if (!quantize || folders.fetchOnly) return;
  const quantization = { type: quantize.type, ...definite({ imatrix }) };
  const cached = await locateQuantization(path, quantization);
  folders.signal?.throwIfAborted();
  if (!cached || cached.facts) return;
  if (cached.damaged) folders.warning?.(`its ${quantize.type} file in the cache is damaged and is made anew`);
  await makeQuantization(path, cached, quantization, folders);
}
