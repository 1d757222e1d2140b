import { z } from "zod";
import type { ModelFacts } from "../models/gguf.js";
import type { TaskFacts } from "../task.js";

/** Data of whatever kind, found and read. */
export interface Dataset {
  /** Its member of the family. */
  readonly kind: string;
  name: string;
  path: string;
  /** sha256 of the bytes that were read, 64 hexadecimal digits. */
  sha256: string;
  bytes: number;
  /** Whether its file is read again while a model is measured, and so must stay as it was. */
  reread?: true;
  /** What reports tell of a task when its questions are no longer here. */
  task?: TaskFacts;
  /** Set if the data differ from their card (other bytes than published), or a reader should know more of them. */
  note?: string;
}

/** A question as a person reads it. */
export interface ShownQuestion {
  id: string;
  text: string;
  options?: readonly string[];
  /** Indices of the right options; absent where the data do not say. */
  right?: readonly number[];
  /** Right answers of a question without options. */
  answers?: readonly string[];
}

/** Where data are looked for. */
export interface DataFolders {
  /** `--data-dir`: `<data-dir>/<folder>/<file>` is looked for first; cards of the user's own may lie there, too. */
  dataDir?: string;
  /** Where relative paths start: the benchmark file's folder, or the working directory. */
  baseDir: string;
}

/** A kind of data that a measurement may need: what an entry of a benchmark file says to name it, and how it is found and read. */
export interface DataKind<Data extends Dataset = Dataset, Said = Record<string, unknown>> {
  readonly name: string;
  /** `a text`, as a sentence names data of this kind that are needed. */
  readonly noun: string;
  /** Keys by which an entry names its data, besides the settings of its measurement; flags of these names mean the same. */
  readonly keys: z.ZodRawShape;
  /**
   * The key that is the entry's own name unless the entry says it. An entry may then be named like a dataset of this kind, and
   * say no measurement: it is the one that needs this kind of data.
   */
  readonly named?: string;
  /** The key that names a list of data in place of one: a measurement is made on each, and the mean over them is told. */
  readonly several?: { key: string; one: string };
  /** The form of a card of this kind, by what the card says of its `format`; absent if such data have no cards. */
  card?(format: unknown): z.ZodType<Card>;
  /** Finds and reads the data that an entry names. Throws a BenchError with the place or the path, and the remedy. */
  resolve(said: Said, folders: DataFolders): Promise<Data>;
  /** The data as models are asked, part by part; name, path and note change no figure and are left out. */
  asked(data: Data): Iterable<object>;
  /** The questions as a person reads them; absent where the data are none. */
  shown?(data: Data): Iterable<ShownQuestion>;
  /** Why a model cannot be measured on the data, a sentence without its end. */
  unfit?(data: Data, model: ModelFacts): string | undefined;
}

export const fileName = z.string().min(1).describe("A file in the dataset's folder.");

const address = z
  .string()
  .regex(
    /^(https?:\/\/[^/]|[a-z]+:datasets\/[^/]+\/[^/]+\/.)/,
    "this is neither https://… nor hf:datasets/owner/repo/path",
  );
export const pathWithin = z
  .string()
  .refine((path) => isWithin(path), "this leads out of the dataset's folder")
  .describe("A path in the dataset's folder.");

/** Whether a path stays below the folder that it starts from, on every system. */
export function isWithin(path: string): boolean {
  return path
    .split("/")
    .every((part) => /^[^\\:*?"<>|\p{Cc}]+$/u.test(part) && !/^\.+$/.test(part) && !/[. ]$/.test(part));
}

/** A file that can be fetched, and what becomes of it in the dataset's folder. */
const fetchable = z.strictObject({
  url: z
    .union([address, z.array(address).min(1)])
    .describe(
      "https://…, or hf:datasets/owner/repo/path@revision (ms: likewise); of several addresses, the first that has it.",
    ),
  sha256: z
    .string()
    .regex(/^[0-9a-f]{64}$/)
    .optional()
    .describe("Of the file that is fetched, as published."),
  unpack: z.enum(["zip"]).optional().describe("What the file is an archive of; else it is kept as it is."),
  to: pathWithin.optional().describe("Where it goes: the file, or the folder that an archive is unpacked into."),
  strip: z
    .int()
    .min(1)
    .max(20)
    .optional()
    .describe("How many folders at the beginning of paths in the archive are left out."),
  only: z
    .array(z.string().min(1))
    .min(1)
    .optional()
    .describe("Paths in the archive, * for anything; by default all are unpacked."),
});

/** Keys of every card: which data, whose, under which licence. */
export const cardKeys = {
  name: z
    .string()
    .regex(/^[a-z0-9][a-z0-9._-]*$/, "a name has small letters, digits, dots and dashes")
    .describe("What benchmark files call it; also the name of the card's folder."),
  title: z.string().describe("What it is, for people."),
  source: z.string().describe("Where a copy comes from."),
  licence: z.string().describe("Licence of the data."),
  folder: z.string().optional().describe("Folder inside the data directory; by default the name."),
  file: fileName.describe("The file that is measured."),
  fetch: z.array(fetchable).min(1).optional().describe("What `gguf-bench fetch` brings into the dataset's folder."),
  benchmark: z
    .strictObject({ dataset: z.string().regex(/^[^/\s]+\/[^/\s]+$/), task: z.string().min(1) })
    .optional()
    .describe("The benchmark of the Hugging Face Hub that the data are: its dataset and the task there."),
  files: z
    .record(fileName, z.strictObject({ sha256: z.string().regex(/^[0-9a-f]{64}$/), bytes: z.int().positive() }))
    .default({})
    .describe("The published files; other bytes are measured all the same, and said."),
};

const card = z.object({
  kind: z.string(),
  ...cardKeys,
  file: fileName.optional(),
  splits: z.record(z.string(), fileName).optional(),
  split: z.string().optional(),
  shots: z.int().optional(),
  subjects: z
    .record(z.string(), z.object({ title: z.string().optional(), groups: z.array(z.string()).default([]) }))
    .optional(),
  examples: z.object({ count: z.int().optional() }).optional(),
  style: z.string().optional(),
  styles: z.record(z.string(), z.unknown()).optional(),
});

/**
 * The part of `datasets/<name>/card.yaml` that is the same for every kind. Where it has no `file`, it has `splits`, whose paths
 * may hold {subject}.
 */
export type Card = z.output<typeof card>;

/** The file, or the pattern of files, that is measured unless something else is said. */
export function measuredFile({ file, splits = {}, split }: Card): string {
  return file ?? splits[split ?? ""] ?? Object.values(splits)[0] ?? "";
}
