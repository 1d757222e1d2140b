import { stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import { sha256OfFile } from "../../digest.js";
import { BenchError } from "../../errors.js";
import { nearest } from "../../yaml.js";
import type { FoundDataset } from "../cards.js";
import type { DataFolders } from "../data.js";
import { folderOf, locateFile, missingData, otherFile, subjectFiles } from "../files.js";
import type { TaskCard, TaskSaid } from "./card.js";
import { filesOf, type TaskSubject } from "./subjects.js";

/** What is measured: the files, one of each subject, and how the card names them. */
export async function measuredFiles(found: FoundDataset<TaskCard>, said: TaskSaid, folders: DataFolders) {
  const { card, cardDir } = found;
  if (said.file !== undefined) {
    const stray = (["split", "subjects"] as const).find((key) => said[key] !== undefined);
    if (stray)
      throw new BenchError(
        "dataset-unknown",
        `\`file\` and \`${stray}\` are both given: a file is measured as it is.`,
        {
          hint: "Keep one of them.",
        },
      );
    const path = await otherFile(said.file, found, folders);
    return {
      ...{ split: undefined, pattern: undefined, path, folder: dirname(path) },
      ...{ files: [{ subject: undefined, path }], strangers: [] },
    };
  }
  const splits = Object.keys(card.splits ?? {});
  if (said.split !== undefined && !splits.includes(said.split))
    throw new BenchError("dataset-unknown", `${card.name} has no split "${said.split}".`, {
      hint: splits.length > 0 ? nearest(said.split, splits) : `It has one file, ${card.file}.`,
    });
  const split = said.split ?? card.split ?? splits[0];
  const pattern = (split === undefined ? card.file : card.splits?.[split])!;
  const { files, strangers } = await filesOf(found, pattern, said, folders);
  const folder = (await folderOf(card, pattern, cardDir, folders.dataDir))!;
  return { split, pattern, path: join(folder, pattern), folder, files, strangers };
}

/** Where examples come from, and how many of them; undefined where there are none. `shots` undefined: all of the file. */
export interface ExampleFiles {
  shots: number | undefined;
  pattern: string;
  /** By subject, or that of all. */
  pathOf(subject: TaskSubject | undefined): string | undefined;
}

export async function exampleFiles(
  found: FoundDataset<TaskCard>,
  said: TaskSaid,
  { dataDir }: DataFolders,
): Promise<ExampleFiles | undefined> {
  const { card, cardDir } = found;
  const { split, file, count } = card.examples ?? {};
  const shots = said.shots ?? card.shots ?? count ?? (file === undefined ? 0 : undefined);
  if (shots === 0) return undefined;
  const pattern = file ?? card.splits?.[split ?? ""];
  if (pattern === undefined)
    throw new BenchError(
      "dataset-unknown",
      `${shots} examples are asked for, and the card of ${card.name} names none.`,
      {
        hint: "`examples: { split: dev }` in a card says where they come from.",
      },
    );
  if (!pattern.includes("{subject}")) {
    const path = await locateFile(card, pattern, cardDir, dataDir);
    if (path === undefined) throw missingData(found, pattern, dataDir, "examples");
    return { shots, pattern, pathOf: () => path };
  }
  const folder = await folderOf(card, pattern, cardDir, dataDir);
  if (folder === undefined) throw missingData(found, pattern, dataDir, "examples");
  const paths = await subjectFiles(folder, pattern);
  return { shots, pattern, pathOf: (subject) => subject && paths.get(subject.name) };
}

/** The files of the other splits, by subject. */
export async function otherSplits(
  { card, cardDir }: FoundDataset<TaskCard>,
  split: string | undefined,
  { dataDir }: DataFolders,
) {
  const found: { pattern: string; paths: Map<string, string> }[] = [];
  for (const [name, pattern] of split === undefined ? [] : Object.entries(card.splits ?? {})) {
    if (name === split || pattern === card.splits?.[split ?? ""]) continue;
    const folder = await folderOf(card, pattern, cardDir, dataDir);
    if (folder === undefined) continue;
    const paths = pattern.includes("{subject}")
      ? await subjectFiles(folder, pattern)
      : new Map([["", join(folder, pattern)]]);
    found.push({ pattern, paths });
  }
  return found;
}

/** Questions of another split under this one's name would be measured as this one's. */
export async function refuseOtherSplit(
  path: string,
  subject: TaskSubject | undefined,
  others: Awaited<ReturnType<typeof otherSplits>>,
) {
  const { size } = await stat(path);
  for (const { paths } of others) {
    const other = paths.get(subject?.name ?? "");
    if (other === undefined || (await stat(other)).size !== size) continue;
    if ((await sha256OfFile(other)) === (await sha256OfFile(path)))
      throw new BenchError("dataset-invalid", `${path} is the same as ${other}, which is of another split.`, {
        hint: "Get the file anew.",
      });
  }
}
