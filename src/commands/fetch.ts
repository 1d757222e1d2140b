import { stat } from "node:fs/promises";
import { createInterface } from "node:readline/promises";
import { dataHere, type FetchCard, fetchData, findFetchable, needsAcceptance } from "../data/fetch/index.js";
import { definite } from "../definite.js";
import { BenchError, exitCodes } from "../errors.js";
import { harmless } from "../harmless.js";
import { cachedModels } from "../models/cached.js";
import { isModelAddress, resolveModel, type SourceFolders } from "../models/sources.js";
import { addressWithoutSecrets } from "../secrets.js";
import { say } from "../terminal.js";
import { bytes } from "../units.js";
import { type FolderOptions, foldersOf, type Surroundings } from "./command.js";
import { downloadLines } from "./downloads.js";
import { stopper, unlessStopped } from "./stop.js";

export interface FetchCommand extends FolderOptions {
  /** Addresses of models (`hf:owner/repo:quant`, `ms:…`, `wisemodel:…`, `https://…`), and names of datasets. */
  wanted: string[];
  /** Servers that hold what Hugging Face holds, asked in turn when it fails. */
  mirrors?: string[];
  /** Of all data that are asked for, whatever it is. */
  acceptLicence?: boolean;
}

/**
 * Fetches models into the cache and data into the data directory, where runs find them, and says where each lies. A download that
 * was interrupted is gone on with; what is there already and unchanged is not fetched again.
 */
export async function fetchCommand(asked: FetchCommand, where: Surroundings): Promise<number> {
  const { wanted, mirrors } = asked;
  const { dataDir, modelsDir } = foldersOf(asked, where);
  const stop = stopper(
    () => {},
    () => {},
  );
  const folders = {
    baseDir: process.cwd(),
    ...definite({ dataDir, modelsDir, mirrors }),
    ...(await downloadLines(where)),
    signal: stop.signal,
  };
  try {
    for (const one of wanted) {
      const isModel = isModelAddress(one);
      const fetching = isModel ? fetchModel(one, folders, where) : fetchDataset(one, folders, asked, where);
      if (await unlessStopped(fetching, stop.signal)) continue;
      // What is half unpacked is taken away first.
      if (!isModel) await fetching.catch(() => {});
      where.stderr.write("Stopped; the same command goes on where it ended.\n");
      return exitCodes.stopped;
    }
    return exitCodes.allMeasured;
  } finally {
    stop.end();
  }
}

async function fetchModel(model: string, folders: SourceFolders, { stdout }: Surroundings): Promise<true> {
  const found = await resolveModel(model, folders);
  const cached = (await cachedModels()).find(({ path }) => path === found.path);
  const size = bytes(cached?.bytes ?? (await stat(found.path)).size);
  const digest = cached?.sha256 === undefined ? "" : `  sha256 ${cached.sha256.slice(0, 12)}`;
  say(stdout, `${harmless(addressWithoutSecrets(model))}  ${size}${digest}\n  ${harmless(found.path)}\n`);
  return true;
}

async function fetchDataset(
  named: string,
  folders: SourceFolders & { dataDir?: string },
  { acceptLicence }: FetchCommand,
  where: Surroundings,
): Promise<true> {
  const { dataDir } = folders;
  const { card, path } = await findFetchable(named, folders);
  const shown = `${card.name}  ${harmless(card.licence, { length: 120 })}`;
  if (path !== undefined) {
    say(where.stdout, `${shown}  ${bytes((await stat(path)).size)}\n  ${harmless(path)}\n`);
    return true;
  }
  let here = await dataHere(card, dataDir);
  if (!here) {
    if (needsAcceptance(card) && !acceptLicence) await accept(card, where, folders.signal);
    here = await fetchData(card, dataDir, folders);
  }
  const files = `${here.files} ${here.files === 1 ? "file" : "files"}`;
  say(where.stdout, `${shown}  ${files}, ${bytes(here.bytes)}\n  ${harmless(here.folder)}\n`);
  return true;
}

/** Asks in the terminal. Throws a BenchError `dataset-licence` where there is none, and for every answer but yes. */
async function accept(card: FetchCard, { stdin, stderr }: Surroundings, signal?: AbortSignal): Promise<void> {
  const licence = `the data of ${card.name} are not free for every use. Licence: ${harmless(card.licence, { length: 120 })}`;
  const hint = "With --accept-licence you accept it, and they are fetched";
  if (!stdin?.isTTY || !stderr.isTTY) throw new BenchError("dataset-licence", licence, { hint });
  stderr.write(
    `${licence.charAt(0).toUpperCase()}${licence.slice(1)}\n  ${harmless(card.title)}\n  ${harmless(card.source)}\n`,
  );
  const terminal = createInterface({ input: stdin, output: stderr });
  try {
    const answer = await terminal.question("Do you accept it? [y/N] ", definite({ signal }));
    if (/^\s*y(es)?\s*$/i.test(answer)) return;
  } finally {
    terminal.close();
  }
  throw new BenchError("dataset-licence", `the licence of ${card.name} was not accepted: nothing was fetched`, {
    hint,
  });
}
