import { definite } from "../../definite.js";
import type { BenchError } from "../../errors.js";
import { coded, type LmEvalTask, taskForm } from "./lm-eval-form.js";
import { choiceMetrics, type ForeignScores, generationScores } from "./lm-eval-scores.js";
import { codeIn, type MergedYaml } from "./merged.js";

/** A task of lm-eval's that can be asked. */
export interface ReadableTask {
  yaml: MergedYaml;
  task: LmEvalTask;
  kind: "choice" | "generation";
  /** How generated answers are scored; absent for options. */
  scores?: ForeignScores["scores"];
  /** The Python code that its examples need, where it asks for none by itself. */
  codedExamples?: string;
  /** What of the task is left out or done otherwise, each a phrase. */
  notes: string[];
}

/** Metrics may hold code, each by itself: the others are measured. */
const codeAllowed = ["metric_list", "metadata", "doc_to_decontamination_query", "filter_list", "task_alias"];

/** Whatever they say, it is the name of code, or needs some. */
const alwaysCode = [
  ...["process_docs", "process_results", "custom_dataset", "unsafe_code"],
  ...["use_prompt", "doc_to_image", "doc_to_audio"],
];

/** Checks a task. Throws a BenchError that names the place of what cannot be read, or is not data. */
export function readableTask(yaml: MergedYaml): ReadableTask {
  const codedExamples = refuseCode(yaml);
  const { metric_list, ...all } = yaml.value;
  const rest = codedExamples === undefined ? all : { ...all, fewshot_config: undefined };
  // A metric without code has a name.
  const metrics = Array.isArray(metric_list) ? metric_list : undefined;
  const plain = metrics?.filter((one) => codeIn((one as { metric?: unknown })?.metric) === undefined);
  const task = yaml.check(taskForm, { ...rest, ...(metrics ? { metric_list: plain } : { metric_list }) }, []);
  const codes = (metrics ?? []).flatMap((one) => codeIn((one as { metric?: unknown })?.metric) ?? []);
  if ((task.repeats ?? 1) > 1)
    throw yaml.fault(["repeats"], "`repeats` of more than one answer to a question are not asked.", {
      hint: "Set it to 1 in a copy of the task.",
    });
  const common = { yaml, task, ...definite({ codedExamples }) };
  switch (task.output_type) {
    case "multiple_choice": {
      if (task.doc_to_choice === undefined || task.doc_to_choice === null)
        throw yaml.fault(["output_type"], "`doc_to_choice` is missing: multiple_choice needs options.");
      return { ...common, kind: "choice", notes: choiceMetrics(yaml, task, codes) };
    }
    case "generate_until": {
      const { scores, notes } = generationScores(yaml, task, codes);
      return { ...common, kind: "generation", scores, notes };
    }
    default:
      throw yaml.fault(["output_type"], `tasks of the output type ${task.output_type} are not asked.`, {
        hint:
          task.output_type === "loglikelihood_rolling"
            ? "The perplexity of a text of your own: --measure perplexity --text FILE."
            : "Asked are multiple_choice and generate_until.",
      });
  }
}

/** The code of examples that nobody asks for is no hindrance; it is returned. */
function refuseCode(yaml: MergedYaml): string | undefined {
  let examples: string | undefined;
  const { value } = yaml;
  if (value.class !== undefined) throw refusedCode(yaml, "class", "a Python class");
  for (const [key, one] of Object.entries(value)) {
    if (codeAllowed.includes(key)) continue;
    const code = codeIn(one);
    if (code !== undefined && key === "fewshot_config" && !value.num_fewshot) examples = code;
    else if (code !== undefined) throw refusedCode(yaml, key, code);
    if (alwaysCode.includes(key) && one !== null && one !== false)
      throw yaml.fault([key], `\`${key}\` is for Python, which is not run here.`, { hint: coded[key] });
  }
  return examples;
}

export function refusedCode(yaml: MergedYaml, key: string, code: string): BenchError {
  return yaml.fault([key], `\`${key}\` runs Python code (${code}), which is not run here.`, { hint: coded[key] });
}
