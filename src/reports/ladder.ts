import { harmless } from "../harmless.js";
import { isIdentical, type Pair, type Question, type Result, type Verdicts } from "../judge/index.js";
import { metric as describe, isDistance as isDistanceOf, isLikelihood as isLikelihoodOf } from "../metrics.js";
import type { Comparison } from "../stats/comparison.js";
import { percent } from "../units.js";
import { type Cell, type Column, figureIn, modelFacts, type Row, type Table } from "./table.js";

/** What each file of a ladder costs against the one that it was made from, and which of them to take. */
export interface Ladder {
  title: string;
  /** The variant that all others are held against. */
  base: string;
  /** Largest file first. */
  steps: Step[];
  /** The smallest file of which no loss is shown, though one that matters would have been detected. */
  smallest?: Step;
  /** The smallest file whose 95 % interval ends below `nearness`. */
  near?: Step;
  /** What `near` is about: `1 %`, `PPL`. */
  nearness: { limit: string; labels: string };
  /** The distance from the base that does not matter: `0.001 nat`. */
  nearby?: string;
  /** Why no file is recommended, whatever was compared: the base is broken, failed or not finished. */
  unsound?: string;
  /** Whether perplexity or a task says what is worse, the distance from the base alone how near each is, or nothing. */
  judged: "quality" | "distance" | "nothing";
}

export interface Step {
  variant: string;
  bytes: number | undefined;
  /** Share of the base's bytes that is saved; below 0 where the file is larger. */
  saved: number | undefined;
  /**
   * `equal` and `worse` are shown; `probably worse` would be by itself, not among so many; `open`: no loss is shown, one that
   * matters would have been detected; `unknown`: too little was measured; `absent`: there is no figure.
   */
  standing: "better" | "equal" | "open" | "unknown" | "probably worse" | "worse" | "much worse" | "mixed" | "absent";
  /** `PPL +0.9 %`, `KLD 0.0089`, in the order of measuring. */
  figures: string[];
  /** Why there is no figure, or not every one that the base has. */
  missing?: string;
  /** The smallest loss that would have been detected, when none is shown. */
  detectable?: string;
}

/** From here on a loss is "much": ten times what begins to matter (5 % of PPL, 10 points of accuracy). */
const much = 10;
/** Nobody takes a file whose predictions are this far from the reference's for one without loss, whatever PPL could show. Nat. */
const farDistance = 0.05;
/** The loss that most would give for a smaller file: 1 % of PPL, one point of accuracy. */
const nearLoss = 0.01;

const isSpeed = ({ metric }: Result) => describe(metric).per === "repetition";
const isDistance = ({ metric }: Result) => isDistanceOf(describe(metric));
const isLikelihood = ({ metric }: Result) => isLikelihoodOf(describe(metric));
const isShare = (metric: string) => describe(metric).scale === "percent";

/** One for every variant that others are held against. */
export function laddersFrom(table: Table, { questions }: Verdicts): Ladder[] {
  return questions.flatMap((question) =>
    question.base === undefined ? [] : [ladderOf(table, question, question.base)],
  );
}

function ladderOf(table: Table, { title, pairs }: Question, base: string): Ladder {
  const rowOf = (name: string) => table.rows.find(({ variant }) => variant.name === name);
  const baseRow = rowOf(base);
  const unsound = baseRow && unsoundBase(table, baseRow);
  const found = pairs.map((pair) => judge(pair, table, rowOf(pair.b), baseRow, unsound?.whole));
  const steps = found.map(({ step }) => step).sort((a, b) => (b.bytes ?? 0) - (a.bytes ?? 0));
  const smallest = (fits: (one: (typeof found)[number]) => boolean) =>
    found
      .filter((one) => one.complete && one.step.saved !== undefined && one.step.saved > 0 && fits(one))
      .map(({ step }) => step)
      .sort((a, b) => a.bytes! - b.bytes!)[0];
  const best = unsound ? undefined : smallest(({ step }) => ["better", "equal", "open"].includes(step.standing));
  const near = unsound ? undefined : smallest((one) => one.near);
  const labels = [...new Set(found.flatMap(({ nearLabels }) => nearLabels))];
  const nearby = found.flatMap((one) => one.nearby ?? [])[0];
  const points = found.some((one) => one.nearInPoints);
  return {
    title,
    base,
    steps,
    ...(unsound ? { unsound: unsound.text } : {}),
    ...(best ? { smallest: best } : {}),
    ...(near ? { near } : {}),
    ...(nearby === undefined ? {} : { nearby }),
    nearness: { limit: points ? "1 point" : "1 %", labels: labels.join(" and ") },
    judged: found.some(({ quality }) => quality > 0)
      ? "quality"
      : found.some(({ distances }) => distances > 0)
        ? "distance"
        : "nothing",
  };
}

/**
 * What keeps a base from being one: something that it should have given is broken, failed or unfinished. `whole`: it has nothing
 * to hold others against.
 */
function unsoundBase(table: Table, base: Row): { text: string; whole: boolean } | undefined {
  const { columns, rows, started } = table;
  const distances = new Set(started.jobs.flatMap(({ against, measurement }) => (against ? [measurement] : [])));
  const own = columns.flatMap((column, i) => (isQuality(column) && !distances.has(column.measurement) ? [i] : []));
  const faultsOf = ({ cells, variant }: Row) =>
    variant.failure && own.length === 0
      ? [{ measurement: "", fault: words.failed }]
      : own.flatMap((i) => {
          const fault = faultIn(cells[i]!);
          return fault === undefined ? [] : [{ measurement: columns[i]!.measurement, fault }];
        });
  const has = ({ cells }: Row) => own.some((i) => figureIn(cells[i]));
  const faults = faultsOf(base);
  const [first] = faults;
  if (!first) return undefined;
  const { name, reference } = base.variant;
  const whole = !has(base);
  const others = rows.filter((row) => row !== base && !row.variant.failure && (own.length === 0 || has(row)));
  const [instead] = others
    .filter((row) => faultsOf(row).length === 0)
    .sort((a, b) => (b.variant.facts?.bytes ?? 0) - (a.variant.facts?.bytes ?? 0));
  const remedy = reference && instead ? `; --reference ${harmless(instead.variant.name)}` : "";
  const what = whole
    ? `${harmless(name)} ${first.fault === words.failed ? "" : "is "}${first.fault}: nothing is compared with it`
    : `${harmless(name)}: ${harmless(first.measurement)} ${first.fault}: no file is recommended against it`;
  return { text: `${what}${first.fault === words.unfinished ? "; the same command continues" : remedy}`, whole };
}

/** What is said of a cell that should have a figure, and has none to believe; undefined where nothing was to be had. */
function faultIn(cell: Cell): string | undefined {
  if (cell.state === "measured") return cell.summary.broken === undefined ? undefined : "broken";
  return cell.state === "failed" || cell.state === "unfinished" ? words[cell.state] : undefined;
}

/** Of a measurement that says how well a model predicts. */
const isQuality = ({ measurement, metric }: Pick<Column, "measurement" | "metric">) =>
  measurement !== modelFacts && !metric.beside && metric.per !== "repetition" && metric.per !== "variant";

function judge({ b, results }: Pair, table: Table, row: Row | undefined, base: Row | undefined, alone = false) {
  const told = (alone ? [] : results)
    .filter(
      (result) =>
        result.comparison && result.verdict && !isBroken(table, result, row) && !isBroken(table, result, base),
    )
    .map((result) => ({ ...result, ...reading(result) }));
  const quality = told.filter((one) => !isSpeed(one) && !isDistance(one));
  const distances = told.filter(isDistance);
  const bytes = row?.variant.facts?.bytes;
  const whole = base?.variant.facts?.bytes;
  const far = distances.some(({ comparison }) => comparison!.b > farDistance);
  const standing = standingOf(quality, distances, far);
  const likelihoods = quality.filter(isLikelihood);
  const decisive = likelihoods.length > 0 ? likelihoods : quality;
  const open = quality.filter(({ state }) => state === "open");
  const missing =
    missingFrom(table, row, base) ?? (told.length > 0 ? undefined : alone ? "not compared" : refusalIn(results));
  const step: Step = {
    variant: b,
    bytes,
    saved: bytes === undefined || !whole ? undefined : 1 - bytes / whole,
    standing,
    ...(missing === undefined ? {} : { missing }),
    figures: figuresOf(told),
    ...(standing === "open" && open[0]
      ? {
          detectable: open
            .map(({ label, comparison }) => `${label} ${size(comparison!, comparison!.detectable)}`)
            .join(", "),
        }
      : {}),
  };
  return {
    step,
    quality: quality.length,
    complete: missing === undefined,
    distances: distances.length,
    nearby: distances[0] && marginText(distances[0]),
    near:
      !far &&
      decisive.length > 0 &&
      decisive.every(({ comparison }) => lossAtMost(comparison!) < nearLoss) &&
      !quality.some((one) => !isLikelihood(one) && /worse/.test(one.state)),
    nearInPoints: decisive.some(({ metric }) => isShare(metric)),
    nearLabels: decisive.map(({ label }) => label),
  };
}

/** What is shown, in words; what is not, beside it by name alone, for it would bury the rest. */
function figuresOf(told: (Result & ReturnType<typeof reading>)[]): string[] {
  const isUnsure = (one: (typeof told)[number]) => one.state === "open" || one.state === "unknown";
  const unsure = told.filter(isUnsure);
  const isDecided = told.some((one) => !isUnsure(one) && !isSpeed(one) && !isDistance(one));
  const phrases = (isDecided ? told.filter((one) => !isUnsure(one)) : told).flatMap(({ phrase }) => phrase ?? []);
  return isDecided && unsure.length > 0
    ? [...phrases, `not sure: ${unsure.map(({ label }) => label).join(" and ")}`]
    : phrases;
}

type State = "better" | "equal" | "open" | "unknown" | "probably worse" | "worse" | "much worse";

/** One comparison as a state and in words. */
function reading(result: Result): { state: State; phrase: string | undefined } {
  const { comparison, verdict, label } = result;
  const one = comparison!;
  if (isSpeed(result)) return { state: "equal", phrase: pace(result) };
  if (isDistance(result))
    return { state: "equal", phrase: Number.isFinite(one.b) ? `${label} ${significant(one.b)}` : undefined };
  if (isIdentical(one)) return { state: "equal", phrase: `${label} identical` };
  const probably = verdict!.kind === "likely";
  const said = verdict!.kind === "likely" ? verdict!.what : verdict!;
  const changed = `${label} ${signed(one)}`;
  const unsure = `${changed} (not sure: ${span(one)})`;
  const bound = `±${size(one, Math.max(Math.abs(relative(one, one.low)), Math.abs(relative(one, one.high))), true)}`;
  if (said.kind === "equivalent") return { state: "equal", phrase: `${label} equivalent (${bound})` };
  if (said.kind === "different" && said.within) return { state: "equal", phrase: `${changed}, too little to matter` };
  if (said.kind === "different") {
    if (said.direction === "better")
      return probably ? { state: "open", phrase: unsure } : { state: "better", phrase: changed };
    if (probably) return { state: "probably worse", phrase: `${changed} (probably: ${span(one)})` };
    return {
      state: loss(one) >= much * (marginOf(one) ?? Infinity) ? "much worse" : "worse",
      phrase: changed,
    };
  }
  const margin = marginOf(one) ?? 0;
  const detectable = one.scale === "relative" || isShare(one.metric) ? one.detectable : one.detectable / one.a;
  if (said.kind === "undistinguished" && detectable <= much * margin) return { state: "open", phrase: unsure };
  return { state: "unknown", phrase: `${label}: too little measured to tell` };
}

function standingOf(quality: (Result & { state: State })[], distances: Result[], far: boolean): Step["standing"] {
  const states = new Set(quality.map(({ state }) => state));
  const worst = (["much worse", "worse", "probably worse"] as const).find((state) => states.has(state));
  if (worst !== undefined) return states.has("better") ? "mixed" : worst;
  if (quality.length === 0) {
    if (distances.length === 0) return "absent";
    if (far) return "worse";
    return distances.every(({ verdict }) => verdict!.kind === "size" && verdict!.place === "within")
      ? "equal"
      : "unknown";
  }
  // A perplexity says more than the flips of a few questions: where it cannot tell, they do not make up for it.
  const isOpen =
    quality.some((one) => one.state === "unknown" && isLikelihood(one)) ||
    !quality.some(({ state }) => state !== "unknown");
  if (far || isOpen) return "unknown";
  if (states.has("better")) return "better";
  return [...states].every((state) => state === "equal") ? "equal" : "open";
}

function isBroken({ columns }: Table, { measurement, metric }: Result, row: Row | undefined): boolean {
  const cell = row?.cells[columns.findIndex((one) => one.measurement === measurement && one.metric.name === metric)];
  return cell?.state === "measured" && cell.summary.broken !== undefined;
}

/** What is not there though the base has it: a file with a failed, unfinished or broken figure is no recommendation. */
function missingFrom({ columns }: Table, row: Row | undefined, base: Row | undefined): string | undefined {
  if (!row) return undefined;
  const open = columns.flatMap(({ measurement, metric }, i) => {
    if (!isQuality({ measurement, metric })) return [];
    const [own, cell] = [figureIn(row.cells[i]), row.cells[i]!];
    if (!base || !figureIn(base.cells[i]) || own) return [];
    return [{ measurement, what: cell.state === "measured" ? "broken" : words[cell.state] }];
  });
  const what = [...new Set(open.map((one) => one.what))];
  return what.length === 0
    ? undefined
    : what
        .map(
          (word) =>
            `${[...new Set(open.flatMap((one) => (one.what === word ? one.measurement : [])))].join(", ")} ${word}`,
        )
        .join("; ");
}

const words = { failed: "failed", impossible: "not possible", unfinished: "not finished", absent: "not measured" };

const refusalIn = (results: Result[]) =>
  results.find(({ refused }) => refused !== undefined)?.refused ?? "nothing to compare";

/** How much of a loss the 95 % interval allows, as a share (PPL, bits per byte) or in shares of the questions. */
function lossAtMost(one: Comparison): number {
  const [low, high] = [relative(one, one.low), relative(one, one.high)];
  const loss = describe(one.metric).better === "higher" ? -low : high;
  return Number.isNaN(loss) ? Infinity : loss;
}

function loss(one: Comparison): number {
  const change = relative(one, one.difference);
  return describe(one.metric).better === "higher" ? -change : change;
}

/** Bits per byte are compared in bits, and told in per cent as PPL is. */
function relative({ metric, scale, a }: Comparison, change: number): number {
  return scale === "relative" || isShare(metric) ? change : change / a;
}

/** What begins to matter, on the scale of `relative`. */
function marginOf({ metric, a }: Comparison): number | undefined {
  const { margin } = describe(metric);
  return margin && (margin.relative || isShare(metric) ? margin.size : margin.size / a);
}

function marginText({ metric }: Result): string {
  const { margin, unit } = describe(metric);
  return `${margin?.size} ${unit}`;
}

const signed = (one: Comparison) => {
  const change = relative(one, one.difference);
  return `${change < 0 ? "−" : change > 0 ? "+" : "±"}${size(one, Math.abs(change), true)}`;
};

/** `0.9 %`, `1.2 points`; `told`: already a share. */
function size(one: Comparison, amount: number, told = false): string {
  const share = told ? amount : Math.abs(relative(one, amount));
  return isShare(one.metric) ? `${two(100 * share)} points` : `${two(100 * share)} %`;
}

function span(one: Comparison): string {
  const [low, high] = [relative(one, one.low), relative(one, one.high)].map((x) => two(100 * x).replace("-", "−"));
  return `${low} … ${high} ${isShare(one.metric) ? "points" : "%"}`;
}

/** Two figures that matter, of parts of a hundredth one: `0.06`, `0.9`, `14`, `136`. */
function two(number: number): string {
  const digits = number === 0 ? 0 : Math.max(0, 1 - Math.floor(Math.log10(Math.abs(number))));
  return number.toFixed(Math.min(Math.abs(number) < 0.005 ? 4 : 2, digits));
}

const significant = (number: number) =>
  number <= 0 ? "0" : number < 1e-4 ? number.toExponential(1) : Number(number.toPrecision(2)).toString();

/** `tg128 1.8× faster`, where a difference is shown and larger than 5 %. */
function pace({ comparison, verdict, label }: Result): string | undefined {
  const { a, b } = comparison!;
  const ratio = b / a;
  if (verdict!.kind !== "different" || !(ratio > 1.05 || ratio < 0.95)) return undefined;
  return ratio > 1 ? `${label} ${two(ratio)}× faster` : `${label} ${two(1 / ratio)}× slower`;
}

/** `46 % smaller`, `same size`; empty where a size is not known. */
export function savedIn({ saved }: Step): string {
  if (saved === undefined) return "";
  const rounded = Math.abs(saved) < 0.005 ? 0 : saved;
  if (rounded === 0) return "same size";
  return rounded > 0 ? `${percent(saved)} smaller` : `${percent(-saved)} larger`;
}

/** `worse, PPL +0.9 %, KLD 0.009` */
export function stepText({ standing, figures, missing }: Step): string {
  const word = {
    better: "better",
    worse: "worse",
    "much worse": "much worse",
    "probably worse": "probably worse",
    mixed: "worse in part, better in part",
  }[standing as string];
  return [word ?? "", ...figures, missing === undefined ? "" : harmless(missing)].filter(Boolean).join(", ");
}

/** Which file to take, in one to three sentences. */
export function conclusionsOf(
  { base, steps, smallest, near, nearby, nearness, judged, unsound }: Ladder,
  shown: (name: string) => string,
): string[] {
  if (unsound !== undefined) return [unsound];
  if (judged === "nothing")
    return ["No quality was compared: perplexity, divergence or a task says what a smaller file costs."];
  const told = ({ variant, saved }: Step) => `${shown(variant)} (${percent(saved!)} smaller)`;
  const nearest = `within ${nearness.limit} of ${shown(base)} in ${nearness.labels}`;
  if (judged === "distance")
    return [
      smallest
        ? `Smallest file that predicts as ${shown(base)} does, within ${nearby}: ${told(smallest)}`
        : `No smaller file is shown to predict as ${shown(base)} does, within ${nearby}`,
      "What is better or worse, perplexity or a task says.",
    ];
  if (!smallest && !near) {
    const unknown = steps.some(({ standing }) => standing === "unknown" || standing === "absent");
    return [
      unknown
        ? "No smaller file can be recommended: each is shown to be worse, or too little was measured to tell."
        : "No smaller file can be recommended: each is shown to be worse.",
    ];
  }
  if (smallest && smallest === near)
    return [`Smallest file not shown to be worse, and shown to be ${nearest}: ${told(smallest)}`];
  return [
    smallest
      ? `Smallest file not shown to be worse: ${told(smallest)}${smallest.detectable ? `; a loss below ${smallest.detectable} would not have been detected` : ""}`
      : "Smallest file not shown to be worse: none",
    near ? `Smallest shown to be ${nearest}: ${told(near)}` : `None is shown to be ${nearest}`,
  ];
}
