import { z } from "zod";
import { several } from "../../harmless.js";
import { type Card, cardKeys, fileName, pathWithin } from "../data.js";
import { type Cleaning, cleaning } from "./clean.js";
import { formats } from "./rows.js";

// The form of a card of a task, shared by all kinds of data that are questions: which files, which rows, which prompts.

const subjectName = z.string().regex(/^[^./\\{}][^/\\{}]*$/, "a subject's name is part of a file's name");

/** How questions are put to a model. A style may say all of it, or what differs from the card's outermost level. */
const styleKeys = {
  heading: z.string().optional().describe("What stands once before the examples and the question."),
  prompt: z.string().optional().describe("The question, with {column} where a column's text goes."),
  delimiter: z.string().optional().describe("Between the question and each option or answer; one blank by default."),
  exampleDelimiter: z.string().optional().describe("The same within examples, where it differs."),
  separator: z.string().optional().describe("After each example; an empty line by default."),
  continueWith: z
    .enum(["text", "letter"])
    .optional()
    .describe("What follows the question: each option's text, or A, B, C …, where the prompt shows the options."),
  chat: z
    .boolean()
    .optional()
    .describe("A conversation, rendered by the model's own template; so is a style with `system` or `reply`."),
  system: z.string().optional().describe("The conversation's system prompt."),
  reply: z
    .string()
    .optional()
    .describe("What the model is taken to have answered to the heading, before the examples of a conversation."),
  titles: z
    .record(subjectName, z.string())
    .optional()
    .describe("Titles of subjects that are called otherwise than by `subjects`."),
  clean: cleaning
    .optional()
    .describe(
      "What is done first to a column's texts, in order; under `prompt` to the question with its columns filled in, under `options` to each option.",
    ),
};

const styleForm = z.strictObject(styleKeys);

/** Keys of a card of whatever kind of task. */
export const taskShape = {
  ...cardKeys,
  file: fileName.optional().describe("The file that is measured."),
  splits: z
    .record(z.string().min(1), pathWithin)
    .optional()
    .describe("In place of `file`: the file of each split; {subject} in a path is one file for each subject."),
  split: z.string().optional().describe("The split that is measured."),
  subjects: z
    .record(
      subjectName,
      z.strictObject({
        title: z
          .string()
          .optional()
          .describe("What {subject} stands for in prompts; by default the name, with blanks for `_`."),
        groups: z.array(z.string().min(1)).default([]).describe("The groups that it belongs to."),
      }),
    )
    .optional()
    .describe("What {subject} stands for in paths; by default every subject that has a file."),
  format: z
    .enum(formats)
    .describe("One question a row, columns by name. A file whose ending says another form is read by its ending."),
  columns: z
    .array(z.string())
    .min(2)
    .refine((names) => new Set(names).size === names.length, "it names a column twice")
    .optional()
    .describe("The columns' names in order, for a CSV file without a head line."),
  cluster: z
    .string()
    .optional()
    .describe("The column that says which questions hang together, where there are no subjects; by default none do."),
  shots: z.int().min(0).optional().describe("How many solved questions go before every question."),
  examples: z
    .strictObject({
      split: z.string().optional().describe("The split that they are taken from: its first rows, of the same subject."),
      file: fileName.optional().describe("Or one file of them."),
      count: z.int().positive().optional().describe("The same as `shots`."),
      separator: z.string().optional().describe("The same as the style's."),
    })
    .refine(({ split, file }) => (split === undefined) !== (file === undefined), "say `split` or `file`")
    .optional()
    .describe("Solved questions of the same form that go before every question."),
  ...styleKeys,
  style: z.string().optional().describe("The style of `styles` that is meant where nothing else is said."),
  styles: z.record(z.string().min(1), styleForm).optional().describe("Ways to put the same questions, by name."),
};

const taskCard = z.object({ kind: z.string(), ...taskShape });

/** What cards of tasks of every kind say. */
export type TaskCard = z.output<typeof taskCard>;

/** Faults of a card that no key of it shows alone. `key`: the column that says what is right. */
export function checkTask(
  card: TaskCard,
  key: string | undefined,
  fault: (path: string[], message: string) => void,
): void {
  const { file, splits, split, styles, style, examples } = card;
  if ((file === undefined) === (splits === undefined))
    fault(["file"], file === undefined ? "it or `splits` says what is measured" : "`splits` stands in its place");
  if (splits && (split === undefined ? Object.keys(splits).length > 1 : !Object.hasOwn(splits, split)))
    fault(["split"], `it says which split is measured: ${Object.keys(splits).join(", ")}`);
  if (splits === undefined && split !== undefined) fault(["split"], "there are no `splits`");
  if (examples?.split !== undefined && !Object.hasOwn(splits ?? {}, examples.split))
    fault(["examples", "split"], `there is no split "${examples.split}"`);
  if (style !== undefined && !Object.hasOwn(styles ?? {}, style)) fault(["style"], `there is no style "${style}"`);
  if (styles && style === undefined) fault(["style"], `it says which of \`styles\` is meant`);
  for (const [name, own] of styles ? Object.entries(styles) : [[undefined, {}] as const]) {
    const { prompt = card.prompt }: { prompt?: string | undefined } = own;
    const path = name === undefined || !("prompt" in own) ? ["prompt"] : ["styles", name, "prompt"];
    if (prompt === undefined) fault(name === undefined ? ["prompt"] : ["styles", name, "prompt"], "it is missing");
    else if (!column.test(prompt)) fault(path, "it shows no {column}: every question would be the same");
    else if (key !== undefined && prompt.includes(`{${key}}`)) fault(path, "it shows the column of the answer");
  }
}

const column = /\{[^{}]+\}/;

/** What a card has to choose from, as a list of datasets tells it: `split val (dev, test), style ymcui (chat), 0 shots`. */
export function describeTask({ splits = {}, split, styles = {}, style, shots }: Card): string {
  const choice = (noun: string, usual: string | undefined, all: string[]) => {
    const others = all.filter((one) => one !== usual);
    const more = others.length > 0 ? ` (${several(others)})` : "";
    return usual === undefined ? [] : [`${noun} ${usual}${more}`];
  };
  const names = Object.keys(splits);
  return [
    ...choice("split", split ?? names[0], names),
    ...choice("style", style, Object.keys(styles)),
    ...(names.length > 0 ? [`${shots ?? 0} shots`] : []),
  ].join(", ");
}

/** Keys by which an entry of a benchmark file names a task's data. */
export const taskKeys = {
  dataset: z.string().min(1).optional().describe("A dataset's name or folder; by default the entry's name."),
  file: z.string().min(1).optional().describe("Another file of the same form, measured instead of the dataset's."),
  split: z.string().min(1).optional().describe("The split that is measured; by default the one that the card says."),
  shots: z
    .int()
    .min(0)
    .max(10_000)
    .optional()
    .describe("How many solved examples go before every question; by default what the card says."),
  style: z.string().min(1).optional().describe("How questions are put, one of the card's styles."),
  subjects: z
    .array(z.string().min(1))
    .min(1)
    .optional()
    .describe("These subjects alone, or those of these groups; by default all."),
  system: z.string().optional().describe("The system prompt of a style that is a conversation, in place of its own."),
};

/** What an entry says of a task's data. */
export type TaskSaid = { dataset: string } & { [Key in keyof typeof taskKeys]?: z.output<(typeof taskKeys)[Key]> };

/** A style with nothing left open. */
export interface Style {
  name?: string;
  heading: string;
  prompt: string;
  delimiter: string;
  exampleDelimiter: string;
  separator: string;
  continueWith: "text" | "letter";
  chat: boolean;
  system: string;
  reply?: string;
  titles: Record<string, string>;
  clean: Cleaning;
}
