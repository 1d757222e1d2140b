import { basename, dirname, resolve } from "node:path";
import { z } from "zod";
import type { Message } from "../../chat/template.js";
import { definite } from "../../definite.js";
import { BenchError } from "../../errors.js";
import { isExpression } from "../../expressions.js";
import type { ScoreRule } from "../../scores/index.js";
import type { ChoiceDataset } from "../choice/index.js";
import type { DataFolders } from "../data.js";
import { noted } from "../files.js";
import type { GenerationDataset } from "../generation.js";
import { sameOptions } from "../task/index.js";
import type { TaskRow } from "../task/rows.js";
import type { ForeignTask } from "./index.js";
import type { ForeignSaid } from "./lm-eval-data.js";
import type { MergedYaml } from "./merged.js";
import { readSplit, type SourceRows } from "./source.js";

// `eval.yaml` of a dataset on the Hugging Face Hub, whose tasks inspect-ai runs: which columns, how the model is asked, how its
// answers are scored.

const step = z.strictObject({ name: z.string(), args: z.record(z.string(), z.unknown()).nullish() });

const hubTask = z.strictObject({
  id: z.string().min(1).optional(),
  config: z.string().default("default"),
  split: z.string().default("test"),
  field_spec: z.strictObject({
    input: z.string().describe("The question's column."),
    target: z.string().describe("The answer's column, or `literal:` and the answer."),
    choices: z.union([z.string(), z.array(z.string()).min(2)]).nullish(),
    input_image: z.null().optional(),
    metadata: z.array(z.string()).nullish(),
    id: z.string().nullish(),
    description: z.string().nullish(),
  }),
  shuffle_choices: z.boolean().nullish(),
  epochs: z.int().min(1).default(1),
  epoch_reducer: z.string().nullish(),
  solvers: z.array(step).min(1),
  scorers: z.array(step).min(1),
  metrics: z.unknown().optional(),
});

const hubFile = z.looseObject({
  name: z.string().optional(),
  evaluation_framework: z.string(),
  tasks: z.array(z.unknown()).min(1),
});

type HubTask = z.output<typeof hubTask>;

export const isHubFile = ({ value }: MergedYaml): boolean =>
  value.evaluation_framework !== undefined || (Array.isArray(value.tasks) && value.task === undefined);

export function readHubFile(yaml: MergedYaml, named: string): ForeignTask[] {
  const { evaluation_framework: framework, tasks } = yaml.check(hubFile, yaml.value, []);
  if (framework !== "inspect-ai")
    throw yaml.fault(["evaluation_framework"], `tasks of ${framework} are not data alone.`, {
      hint: "Those of inspect-ai are read, which say `field_spec`, `solvers` and `scorers`.",
    });
  return tasks.map((one, at) => {
    const id = typeof one === "object" && one !== null && "id" in one ? String(one.id) : undefined;
    const name = id ?? basename(dirname(yaml.path));
    const of = (file: string) => (tasks.length > 1 ? `${file}#${name}` : file);
    const task = () => new HubReader(yaml, at, name, checked(yaml, one, at));
    return {
      name,
      dataset: of(named),
      kind: () => {
        task();
        return "generation";
      },
      choice: async (said, folders) => ({ ...(await task().choice(said, folders)), path: of(yaml.path) }),
      generation: async (said, folders) => ({ ...(await task().generation(said, folders)), path: of(yaml.path) }),
    };
  });
}

function checked(yaml: MergedYaml, one: unknown, at: number): HubTask {
  const spec = (one as { field_spec?: { input_image?: unknown } } | null)?.field_spec;
  if (spec?.input_image)
    throw yaml.fault(["tasks", at, "field_spec", "input_image"], "questions with pictures are not asked.");
  const task = yaml.check(hubTask, one, ["tasks", at]);
  if (task.epochs > 1)
    throw yaml.fault(["tasks", at, "epochs"], "`epochs` of more than one answer to a question are not asked.", {
      hint: "Set it to 1 in a copy of the file.",
    });
  return task;
}

/** inspect-ai's own forms of a question with options. */
const single =
  "Answer the following multiple choice question. The entire content of your response should be of the following format: 'ANSWER: $LETTER' (without quotes) where LETTER is one of {letters}.\n\n{question}\n\n{choices}";
const thinking =
  "Answer the following multiple choice question. The last line of your response should be of the following format: 'ANSWER: $LETTER' (without quotes) where LETTER is one of {letters}. Think step by step before answering.\n\n{question}\n\n{choices}";
const chainOfThought =
  '\n{prompt}\n\nBefore answering, reason in a step-by-step manner as to get the right answer. Provide your answer at the end on its own line in the form "ANSWER: $ANSWER" (without quotes) where $ANSWER is the answer to the question.\n';

/** What follows the last `ANSWER:`. */
const answers: Record<string, string> = {
  letter: "(?i)ANSWER\\s*:\\s*[*$(]*([A-Za-z\\d])(?![A-Za-z\\d])",
  word: "(?i)ANSWER\\s*:\\s*(\\w+)(?=[^\\w]|$)",
  line: "(?i)ANSWER\\s*:\\s*([^\\n]+)",
};

/** `{name}` filled in where it is known, and doubled braces made single, as Python's `format` does. */
function filled(template: string, values: Record<string, string>): string {
  return template.replace(/\{\{|\}\}|\{(\w+)\}/g, (whole, name: string | undefined) => {
    if (name === undefined) return whole[0]!;
    return Object.hasOwn(values, name) ? values[name]! : whole;
  });
}

/** Letters of options, as inspect-ai has them: after Z, numbers. */
const letterOf = (index: number) => (index < 26 ? String.fromCharCode(65 + index) : String(index - 25));

/** Of an answer that is thought out; the file says none. */
const mostTokens = 1024;

class HubReader {
  readonly #rule: ScoreRule;

  constructor(
    private readonly yaml: MergedYaml,
    private readonly at: number,
    private readonly name: string,
    private readonly task: HubTask,
  ) {
    this.#rule = this.#scoring();
  }

  async generation(said: ForeignSaid, folders: DataFolders): Promise<GenerationDataset> {
    const { split, ...source } = await this.#rows(said, folders);
    let guessed = 0;
    const items = source.rows.map((row, i) => {
      const options = this.#options(row, source);
      guessed += 1 / (options?.length ?? Number.NaN);
      const answer = this.#answer(row, source, options);
      return { id: String(i), messages: this.#conversation(row, source, options), answers: [answer] };
    });
    const { path, sha256, bytes } = source;
    // What guessing a letter gives, where there are options.
    const chance = Number.isNaN(guessed) ? undefined : guessed / items.length;
    return {
      ...{ kind: "generation", name: this.name, path, sha256, bytes, items },
      ...{ maxTokens: mostTokens, stop: [], scores: [this.#rule], task: { split, shots: 0, ...definite({ chance }) } },
      ...noted([...this.#notes(), `at most ${mostTokens} tokens an answer, for the file says none`]),
    };
  }

  async choice(said: ForeignSaid, folders: DataFolders): Promise<ChoiceDataset> {
    const { split, ...source } = await this.#rows(said, folders);
    const items = source.rows.map((row, i) => {
      const options = this.#options(row, source);
      if (!options)
        throw this.yaml.fault(
          ["tasks", this.at, "field_spec"],
          "`choices` is missing: there is nothing to choose from.",
        );
      const letter = this.#answer(row, source, options);
      const gold = options.findIndex((_, at) => letterOf(at) === letter);
      if (gold < 0) throw refused(row, source, `"${letter}" is none of ${options.length} options.`);
      return { id: String(i), context: this.#text(row, source, this.task.field_spec.input), options, gold };
    });
    const chance = items.reduce((sum, { options }) => sum + 1 / options.length, 0) / items.length;
    const { path, sha256, bytes } = source;
    return {
      ...{ kind: "choice", name: this.name, path, sha256, bytes, items, delimiter: " ", chance },
      task: { chance, split, shots: 0, ...definite({ answers: sameOptions(items) }) },
      ...noted([...this.#notes(), "options continue the question, where the task asks for a letter in a conversation"]),
    };
  }

  #notes() {
    return [this.task.shuffle_choices === true && "the options are not shuffled"];
  }

  async #rows({ split = this.task.split, shots, file }: ForeignSaid, folders: DataFolders) {
    if (shots) throw new BenchError("dataset-unknown", `${this.name} has no examples.`, { hint: "Leave `shots` out." });
    const source = { path: ".", config: this.task.config, by: this.yaml.path };
    const named =
      file === undefined ? source : { ...source, path: "json", files: { [split]: resolve(folders.baseDir, file) } };
    return { split, ...(await readSplit(named, split, folders)) };
  }

  #text(row: TaskRow, source: SourceRows, column: string): string {
    const value = row.cells[column];
    if (typeof value === "string") return value;
    if (value === undefined) throw refused(row, source, `there is no column "${column}".`);
    throw refused(row, source, `column "${column}" holds no text.`);
  }

  #options(row: TaskRow, source: SourceRows): string[] | undefined {
    const { choices } = this.task.field_spec;
    if (choices === undefined || choices === null) return undefined;
    if (Array.isArray(choices)) return choices.map((one) => this.#text(row, source, one));
    const list = row.cells[choices];
    if (Array.isArray(list) && list.length > 1 && list.every((one) => typeof one === "string")) return list;
    throw refused(row, source, `column "${choices}" holds no list of options.`);
  }

  #answer(row: TaskRow, source: SourceRows, options: string[] | undefined): string {
    const { target } = this.task.field_spec;
    if (target.startsWith("literal:")) return target.slice("literal:".length);
    const value = row.cells[target];
    if (typeof value === "number" && options) return letterOf(value);
    if (typeof value === "string" || typeof value === "number" || typeof value === "boolean") return String(value);
    throw refused(row, source, `column "${target}" holds no answer.`);
  }

  #conversation(row: TaskRow, source: SourceRows, options: string[] | undefined): Message[] {
    const { field_spec, solvers } = this.task;
    const metadata = Object.fromEntries(
      (field_spec.metadata ?? []).map((name) => [name, String(row.cells[name] ?? "None")]),
    );
    const system: Message[] = [];
    const further: Message[] = [];
    let prompt = this.#text(row, source, field_spec.input);
    for (const { name, args } of solvers) {
      const { template, ...params } = args ?? {};
      const values = {
        ...metadata,
        ...Object.fromEntries(Object.entries(params).map(([key, one]) => [key, String(one)])),
      };
      if (name === "system_message") system.push({ role: "system", content: filled(String(template), values) });
      else if (name === "user_message") further.push({ role: "user", content: filled(String(template), values) });
      else if (name === "prompt_template") prompt = filled(String(template), { ...values, prompt });
      else if (name === "chain_of_thought") prompt = filled(String(template ?? chainOfThought), { prompt });
      else if (name === "multiple_choice" && options) {
        const form = String(template ?? (params.cot === true ? thinking : single));
        const letters = options.map((_, at) => letterOf(at)).join(",");
        const choices = options.map((one, at) => `${letterOf(at)}) ${one}`).join("\n");
        prompt = filled(form, { question: prompt, letters, choices });
      }
    }
    return [...system, { role: "user", content: prompt }, ...further];
  }

  /** Checks the solvers, and makes of the first scorer that can be a rule. */
  #scoring(): ScoreRule {
    const { solvers, scorers, field_spec } = this.task;
    const known = [
      "system_message",
      "user_message",
      "prompt_template",
      "chain_of_thought",
      "generate",
      "multiple_choice",
    ];
    for (const [i, { name, args }] of solvers.entries()) {
      const place = ["tasks", this.at, "solvers", i];
      if (!known.includes(name))
        throw this.yaml.fault(place, `the solver ${name} runs code, which is not run here.`, {
          hint: `Known: ${known.join(", ")}.`,
        });
      if (name === "multiple_choice" && !field_spec.choices)
        throw this.yaml.fault(place, "multiple_choice needs `choices` in `field_spec`.");
      if (args?.multiple_correct === true)
        throw this.yaml.fault(place, "several right options are not asked for here.");
    }
    const refusals: string[] = [];
    for (const { name, args } of scorers) {
      const pattern =
        name === "choice"
          ? answers.letter
          : name === "answer"
            ? answers[String(args?.pattern)]
            : name === "pattern"
              ? args?.pattern
              : undefined;
      if (typeof pattern !== "string" || !isExpression(pattern)) {
        refusals.push(name);
        continue;
      }
      const ignoreCase = args?.ignore_case !== false;
      const extract =
        name === "choice"
          ? { last: pattern }
          : { first: ignoreCase && !pattern.startsWith("(?") ? `(?i)${pattern}` : pattern };
      return {
        by: "exact",
        metric: "exact_match",
        clean: [],
        ignoreCase,
        ignorePunctuation: false,
        trim: false,
        extract,
      };
    }
    throw this.yaml.fault(
      ["tasks", this.at, "scorers"],
      `none of its scorers is computed here: ${refusals.join(", ")}.`,
      {
        hint: "Scorers that are: choice, answer and pattern.",
      },
    );
  }
}

const refused = (row: TaskRow, { path }: SourceRows, what: string) =>
  new BenchError("dataset-invalid", `${path}${row.at}: ${what}`);
