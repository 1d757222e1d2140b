import { z } from "zod";

// The form of lm-eval's task files, as far as they are data. Keys that run code are known too, so that they are refused by name.

const split = z.string().min(1).nullish();
const expression = z.union([z.string(), z.int()]);

const metric = z
  .looseObject({
    metric: z.string(),
    aggregation: z.unknown().optional(),
    higher_is_better: z.unknown().optional(),
    hf_evaluate: z.unknown().optional(),
  })
  .describe("A metric and what it takes.");

const filterStep = z
  .looseObject({ function: z.union([z.string(), z.record(z.string(), z.string())]) })
  .describe("A filter's name and what it takes.");

const filter = z.strictObject({ name: z.string(), filter: z.array(filterStep) });

export const fewshotForm = z.strictObject({
  sampler: z.string().nullish(),
  split,
  samples: z.array(z.record(z.string(), z.unknown())).nullish(),
  fewshot_indices: z.array(z.int().min(0)).nullish(),
  process_docs: z.unknown().optional(),
  doc_to_text: expression.nullish(),
  doc_to_choice: z.union([z.string(), z.array(z.string()), z.record(z.string(), z.string())]).nullish(),
  doc_to_target: z.union([expression, z.array(z.unknown())]).nullish(),
  gen_prefix: z.string().nullish(),
  fewshot_delimiter: z.string().nullish(),
  target_delimiter: z.string().nullish(),
});

const outputTypes = ["multiple_choice", "generate_until", "loglikelihood", "loglikelihood_rolling"] as const;

export const taskForm = z.strictObject({
  task: z.string().min(1),
  task_alias: z.unknown().optional(),
  tag: z.unknown().optional(),
  group: z.unknown().optional(),
  group_alias: z.unknown().optional(),
  metadata: z.unknown().optional(),
  should_decontaminate: z.unknown().optional(),
  doc_to_decontamination_query: z.unknown().optional(),
  dataset_path: z.string().min(1).describe("A dataset's name on the Hub, or json, csv or parquet."),
  dataset_name: z.union([z.string(), z.number()]).nullish(),
  dataset_kwargs: z.record(z.string(), z.unknown()).nullish(),
  training_split: split,
  validation_split: split,
  test_split: split,
  fewshot_split: split,
  output_type: z.enum(outputTypes).default("generate_until"),
  doc_to_text: expression.describe("A column, or a template of the question."),
  doc_to_target: z
    .union([expression, z.array(z.unknown())])
    .describe("A column, a template, or an index of the right option."),
  doc_to_choice: z
    .union([z.string(), z.array(z.string()), z.record(z.string(), z.string())])
    .nullish()
    .describe("A list of options, a column that holds one, or a template of one."),
  description: z.string().nullish(),
  target_delimiter: z.string().default(" "),
  fewshot_delimiter: z.string().default("\n\n"),
  gen_prefix: z.string().nullish(),
  num_fewshot: z.int().min(0).nullish(),
  fewshot_config: fewshotForm.nullish(),
  metric_list: z.array(metric).nullish(),
  filter_list: z.array(filter).nullish(),
  generation_kwargs: z
    .looseObject({
      until: z.union([z.string(), z.array(z.string())]).nullish(),
      max_gen_toks: z.int().min(1).nullish(),
      do_sample: z.boolean().nullish(),
      temperature: z.coerce.number().min(0).nullish(),
    })
    .nullish(),
  repeats: z.int().min(1).nullish(),
  process_docs: z.unknown().optional(),
  process_results: z.unknown().optional(),
  custom_dataset: z.unknown().optional(),
  doc_to_image: z.unknown().optional(),
  doc_to_audio: z.unknown().optional(),
  use_prompt: z.unknown().optional(),
  unsafe_code: z.unknown().optional(),
});

export type LmEvalTask = z.output<typeof taskForm>;
export type LmEvalFewshot = z.output<typeof fewshotForm>;

/** Keys whose values are Python code, or need some: what to do instead. */
export const coded: Record<string, string> = {
  process_docs: "Run it once in Python, save its rows as JSONL, and leave `process_docs` out of a copy of the task.",
  doc_to_text: "Write the question as a column or a Jinja template.",
  doc_to_target: "Write the answer as a column or a Jinja template.",
  doc_to_choice: "Write the options as a list, a column or a Jinja template.",
  process_results: "Leave it out of a copy of the task, with metrics that need no code: acc, acc_norm, exact_match.",
  custom_dataset:
    "Save its rows as JSONL, and name them: `dataset_path: json`, `dataset_kwargs: {data_files: rows.jsonl}`.",
  fewshot_config: "Write its examples under `samples:`, or name a split.",
  class: "A task that is a Python class has no data to read; a copy as data needs a YAML of its own.",
  doc_to_image: "Questions with pictures are not asked.",
  doc_to_audio: "Questions with sounds are not asked.",
  unsafe_code: "A task that runs what a model wrote is not run.",
  use_prompt: "Write the prompt into `doc_to_text`; promptsource is Python.",
};
