import { definite } from "../definite.js";
import { metric as describe } from "../metrics.js";
import type { Run } from "../replay/index.js";
import type { Series } from "../stats/series.js";
import type { Pair } from "./answers.js";
import { type Figures, figuresOf, hasFigures, type Lack, lacksOf, unsoundBase } from "./missing.js";
import {
  farDistance,
  isOfDistance,
  isOfLikelihood,
  isOfSpeed,
  isShare,
  lossAtMost,
  marginText,
  type Read,
  reading,
  size,
} from "./reading.js";
import type { Result } from "./results.js";
import { isAtChance, isWithinMargin } from "./verdict.js";
import { detectableOf } from "./words.js";

/** The cost of each file against the one that it was made from, and which of them to take. */
export interface Ladder {
  title: string;
  /** The variant that all others are held against. */
  base: string;
  /** Largest file first. */
  steps: LadderStep[];
  /** The smallest file of which no loss is shown, though one that matters would have been detected. */
  smallest?: LadderStep;
  /** The smallest file whose 95 % interval ends below `nearness`. */
  near?: LadderStep;
  /** The limit and the metrics of `near`: `1 %`, `PPL`. */
  nearness: { limit: string; labels: string };
  /** The distance from the base that does not matter: `0.001 nat`. */
  nearby?: string;
  /** Why no file is recommended, whatever was compared: the base is broken, failed or not finished. */
  unsound?: string;
  /** The base has nothing to hold others against: what was compared with it means nothing. */
  isVoid: boolean;
  /**
   * Whether perplexity or a task says what is worse, or the distance from the base alone how near each is; `none`: the base has
   * its figures, no other file has; `nothing`: none was asked for.
   */
  judged: "quality" | "distance" | "none" | "nothing";
}

export interface LadderStep {
  variant: string;
  bytes: number | undefined;
  /** Share of the base's bytes that is saved; below 0 where the file is larger. */
  saved: number | undefined;
  /** Whether its weights take less than the base's, by more than rounds to none. */
  smaller: boolean;
  /**
   * `equal` and `worse` are shown; `probably worse` would be by itself, not among so many; `open`: no loss is shown, one that
   * matters would have been detected; `unknown`: too little was measured; `absent`: there is no figure.
   */
  standing: "better" | "equal" | "open" | "unknown" | "probably worse" | "worse" | "much worse" | "mixed" | "absent";
  /** Why figures of quality are missing that it should have; such a file is never recommended. */
  lacks: Lack[];
  /** The smallest loss that would have been detected, when none is shown. */
  detectable?: string;
}

/** The loss that most would give for a smaller file: 1 % of PPL, one point of accuracy. */
const nearLoss = 0.01;

/** One for every variant that others are held against; `series`: all of the run. */
export function laddersOf(
  run: Run,
  series: Series[],
  questions: { title: string; base?: string; pairs: Pair[] }[],
): Ladder[] {
  const figures = figuresOf(run, series);
  return questions.flatMap(({ title, base, pairs }) => {
    if (base === undefined) return [];
    const unsound = unsoundBase(figures, base);
    const steps = pairs.map((pair) => climb(pair, figures, unsound?.whole));
    return [
      {
        ...definite({ title, base, unsound: unsound?.text }),
        isVoid: unsound?.whole ?? false,
        ...recommended(steps, unsound !== undefined),
        judged: judgedBy(steps, hasFigures(figures, base)),
      },
    ];
  });
}

function judgedBy(found: ReturnType<typeof climb>[], asked: boolean): Ladder["judged"] {
  if (found.some(({ quality }) => quality > 0)) return "quality";
  if (found.some(({ distances }) => distances > 0)) return "distance";
  return asked ? "none" : "nothing";
}

/** The files from the largest to the smallest, and which to take; none when the base is `unsound`. */
function recommended(
  found: ReturnType<typeof climb>[],
  unsound: boolean,
): Omit<Ladder, "title" | "base" | "unsound" | "isVoid" | "judged"> {
  const steps = found.map(({ step }) => step).sort((a, b) => (b.bytes ?? 0) - (a.bytes ?? 0));
  const smallest = (fits: (one: (typeof found)[number]) => boolean) =>
    found
      .filter((one) => one.complete && one.step.smaller && fits(one))
      .map(({ step }) => step)
      .sort((a, b) => a.bytes! - b.bytes!)[0];
  const best = unsound ? undefined : smallest(({ step }) => ["better", "equal", "open"].includes(step.standing));
  const near = unsound ? undefined : smallest((one) => one.near);
  const labels = [...new Set(found.flatMap(({ nearLabels }) => nearLabels))];
  const nearby = found.flatMap((one) => one.nearby ?? [])[0];
  const points = found.some((one) => one.nearInPoints);
  return {
    steps,
    ...definite({ smallest: best, near, nearby }),
    nearness: { limit: points ? "1 point" : "1 %", labels: labels.join(" and ") },
  };
}

/** Whether the share that a file saves rounds to none. */
export const isSameSize = (saved: number) => Math.abs(saved) < 0.005;

/** The cost of one file, and the figures that it rests on; `alone`: its base has nothing to hold it against. */
function climb({ a, b, results }: Pair, figures: Figures, alone = false) {
  const told: Read[] = (alone ? [] : results).flatMap((result) =>
    result.comparison && result.verdict ? [{ ...result, ...reading(result) }] : [],
  );
  const quality = told.filter((one) => !isOfSpeed(one) && !isOfDistance(one));
  const distances = told.filter(isOfDistance);
  const [base, own] = [a, b].map((name) => figures.variants.find((one) => one.name === name)?.facts);
  const bytes = own?.bytes;
  const saved = own && base && base.bytes > 0 ? 1 - own.bytes / base.bytes : undefined;
  const far = distances.some(({ comparison }) => comparison!.b > farDistance);
  const standing = standingOf(quality, distances, far);
  const likelihoods = quality.filter(isOfLikelihood);
  const decisive = likelihoods.length > 0 ? likelihoods : quality.filter(({ verdict }) => !isAtChance(verdict!));
  const open = quality.filter(({ state }) => state === "open");
  const step: LadderStep = {
    variant: b,
    bytes,
    saved,
    // Weights of the same size in a file with less beside them are no smaller model.
    smaller: saved !== undefined && saved > 0 && !isSameSize(saved) && own!.tensorBytes < base!.tensorBytes,
    standing,
    lacks: lacksOf(figures, b, a),
    ...(standing === "open" && open[0]
      ? {
          detectable: open
            .map(({ label, comparison }) => `${label} ${size(comparison!, detectableOf(comparison!))}`)
            .join(", "),
        }
      : {}),
  };
  return {
    step,
    quality: quality.length,
    complete: told.length > 0 && step.lacks.length === 0,
    distances: distances.length,
    nearby: distances[0] && marginText(distances[0]),
    near:
      !far &&
      decisive.length > 0 &&
      decisive.every(({ comparison }) => lossAtMost(comparison!) < nearLoss) &&
      !quality.some((one) => !isOfLikelihood(one) && /worse/.test(one.state)),
    nearInPoints: decisive.some(({ metric }) => isShare(metric)),
    nearLabels: decisive.map(({ metric }) => describe(metric).label),
  };
}

function standingOf(quality: Read[], distances: Result[], far: boolean): LadderStep["standing"] {
  const states = new Set(quality.map(({ state }) => state));
  const worst = (["much worse", "worse", "probably worse"] as const).find((state) => states.has(state));
  if (worst !== undefined) return states.has("better") ? "mixed" : worst;
  if (quality.length === 0) {
    if (distances.length === 0) return "absent";
    if (far) return "worse";
    return distances.every(({ verdict }) => isWithinMargin(verdict!)) ? "equal" : "unknown";
  }
  // A perplexity says more than the flips of a few questions: where it cannot tell, they do not make up for it.
  const isOpen =
    quality.some((one) => one.state === "unknown" && isOfLikelihood(one)) ||
    !quality.some(({ state }) => state !== "unknown");
  if (far || isOpen) return "unknown";
  if (states.has("better")) return "better";
  return [...states].every((state) => state === "equal") ? "equal" : "open";
}
