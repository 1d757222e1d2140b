import type { VariantRecord } from "../events.js";
import { harmless } from "../harmless.js";
import { countsLeftOut, metric as describe, isQuality, leadsAmong } from "../metrics.js";
import type { JobState, Run } from "../replay/index.js";
import type { Series } from "../stats/series.js";

/** Why a variant has no figure to believe. */
export type Lack = "broken" | "failed" | "not possible" | "not finished" | "not measured";

/** One metric of a measurement that says how well a model predicts: speed and what comes beside it recommend no file. */
interface QualityMetric {
  measurement: string;
  metric: string;
  /** It is a distance from a reference. */
  against: boolean;
}

/** The figures of quality that a run was to have of its variants, and those that are there. */
export interface Figures {
  variants: readonly VariantRecord[];
  metrics: QualityMetric[];
  /** Undefined when there is a figure. */
  lack(variant: VariantRecord, one: QualityMetric): Lack | undefined;
}

/** `all`: the series of the run. */
export function figuresOf(run: Run, all: Series[]): Figures {
  const { variants = [], jobs = [], measurements = [] } = run.plan ?? {};
  const names = new Set([...measurements.map(({ name }) => name), ...jobs.map(({ measurement }) => measurement)]);
  const metrics = [...names].flatMap((measurement): QualityMetric[] => {
    const of = all.filter(({ job }) => job.measurement === measurement);
    const against = jobs.some((job) => job.measurement === measurement && job.against !== undefined);
    const announced = of.flatMap(({ job, observations }) => [...job.metrics, ...observations.keys()]);
    return [...new Set(announced)]
      .filter((name) => isQuality(describe(name)))
      .map((metric) => ({ measurement, metric, against }));
  });
  const lack = (variant: VariantRecord, { measurement, metric }: QualityMetric): Lack | undefined => {
    const own = all.find(({ variant: { name }, job }) => name === variant.name && job.measurement === measurement);
    if (!own) return variant.failure ? "failed" : "not measured";
    const state = run.jobs.get(own.job.id)?.state ?? "waiting";
    return state === "done" ? lackIn(own, metric) : lacks[state];
  };
  // Asked again for every pair, and each time all values would be read.
  const known = new Map<string, Lack | undefined>();
  const remembered: typeof lack = (variant, one) => {
    const key = JSON.stringify([variant.name, one.measurement, one.metric]);
    if (!known.has(key)) known.set(key, lack(variant, one));
    return known.get(key);
  };
  return { variants, metrics, lack: remembered };
}

const lacks: Record<Exclude<JobState, "done">, Lack> = {
  failed: "failed",
  impossible: "not possible",
  running: "not finished",
  waiting: "not finished",
};

function lackIn({ broken, job, observations }: Series, name: string): Lack | undefined {
  const values = observations.get(name);
  if (values) return broken === undefined && values.every(({ value }) => Number.isFinite(value)) ? undefined : "broken";
  // An engine that tells no tokens gives a perplexity, and no bits per byte: that is not the file's fault.
  if (broken === undefined && [...observations.keys()].some((one) => leadsAmong(one, job.metrics))) return undefined;
  // None of its questions could be asked.
  return [...observations.keys()].some((one) => countsLeftOut(describe(one))) ? "not possible" : "not measured";
}

/**
 * Why figures are missing that a variant should have, each reason once: those that its base has, and its distance from a base whose own,
 * the noise floor, is still to come. A file with a failed, unfinished or broken figure is no recommendation.
 */
export function lacksOf({ variants, metrics, lack }: Figures, variant: string, base: string): Lack[] {
  const [own, theirs] = [variant, base].map((wanted) => variants.find(({ name }) => name === wanted));
  if (!own || !theirs) return [];
  const isAsked = (one: QualityMetric) => {
    const missing = lack(theirs, one);
    return missing === undefined || (one.against && missing === "not finished");
  };
  return [...new Set(metrics.filter(isAsked).flatMap((one) => lack(own, one) ?? []))];
}

/** Whether a variant has any figure of quality to hold others against. */
export const hasFigures = ({ variants, metrics, lack }: Figures, base: string): boolean =>
  variants.some((one) => one.name === base && metrics.some((metric) => lack(one, metric) === undefined));

/**
 * The reason why a variant is no sound base: something that it should have given is broken, failed or unfinished. `whole`: it has nothing
 * to hold others against.
 */
export function unsoundBase(
  { variants, metrics, lack }: Figures,
  base: string,
): { text: string; whole: boolean } | undefined {
  const own = metrics.filter(({ against }) => !against);
  const faultsOf = (variant: VariantRecord) => {
    if (variant.failure && own.length === 0) return [{ measurement: "", fault: "failed" as const }];
    return own.flatMap((one) => {
      const fault = lack(variant, one);
      return fault === "broken" || fault === "failed" || fault === "not finished"
        ? [{ measurement: one.measurement, fault }]
        : [];
    });
  };
  const has = (variant: VariantRecord) => own.some((one) => lack(variant, one) === undefined);
  const it = variants.find(({ name }) => name === base);
  const [first] = it ? faultsOf(it) : [];
  if (!it || !first) return undefined;
  const whole = !has(it);
  const [instead] = variants
    .filter((one) => one !== it && !one.failure && (own.length === 0 || has(one)) && faultsOf(one).length === 0)
    .sort((a, b) => (b.facts?.bytes ?? 0) - (a.facts?.bytes ?? 0));
  const name = harmless(base);
  const what = whole
    ? `${name} ${first.fault === "failed" ? "" : "is "}${first.fault}: nothing is compared with it`
    : `${name}: ${harmless(first.measurement)} ${first.fault}: no file is recommended against it`;
  const remedy = it.reference && instead ? `; --reference ${harmless(instead.name)}` : "";
  return { text: `${what}${first.fault === "not finished" ? "" : remedy}`, whole };
}
