import { BenchError } from "../errors.js";
import { addressWithoutSecrets } from "../secrets.js";
import { type ModelAddress, parseAddress } from "./addresses.js";
import { fetchedFrom } from "./download/index.js";
import { findFile, type ModelFolders } from "./local.js";
import { ollamaModel } from "./ollama-store.js";
import {
  type FetchOptions,
  fetchRemote,
  isHere,
  isKept,
  nameOf,
  type Remote,
  remoteFiles,
  versionNow,
} from "./remote.js";
import { passable, together } from "./repository.js";

export { isModelAddress, isRemote } from "./addresses.js";
export type { Fetching } from "./remote.js";

/** Where models are looked for, and what their downloads tell. */
export interface SourceFolders extends ModelFolders, FetchOptions {}

/** A model's file on this machine; of a split model the first. */
export interface FoundModel {
  path: string;
  /** The address that it came from, without secrets; absent where it was not fetched. */
  from?: string;
}

/**
 * The file that a model string means: a path (absolute, or relative to the benchmark file, then to the models' folder;
 * `.gguf` may be left out; a split model by any part or by its stem), a file or a quantization in a repository of a hub
 * (`hf:owner/repo:quant`, `ms:owner/repo:file.gguf`), `https://…`, which are downloaded into the user's cache, or what Ollama
 * keeps under a name (`ollama:NAME`). Of several addresses of one model, the first that has it.
 *
 * Throws a BenchError: `model-missing`, `model-source` (an address that is none), `model-download` or `disk`; the signal's
 * reason when it is aborted.
 */
export async function resolveModel(model: string | readonly string[], folders: SourceFolders): Promise<FoundModel> {
  const sources = await sourcesOf(model, folders);
  const here = sources.length > 1 && (await firstHere(sources, folders));
  if (here) return here;
  const faults: BenchError[] = [];
  for (const source of sources)
    try {
      const files = await source.files();
      const found = "path" in files ? files : await withOrigin(await fetchRemote(files.remote, folders));
      if (faults.length > 0) folders.warning?.(`${faults[0]!.message} ${source.shown} is used instead`);
      return found;
    } catch (error) {
      folders.signal?.throwIfAborted();
      faults.push(passable(error));
    }
  throw together(faults);
}

/** A file that is still to be fetched. */
export interface Unfetched {
  /** Without anything secret. */
  name: string;
  /** Of all its parts; absent when its server does not say. */
  bytes?: number;
}

/** What `resolveModel` would give, without fetching anything. Servers are asked for the version that they have. */
export async function locateModel(
  model: string | readonly string[],
  folders: SourceFolders,
): Promise<FoundModel | { unfetched: Unfetched }> {
  const sources = await sourcesOf(model, folders);
  const here = sources.length > 1 && (await firstHere(sources, folders));
  if (here) return here;
  const faults: BenchError[] = [];
  let unfetched: Unfetched | undefined;
  for (const source of sources)
    try {
      const files = await source.files();
      if ("path" in files) return files;
      const missing = await missingBytes(files.remote, folders);
      if (missing === 0) return await withOrigin(files.remote[0]!.target);
      unfetched ??= { name: nameOf(files.remote[0]!) };
      if (missing > 0) return { unfetched: { ...unfetched, bytes: missing } };
    } catch (error) {
      folders.signal?.throwIfAborted();
      faults.push(passable(error));
    }
  if (unfetched) return { unfetched };
  throw together(faults);
}

/** One address of a model, and what it leads to: found once. */
interface ModelSourceFiles {
  shown: string;
  files(): Promise<FoundModel | { remote: Remote[] }>;
  /** Whether it may be here, as far as this machine knows: no server is asked. */
  perhapsHere(): Promise<boolean>;
}

/** Slips in any of them are errors at once, not when the others have failed. */
async function sourcesOf(model: string | readonly string[], folders: SourceFolders): Promise<ModelSourceFiles[]> {
  return [model].flat().map((one) => {
    const address = parseAddress(one);
    let found: Promise<FoundModel | { remote: Remote[] }> | undefined;
    return {
      shown: addressWithoutSecrets(one),
      files: () => {
        found ??= filesOf(one, address, folders);
        return found;
      },
      perhapsHere: async () => address.kind === "path" || address.kind === "ollama" || isKept(one, address, folders),
    };
  });
}

async function filesOf(
  model: string,
  address: ModelAddress,
  folders: SourceFolders,
): Promise<FoundModel | { remote: Remote[] }> {
  if (address.kind === "path") return { path: await findFile(address.path, folders) };
  if (address.kind === "ollama") {
    const { model: path, adapters } = await ollamaModel(address.name);
    if (adapters.length > 0)
      throw new BenchError(
        "model-unfit",
        `ollama:${address.name} has a LoRA adapter of its own, which a file of it lacks`,
        {
          hint: `\`backend: ollama\` honours it; or name the base's file and \`lora: ${adapters[0]}\`.`,
        },
      );
    return { path };
  }
  return { remote: await remoteFiles(model, address, folders) };
}

async function firstHere(sources: ModelSourceFiles[], folders: SourceFolders): Promise<FoundModel | undefined> {
  for (const { files, perhapsHere } of sources)
    try {
      if (!(await perhapsHere())) continue;
      const found = await files();
      if ("path" in found) return found;
      if ((await missingBytes(found.remote, folders)) === 0) return await withOrigin(found.remote[0]!.target);
    } catch (error) {
      folders.signal?.throwIfAborted();
      passable(error);
    }
  return undefined;
}

/** Bytes that are not in the cache; NaN where a server does not say. */
async function missingBytes(files: readonly Remote[], folders: SourceFolders): Promise<number> {
  let missing = 0;
  for (const file of files)
    if (!(await isHere(file, folders))) missing += (await versionNow(file, folders))?.bytes ?? Number.NaN;
  return missing;
}

async function withOrigin(path: string): Promise<FoundModel> {
  const from = await fetchedFrom(path);
  return from === undefined ? { path } : { path, from };
}
