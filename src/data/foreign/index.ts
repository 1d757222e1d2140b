import { readdir } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import { BenchError } from "../../errors.js";
import { isFile } from "../../folders.js";
import { several } from "../../harmless.js";
import { nearest } from "../../yaml.js";
import type { ChoiceDataset } from "../choice/index.js";
import type { DataFolders } from "../data.js";
import { noted } from "../files.js";
import type { GenerationDataset } from "../generation.js";
import { askedAgain, repeated, type TaskSaid } from "../task/index.js";
import { isBySize, isGroup, tasksOf } from "./group.js";
import { isHubFile, readHubFile } from "./hub.js";
import { readableTask } from "./lm-eval.js";
import { choiceOf, type ForeignSaid, generationOf } from "./lm-eval-data.js";
import { MergedYaml } from "./merged.js";

export type { ForeignSaid } from "./lm-eval-data.js";

// Tasks that were written for other programs, read as far as they are data: lm-eval's task files, and `eval.yaml` of the
// Hugging Face Hub. The rest of the program sees the questions that they make.

/** A task of a file of another program's. */
export interface ForeignTask {
  name: string;
  /** How an entry of a benchmark file names it: the file, and where that has several tasks, `#` and the task's name. */
  dataset: string;
  /** The kind of data that it makes. Throws a BenchError of a task that is not data alone. */
  kind(): "choice" | "generation";
  /** Its questions. Throws a BenchError for a task of the other kind, too. */
  choice(said: ForeignSaid, folders: DataFolders): Promise<ChoiceDataset>;
  generation(said: ForeignSaid, folders: DataFolders): Promise<GenerationDataset>;
}

/** What a path names: one task, or those of a group under its name. */
export interface ForeignFile {
  name: string;
  tasks: ForeignTask[];
  /** The mean over the tasks weighs each by its questions; else they count alike. */
  bySize?: true;
}

/** What a path names; undefined if it leads to no file of another program's. A folder stands for the one such file in it. */
export async function foreignFile(named: string, { baseDir, dataDir }: DataFolders): Promise<ForeignFile | undefined> {
  const [place, wanted] = splitName(named);
  for (const path of [resolve(baseDir, place), ...(dataDir ? [resolve(dataDir, place)] : [])]) {
    const file = await taskFile(path);
    if (file === undefined) continue;
    const read = await readFile(file, place);
    if (wanted === undefined) return read;
    const found = read.tasks.find(({ name }) => name === wanted);
    if (found) return { name: wanted, tasks: [found] };
    const known = read.tasks.map(({ name }) => name);
    throw new BenchError("dataset-unknown", `${file} has no task ${wanted}.`, { hint: nearest(wanted, known) });
  }
  return undefined;
}

/** What questions may be asked of a task: of the two kinds of data that it may make. */
type ForeignKind = "choice" | "generation";

/** The questions that an entry names; undefined if it names no file of another program's. Throws a BenchError. */
export async function foreignQuestions<Kind extends ForeignKind>(
  kind: Kind,
  said: TaskSaid,
  folders: DataFolders,
): Promise<Awaited<ReturnType<ForeignTask[Kind]>> | undefined> {
  const { dataset, split, shots, file, ...others } = said;
  const found = await foreignFile(dataset, folders);
  if (!found) return undefined;
  const [task, ...more] = found.tasks;
  if (more.length > 0)
    throw new BenchError("dataset-unknown", `${dataset} has ${found.tasks.length} tasks, and one is asked for here.`, {
      hint: `For example ${task!.dataset}. It has ${several(found.tasks.map(({ name }) => name))}.`,
    });
  const [stray] = Object.entries(others).filter(([, value]) => value !== undefined);
  if (stray)
    throw new BenchError(
      "dataset-unknown",
      `\`${stray[0]}\` has no meaning for ${found.name}, a task of another program.`,
      {
        hint: `Leave \`${stray[0]}\` out; split, shots and file have one.`,
      },
    );
  const ask: ForeignTask[ForeignKind] = task![kind];
  const data = (await ask({ split, shots, file }, folders)) as Awaited<ReturnType<ForeignTask[Kind]>>;
  const again = repeated(data.items.map(({ id: _, ...question }) => question));
  return { ...data, ...noted([data.note, again > 0 && `${askedAgain}: ${again}`]) };
}

/** `file.yaml#task`: a path may hold the sign itself. */
function splitName(named: string): [string, string | undefined] {
  const at = named.search(/#(?=[^#/\\]*$)/);
  return at > 0 ? [named.slice(0, at), named.slice(at + 1)] : [named, undefined];
}

/** The file of tasks at a path, or the only one in a folder there. */
async function taskFile(path: string): Promise<string | undefined> {
  const isYaml = (name: string) => /\.ya?ml$/i.test(name) && !/^card\.ya?ml$/i.test(name);
  if (isYaml(basename(path)) && (await isFile(path))) return path;
  const names = await readdir(path).catch((): string[] => []);
  if (names.includes("card.yaml")) return undefined;
  if (names.includes("eval.yaml")) return join(path, "eval.yaml");
  const files: string[] = [];
  for (const name of names.filter(isYaml).sort()) if (await isTask(join(path, name))) files.push(name);
  if (files.length <= 1) return files[0] === undefined ? undefined : join(path, files[0]);
  const group = await onlyGroup(path, files);
  if (group) return join(path, group);
  throw new BenchError("dataset-unknown", `${path} holds ${files.length} files of tasks: ${several(files, 4)}.`, {
    hint: `Name one of them: ${join(path, files[0]!)}.`,
  });
}

async function isTask(path: string): Promise<boolean> {
  const yaml = await MergedYaml.read(path).catch(() => undefined);
  return yaml?.value.task !== undefined || (yaml !== undefined && isHubFile(yaml));
}

async function onlyGroup(folder: string, files: string[]): Promise<string | undefined> {
  const groups: string[] = [];
  for (const name of files) if (isGroup(await MergedYaml.read(join(folder, name)))) groups.push(name);
  return groups.length === 1 ? groups[0] : undefined;
}

async function readFile(path: string, named: string): Promise<ForeignFile> {
  const yaml = await MergedYaml.read(path);
  if (isHubFile(yaml)) {
    const tasks = readHubFile(yaml, named);
    return { name: tasks.length === 1 ? tasks[0]!.name : basename(dirname(path)), tasks };
  }
  const { task, group } = yaml.value;
  if (isGroup(yaml)) {
    const members = await tasksOf(yaml);
    const tasks = members.map((one) => lmEvalTask(one.name, one.yaml, named, path, true));
    const name = typeof group === "string" ? group : basename(path).replace(/\.ya?ml$/i, "");
    return { name, tasks, ...(isBySize(yaml) ? { bySize: true as const } : {}) };
  }
  if (typeof task !== "string" && yaml.value.class === undefined)
    throw yaml.fault([], "this is no task: there is neither `task:` nor, as in the Hub's eval.yaml, `tasks:`.", {
      hint: "A benchmark file goes before the options: `gguf-bench run FILE`. A dataset with a card is named by its folder.",
    });
  const name = typeof task === "string" ? task : basename(path);
  return { name, tasks: [lmEvalTask(name, yaml, named, path, false)] };
}

/** `named` and `path`: the file as the user names it, and where it is; `several`: it has other tasks besides. */
function lmEvalTask(name: string, yaml: MergedYaml, named: string, path: string, several: boolean): ForeignTask {
  const of = (file: string) => (several ? `${file}#${name}` : file);
  const readable = (kind: "choice" | "generation") => {
    const task = readableTask(yaml);
    if (task.kind === kind) return task;
    const [is, not] = kind === "choice" ? ["written", "chosen"] : ["chosen", "written"];
    throw yaml.fault(["output_type"], `the answers of ${name} are ${is}, not ${not}.`, {
      hint: `Its measurement is ${task.kind}.`,
    });
  };
  return {
    name,
    dataset: of(named),
    kind: () => readableTask(yaml).kind,
    // By this path the same questions are found again.
    choice: async (said, folders) => ({ ...(await choiceOf(readable("choice"), said, folders)), path: of(path) }),
    generation: async (said, folders) => ({
      ...(await generationOf(readable("generation"), said, folders)),
      path: of(path),
    }),
  };
}
