import { type Part, partNames } from "../backends/backend.js";
import type { MeasurementConfig } from "../benchmark/index.js";
import { type Dataset, findKind } from "../data/index.js";
import { several } from "../harmless.js";
import { measurementOn } from "../measurements/index.js";
import type { ModelFacts } from "../models/gguf.js";
import type { Routed } from "./job.js";

/** Why a cell cannot be measured, in a sentence without its end; undefined where it can. */
export function reasonAgainst(
  config: MeasurementConfig,
  variant: Routed,
  against: Routed | undefined,
  context: number,
  data: Dataset | undefined,
): string | undefined {
  const { facts } = variant.record;
  return (
    reasonOf(config, variant, against, context) ??
    (data && measurementOn(config.kind, config.on).unfit?.(config.settings, data)) ??
    (data && facts && findKind(data.kind)?.unfit?.(data, facts))
  );
}

function reasonOf(
  config: MeasurementConfig,
  { backend, parts, place, record, spec }: Routed,
  against: Routed | undefined,
  context: number,
): string | undefined {
  const measurement = measurementOn(config.kind, config.on);
  const needs: readonly Part[] = measurement.needs(config.settings);
  const lacking = needs.filter((need) => !parts.includes(need));
  const inside = lacking.length > 0 && lacking.every((need) => backend.through?.parts.includes(need));
  // Whether a model that could not be found has a file here is not known.
  if (lacking.length > 0 && !(inside && record.failure)) {
    const reason = `${backend.name} gives no ${lacking.map((part) => partNames[part]).join(", no ")}`;
    const isHere = (record.facts?.files.length ?? 0) > 0;
    return inside && !isHere ? `${reason}, and the model's file cannot be read on this machine` : reason;
  }
  const { impossible } = backend.settingsFacts(spec.settings);
  if (impossible) return impossible;
  const trained = record.facts?.contextLength ?? Number.POSITIVE_INFINITY;
  if (context > trained) {
    const by = measurement.beyond?.(config.settings, trained) ?? [];
    const which = by.length > 0 ? `, by ${several(by, 4)}` : "";
    const rest = by.length > 0 ? `: without ${by.length > 1 ? "them" : "it"} the others can be measured` : "";
    return `a context of ${context} tokens is asked for${which}; the model was trained for ${trained}${rest}`;
  }
  if (measurement.mode.kind !== "together") return undefined;
  if (!against) return "nothing to compare with: no variant is the reference, or --only or --exclude leaves it out";
  if (against.record === record && config.settings.floor === 0) return "no noise floor is asked for";
  if (against.record.failure) return `the reference ${against.record.name} cannot be read`;
  if (against.backend !== backend)
    return `the reference runs on ${against.backend.name}, this variant on ${backend.name}`;
  // They would be opened in one process, which cannot hold two builds.
  if (JSON.stringify(against.place.engine) !== JSON.stringify(place.engine))
    return `the reference ${against.record.name} runs on another build: store it (\`gguf-bench reference\`) and measure the divergence from it`;
  const [own, other] = [record.facts, against.record.facts];
  if (own && other && otherVocabulary(own, other))
    return `its tokenizer differs from that of the reference ${against.record.name}; compare bits per byte`;
  return undefined;
}

/** Whether no text could be the same tokens in both; tokenizers of one vocabulary are held against each other on the text. */
function otherVocabulary(own: ModelFacts, other: ModelFacts): boolean {
  if (own.vocabulary !== other.vocabulary) return true;
  if (own.vocabularySha256 === undefined || other.vocabularySha256 === undefined)
    return own.tokenizerSha256 !== other.tokenizerSha256;
  return own.vocabularySha256 !== other.vocabularySha256;
}
