import { definite } from "../../definite.js";
import type { JobRecord } from "../../events.js";
import { harmless } from "../../harmless.js";
import { isDistance, isQuality, leadsAmong, type Metric } from "../../metrics.js";
import { yamlText } from "../../yaml.js";
import { type SoundFigure, soundFigures } from "./figures.js";
import type { Format, Material } from "./format.js";

/**
 * Metadata of a model card, between the lines `---` of its README: `model-index` as the Hugging Face Hub's `modelcard.md` describes it.
 * One entry for all variants, each named by its metrics: huggingface_hub keeps one name of those that a card has.
 */
export const modelIndex: Format = {
  name: "model-index",
  meaning: "metadata of a model card (README.md on the Hugging Face Hub)",
  render: (material) => {
    const { started } = material.facts.table;
    const jobs = new Map(started.jobs.map((job) => [job.measurement, job]));
    const { figures, notes } = soundFigures(material);
    const named = material.variants.length > 1;
    const results = Array.from(jobs, ([measurement, job]) => ({
      task: { type: "text-generation", name: "Text generation" },
      dataset: datasetOf(job),
      metrics: figures
        .filter(({ column }) => column.measurement === measurement && isToldOf(column.metric, job))
        .map((one) => metricOf(one, started.jobs, named)),
    })).filter(({ metrics }) => metrics.length > 0);
    return { content: yamlText({ "model-index": [{ name: nameOf(material), results }] }), notes };
  },
};

/** The model's: what the files of its variants have in common, or the name of the one variant. */
function nameOf({ card, variants, facts }: Material): string {
  const [only, ...others] = variants;
  const shared = card.files?.replace(/…(\.gguf)?$/, "").replace(/[-_. ]+$/, "");
  return harmless((others.length === 0 ? only : shared) || facts.table.started.name);
}

/** Principal figures, those of cards, and every accuracy: the others follow from them. */
const isToldOf = (metric: Metric, { metrics }: JobRecord) =>
  isQuality(metric) && (metric.per === "question" || metric.onCard === true || leadsAmong(metric.name, metrics));

function datasetOf({ dataset, task, settings }: JobRecord) {
  return {
    type: harmless(dataset),
    name: harmless(dataset),
    ...definite({ split: task?.split }),
    args: { ...definite({ num_few_shot: task?.shots, style: task?.style }), ...settings },
  };
}

/** A distance says from what, and of several variants each says whose it is: a card's metadata have one model's name. */
function metricOf(
  { variant, column: { metric, measurement }, summary }: SoundFigure,
  jobs: JobRecord[],
  named: boolean,
) {
  const { against } = jobs.find((job) => job.variant === variant.name && job.measurement === measurement) ?? {};
  const from = isDistance(metric) && against !== undefined ? ` from ${against}` : "";
  const { value, low, high, n } = summary;
  return {
    type: metric.hubName ?? metric.name,
    value,
    name: harmless(`${metric.label}${from}${named ? `, ${variant.name}` : ""}`),
    ...(low === undefined ? {} : { args: { low, high, items: n } }),
  };
}
