import { readdir } from "node:fs/promises";
import { basename, join, resolve } from "node:path";
import { z } from "zod";
import { definite } from "../definite.js";
import { BenchError, messageOf } from "../errors.js";
import { isFile } from "../folders.js";
import { shippedFolder } from "../models/shipped.js";
import { nearest, YamlFile } from "../yaml.js";
import { type Card, cardKeys, type DataFolders, type DataKind, measuredFile } from "./data.js";
import { locateFile } from "./files.js";

/** A file `card.yaml` as far as its kind is not asked. */
export interface CardFile {
  /** The name in the card; that of its folder if the card cannot be read. */
  name: string;
  /** The card's own folder. */
  dir: string;
  /** Its kind, and the rest to check against the form of that kind; or why it cannot be read. */
  read: { kind: string; file: YamlFile } | { fault: BenchError };
}

/** A dataset by its checked card. */
export interface FoundDataset<Checked extends Card = Card> {
  card: Checked;
  /** The card's own folder. */
  cardDir: string;
  /** The measured file, with {subject} where there are several; absent if the data are not on this machine. */
  path?: string;
}

export interface FindOptions {
  dataDir?: string | undefined;
  /** More folders of cards. */
  extra?: string[];
}

/**
 * All cards in the package, in the data directory and in `extra` folders, by name. A card of the user's own wins over one of
 * the same name in the package, also if it cannot be used: the other is not what the user meant.
 */
export async function findCards({ dataDir, extra = [] }: FindOptions = {}): Promise<CardFile[]> {
  // The package's own do not change, and are asked for with every entry of a benchmark file.
  ownCards ??= cardsIn(shippedFolder);
  const roots = [...(dataDir ? [dataDir] : []), ...extra];
  const all = [await ownCards, ...(await Promise.all(roots.map(cardsIn)))].flat();
  const found = new Map(all.map((card) => [card.name, card]));
  return [...found.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
}

let ownCards: Promise<CardFile[]> | undefined;

async function cardsIn(root: string): Promise<CardFile[]> {
  const names = (await readdir(root).catch(() => [])).sort();
  return (await Promise.all(names.map((name) => openCard(join(root, name))))).filter((card) => card !== undefined);
}

const outline = z.looseObject({ kind: z.string(), name: cardKeys.name });

const ofHub = z.object({ benchmark: cardKeys.benchmark.unwrap() });

/** By the dataset's name, the benchmark of the Hugging Face Hub that it is. */
export async function hubBenchmarks(
  options: FindOptions = {},
): Promise<Map<string, { dataset: string; task: string }>> {
  const cards = await findCards(options);
  return new Map(
    cards.flatMap(({ name, read }) => {
      const { data } = "file" in read ? ofHub.safeParse(read.file.value) : {};
      return data ? [[name, data.benchmark] as const] : [];
    }),
  );
}

/** The card of a folder, or undefined if it has none. */
export async function openCard(dir: string): Promise<CardFile | undefined> {
  const path = join(dir, "card.yaml");
  if (!(await isFile(path))) return undefined;
  try {
    const file = await YamlFile.read(path, "dataset-card");
    const { name, kind } = file.check(outline, file.value, []);
    return { name, dir, read: { kind, file } };
  } catch (cause) {
    const unread = `${path} cannot be read: ${messageOf(cause)}.`;
    const fault = cause instanceof BenchError ? cause : new BenchError("dataset-card", unread);
    return { name: basename(dir), dir, read: { fault } };
  }
}

/** The card checked against its kind's form. Throws a BenchError with code `dataset-card` that names the line. */
export async function checkCard<Checked extends Card>(
  { dir, read }: CardFile,
  form: (format: unknown) => z.ZodType<Checked>,
  dataDir: string | undefined,
): Promise<FoundDataset<Checked>> {
  if ("fault" in read) throw read.fault;
  const { file } = read;
  const card = file.check(form((file.value as { format?: unknown }).format), file.value, []);
  const path = await locateFile(card, measuredFile(card), dir, dataDir);
  return { card, cardDir: dir, ...definite({ path }) };
}

/** The dataset of this name, or of the card in a folder of this path; undefined if there is none. */
export async function findDataset<Checked extends Card>(
  nameOrPath: string,
  kind: Pick<DataKind, "name" | "noun"> & { card(format: unknown): z.ZodType<Checked> },
  { baseDir, dataDir }: DataFolders,
): Promise<FoundDataset<Checked> | undefined> {
  const known = await findCards({ dataDir });
  const card = known.find(({ name }) => name === nameOrPath) ?? (await openCard(resolve(baseDir, nameOrPath)));
  if (!card) return undefined;
  if ("kind" in card.read && card.read.kind !== kind.name)
    throw new BenchError(
      "dataset-unknown",
      `${card.name} is a ${card.read.kind} dataset, but ${kind.noun} is needed.`,
      { hint: `${join(card.dir, "card.yaml")} says what it is. ${nearest(card.name, namesOf(known, kind.name))}` },
    );
  return checkCard(card, kind.card, dataDir);
}

/** The hint for a name that no dataset of the kind has. */
export async function namesLike(wanted: string, kind: string, { dataDir }: DataFolders): Promise<string> {
  return nearest(wanted, namesOf(await findCards({ dataDir }), kind));
}

function namesOf(cards: CardFile[], kind: string): string[] {
  return cards.flatMap(({ name, read }) => ("kind" in read && read.kind === kind ? [name] : []));
}
