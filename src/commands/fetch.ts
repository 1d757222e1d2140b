import { stat } from "node:fs/promises";
import { definite } from "../definite.js";
import { exitCodes } from "../errors.js";
import { harmless } from "../harmless.js";
import { cachedModels } from "../models/cached.js";
import { resolveModel } from "../models/sources.js";
import { addressWithoutSecrets } from "../secrets.js";
import { say } from "../terminal.js";
import { bytes } from "../units.js";
import { type FolderOptions, foldersOf, type Surroundings } from "./command.js";
import { downloadLines } from "./downloads.js";
import { stopper, unlessStopped } from "./stop.js";

export interface FetchCommand extends Pick<FolderOptions, "modelsDir"> {
  /** Addresses of models: `hf:owner/repo:quant`, `ms:…`, `wisemodel:…`, `https://…`. */
  models: string[];
  /** Servers that hold what Hugging Face holds, asked in turn when it fails. */
  mirrors?: string[];
}

/**
 * Fetches models into the cache, where runs find them, and says where each lies. A download that was interrupted is gone on
 * with; what is there already and unchanged is not fetched again.
 */
export async function fetchCommand(asked: FetchCommand, where: Surroundings): Promise<number> {
  const { models, mirrors } = asked;
  const { stdout, stderr } = where;
  const stop = stopper(
    () => {},
    () => {},
  );
  const folders = {
    baseDir: process.cwd(),
    ...definite({ modelsDir: foldersOf(asked, where).modelsDir, mirrors }),
    ...(await downloadLines(where)),
    signal: stop.signal,
  };
  try {
    for (const model of models) {
      const found = await unlessStopped(resolveModel(model, folders), stop.signal);
      if (!found) {
        stderr.write("Stopped; the same command goes on where it ended.\n");
        return exitCodes.stopped;
      }
      const cached = (await cachedModels()).find(({ path }) => path === found.path);
      const size = bytes(cached?.bytes ?? (await stat(found.path)).size);
      const digest = cached?.sha256 === undefined ? "" : `  sha256 ${cached.sha256.slice(0, 12)}`;
      say(stdout, `${harmless(addressWithoutSecrets(model))}  ${size}${digest}\n  ${harmless(found.path)}\n`);
    }
    return exitCodes.allMeasured;
  } finally {
    stop.end();
  }
}
