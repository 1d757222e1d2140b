import { z } from "zod";
import { checkTask, sixLineColumns, taskShape } from "../task/index.js";

export const answerForms = ["letter", "index", "number", "column", "text"] as const;
export type AnswerForm = (typeof answerForms)[number];

const distinctNames = z
  .array(z.string())
  .refine((names) => new Set(names).size === names.length, "it names a column twice");

const ownShape = {
  kind: z.literal("choice"),
  chance: z.number().gt(0).lt(1).optional().describe("Accuracy of guessing; by default one in the number of options."),
  score: z
    .enum(["best", "mass"])
    .optional()
    .describe(
      "`mass`: the probability of all right options over that of all; by default whether the best one is right.",
    ),
};

const rowsForm = z
  .strictObject({
    ...taskShape,
    ...ownShape,
    options: z
      .union([distinctNames.min(2), z.string()])
      .optional()
      .describe(
        "The columns that hold the options, in order; or the one path to a list of them, or to a map of texts to 0 and 1.",
      ),
    optionTexts: distinctNames.min(2).optional().describe("In place of `options`: the same for every question."),
    labels: z.string().optional().describe("The path to a list of the options' labels, for `answerIs: label`."),
    answer: z.string().optional().describe("The column that says which option is right."),
    answerIs: z
      .enum([...answerForms, "label", "truth", "flags"])
      .optional()
      .describe(
        "`letter`; `index` from 0, `number` from 1; the option's `column`, `text` or `label` (one of `labels`); `truth` (true: the second option); `flags` (0 or 1 for each). Needed where it could be two of them.",
      ),
    gap: z
      .string()
      .min(1)
      .optional()
      .describe("Where each option goes into the prompt; what follows the gap is scored, and no option by itself."),
  })
  .superRefine((card, context) => {
    const fault = (path: string[], message: string) => context.addIssue({ code: "custom", path, message });
    const { options, optionTexts, answer, answerIs, labels } = card;
    checkTask(card, answer, fault);
    if ((options === undefined) === (optionTexts === undefined))
      fault(["options"], options === undefined ? "it is missing" : "`optionTexts` stands in its place");
    if (answer === undefined && typeof options !== "string") fault(["answer"], "it is missing");
    if ((answerIs === "label") !== (labels !== undefined))
      fault(labels === undefined ? ["labels"] : ["answerIs"], "`labels` and `answerIs: label` go together");
  });

/** The form of llama.cpp's `--hellaswag`: what the columns are is no question. */
const sixLines = z
  .strictObject({ ...taskShape, ...ownShape, format: z.literal("hellaswag-text") })
  .omit({ prompt: true, columns: true, clean: true, styles: true, style: true })
  .transform((card): ChoiceCard => ({ ...sixLineColumns, ...card }));

export type ChoiceCard = z.output<typeof rowsForm>;

/** The form of a card, by what it says of its `format`. */
export const choiceCard = (format: unknown): z.ZodType<ChoiceCard> =>
  format === "hellaswag-text" ? sixLines : rowsForm;
