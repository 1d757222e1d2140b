import { BenchError } from "../errors.js";
import { several } from "../harmless.js";
import { comparedOver, differenceIn, lossAtLeast, lossAtMost } from "../judge/index.js";
import { metric as describe, isDistance, isLikelihood, isQuality } from "../metrics.js";
import type { Comparison } from "../stats/comparison.js";
import { bytes } from "../units.js";
import { beaten, howMuch, labelOf, lackOf, listed, recommended } from "./conclusions.js";
import { figureOf } from "./digits.js";
import type { Facts } from "./facts.js";
import { Footnotes } from "./footnotes.js";
import type { Short, ShortRow } from "./short.js";
import { type Cell, figureIn } from "./table.js";

/** What a file must be to be taken. */
export interface Wishes {
  /** Bytes. */
  maxSize?: number | undefined;
  /** Tokens per second of generation. */
  minSpeed?: number | undefined;
  /** The loss against the reference that its interval must exclude: a share of PPL, or of the questions. */
  margin?: number | undefined;
}

/** The file to take; `undecided`: too little was measured to tell, `none`: no file is as wished. */
export interface Choice {
  outcome: "found" | "undecided" | "none";
  variant?: string;
  /** Two or three sentences. */
  sentences: string[];
}

type ChoiceFacts = Pick<Facts, "short" | "series" | "verdicts">;

export const areWishes = ({ maxSize, minSpeed, margin }: Wishes): boolean =>
  maxSize !== undefined || minSpeed !== undefined || margin !== undefined;

/** Without a wish: the smallest file of the first ladder that is not shown to be worse; the best of all where there is no ladder. */
export function recommendedIn(facts: ChoiceFacts): Choice {
  const { short, verdicts } = facts;
  if (verdicts.ladders.length === 0) return chosenFrom(facts, {});
  const sentences = [...recommended(short, verdicts), ...beaten(short)];
  const taken = verdicts.ladders.flatMap(({ smallest, near }) => smallest ?? near ?? [])[0];
  if (taken) return { outcome: "found", variant: taken.variant, sentences };
  // Where no file is smaller, one that is shown to be better is the answer.
  const better = verdicts.ladders.flatMap(({ unsound, steps }) =>
    unsound === undefined && !steps.some(({ smaller }) => smaller)
      ? steps.filter(({ standing, lacks }) => standing === "better" && lacks.length === 0)
      : [],
  );
  if (better.length === 1) return { outcome: "found", variant: better[0]!.variant, sentences };
  const isShown = verdicts.ladders.every(
    ({ judged, unsound, steps }) =>
      judged === "quality" && unsound === undefined && steps.every(({ standing }) => /worse|mixed/.test(standing)),
  );
  return { outcome: isShown ? "none" : "undecided", sentences };
}

/**
 * Of the files that are small and fast enough: with a margin the smallest that is shown to lose less than it, else the best.
 * Throws a BenchError when a wish is about something that was not measured.
 */
export function chosenFrom(facts: ChoiceFacts, wishes: Wishes): Choice {
  const { short } = facts;
  const wished = wordsOf(wishes);
  const fit = fitting(short, wishes);
  const { close, sentences: doubts } = doubtsOfSpeed(short, wishes);
  if (fit.length === 0)
    return {
      outcome: close ? "undecided" : "none",
      sentences: [`No file is ${wished.join(" and ")}${nearest(short, wishes)}.`, ...doubts],
    };
  const sure = fit.filter((row) => isSurelyFast(short, row, wishes));
  const whole = (sure.length > 0 ? sure : fit).filter((row) => isWhole(short, row));
  const partly = fit
    .filter((row) => !isWhole(short, row))
    .map(({ variant: { name } }) =>
      [name, ...[lackOf(name, short)].filter(Boolean).map((lack) => `(${lack})`)].join(" "),
    );
  const left = partly.length > 0 ? [`Left out, because a figure is missing: ${listed(partly)}.`] : [];
  if (whole.length === 0)
    return {
      outcome: "undecided",
      sentences: [`It cannot be told which file to take: no figure of quality is whole.`, ...left],
    };
  const isSure = sure.length > 0;
  const said = wordsOf(wishes, isSure ? "" : "perhaps ");
  const { sentences, outcome, ...found } =
    wishes.margin === undefined
      ? best(facts, whole, said, !close && fit.length === whole.length)
      : within(facts, whole, wishes.margin, said);
  return {
    ...found,
    outcome: isSure || outcome !== "found" ? outcome : "undecided",
    sentences: [...sentences, ...left, ...doubts],
  };
}

function wordsOf({ maxSize, minSpeed }: Wishes, surely = ""): string[] {
  return [
    ...(maxSize === undefined ? [] : [`at most ${bytes(maxSize)}`]),
    ...(minSpeed === undefined ? [] : [`${surely}at ${minSpeed} tok/s or more`]),
  ];
}

const speedIn = ({ columns }: Short) =>
  columns.findIndex(({ metric, second }) => metric.per === "repetition" && !second);

function fitting(short: Short, { maxSize = Infinity, minSpeed }: Wishes): ShortRow[] {
  const speed = speedIn(short);
  if (minSpeed !== undefined && speed < 0)
    throw new BenchError("config", "--min-speed: this run has no speed", { hint: "measure it: --measure speed" });
  if (maxSize < Infinity && short.rows.every(({ bytes: size }) => size === undefined))
    throw new BenchError("config", "--max-size: the sizes of these models are not known", {
      hint: "files of models have sizes, servers tell none",
    });
  return short.rows.filter((row) => {
    const rate = minSpeed === undefined ? undefined : figureIn(row.cells[speed]!.cell)?.value;
    return isSmall(row, maxSize) && (minSpeed === undefined || (rate !== undefined && rate >= minSpeed));
  });
}

/** Whether the interval of its speed lies within the wish. */
function isSurelyFast(short: Short, { cells }: ShortRow, { minSpeed }: Wishes): boolean {
  const summary = minSpeed === undefined ? undefined : figureIn(cells[speedIn(short)]!.cell);
  return minSpeed === undefined || (summary?.low ?? summary?.value ?? 0) >= minSpeed;
}

const isSmall = ({ bytes: size }: ShortRow, maxSize = Infinity) =>
  maxSize === Infinity || (size !== undefined && size <= maxSize);

/** What a reader of a choice by speed must know: which files may be on the other side of the limit, and what slowed the timing. */
function doubtsOfSpeed(short: Short, { maxSize, minSpeed }: Wishes): { close: boolean; sentences: string[] } {
  const speed = speedIn(short);
  if (minSpeed === undefined || speed < 0) return { close: false, sentences: [] };
  const timed = short.rows.flatMap((row) => {
    const { cell } = row.cells[speed]!;
    const summary = isSmall(row, maxSize) ? figureIn(cell) : undefined;
    return summary && cell.state === "measured" ? [{ name: row.variant.name, summary, notes: cell.notes }] : [];
  });
  const close = timed.filter(({ summary: { value, low = value, high = value } }) => low < minSpeed && high >= minSpeed);
  const rates = close.map(({ name, summary: { low, high } }) => `${name} (${low!.toFixed(0)} … ${high!.toFixed(0)})`);
  const footnotes = new Footnotes();
  const held = timed.flatMap(({ notes }) => notes.map((note) => footnotes.add(note)));
  return {
    close: close.length > 0,
    sentences: [
      ...(close.length > 0
        ? [`Whether these make ${minSpeed} tok/s is not decided (95 % interval): ${listed(rates)}.`]
        : []),
      ...footnotes.numbered(held).lines.map((line) => `Speeds: ${line.replace(/^\S+ /, "")}.`),
    ],
  };
}

/** What comes nearest to the wish that is hardest to meet. */
function nearest(short: Short, { maxSize, minSpeed }: Wishes): string {
  const bySize = short.rows.filter(({ bytes: size }) => size !== undefined).sort((a, b) => a.bytes! - b.bytes!);
  if (maxSize !== undefined && bySize[0] && bySize[0].bytes! > maxSize)
    return `: the smallest is ${bySize[0].variant.name} (${bytes(bySize[0].bytes!)})`;
  const speed = speedIn(short);
  if (minSpeed === undefined || speed < 0) return "";
  const rates = short.rows.flatMap((row) => {
    const summary = figureIn(row.cells[speed]!.cell);
    return summary ? [{ row, summary }] : [];
  });
  const [fastest] = rates.sort((a, b) => b.summary.value - a.summary.value);
  return fastest ? `: the fastest is ${fastest.row.variant.name} (${figureOf(fastest.summary).figure} tok/s)` : "";
}

/** By what a file is called good: perplexity says more than answers to questions, and these more than a distance. */
function qualityIn({ columns }: Short): number[] {
  const places = columns.flatMap(({ metric, second }, i) => (isQuality(metric) && !second ? [i] : []));
  const rank = (i: number) => {
    const { metric } = columns[i]!;
    return isLikelihood(metric) ? 0 : isDistance(metric) ? 2 : 1;
  };
  const least = Math.min(...places.map(rank));
  return places.filter((i) => rank(i) === least);
}

/** Whether every figure of quality that others have is there; a distance that is a noise floor is none of the file. */
function isWhole(short: Short, row: ShortRow): boolean {
  const asked = qualityIn(short);
  if (asked.length === 0)
    throw new BenchError("config", "No quality was measured, so no file can be chosen by it", {
      hint: "measure perplexity, divergence or a task",
    });
  return asked.every((i) => figureIn(row.cells[i]!.cell) !== undefined);
}

const isGuessed = (cell: Cell) => cell.state === "measured" && cell.guessed !== undefined;
/** A sentence has room for so many names. */
const mostNames = 8;

/** The best by the first figure of quality; which others are not shown to be worse; `isAll`: no other file may be as wished. */
function best({ short, series }: ChoiceFacts, fit: ShortRow[], wished: string[], isAll: boolean): Choice {
  const [first] = qualityIn(short) as [number];
  const column = short.columns[first]!;
  const badness = (row: ShortRow) =>
    figureIn(row.cells[first]!.cell)!.value * (column.metric.better === "lower" ? 1 : -1);
  const [winner, ...others] = fit.toSorted((a, b) => badness(a) - badness(b)) as [ShortRow, ...ShortRow[]];
  const name = winner.variant.name;
  const compared = comparedOver(
    series,
    others.map(({ variant }) => [variant.name, name]),
  );
  const rivals = compared.flatMap(({ a, results }) => {
    const result = results.find(
      ({ measurement, metric }) => measurement === column.measurement && metric === column.metric.name,
    );
    const isBetter = result?.verdict !== undefined && differenceIn(result.verdict)?.direction === "better";
    return isBetter ? [] : [a];
  });
  if (fit.every((row) => isGuessed(row.cells[first]!.cell)))
    return {
      outcome: "undecided",
      sentences: [
        `It cannot be told which file to take: by ${labelOf(column)} none is shown to be better than guessing.`,
      ],
    };
  return {
    outcome: "found",
    variant: name,
    sentences: [
      `${wished.length > 0 ? `Best of the files ${wished.join(" and ")}` : "Best file"}: ${told(winner, short)}.`,
      others.length === 0
        ? `No other file is${isAll ? "" : " shown to be"}.`
        : rivals.length === 0
          ? `By ${labelOf(column)} it is shown to be better than ${several(
              others.map(({ variant }) => variant.name),
              mostNames,
            )}.`
          : `By ${labelOf(column)} it is not shown to be better than ${several(rivals, mostNames)}.`,
    ],
  };
}

/** The smallest that is shown to lose less than the margin in every figure that says what is better. */
function within({ short, verdicts }: ChoiceFacts, fit: ShortRow[], margin: number, wished: string[]): Choice {
  const [unsound] = verdicts.ladders.flatMap((ladder) => ladder.unsound ?? []);
  if (unsound !== undefined) return { outcome: "undecided", sentences: [`${unsound}.`] };
  const decisive = qualityIn(short).filter((i) => !isDistance(short.columns[i]!.metric));
  if (decisive.length === 0 || !fit.some(({ against }) => against !== undefined))
    throw new BenchError("config", "--margin: nothing was compared with a reference", {
      hint: "a run with --reference and perplexity or a task says what each file loses",
    });
  const bySize = fit
    .filter(({ against }) => against !== undefined)
    .toSorted((a, b) => (a.bytes ?? Infinity) - (b.bytes ?? Infinity));
  const losses = (row: ShortRow) => decisive.map((i) => row.cells[i]!.comparison);
  const most = (row: ShortRow) => losses(row).flatMap((one) => (one ? lossText(one, margin) : []));
  const isWithin = (row: ShortRow) => losses(row).every((one) => one !== undefined && lossAtMost(one) < margin);
  const mayBe = (row: ShortRow) => losses(row).every((one) => one === undefined || lossAtLeast(one) < margin);
  const limit = `shown to lose less than ${Number((100 * margin).toPrecision(6))} %`;
  const of = wished.length > 0 ? `, ${wished.join(" and ")}` : "";
  const found = bySize.find(isWithin);
  const smaller = bySize.slice(0, found ? bySize.indexOf(found) : undefined).filter(mayBe);
  const open =
    smaller.length > 0
      ? [`Not decided, the data allow both: ${listed(smaller.map(({ variant }) => variant.name))}.`]
      : [];
  if (found)
    return {
      outcome: "found",
      variant: found.variant.name,
      sentences: [
        `Smallest file ${limit}${of}: ${told(found, short)}.`,
        ...[most(found)]
          .filter(({ length }) => length > 0)
          .map((texts) => `Its 95 % intervals allow: ${listed(texts)}.`),
        ...open,
      ],
    };
  return {
    outcome: open.length > 0 ? "undecided" : "none",
    sentences: [`No file${wished.length > 0 ? ` ${wished.join(" and ")}` : ""} is ${limit}.`, ...open],
  };
}

/** `PPL +0.0999 %`: the most that a file may lose, with as many digits as tell it from the limit that it is below. */
function lossText(one: Comparison, limit: number): string[] {
  const most = lossAtMost(one);
  if (!(most > 0)) return [];
  const { label, scale, better } = describe(one.metric);
  const text = [2, 3, 4, 5, 6]
    .map((digits) => (100 * most).toPrecision(digits))
    .find((said) => Number(said) < 100 * limit);
  return [`${label} ${better === "higher" ? "−" : "+"}${text ?? 100 * most} ${scale === "percent" ? "points" : "%"}`];
}

function told({ variant, bytes: size }: ShortRow, short: Short): string {
  const facts = [size === undefined ? "" : bytes(size), howMuch(variant.name, short)].filter(Boolean);
  return `${variant.name}${facts.length > 0 ? ` (${facts.join(", ")})` : ""}`;
}
