import { resolve } from "node:path";
import type { Beginning } from "../../backends/backend.js";
import { definite } from "../../definite.js";
import { sha256 } from "../../digest.js";
import { BenchError, messageOf } from "../../errors.js";
import { isFile } from "../../folders.js";
import { several } from "../../harmless.js";
import type { ChoiceDataset, ChoiceItem } from "../choice/index.js";
import type { DataFolders } from "../data.js";
import { noted } from "../files.js";
import type { GenerationDataset } from "../generation.js";
import { sameOptions } from "../task/index.js";
import type { TaskRow } from "../task/rows.js";
import { type Document, type DocumentFields, documents } from "./documents.js";
import { PyFloat, text, typeName } from "./jinja/values.js";
import { type ReadableTask, refusedCode } from "./lm-eval.js";
import { asked, type Delimiters, solved } from "./lm-eval-prompts.js";
import { readSplit, type SourceNamed, type SourceRows } from "./source.js";
import { TaskTemplates } from "./templates.js";

/** What an entry of a benchmark file may say of another program's task. */
export interface ForeignSaid {
  split?: string | undefined;
  shots?: number | undefined;
  file?: string | undefined;
}

/** All rows of the measured split as documents, each with what stands before it. */
interface AskedRows {
  documents: Document[];
  rows: readonly TaskRow[];
  before: Beginning[];
  delimiters: Delimiters;
  /** The question's text is the index of an option: the options are the questions. */
  several: boolean;
  split: string;
  shots: number;
  source: SourceRows;
  sha256: string;
  notes: string[];
}

/** lm-eval's: what it measures where the task names several splits, best first. */
function measuredSplit({ yaml, task }: ReadableTask, said: string | undefined): string {
  const split = said ?? task.test_split ?? task.validation_split;
  if (split) return split;
  throw yaml.fault(["task"], "neither `test_split` nor `validation_split` says what is measured.", {
    hint: task.training_split ? `--split ${task.training_split} measures that one.` : undefined,
  });
}

function sourceOf({ yaml, task }: ReadableTask): SourceNamed {
  const { data_files, column_names, ...rest } = task.dataset_kwargs ?? {};
  // Nothing of these changes rows: what may be run, where the library keeps its files.
  const idle = ["trust_remote_code", "revision", "verification_mode", "streaming", "header", "cache_dir"];
  const stray = Object.keys(rest).find((key) => !idle.includes(key));
  if (stray !== undefined)
    throw yaml.fault(["dataset_kwargs", stray], `\`${stray}\` of \`dataset_kwargs\` is not known here.`, {
      hint: "Known are data_files and column_names; rows that another argument makes are saved as JSONL first.",
      at: "key",
    });
  return {
    path: task.dataset_path,
    ...definite({
      config: task.dataset_name === undefined || task.dataset_name === null ? undefined : String(task.dataset_name),
      files: data_files,
      columns: Array.isArray(column_names) ? column_names.map(String) : undefined,
    }),
    by: yaml.path,
  };
}

const fieldsOf = ({ task }: ReadableTask): DocumentFields => ({
  text: task.doc_to_text,
  target: task.doc_to_target,
  choice: task.doc_to_choice,
  prefix: task.gen_prefix,
  description: task.description,
});

async function ask(readable: ReadableTask, said: ForeignSaid, folders: DataFolders): Promise<AskedRows> {
  const { task, yaml } = readable;
  const named = measuredSplit(readable, said.split);
  const source = sourceOf(readable);
  const templates = new TaskTemplates();
  try {
    const split =
      said.file === undefined
        ? await readSplit(source, named, folders)
        : await readSplit(
            { ...source, path: "json", files: { [named]: await otherFile(said.file, folders) } },
            named,
            folders,
          );
    const columns = new Set(Object.keys(split.rows[0]!.cells));
    const asDocuments = (fields: DocumentFields, rows: SourceRows) => documents(yaml, fields, rows, columns, templates);
    const all = await asDocuments(fieldsOf(readable), split);
    // Python's answers to "is it one of several" come from the first row, and hold for all.
    const isSeveral = typeof all[0]!.text === "number" && all[0]!.choices !== undefined;
    const shots = said.shots ?? task.num_fewshot ?? 0;
    const delimiters = { target: task.target_delimiter, fewshot: task.fewshot_delimiter };
    const examples =
      shots > 0 ? await examplesFor(readable, shots, { source, split, named, folders }, asDocuments) : undefined;
    const text = (one: Document, delimiters: Delimiters) => {
      try {
        return solved(one, delimiters, isSeveral);
      } catch (fault) {
        throw yaml.fault(["fewshot_config"], `an example cannot be written: ${messageOf(fault)}.`);
      }
    };
    const texts = examples?.documents.map((one) => text(one, examples.delimiters));
    const beginnings = new Map<string, Beginning>();
    const before = all.map((one, row) => {
      const own = examples?.itself.get(row) ?? [];
      const shown = texts?.filter((_, i) => !own.includes(i)).slice(0, shots) ?? [];
      if (shown.length < shots)
        throw yaml.fault(["num_fewshot"], `there are ${shown.length} examples, fewer than ${shots}.`, {
          hint: `Fewer: --shots ${shown.length}.`,
        });
      const text = (one.description ?? "") + shown.join("");
      const known = beginnings.get(text) ?? { text };
      beginnings.set(text, known);
      return known;
    });
    return {
      documents: all,
      rows: split.rows,
      before,
      delimiters,
      several: isSeveral,
      split: named,
      shots,
      source: split,
      sha256: examples?.sha256 === undefined ? split.sha256 : sha256(split.sha256 + examples.sha256),
      notes: [
        ...readable.notes,
        ...(examples?.notes ?? []),
        ...(split.separator ? [`cells are separated by ${split.separator}, which lm-eval does not read`] : []),
      ],
    };
  } finally {
    templates.close();
  }
}

async function otherFile(file: string, { baseDir }: DataFolders): Promise<string> {
  const path = resolve(baseDir, file);
  if (!(await isFile(path))) throw new BenchError("dataset-missing", `There is no file ${path}.`);
  return path;
}

interface Examples {
  documents: Document[];
  delimiters: Delimiters;
  /** Of a measured row the examples that are the row itself. */
  itself: Map<number, number[]>;
  sha256?: string;
  notes: string[];
}

interface ExamplesFrom {
  source: SourceNamed;
  split: SourceRows;
  named: string;
  folders: DataFolders;
}

type AsDocuments = (fields: DocumentFields, rows: SourceRows) => Promise<Document[]>;

/** As lm-eval's first_n takes them: the first rows of a split, without the question itself where it is of the same split. */
async function examplesFor(
  readable: ReadableTask,
  shots: number,
  { source, split, named, folders }: ExamplesFrom,
  asDocuments: AsDocuments,
): Promise<Examples> {
  const { task, yaml, codedExamples } = readable;
  if (codedExamples !== undefined) throw refusedCode(yaml, "fewshot_config", codedExamples);
  const config = task.fewshot_config ?? {};
  const own = fieldsOf(readable);
  const fields: DocumentFields = {
    text: config.doc_to_text ?? own.text,
    target: config.doc_to_target ?? own.target,
    choice: config.doc_to_choice ?? own.choice,
    prefix: config.gen_prefix ?? own.prefix,
  };
  const sampler = config.sampler ?? "default";
  if (!["first_n", "default"].includes(sampler))
    throw yaml.fault(["fewshot_config", "sampler"], `the sampler ${sampler} is not known here; first_n is.`);
  const first = shots === 1 ? "the first example" : `the first ${shots} examples`;
  const drawn = sampler === "default" ? [`${first}, where lm-eval draws by Python's random`] : [];
  const fewshot = config.split ?? task.fewshot_split;
  const inline = fewshot ? undefined : config.samples;
  const from = fewshot ?? task.training_split ?? task.validation_split ?? task.test_split ?? undefined;
  let rows: SourceRows;
  if (inline)
    rows = {
      ...split,
      rows: inline.map((cells, i) => ({ at: `, example ${i + 1}`, cells })),
      path: yaml.path,
      floats: [],
    };
  else if (from === undefined) throw yaml.fault(["num_fewshot"], "no split says where examples come from.");
  else rows = from === named ? split : await readSplit(source, from, folders);
  const kept = config.fewshot_indices
    ? { ...rows, rows: config.fewshot_indices.map((i) => rows.rows[i]).filter((row) => row !== undefined) }
    : rows;
  // One more for each question that is an example itself.
  const measured = !inline && (fewshot ?? null) === (task.test_split ?? null);
  const pool = { ...kept, rows: kept.rows.slice(0, measured ? undefined : shots) };
  const itself = new Map<number, number[]>();
  if (measured) {
    const places = new Map<string, number[]>();
    for (const [i, { cells }] of pool.rows.entries()) {
      const key = JSON.stringify(cells);
      places.set(key, [...(places.get(key) ?? []), i]);
    }
    for (const [row, { cells }] of split.rows.entries()) {
      const places_ = places.get(JSON.stringify(cells));
      if (places_) itself.set(row, places_);
    }
    const most = Math.max(0, ...[...itself.values()].map((all) => all.length));
    pool.rows = pool.rows.slice(0, shots + most);
  }
  return {
    documents: await asDocuments(fields, pool),
    delimiters: {
      target: config.target_delimiter ?? task.target_delimiter,
      fewshot: config.fewshot_delimiter ?? task.fewshot_delimiter,
    },
    itself,
    ...(inline || rows === split ? {} : { sha256: rows.sha256 }),
    notes: drawn,
  };
}

const rowRefused = ({ source, rows }: AskedRows, row: number, what: string, hint?: string) =>
  new BenchError("dataset-invalid", `${source.path}${rows[row]!.at}: ${what}`, definite({ hint }));

/** The questions of a multiple-choice task. */
export async function choiceOf(
  readable: ReadableTask,
  said: ForeignSaid,
  folders: DataFolders,
): Promise<ChoiceDataset> {
  const all = await ask(readable, said, folders);
  const { documents, delimiters } = all;
  const items = documents.map((document, row): ChoiceItem => {
    const { choices = [] } = document;
    const id = String(row);
    const { description, begun } = beginningOf(all, row);
    if (all.several) {
      // The question says which option is right, the answer is what follows each.
      const contexts = choices.map((one) => asked(description, one, document, { ...delimiters, target: "" }));
      const key = keyed(all, row, document.text, choices);
      return { id, ...begun, contexts, options: choices.map(() => text(document.target)), ...key };
    }
    if (typeof document.text !== "string") throw rowRefused(all, row, "`doc_to_text` gives a number, not a text.");
    const context = asked(description, document.text, document, delimiters);
    return { id, ...begun, context, options: choices, ...keyed(all, row, document.target, choices) };
  });
  const keyless = items.every(({ gold }) => gold === undefined);
  if (keyless && said.split === undefined)
    throw new BenchError("dataset-invalid", `No question of the split "${all.split}" has its key.`, {
      hint: "Published test splits often hide theirs: another one by --split, such as validation.",
    });
  const notes = keyless ? [`the split ${all.split} comes without answers: no accuracy can be told`] : [];
  const chance =
    items.reduce((sum, { options, right }) => sum + (right?.length ?? 1) / options.length, 0) / items.length;
  const { split, shots } = all;
  return {
    kind: "choice",
    name: readable.task.task,
    path: all.source.path,
    sha256: all.sha256,
    bytes: all.source.bytes,
    items,
    delimiter: delimiters.target,
    chance,
    task: { chance, split, shots, ...definite({ answers: sameOptions(items) }) },
    ...noted([...all.notes, ...notes]),
  };
}

/** What stands before a question: held apart where there are examples. */
function beginningOf(
  { before, shots }: AskedRows,
  row: number,
): { description: string; begun: { before?: Beginning } } {
  const text = before[row]!;
  return shots > 0 ? { description: "", begun: { before: text } } : { description: text.text, begun: {} };
}

/** Which options are right; none where the data hide it. */
function keyed(
  all: AskedRows,
  row: number,
  target: unknown,
  choices: readonly string[],
): Pick<ChoiceItem, "gold" | "right"> {
  const places = (Array.isArray(target) ? target : [target]).map((one) => place(one, choices));
  if (places.includes("hidden")) return {};
  const right = places.filter((one) => typeof one === "number");
  if (right.length === 0 || right.length < places.length)
    throw rowRefused(
      all,
      row,
      `\`doc_to_target\` gives ${shown(target)}, which is none of its ${choices.length} options.`,
      `Its options: ${several(choices.map((one) => one.slice(0, 30)))}.`,
    );
  return Array.isArray(target) ? { gold: right[0]!, right } : { gold: right[0]! };
}

function shown(target: unknown): string {
  return target === null ? "nothing" : typeof target === "string" ? `"${target.slice(0, 40)}"` : text(target);
}

function place(target: unknown, choices: readonly string[]): number | "hidden" | undefined {
  const number = target instanceof PyFloat ? target.value : typeof target === "boolean" ? Number(target) : target;
  if (typeof number === "number") {
    if (number < 0) return "hidden";
    return Number.isInteger(number) && number < choices.length ? number : undefined;
  }
  if (target === null || target === "") return "hidden";
  const at = typeof target === "string" ? choices.indexOf(target) : -1;
  return at < 0 ? undefined : at;
}

/** The questions of a task whose answers are written. */
export async function generationOf(
  readable: ReadableTask,
  said: ForeignSaid,
  folders: DataFolders,
): Promise<GenerationDataset> {
  const { task, scores = [] } = readable;
  const all = await ask(readable, said, folders);
  const items = all.documents.map((document, row) => {
    if (typeof document.text !== "string") throw rowRefused(all, row, "`doc_to_text` gives a number, not a text.");
    const answers = answersOf(all, row, document);
    const { description, begun } = beginningOf(all, row);
    return { id: String(row), ...begun, text: asked(description, document.text, document, all.delimiters), answers };
  });
  const { until, max_gen_toks, do_sample, temperature, ...others } = task.generation_kwargs ?? {};
  const stop = [until ?? task.fewshot_delimiter].flat();
  const drawn = do_sample === true ? (temperature ?? 0) : 0;
  const idle = Object.keys(others).filter((key) => others[key] !== null && others[key] !== undefined);
  const { split, shots } = all;
  return {
    kind: "generation",
    name: task.task,
    path: all.source.path,
    sha256: all.sha256,
    bytes: all.source.bytes,
    items,
    maxTokens: max_gen_toks ?? defaultMaxTokens,
    stop: stop.filter((one) => one !== ""),
    scores,
    task: { split, shots },
    ...noted([
      ...all.notes,
      drawn > 0 && `the task draws at temperature ${drawn}: say \`temperature\` to do so`,
      idle.length > 0 && `not taken from generation_kwargs: ${several(idle)}`,
    ]),
  };
}

/** lm-eval's own. */
const defaultMaxTokens = 256;

function answersOf(all: AskedRows, row: number, { target, choices }: Document): string[] {
  if (choices) {
    const at = place(target, choices);
    if (typeof at === "number") return [choices[at]!];
    throw rowRefused(
      all,
      row,
      `\`doc_to_target\` gives ${shown(target)}, which is none of its ${choices.length} options.`,
    );
  }
  // Whether there are several answers the first row says.
  const [first] = all.documents;
  const several = Array.isArray(first?.target) && first.target.length > 0;
  const answers: unknown[] = several && Array.isArray(target) ? [...target] : [target];
  return answers.map((one) => {
    if (one === null) throw rowRefused(all, row, "`doc_to_target` gives nothing.");
    if (one instanceof Map) throw rowRefused(all, row, `\`doc_to_target\` gives ${typeName(one)}.`);
    return text(one);
  });
}
