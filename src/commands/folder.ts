import fs from "node:fs";
import path from "node:path";
import { sha256 } from "../digest.js";
import { BenchError } from "../errors.js";
import { harmless } from "../harmless.js";
import { isAddress } from "../models/folder.js";
import type { Plan } from "../plan/index.js";
import { reportNames } from "../reports/index.js";
import { isLocked } from "../store/index.js";
import { nearest } from "../yaml.js";
import type { Surroundings } from "./command.js";

/** Where the folders of runs lie, unless `--out` names another place. */
export const runsFolder = "reports";

/** The folders of runs there, by their names in order. */
export function runFolders(): string[] {
  if (!fs.existsSync(runsFolder)) return [];
  return fs
    .readdirSync(runsFolder)
    .sort()
    .filter((name) => fs.existsSync(path.join(runsFolder, name, "events.jsonl")));
}

/** Throws where a folder holds no run though others do, and asks which was meant. A file may be a baseline. */
export function checkRun(named: string): void {
  const known = runFolders();
  const isThere = fs.existsSync(path.join(named, "events.jsonl"));
  if (isThere || known.length === 0 || fs.statSync(named, { throwIfNoEntry: false })?.isFile()) return;
  throw new BenchError("run-missing", `${named} holds no run: there is no events.jsonl`, {
    hint: nearest(path.basename(named), known, (name) => path.join(runsFolder, name)),
  });
}

/** The run that a command is about: the one that is named, else the latest, and then it says which. Throws a BenchError. */
export function runOf(named: string | undefined, { stderr }: Pick<Surroundings, "stderr">): string {
  if (named !== undefined) {
    checkRun(named);
    sayIfMeasured(named, { stderr });
    return named;
  }
  const [latest] = runFolders()
    .map((name) => path.join(runsFolder, name))
    .map((folder) => ({ folder, at: fs.statSync(path.join(folder, "events.jsonl")).mtimeMs }))
    .sort((a, b) => b.at - a.at);
  if (!latest)
    throw new BenchError("nothing-run", `there is no run in ${runsFolder}/`, {
      hint: "name the folder of one, or measure something first: gguf-bench run",
    });
  stderr.write(`${harmless(latest.folder)}, the latest run:\n`);
  sayIfMeasured(latest.folder, { stderr });
  return latest.folder;
}

/** A run that is not finished looks like one that was stopped. */
export function sayIfMeasured(folder: string, { stderr }: Pick<Surroundings, "stderr">): void {
  if (isLocked(folder))
    stderr.write(`${harmless(folder)} is being measured now by another process; this is what it has so far:\n`);
}

/** Throws a BenchError where the tables of a run would be written over files that no run made. */
export function checkPlace(folder: string): void {
  const isThere = (name: string) => fs.existsSync(path.join(folder, name));
  if (["events.jsonl", "tokens"].some(isThere)) return;
  const taken = reportNames.find(isThere);
  if (taken !== undefined)
    throw new BenchError("folder", `${folder} holds no run, but ${taken}, which the tables of one would replace`, {
      hint: "name another folder with --out, or move that away",
    });
}

/** Removes the folder of a run in which nothing was measured: what lies there besides stays, and the folder then, too. */
export function forget(folder: string): void {
  fs.rmSync(path.join(folder, "events.jsonl"), { force: true });
  for (const place of [path.join(folder, "tokens"), folder, path.dirname(folder)])
    try {
      fs.rmdirSync(place);
    } catch {
      return;
    }
}

/**
 * The folder of a question that has no file: named by the day and what is measured, `2026-11-25-1518-model-F16+3-perplexity-2a8d90d7`.
 * The digits at its end are those of the question, so the same command finds its folder again, whenever it comes.
 */
export function folderOfQuestion(plan: Plan, reference: string | undefined, now = new Date()): string {
  const key = questionOf(plan, reference);
  const known = runFolders().findLast((name) => name.endsWith(`-${key}`));
  if (known !== undefined) return path.join(runsFolder, known);
  const [first, ...others] = plan.variants.map(({ name }) => name);
  const count = others.length > 0 ? `+${others.length}` : "";
  const measurements = [...new Set(plan.jobs.map(({ record }) => record.measurement))];
  const shard = plan.shard ? [`${plan.shard.part}-of-${plan.shard.of}`] : [];
  const parts = [stamp(now), `${short(first ?? "")}${count}`, short(measurements.join("+")), ...shard, key];
  return path.join(runsFolder, parts.filter((part) => part !== "").join("-"));
}

/** Local time, to the minute. */
function stamp(now: Date): string {
  const two = (value: number) => String(value).padStart(2, "0");
  const day = [now.getFullYear(), two(now.getMonth() + 1), two(now.getDate())].join("-");
  return `${day}-${two(now.getHours())}${two(now.getMinutes())}`;
}

/** Characters that need no quotation marks in a shell, from the end of a path or of an address. */
const short = (name: string) =>
  name
    .replace(/^.*\//, "")
    .replace(/[^\p{L}\p{N}._+-]+/gu, "-")
    .replace(/^[-.]+|[-.]+$/g, "")
    .slice(0, 40);

/** Digest of the models and what is asked of them. Models count by their names, for one may be still to be fetched. */
function questionOf({ jobs, variants, shard }: Plan, reference: string | undefined): string {
  const models = variants.map(({ name, model, backend, settings }) => {
    return [name, isAddress(model) ? model : path.resolve(model), backend, settings];
  });
  const asked = jobs.map(({ record }) => {
    const { variant, measurement, kind, settings, askedSha256 } = record;
    return [variant, measurement, kind, settings, askedSha256];
  });
  // An adapter is named by its path as well as by its bytes.
  const named = (key: string, value: unknown) => (key === "sha256" ? undefined : value);
  return sha256(JSON.stringify([models, asked, reference, ...(shard ? [shard] : [])], named)).slice(0, 8);
}
