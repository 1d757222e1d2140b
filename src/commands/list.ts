import fs from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { backendNames } from "../backends/index.js";
import { describeTask, readDatasets } from "../data/index.js";
import { definite } from "../definite.js";
import { exitCodes } from "../errors.js";
import { type Run, replay, timingOf } from "../replay/index.js";
import { readEvents } from "../store/index.js";
import { say } from "../terminal.js";
import { counted } from "../units.js";
import { type FolderOptions, foldersOf, type Surroundings } from "./command.js";
import { datasetLines, section } from "./dataset.js";

const packaged = fileURLToPath(new URL("../../benchmarks", import.meta.url));

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
    ...section("Runs (reports/)", runs("reports")),
    ...section("Benchmark files", benchmarkFiles()),
    ...section("Datasets", [
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

function runs(folder: string): string[][] {
  if (!fs.existsSync(folder)) return [];
  return fs
    .readdirSync(folder)
    .sort()
    .filter((name) => fs.existsSync(path.join(folder, name, "events.jsonl")))
    .map((name) => {
      try {
        const run = replay(readEvents(path.join(folder, name)));
        const { plan, jobs } = run;
        if (!plan) return [name, "empty", ""];
        const done = plan.jobs.filter(({ id }) => jobs.get(id)!.done).length;
        return [
          name,
          new Date(plan.at).toISOString().slice(0, 16).replace("T", " "),
          `${done} of ${plan.jobs.length} jobs done${sessionsTold(run)}`,
        ];
      } catch {
        return [name, "damaged", ""];
      }
    });
}

function sessionsTold(run: Run): string {
  const { sessions, open } = timingOf(run);
  const unfinished = open ? `, session ${run.timing.session} not finished` : "";
  return sessions > 1 || open ? `, speed in ${counted(sessions, "session")}${unfinished}` : "";
}

/** Each file says in its first comment which question it answers. */
function benchmarkFiles(): string[][] {
  return fs
    .readdirSync(packaged, { recursive: true, encoding: "utf8" })
    .map((name) => name.split(path.sep).join("/"))
    .filter((name) => name.endsWith(".yaml"))
    .sort()
    .map((name) => {
      const comment = fs
        .readFileSync(path.join(packaged, name), "utf8")
        .split("\n")
        .find((line) => line.startsWith("# ") && !line.includes("yaml-language-server"));
      return [`benchmarks/${name}`, comment?.slice(2) ?? ""];
    });
}
