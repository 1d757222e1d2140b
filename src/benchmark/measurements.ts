import { stat } from "node:fs/promises";
import { basename, join } from "node:path";
import { z } from "zod";
import { type CardFile, findCards, findKind, type TaskFile, taskFile } from "../data/index.js";
import { definite } from "../definite.js";
import { several } from "../harmless.js";
import { usualName } from "../metrics.js";
import { Faults, nearest, type Written, type YamlPath } from "../yaml.js";
import { questionsNeed } from "./arguments.js";
import type { MeasurementConfig, MeasurementForm, ReadOptions } from "./benchmark.js";
import { checkName, entrySchema, formFor, settingKeys, settingsShape } from "./form.js";
import { fill, placeholders } from "./placeholders.js";

const entryOutline = z.looseObject({}).describe("A measurement has settings, `perplexity: {text: wikitext-2}`.");

/** The entries of `measurements:`. */
export async function readMeasurements(
  file: Written,
  entries: Record<string, unknown>,
  options: NamingOptions,
): Promise<MeasurementConfig[]> {
  const family = options.measurements;
  if (Object.keys(entries).length === 0)
    throw file.fault(["measurements"], "nothing is measured.", {
      hint: "For example `perplexity: {text: wikitext-2}`.",
    });
  const read: MeasurementConfig[] = [];
  const faults = new Faults(file);
  const take = async (name: string, raw: unknown) => {
    const path = ["measurements", name];
    checkName(file, path, name);
    const entry = file.check(entryOutline, fill(raw ?? {}, placeholders(file, options), path), path);
    const said = entry.measurement;
    if (said !== undefined && !Object.hasOwn(family, usualName(String(said))))
      throw file.fault([...path, "measurement"], `there is no measurement "${said}".`, {
        hint: (await asDataset(name, String(said), options)) ?? nearest(String(said), Object.keys(family)),
      });
    const meant = await measurementOf(name, entry, options);
    if (typeof meant === "object") throw file.fault(path, meant.message, { hint: meant.hint, at: "key" });
    const measurement = formFor(family[meant]!, entry);
    const parts =
      (await partsOfGroup(file, path, name, entry, family[meant]!, options)) ??
      partsOf(file, path, name, entry, findKind(measurement.data));
    for (const { part, said, group, bySize } of parts) {
      if (read.some((one) => one.name === part) || (group !== undefined && Object.hasOwn(entries, part)))
        throw file.fault(path, `two measurements are named "${part}".`, { hint: "Rename an entry.", at: "key" });
      faults.of(() => file.check(entrySchema(measurement), said, path, engineHints));
      const given = settingKeys(measurement).filter((key) => said[key] !== undefined);
      const settings = Object.fromEntries(given.map((key) => [key, said[key]]));
      read.push({
        name: part,
        ...definite({ group, bySize }),
        kind: meant,
        on: measurement.data,
        data: dataSaid(measurement, part, said),
        settings: file.check(measurement.settings, settings, path),
      });
    }
  };
  for (const [name, raw] of Object.entries(entries)) await faults.of(() => take(name, raw));
  if (faults.any) throw faults.joined();
  return read;
}

const engineHints = Object.fromEntries(
  Object.keys(settingsShape).map((key) => [
    key,
    `\`${key}\` is an engine setting: it goes into a variant or \`defaults\`.`,
  ]),
);

interface EntryPart {
  /** The name of the measurement, and what an entry of it alone would say. */
  part: string;
  said: Record<string, unknown>;
  group?: string;
  bySize?: true | undefined;
}

/** An entry that names a group of another program's tasks is one measurement of each; undefined for any other. */
async function partsOfGroup(
  file: Written,
  path: YamlPath,
  name: string,
  entry: Record<string, unknown>,
  { data }: MeasurementForm,
  options: NamingOptions,
): Promise<EntryPart[] | undefined> {
  const { named } = findKind(data) ?? {};
  if (named === undefined) return undefined;
  const found = await taskFile(String(entry[named] ?? name), options);
  if (!found || found.tasks.length === 1) return undefined;
  const stray = found.tasks.find((task) => task.kind() !== data);
  if (stray)
    throw file.fault(
      [...path, named],
      `${stray.name} is ${findKind(stray.kind())!.noun}, other tasks of its group are not.`,
      {
        hint: `Name the tasks one by one: \`${named}: ${stray.dataset}\`.`,
      },
    );
  return found.tasks.map((task) => ({
    part: `${name}-${task.name}`,
    said: { ...entry, [named]: task.dataset },
    group: name,
    bySize: found.bySize,
  }));
}

const severalData = z.array(z.string().min(1)).min(2);

/** An entry that names several data is one measurement of each, named after both. */
function partsOf(
  file: Written,
  path: YamlPath,
  name: string,
  entry: Record<string, unknown>,
  kind: ReturnType<typeof findKind>,
): EntryPart[] {
  const { key, one } = kind?.several ?? {};
  if (key === undefined || one === undefined || entry[key] === undefined) return [{ part: name, said: entry }];
  const { [key]: listed, ...said } = entry;
  if (said[one] !== undefined)
    throw file.fault([...path, one], `\`${one}\` and \`${key}\` are both given.`, {
      hint: "Keep one of them.",
      at: "key",
    });
  return file.check(severalData, listed, [...path, key]).map((data) => {
    const label = basename(data).replace(/\.[a-z]+$/i, "");
    return { part: `${name}-${label}`, said: { ...said, [one]: data }, group: name };
  });
}

/** The keys of an entry that name its data, those of their kind. */
function dataSaid({ data }: MeasurementForm, name: string, entry: Record<string, unknown>) {
  const { keys = {}, named } = findKind(data) ?? {};
  const said = Object.entries(entry).filter(([key, value]) => Object.hasOwn(keys, key) && value !== undefined);
  return Object.fromEntries(named === undefined ? said : [[named, name], ...said]);
}

/** Begins the sentence of a file about it. */
export const otherName = "An entry of another name says";

/** What an entry says whose own name says nothing: `measurement: perplexity` or `dataset: hellaswag`. */
function sayings(family: ReadOptions["measurements"], tasks: readonly string[]): string {
  const keys = Object.values(family).flatMap(({ data }) => findKind(data)?.named ?? []);
  const [plain] = Object.keys(family).filter((one) => findKind(family[one]!.data)?.named === undefined);
  const of = (key: string, value: string | undefined) => (value === undefined ? [] : [`\`${key}: ${value}\``]);
  return [...of("measurement", plain), ...[...new Set(keys)].flatMap((key) => of(key, tasks[0]))].join(" or ");
}

interface Misnamed {
  message: string;
  hint: string;
}

/** Where names are looked for, besides. */
export interface NamingOptions extends ReadOptions {
  /** Where relative paths start. */
  baseDir: string;
}

/** The measurement that an entry is, by what it says, by its own name or by the dataset that it names; or why it is none. */
export async function measurementOf(name: string, entry: Record<string, unknown>, options: NamingOptions) {
  const family = options.measurements;
  const keyOf = (measurement: string) => findKind(family[measurement]!.data)?.named;
  const usual = usualName(String(entry.measurement ?? name));
  if (entry.measurement !== undefined || Object.hasOwn(family, usual)) {
    const key = keyOf(usual);
    if (key === undefined || entry[key] !== undefined) return usual;
    const meant = await byDataset(name, options);
    return typeof meant === "object" ? meant : usual;
  }
  const said = Object.keys(family).find((one) => entry[keyOf(one) ?? "measurement"] !== undefined);
  if (said === undefined) return byDataset(name, options);
  const meant = await byDataset(String(entry[keyOf(said)!]), options);
  return typeof meant === "object" ? said : meant;
}

/** The measurement on data of the kind that another program's tasks make. */
function neededBy({ tasks }: TaskFile, measurements: ReadOptions["measurements"]): string | Misnamed {
  const kind = tasks[0]!.kind();
  return (
    Object.keys(measurements).find((one) => measurements[one]!.data === kind) ?? {
      message: `nothing is measured on ${findKind(kind)?.noun ?? kind}.`,
      hint: "Another task.",
    }
  );
}

/** How an entry names the dataset that it says as its measurement; undefined where it is none. */
async function asDataset(name: string, said: string, { measurements, dataDir }: ReadOptions) {
  const card = (await findCards({ dataDir })).find((one) => one.name === said)?.read;
  const kind = card && "kind" in card ? findKind(card.kind) : undefined;
  const needing = Object.keys(measurements).find((one) => kind && measurements[one]!.data === kind.name);
  if (!kind || needing === undefined) return undefined;
  const key = kind.named ?? Object.keys(kind.keys)[0];
  const settings = kind.named === undefined ? `measurement: ${needing}, ` : "";
  return `"${said}" is ${kind.noun}: \`${name}: {${settings}${key}: ${said}}\`.`;
}

/** A folder of data that has no name of its own, for want of a card or because its card has another one. */
async function unnamed(name: string, cards: CardFile[], dataDir: string | undefined): Promise<Misnamed | undefined> {
  const other = cards.find(({ dir }) => basename(dir) === name);
  if (other)
    return {
      message: `the dataset in ${other.dir} has another name on its card: ${other.name}.`,
      hint: `For example \`dataset: ${other.name}\`.`,
    };
  const folder = dataDir === undefined ? undefined : join(dataDir, name);
  if (!folder || !(await stat(folder).catch(() => undefined))?.isDirectory()) return undefined;
  return {
    message: `the folder ${folder} has no card.yaml.`,
    hint: "A card beside the questions says how they are asked, as that of datasets/demo-facts-en does.",
  };
}

/** The measurement that needs data of the kind which the dataset of this name is; or why there is none. */
async function byDataset(name: string, { measurements, dataDir, baseDir }: NamingOptions): Promise<string | Misnamed> {
  const cards = await findCards({ dataDir });
  const card = cards.find((one) => one.name === name)?.read;
  if (card && "fault" in card) throw card.fault;
  const kind = card && findKind(card.kind);
  const needing = Object.keys(measurements).find((one) => kind && measurements[one]!.data === kind.name);
  if (kind?.named !== undefined && needing !== undefined) return needing;
  const foreign = card ? undefined : await taskFile(name, definite({ baseDir, dataDir }));
  if (foreign) return neededBy(foreign, measurements);
  if (/\.ya?ml(#|$)/i.test(name))
    return {
      message: `there is no file ${name} of tasks.`,
      hint: `Paths start at ${[baseDir, ...(dataDir ? [dataDir] : [])].join(" or at ")}.`,
    };
  if (/\.(csv|tsv)$/i.test(name))
    return {
      message: `there is no file ${name} of questions.`,
      hint: `Paths start at ${[baseDir, ...(dataDir ? [dataDir] : [])].join(" or at ")}.`,
    };
  if (/\.jsonl$|[/\\]/i.test(name))
    return {
      message: `${name} is a file or a folder; questions go by the name on their card.`,
      hint: questionsNeed,
    };
  const named = (data: string) => findKind(data)?.named;
  const tasks = cards.flatMap(({ name, read }) => ("kind" in read && named(read.kind) ? [name] : []));
  if (kind && needing !== undefined)
    return {
      message: `"${name}" is ${kind.noun}, not a measurement.`,
      hint: `For example \`${needing}: {${Object.keys(kind.keys)[0]}: ${name}}\`.`,
    };
  const own = Object.hasOwn(measurements, name) ? findKind(measurements[name]!.data) : undefined;
  if (own?.named)
    return {
      message: `\`${own.named}\` is missing: it names ${own.noun}.`,
      hint: `For example \`${own.named}: ${tasks[0]}\`. Known: ${several(tasks)}.`,
    };
  const misplaced = await unnamed(name, cards, dataDir);
  if (misplaced) return misplaced;
  const known = [...Object.keys(measurements).filter((one) => !named(measurements[one]!.data)), ...tasks];
  return {
    message: `there is no measurement and no dataset of questions named "${name}".`,
    hint: `${nearest(name, known)} ${otherName} ${sayings(measurements, tasks)}.`,
  };
}
