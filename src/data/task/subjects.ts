import { join } from "node:path";
import { BenchError } from "../../errors.js";
import { nearest } from "../../yaml.js";
import type { FoundDataset } from "../cards.js";
import { type DataFolders, measuredFile } from "../data.js";
import { folderOf, missingData, subjectFiles } from "../files.js";
import type { TaskCard, TaskSaid } from "./card.js";

/** A part of a task with a file of its own. */
export interface TaskSubject {
  /** As it stands in paths and in the ids of its items. */
  name: string;
  /** As prompts name it. */
  title: string;
  groups: string[];
}

/** The files of a split: one of each subject, or one alone. A path is absent for a subject that has no file. */
export interface SplitFiles {
  files: { subject?: TaskSubject; path?: string }[];
  /** Subjects that have a file, and are not on the card. */
  strangers: string[];
}

/** The files of a pattern such as `val/{subject}_val.csv`, for the subjects that are asked for. Throws if none is here. */
export async function filesOf(
  found: FoundDataset<TaskCard>,
  pattern: string,
  { subjects: asked }: Pick<TaskSaid, "subjects">,
  { dataDir }: DataFolders,
): Promise<SplitFiles> {
  const { card, cardDir } = found;
  const what = pattern === measuredFile(card) ? "data" : `data (${pattern})`;
  const folder = await folderOf(card, pattern, cardDir, dataDir);
  if (folder === undefined) throw missingData(found, pattern, dataDir, what);
  if (!pattern.includes("{subject}")) {
    if (asked)
      throw new BenchError("dataset-unknown", `${card.name} has no subjects: ${pattern} is one file.`, {
        hint: "Leave `subjects` out.",
      });
    return { files: [{ path: join(folder, pattern) }], strangers: [] };
  }
  const here = await subjectFiles(folder, pattern);
  const named = card.subjects ?? Object.fromEntries([...here.keys()].sort().map((name) => [name, { groups: [] }]));
  const known = Object.entries<{ title?: string | undefined; groups: string[] }>(named).map(
    ([name, { title = name.replaceAll("_", " "), groups }]) => ({ name, title, groups }),
  );
  const files = chosen(card, known, asked).map((subject) => {
    const path = here.get(subject.name);
    return { subject, ...(path === undefined ? {} : { path }) };
  });
  if (files.every(({ path }) => path === undefined)) throw missingData(found, pattern, dataDir, what);
  return { files, strangers: [...here.keys()].filter((name) => !known.some((one) => one.name === name)).sort() };
}

/** The subjects of these names or titles, or of these groups; all where none is named. */
function chosen({ name }: TaskCard, known: TaskSubject[], asked: string[] | undefined): TaskSubject[] {
  if (!asked) return known;
  const isMeant = ({ name, title, groups }: TaskSubject, one: string) =>
    name === one || title === one || groups.includes(one);
  const stray = asked.find((one) => !known.some((subject) => isMeant(subject, one)));
  if (stray !== undefined)
    throw new BenchError("dataset-unknown", `${name} has no subject and no group "${stray}".`, {
      hint: `${nearest(
        stray,
        known.map((subject) => subject.name).concat([...new Set(known.flatMap(({ groups }) => groups))]),
      )} \`gguf-bench list ${name}\` tells all of them.`,
    });
  return known.filter((subject) => asked.some((one) => isMeant(subject, one)));
}
