import { hubBenchmarks } from "../../data/index.js";
import { BenchError } from "../../errors.js";
import { harmless, several } from "../../harmless.js";
import { leadsAmong } from "../../metrics.js";
import { yamlText } from "../../yaml.js";
import { askedOf } from "../task-tables.js";
import { soundFigures } from "./figures.js";
import type { Format } from "./format.js";

/**
 * `.eval_results/NAME.yaml` of a model's repository on the Hugging Face Hub: scores on datasets that the Hub counts as benchmarks. Nothing
 * else has a place there, and only a whole task of one model does.
 */
export const evalResults: Format = {
  name: "eval-results",
  meaning: ".eval_results/*.yaml of a model on the Hugging Face Hub",
  render: async (material) => {
    const { variants } = material;
    const { started, sessions } = material.facts.table;
    if (variants.length !== 1)
      throw new BenchError("config", "--format eval-results tells of one model, and this run has several", {
        hint: `name it, --variant ${variants[0] ?? ""}: ${several([...variants])}`,
      });
    const benchmarks = await hubBenchmarks();
    const { figures, notes } = soundFigures(material);
    const date = new Date(sessions.at(-1)!.at).toISOString().slice(0, 10);
    const results = figures.flatMap(({ column: { measurement, metric }, summary }) => {
      const job = started.jobs.find((one) => one.measurement === measurement);
      const benchmark = job?.task && benchmarks.get(job.dataset);
      if (!job || !leadsAmong(metric.name, job.metrics) || metric.per !== "question") return [];
      const part = job.settings.limit !== undefined || job.task?.subjects !== undefined;
      if (!benchmark || part) {
        const why = benchmark ? "a part of the task was asked" : `${job.dataset} is no benchmark of the Hub`;
        notes.push(`left out: ${measurement}: ${why}`);
        return [];
      }
      const setup = [...askedOf(job), started.variants.find(({ name }) => name === variants[0])?.facts?.quant ?? ""];
      return [
        {
          dataset: { id: benchmark.dataset, task_id: benchmark.task },
          value: Number((100 * summary.value).toPrecision(6)),
          date,
          notes: harmless(
            [...setup, `gguf-bench ${started.provenance.versions["gguf-bench"] ?? ""}`].filter(Boolean).join(", "),
          ),
        },
      ];
    });
    if (results.length === 0)
      throw new BenchError("config", "this run has no figure that the Hub counts as the result of a benchmark", {
        hint: `${[...new Set(notes)].slice(0, 3).join("; ") || "measure a task"}; --format model-index takes every figure`,
      });
    return { content: yamlText(results), notes };
  },
};
