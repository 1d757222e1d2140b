import { several } from "../harmless.js";
import { isSameSize, type Ladder, type LadderStep, type Verdicts } from "../judge/index.js";
import { isDistance, isLikelihood, isQuality, type Metric } from "../metrics.js";
import { percent } from "../units.js";
import type { Short, ShortCell, ShortColumn, ShortMark } from "./short.js";

type Shown = (name: string) => string;
type Drawn = Pick<Short, "columns" | "rows">;

/** The conclusions of a run: which file to take, and the first answer to each other question. */
export function conclusionsFrom(short: Drawn, verdicts: Verdicts): string[] {
  return [...recommended(short, verdicts), ...beaten(short), ...firstAnswers(verdicts)];
}

/** The first answer to each question but those of a ladder. */
export const firstAnswers = ({ questions }: Verdicts): string[] =>
  questions.flatMap(({ title, base, answers: [first] }) =>
    base === undefined && first !== undefined ? [`${title} ${first}`] : [],
  );

/** Which file of each ladder to take; `shown`: how variants are named. */
export function recommended(short: Drawn, { ladders }: Verdicts, shown: Shown = (name) => name): string[] {
  return [...new Set(ladders.flatMap((ladder) => recommendations(ladder, short, shown)))];
}

/** Which file of a ladder to take, in one to five sentences. */
function recommendations(
  { base, steps, smallest, near, nearby, nearness, judged, unsound }: Ladder,
  short: Drawn,
  shown: Shown,
): string[] {
  if (unsound !== undefined) return [unsound];
  if (judged === "nothing")
    return ["No quality was compared: perplexity, divergence or a task says what a smaller file costs."];
  if (judged === "none")
    return [`No file can be recommended: none has a figure that could be compared with ${shown(base)}'s.`];
  if (steps.every(({ saved }) => saved === undefined))
    return ["No smaller file can be recommended, because the sizes of these models are not known."];
  if (!steps.some(({ smaller }) => smaller)) {
    return [
      ...heldAgainst(base, steps, short, shown),
      `None of these files holds smaller weights than ${shown(base)}.`,
    ];
  }
  const named = new Set<string>();
  const told = ({ variant }: LadderStep) => {
    named.add(variant);
    return `${shown(variant)} (${howMuch(variant, short)})`;
  };
  const losesLess = (of: string) => `shown to lose less than ${nearness.limit} of ${of} ${nearness.labels}`;
  if (judged === "distance")
    return [
      smallest
        ? `Smallest file that predicts as ${shown(base)} does, within ${nearby}: ${told(smallest)}.`
        : `No smaller file is shown to predict as ${shown(base)} does, within ${nearby}.`,
      "Only perplexity or a task says what is better or worse.",
    ];
  const besides = () => [...whyFar(named, short, nearness), ...leftOut(steps, shown)];
  const isPending = ({ lacks }: LadderStep) => lacks.length === 1 && lacks[0] === "not finished";
  if (steps.length > 1 && steps.every(isPending))
    return ["No smaller file can be recommended yet: none has all of its figures."];
  if (!smallest && !near) {
    const why = whyNone(steps, shown);
    return [`No smaller file can be recommended${why}.`, ...leastLost(steps, short, told), ...besides()];
  }
  if (smallest && smallest === near)
    return [
      `Smallest file not shown to be worse than ${shown(base)}, and ${losesLess("its")}: ${told(smallest)}.`,
      ...besides(),
    ];
  const unseen = smallest?.detectable && `; a loss below ${smallest.detectable} would not have been detected`;
  return [
    smallest
      ? `Smallest file not shown to be worse than ${shown(base)}: ${told(smallest)}${unseen ?? ""}.`
      : `No smaller file is without a shown loss against ${shown(base)}.`,
    near ? `Smallest ${losesLess(`${shown(base)}'s`)}: ${told(near)}.` : `None is ${losesLess(`${shown(base)}'s`)}.`,
    ...besides(),
  ];
}

/** A sentence has room for so many names. */
const mostNames = 6;

/** What is wrong with the smaller files, as the end of a sentence. Those without a figure are told by `leftOut`. */
function whyNone(steps: readonly LadderStep[], shown: Shown): string {
  const whole = steps.filter((step) => step.smaller && step.lacks.length === 0);
  const isWorse = ({ standing }: LadderStep) => /worse|mixed/.test(standing);
  const names = (some: LadderStep[]) =>
    several(
      some.map(({ variant }) => shown(variant)),
      mostNames,
    );
  const [worse, open] = [whole.filter(isWorse), whole.filter((step) => !isWorse(step))];
  const reasons = [
    ...(worse.length === 0
      ? []
      : worse.length === steps.length
        ? [`${steps.length === 1 ? "the only one" : "each"} is shown to be worse`]
        : [`shown to be worse: ${names(worse)}`]),
    ...(open.length > 0 ? [`too little was measured to tell: ${names(open)}`] : []),
  ];
  return reasons.length === 0 ? "" : `${worse.length === steps.length ? ": " : "; "}${reasons.join("; ")}`;
}

/** `failed`, `broken and unfinished`: why a variant has no figure in a column of quality; empty where it has all. */
export function lackOf(variant: string, { columns, rows }: Drawn): string {
  const row = rows.find((one) => one.variant.name === variant);
  const words = columns.flatMap(({ metric, second }, i) => {
    const cell = row?.cells[i]?.cell;
    if (!cell || second || !isQuality(metric)) return [];
    if (cell.state === "impossible") return ["not possible"];
    if (cell.state === "measured") return cell.summary.broken === undefined ? [] : ["broken"];
    if (cell.state === "unfinished") return ["not finished"];
    return cell.state === "absent" ? [] : [cell.state];
  });
  return [...new Set(words)].join(" and ");
}

/** The files that no answer is about, because a figure that others have is missing. */
function leftOut(steps: readonly LadderStep[], shown: Shown): string[] {
  const told = steps.flatMap(({ variant, lacks }) =>
    lacks.length > 0 ? [`${shown(variant)} (${lacks.join(" and ")})`] : [],
  );
  return told.length > 0 ? [`Left out, because a figure is missing: ${several(told, mostNames)}.`] : [];
}

/** What a distance means that one of the named files has: it decides nothing. */
function whyFar(named: ReadonlySet<string>, { columns, rows }: Drawn, { labels }: Ladder["nearness"]): string[] {
  if (labels === "") return [];
  const far = columns.flatMap((column, i) => {
    const of = rows.flatMap(({ variant, cells }) => (named.has(variant.name) ? farIn(column, cells[i]!) : []));
    const { margin, label, unit } = column.metric;
    return of.length > 0 && margin ? [`${label} beyond ${margin.size} ${unit}`] : [];
  });
  return [...new Set(far)].map((text) => `${text}: predictions changed; whether for the worse, ${labels} says.`);
}

/** So many files are told that lose something. */
const mostLosing = 3;

/** So many files are told one by one. */
const mostTold = 3;

/** Where no file is smaller: in what each is better or worse, or of many which are. */
function heldAgainst(base: string, steps: readonly LadderStep[], { columns, rows }: Drawn, shown: Shown): string[] {
  const rowOf = ({ variant }: LadderStep) => rows.find((one) => one.variant.name === variant);
  const findings = steps.map((step) => {
    const cells = columns.flatMap((column, i) => {
      const cell = rowOf(step)?.cells[i];
      const isTold = cell?.verdict !== undefined && !column.second && !isDistance(column.metric);
      return isTold && isQuality(column.metric) ? [{ column, cell }] : [];
    });
    const said = sides.flatMap(([words, marks]) => {
      const of = cells.filter(({ cell: { mark } }) => mark !== undefined && marks.includes(mark));
      return of.length > 0 ? [`${words} ${listed(of.map(({ column, cell }) => changeBy(column, cell)))}`] : [];
    });
    const pace = columns.flatMap(({ metric }, i) => paceOf(metric, rowOf(step)?.cells[i]));
    return { step, said, all: [...said, ...pace] };
  });
  const told = findings.filter(({ said }) => said.length > 0);
  if (told.length <= mostTold)
    return told.map(({ step: { variant }, all }) => `${shown(variant)} against ${shown(base)}: ${all.join("; ")}.`);
  const named = (fits: (standing: LadderStep["standing"]) => boolean) =>
    told.filter(({ step }) => fits(step.standing)).map(({ step }) => shown(step.variant));
  const groups: [words: string, names: string[]][] = [
    ["better", named((one) => one === "better")],
    ["worse", named((one) => /worse|mixed/.test(one))],
    ["too little to matter", named((one) => one === "equal")],
    ["not decided", named((one) => one === "open" || one === "unknown")],
  ];
  const parts = groups
    .filter(([, names]) => names.length > 0)
    .map(([words, names]) => `${words}: ${several(names, mostNames)}`);
  return [`Against ${shown(base)}: ${parts.join("; ")}.`];
}

/** In what words a variant is held against another that is no larger, and the marks that they stand for. */
const sides: [words: string, marks: ShortMark[]][] = [
  ["better in", ["better"]],
  ["likely better in", ["likely better"]],
  ["worse in", ["worse", "much worse"]],
  ["likely worse in", ["likely worse"]],
  ["too little to matter in", ["≈"]],
  ["not decided in", ["?"]],
];

/** `PPL (−0.03 %)` */
const changeBy = (column: ShortColumn, { change }: ShortCell) =>
  [labelOf(column), change && `(${change})`].filter(Boolean).join(" ");

/** Who must take one that is worse takes one of these: no other file beats them, and the larger ones lose less. */
function leastLost(steps: readonly LadderStep[], short: Drawn, told: (step: LadderStep) => string): string[] {
  const losing = new Set(
    short.rows.flatMap(({ variant, beatenBy, mark }) =>
      beatenBy === undefined && (mark === "worse" || mark === "much worse" || mark === "likely worse")
        ? variant.name
        : [],
    ),
  );
  const files = steps
    .filter(({ variant, smaller, saved }) => smaller && saved !== undefined && losing.has(variant))
    .filter(({ lacks }) => lacks.length === 0)
    .sort((a, b) => a.saved! - b.saved!)
    .slice(0, mostLosing);
  if (files.length === 0) return [];
  const about = steps.length === 1 ? "What it costs" : "Those that lose least for their size";
  return [`${about}: ${files.map(told).join("; ")}.`];
}

/** `46 % smaller`, `same size`; empty where a size is not known. */
function savedIn({ saved }: { saved?: number | undefined }): string {
  if (saved === undefined) return "";
  if (isSameSize(saved)) return "same size";
  return saved > 0 ? `${percent(saved)} smaller` : `${percent(-saved)} larger`;
}

/** Changes of quality that a sentence has room for, beside those that are losses. */
const mostChanges = 2;
/** Machines repeat no speed more closely. */
const samePace = 0.05;

/** `68 % smaller, PPL +0.9 %, tg128 2.1× faster` */
export function howMuch(variant: string, { columns, rows }: Drawn): string {
  const row = rows.find((one) => one.variant.name === variant);
  if (!row) return "";
  const changed = columns.flatMap((column, i) => {
    const cell = row.cells[i]!;
    return cell.change === undefined || column.second ? [] : [{ column, cell, change: cell.change }];
  });
  // An undecided change of a few answers would read as one.
  const quality = changed.filter(
    ({ column: { metric }, cell: { mark } }) => isQuality(metric) && (isLikelihood(metric) || mark !== "?"),
  );
  const lost = quality.filter(({ cell: { mark } }) => mark === "worse" || mark === "much worse");
  const most = new Set([...quality.slice(0, mostChanges), ...lost.slice(0, mostChanges)]);
  const parts = [
    savedIn(row),
    ...changesIn(quality.filter((one) => most.has(one))),
    ...columns.flatMap((column, i) => farIn(column, row.cells[i]!)),
    ...changed.flatMap(({ column: { metric }, cell }) => paceOf(metric, cell)),
  ];
  return parts.filter(Boolean).join(", ");
}

/** `PPL +0.9 % and +1.2 %`, `hellaswag acc −2.1 points` */
function changesIn(changed: { column: ShortColumn; change: string }[]): string[] {
  const labels = [...new Set(changed.map(({ column }) => column.metric.label))];
  return labels.map((label) => {
    const of = changed.filter(({ column }) => column.metric.label === label);
    const name = of.length === 1 ? labelOf(of[0]!.column) : label;
    return `${name} ${listed(of.map(({ change }) => change))}`;
  });
}

/** `prose-en PPL` */
export const labelOf = ({ over, metric }: Pick<ShortColumn, "over" | "metric">) =>
  [over, metric.label].filter(Boolean).join(" ");

/** `KLD 0.0099 nat`, of a file whose predictions are shown to be further from the reference's than does not matter. */
function farIn(column: ShortColumn, { figure, verdict }: ShortCell): string[] {
  if (column.second || verdict?.kind !== "size" || verdict.place !== "beyond") return [];
  return [[labelOf(column), figure, column.unit].filter(Boolean).join(" ")];
}

/**
 * `tg128 1.8× faster`, where a difference is shown and larger than machines make by themselves; `tg128 likely 1.8× faster on a
 * busy machine`, where other processes keep it from being certain.
 */
function paceOf({ per, label }: Metric, cell: ShortCell | undefined): string[] {
  if (per !== "repetition" || !cell?.comparison) return [];
  const { comparison, mark, disturbed } = cell;
  const isSure = mark === "better" || mark === "worse";
  if (!isSure && !(comparison.disturbed && (mark === "likely better" || mark === "likely worse"))) return [];
  const ratio = comparison.b / comparison.a;
  if (Math.abs(ratio - 1) < samePace) return [];
  const times = (factor: number) => `${factor.toFixed(factor < 10 ? 1 : 0)}×`;
  const pace = ratio > 1 ? `${times(ratio)} faster` : `${times(1 / ratio)} slower`;
  const told = `${label} ${isSure ? "" : "likely "}${pace}`;
  return [disturbed ? `${told} on a busy machine` : told];
}

/** Which file never to take, because another is no larger and better. */
export function beaten({ rows }: Pick<Drawn, "rows">, shown: Shown = (name) => name): string[] {
  const losers = new Map<string, string[]>();
  for (const { variant, beatenBy } of rows)
    if (beatenBy !== undefined) losers.set(beatenBy, [...(losers.get(beatenBy) ?? []), shown(variant.name)]);
  if (losers.size === 0) return [];
  const told = Array.from(losers, ([winner, names]) => `${listed(names)} by ${shown(winner)}`);
  return [`Beaten by a file that is no larger and better: ${told.join("; ")}.`];
}

/** `a, b and c` */
export const listed = (names: string[]) =>
  names.length < 2 ? names.join() : `${names.slice(0, -1).join(", ")} and ${names.at(-1)}`;
