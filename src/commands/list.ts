import fs from "node:fs";
import path from "node:path";
import { backendNames } from "../backends/index.js";
import { shippedBenchmark, shippedBenchmarks } from "../benchmark/index.js";
import { describeTask, readDatasets } from "../data/index.js";
import { definite } from "../definite.js";
import { exitCodes } from "../errors.js";
import { several } from "../harmless.js";
import { type Run, replay, timingOf } from "../replay/index.js";
import { isLocked, readEvents } from "../store/index.js";
import { say } from "../terminal.js";
import { counted } from "../units.js";
import { type FolderOptions, foldersOf, type Surroundings } from "./command.js";
import { datasetLines, section } from "./dataset.js";
import { runFolders, runsFolder } from "./folder.js";

export interface ListCommand extends Pick<FolderOptions, "dataDir"> {
  /** A dataset's name or folder, or a file of tasks: what there is to choose from in it. */
  dataset?: string;
}

/** Lists runs, benchmark files, datasets and backends; or the splits, styles and subjects of one dataset. */
export async function listCommand(asked: ListCommand, where: Surroundings): Promise<number> {
  const { dataDir } = foldersOf(asked, where);
  if (asked.dataset !== undefined) {
    say(where.stdout, (await datasetLines(asked.dataset, dataDir)).join("\n"));
    return exitCodes.allMeasured;
  }
  const { found, broken } = await readDatasets(definite({ dataDir }));
  const lines = [
    ...section(`Runs (${runsFolder}/)`, runFolders().map(told)),
    ...section("Benchmark files (gguf-bench run NAME)", benchmarkFiles()),
    ...section("Datasets (gguf-bench fetch NAME, where one is not here)", [
      ...found.flatMap(({ card, path: file }) => {
        const told = describeTask(card);
        const place = [card.name, card.kind, file ? `at ${file}` : `not here; ${card.source}`];
        return told === "" ? [place] : [place, ["", "", told]];
      }),
      ...broken.map(({ name, fault }) => [name, "broken", fault.message]),
    ]),
    ...section(
      "Backends",
      backendNames.map((name) => [name]),
    ),
  ];
  say(where.stdout, lines.join("\n"));
  return exitCodes.allMeasured;
}

/** A run with its state, when it was last planned, and its variants. */
function told(name: string): string[] {
  try {
    const run = replay(readEvents(path.join(runsFolder, name)));
    const { plan, jobs } = run;
    if (!plan) return [name, "", "empty", ""];
    const states = plan.jobs.map(({ id }) => jobs.get(id)!.state);
    const possible = states.filter((state) => state !== "impossible").length;
    const [done, failed] = ["done", "failed"].map((wanted) => states.filter((state) => state === wanted).length);
    const parts = [
      ...(isLocked(path.join(runsFolder, name)) ? ["running now"] : []),
      done === possible ? "complete" : `${done} of ${counted(possible, "job")} done`,
      ...(failed ? [`${failed} failed`] : []),
    ];
    const measured = [...new Set(plan.jobs.map(({ measurement }) => measurement))];
    const what = `${several(
      plan.variants.map((one) => one.name),
      4,
    )}: ${several(measured, 4)}`;
    return [
      name,
      new Date(plan.at).toISOString().slice(0, 16).replace("T", " "),
      `${parts.join(", ")}${sessionsTold(run)}`,
      what,
    ];
  } catch {
    return [name, "", "damaged", ""];
  }
}

function sessionsTold(run: Run): string {
  const { sessions, open } = timingOf(run);
  const unfinished = open ? `, session ${run.timing.session} not finished` : "";
  return sessions > 1 || open ? `, speed in ${counted(sessions, "session")}${unfinished}` : "";
}

/** Each file says in its first comment which question it answers. */
function benchmarkFiles(): string[][] {
  return shippedBenchmarks().map((name) => {
    const comment = fs
      .readFileSync(shippedBenchmark(name)!, "utf8")
      .replace(/^# yaml-language-server.*\n#\n/, "")
      .replace(/\n# /g, " ");
    return [name, comment.match(/^# ([^?\n]*\?)/)?.[1] ?? ""];
  });
}
