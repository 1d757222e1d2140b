import type { JobRecord, VariantRecord } from "../../dist/events.js";
import { askedOf } from "../../dist/judge/pairs.js";
import type { Result } from "../../dist/judge/results.js";
import { differenceIn } from "../../dist/judge/verdict.js";
import { verdictsOver } from "../../dist/judge/verdicts.js";
import type { Observation } from "../../dist/stats/comparison.js";
import type { Series } from "../../dist/stats/series.js";
import { normals, random } from "../draws.mjs";

// The demo's report without a real difference: two versions, each with five files and three more with an importance matrix, two texts,
// divergence, two tasks, speed. Variants share the text's difficulty and the questions', and pairs share variants.

const quantizations = ["F16", "Q8_0", "Q4_K_M", "Q3_K_M", "Q2_K", "Q4_K_M-im", "Q3_K_M-im", "Q2_K-im"];

const variants: VariantRecord[] = ["v2", "v1"].flatMap((version) =>
  quantizations.map((name) => ({
    name: `${version}-${name}`,
    model: `${name}.gguf`,
    backend: "llama",
    reference: version === "v2" && name === "F16",
    ...(version === "v1" ? { against: "v1-F16" } : {}),
    tags: { version, quant: name.replace("-im", ""), imatrix: String(name.endsWith("-im")) },
    settings: {},
  })),
);

interface Kind {
  measurement: string;
  kind: string;
  metrics: string[];
  items: number;
}

const kinds: Kind[] = [
  { measurement: "prose-en", kind: "perplexity", metrics: ["perplexity"], items: 38 },
  { measurement: "prose-zh", kind: "perplexity", metrics: ["perplexity"], items: 24 },
  { measurement: "divergence", kind: "divergence", metrics: ["kld"], items: 8 },
  { measurement: "facts-en", kind: "choice", metrics: ["acc"], items: 240 },
  { measurement: "facts-zh", kind: "choice", metrics: ["acc"], items: 240 },
  { measurement: "speed", kind: "speed", metrics: ["pp128", "tg16"], items: 5 },
];

export interface Shape {
  /** Autocorrelation of what single variants add to a chunk. */
  rho: number;
  /** How much of a chunk's or question's value is the variant's own, against what all share. */
  own: number;
}

/** One run after the other, each without a difference. */
export function nullRuns(seed: number, { rho, own }: Shape): () => Series[] {
  const [normal, next] = [normals(seed), random(seed + 1)];
  const noise = (n: number): number[] => {
    let last = normal();
    return Array.from({ length: n }, () => {
      const value = last;
      last = rho * last + Math.sqrt(1 - rho * rho) * normal();
      return value;
    });
  };
  const draw: Record<string, (n: number) => () => number[]> = {
    perplexity: (n) => {
      const difficulty = noise(n).map((one) => 3 + 0.4 * one);
      return () => noise(n).map((one, i) => difficulty[i]! + 0.1 * own * one);
    },
    divergence: (n) => {
      const common = noise(n).map((one) => 0.6 * one);
      return () => noise(n).map((one, i) => 0.02 * Math.exp(common[i]! + 0.3 * own * one));
    },
    choice: (n) => {
      const questions = Array.from({ length: n }, () => next());
      return () => questions.map((hardness) => (hardness + 0.1 * own * normal() < 0.6 ? 1 : 0));
    },
    speed: (n) => {
      const machine = noise(n);
      return () => machine.map((one) => 50 * Math.exp(0.02 * one + 0.01 * normal()));
    },
  };
  return () =>
    kinds.flatMap((kind) =>
      seriesOf(
        kind,
        kind.metrics.map(() => draw[kind.kind]!(kind.items)),
      ),
    );
}

function seriesOf({ measurement, kind, metrics }: Kind, draws: (() => number[])[]): Series[] {
  return variants.map((variant): Series => {
    const against = variant.against ?? "v2-F16";
    const job: JobRecord = {
      id: `${variant.name} ${measurement}`,
      ...{ variant: variant.name, backend: "llama", measurement, kind, dataset: measurement, settings: {}, metrics },
      ...(kind === "divergence" ? { against } : {}),
    };
    const observations = metrics.map((metric, i): [string, Observation[]] => [
      metric,
      draws[i]!().map((value, item) => ({ item: String(item), value, weight: kind === "perplexity" ? 127 : 1 })),
    ]);
    return { variant, job, machine: { cpu: "A", cpus: 2 }, file: "", observations: new Map(observations) };
  });
}

/** Of so many reports without a difference, how many say one: a question and a metric, its mean and its pairs, are an answer. */
export interface Errors {
  draws: number;
  /** By answer. */
  answers: Map<string, number>;
  /** The same of the means alone. */
  means: Map<string, number>;
  /** In any answer, whatever the report adds to it. */
  any: number;
  /** In any answer, and the report does not call it less certain over all answers. */
  held: number;
  /** Where the interval of any comparison excludes 0. */
  unadjusted: number;
}

export function errorsOf(draws: number, run: () => Series[]): Errors {
  const asked = askedOf(variants);
  const errors: Errors = { draws, answers: new Map(), means: new Map(), any: 0, held: 0, unadjusted: 0 };
  const isFalse = ({ verdict }: Result) => verdict !== undefined && differenceIn(verdict) !== undefined;
  const count = (of: Map<string, number>, key: string, wrong: boolean) =>
    of.set(key, (of.get(key) ?? 0) + (wrong ? 1 : 0));
  for (let draw = 0; draw < draws; draw++) {
    const byName = new Map<string, Series[]>();
    for (const one of run()) byName.set(one.variant.name, [...(byName.get(one.variant.name) ?? []), one]);
    const { questions } = verdictsOver(asked, (name) => byName.get(name)!);
    const all = questions.flatMap(({ title, pairs, pooled }) => {
      const key = ({ measurement, metric }: Result) => `${title} ${measurement} ${metric}`;
      for (const mean of pooled) count(errors.means, key(mean), isFalse(mean));
      // A distance from the reference is a size: nothing is tested.
      const tested = pairs.flatMap(({ results }) => results).filter(({ comparison }) => comparison!.scale !== "level");
      return [...pooled, ...tested].map((result) => ({ result, key: key(result) }));
    });
    const wrong = new Set(all.flatMap(({ result, key }) => (isFalse(result) ? [key] : [])));
    for (const key of new Set(all.map((one) => one.key))) count(errors.answers, key, wrong.has(key));
    errors.any += wrong.size > 0 ? 1 : 0;
    errors.held += all.some(({ result }) => isFalse(result) && !result.doubted) ? 1 : 0;
    errors.unadjusted += all.some(({ result }) => result.comparison!.p < 0.05) ? 1 : 0;
  }
  return errors;
}

/** The mean over the answers, in per cent. */
export const meanOf = (counts: Map<string, number>, draws: number): number =>
  (100 * [...counts.values()].reduce((sum, one) => sum + one, 0)) / (draws * counts.size);

/** `4.85 ± 0.13 %`: a share of draws, in per cent, with its Monte-Carlo error. */
export function told(share: number, draws: number): string {
  return `${share.toFixed(2)} ± ${Math.sqrt((share * (100 - share)) / draws).toFixed(2)} %`;
}
