import { createHash } from "node:crypto";
import { z } from "zod";
import { BenchError } from "../errors.js";
import { type CardFile, checkCard, type FindOptions, type FoundDataset, findCards } from "./cards.js";
import { choice, tableFile, tableName } from "./choice/index.js";
import type { Card, DataFolders, DataKind, Dataset } from "./data.js";
import { type ForeignTask, foreignFile } from "./foreign/index.js";
import { generation } from "./generation.js";
import { reference } from "./reference.js";
import { text } from "./text.js";

export { type CardFile, type FoundDataset, findCards, hubBenchmarks } from "./cards.js";
export { type ChoiceDataset, type ChoiceItem, sameOptions } from "./choice/index.js";
export { type DataFolders, type DataKind, type Dataset, measuredFile, type ShownQuestion } from "./data.js";
export { type GenerationDataset, type GenerationItem, textOf } from "./generation.js";
export type { ReferenceData } from "./reference.js";
export { describeTask } from "./task/index.js";
export type { TextDataset } from "./text.js";

/** The family of data kinds, by name. A new member: a file beside these, and its name here. */
export const dataKinds = { text, choice, generation, reference };

/** The type of the data of each kind. */
export type DataOf = {
  [Kind in keyof typeof dataKinds]: Awaited<ReturnType<(typeof dataKinds)[Kind]["resolve"]>>;
};

/** The member of this name; undefined for a measurement without data. */
export function findKind(name: string): DataKind | undefined {
  return Object.values<DataKind>(dataKinds).find((kind) => kind.name === name);
}

/** A file that a path names as data of its own, without a card: tasks of another program's, or a table of questions. */
export interface TaskFile {
  name: string;
  tasks: Pick<ForeignTask, "name" | "dataset" | "kind">[];
  /** The mean over the tasks weighs each by its questions. */
  bySize?: true;
}

/** Undefined where the path leads to no such file. */
export async function taskFile(named: string, folders: DataFolders): Promise<TaskFile | undefined> {
  const table = await tableFile(named, folders);
  if (table === undefined) return foreignFile(named, folders);
  const name = tableName(table);
  return { name, tasks: [{ name, dataset: named, kind: () => "choice" }] };
}

/** A card that cannot be used, under its name or, if that cannot be read, the name of its folder. */
export interface BrokenCard {
  name: string;
  fault: BenchError;
}

/** All datasets that have a card, by name, each card checked. One bad card is one bad dataset. */
export async function readDatasets(
  options: FindOptions = {},
): Promise<{ found: FoundDataset[]; broken: BrokenCard[] }> {
  const found: FoundDataset[] = [];
  const broken: BrokenCard[] = [];
  for (const file of await findCards(options))
    try {
      found.push(await checkCard(file, formsOf(file), options.dataDir));
    } catch (fault) {
      if (!(fault instanceof BenchError)) throw fault;
      broken.push({ name: file.name, fault });
    }
  return { found, broken };
}

const carded = Object.values<DataKind>(dataKinds).flatMap(({ card, name }) => (card ? [name] : []));

/** The form of a card of its kind; one of a kind that there is not is a fault of the card. */
function formsOf({ read }: CardFile): (format: unknown) => z.ZodType<Card> {
  if ("fault" in read) throw read.fault;
  const { kind } = read.file.check(z.looseObject({ kind: z.enum(carded) }), read.file.value, []);
  return (format) => findKind(kind)!.card!(format);
}

/** The datasets whose cards can be used. */
export async function findDatasets(options: FindOptions = {}): Promise<FoundDataset[]> {
  return (await readDatasets(options)).found;
}

/** sha256 (64 hexadecimal digits) of the data as models are asked: what a file and its card make of each other. */
export function digestOf(dataset: Dataset): string {
  const hash = createHash("sha256");
  for (const part of findKind(dataset.kind)!.asked(dataset))
    hash.update(`${JSON.stringify(Object.entries(part).sort(([a], [b]) => (a < b ? -1 : 1)))}\n`);
  return hash.digest("hex");
}
