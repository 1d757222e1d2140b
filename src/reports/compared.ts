import { harmless, several } from "../harmless.js";
import {
  clause,
  markedVerdict,
  type Pair,
  type Result,
  shownIn,
  tabulated,
  type Verdict,
  winner,
} from "../judge/index.js";
import { metric as describe } from "../metrics.js";
import type { Comparison } from "../stats/comparison.js";
import { figureOf, unitOf } from "./digits.js";
import { shortNames, widthOf } from "./names.js";
import { wrap } from "./text.js";

/** Pairs held against each other, with the names of both sides. */
export interface Held {
  title: string;
  /** Heads of the two columns of figures. */
  sides: [a: string, b: string];
  pairs: Pair[];
  /** How a variant is called in a sentence. */
  shown(variant: string, side: "a" | "b"): string;
}

/** A line per metric: A, B, the difference, its interval, the verdict; then sentences for what differs, and why anything is missing. */
export function compared({ title, sides, pairs, shown }: Held, width = 80): string {
  const results = pairs.flatMap((pair) =>
    pair.results.flatMap((result) => (result.comparison && result.verdict ? [{ pair, result }] : [])),
  );
  const sentences = results.flatMap(({ pair, result }) => told(result, shown(pair.a, "a"), shown(pair.b, "b")));
  const parts = [
    harmless(title),
    results.length > 0 ? drawn(tabled(results, sides, pairs.length > 1), width) : "",
    sentences.map((line) => wrap(`- ${harmless(line, { length: 5000 })}`, width)).join("\n"),
    [...unclear(results), ...missing(pairs)].map((line) => wrap(harmless(line, { length: 5000 }), width)).join("\n"),
  ];
  return parts.filter((part) => part !== "").join("\n\n");
}

type HeldResult = { pair: Pair; result: Result };

function tabled(results: HeldResult[], sides: Held["sides"], isMany: boolean): string[][] {
  const { shown } = shortNames([...new Set(sides)], 18);
  const head = [
    ...(isMany ? ["variant"] : []),
    "",
    ...sides.map((side) => shown.get(side)!),
    "difference",
    "95 % CI",
    "",
  ];
  const rows = results.map(({ pair, result }) => {
    const { label, comparison, verdict, metric } = result;
    const unit = unitOf(describe(metric));
    const figure = (value: number) =>
      [figureOf({ metric, value, error: errorOf(comparison!, value) }).figure, unit].filter(Boolean).join(" ");
    const isLevel = verdict!.kind === "size";
    const [difference = "", interval = ""] = tabulated(comparison!);
    return [
      ...(isMany ? [pair.b] : []),
      label,
      isLevel || !Number.isFinite(comparison!.a) ? "—" : figure(comparison!.a),
      Number.isFinite(comparison!.b) ? figure(comparison!.b) : "—",
      isLevel ? "" : difference,
      interval,
      `${markedVerdict(result)}${isSmall(result.verdict!) ? ", too small to matter" : ""}`,
    ].map((cell) => harmless(cell));
  });
  return [head, ...rows];
}

/**
 * Of a figure as far as the difference is known: more digits would say nothing of it. Of two whose difference is a share, three digits
 * stay however little is known, so that whoever divides them finds that share.
 */
function errorOf({ scale, low, high }: Comparison, value: number): number | undefined {
  const half = Math.abs(high - low) / 4;
  const isKnown = half > 0 && Number.isFinite(half);
  if (scale === "relative") return half === 0 ? undefined : Math.min(isKnown ? half : 1, 0.1) * Math.abs(value);
  return isKnown ? half : undefined;
}

const isSmall = (said: Verdict) => {
  const what = shownIn(said)?.what;
  return what?.kind === "different" && what.within;
};

/** Text left, figures right; without the intervals where there is no room for them. */
function drawn(rows: string[][], width: number): string {
  const columns = rows[0]!.map((_, i) => i);
  const left = new Set([...columns.slice(0, columns.length - 5), columns.length - 1]);
  const lines = (shown: number[]) => {
    const widths = shown.map((i) => Math.max(...rows.map((row) => widthOf(row[i]!))));
    return rows.map((row) =>
      shown
        .map((i, at) => {
          const blank = " ".repeat(widths[at]! - widthOf(row[i]!));
          return left.has(i) ? row[i]! + blank : blank + row[i]!;
        })
        .join("  ")
        .trimEnd(),
    );
  };
  const all = lines(columns);
  const fits = Math.max(...all.map(widthOf)) <= width;
  return (fits ? all : lines(columns.filter((i) => i !== columns.length - 2))).join("\n");
}

/** A sentence for what differs, surely or likely. */
function told({ label, comparison, verdict, foreign }: Result, a: string, b: string): string[] {
  if (shownIn(verdict!)?.what.kind !== "different") return [];
  return [
    `${winner(comparison!, verdict!, label, a, b) ?? `${b} against ${a}, ${label}: ${clause(comparison!, verdict!)}`}${foreign === undefined ? "" : " †"}.`,
  ];
}

function unclear(results: HeldResult[]): string[] {
  const most = Math.max(0, ...results.map(({ result: { foreign = 0 } }) => foreign));
  const shown = results.filter(({ result }) => shownIn(result.verdict!)?.what.kind === "different");
  const hasP = shown.filter(({ result: { comparison } }) => !Number.isNaN(comparison!.adjusted ?? comparison!.p));
  const isDisturbed = results.some(({ result }) => result.comparison!.disturbed);
  const isAlone = hasP.some(({ result }) => (result.comparison!.family ?? 1) <= 1);
  const isAmong = hasP.some(({ result }) => (result.comparison!.family ?? 1) > 1);
  return [
    ...(results.some(({ result }) => result.verdict!.kind === "undistinguished")
      ? ["~: neither a difference nor equivalence is shown"]
      : []),
    ...(most > 0
      ? [
          `†: other processes used up to ${most.toFixed(1)} CPU cores while these were timed; figures may be too low, and differences theirs${isDisturbed ? ", so none is certain: three sessions (--again) show what they do" : ""}`,
        ]
      : []),
    ...(isAlone ? ["p: of each comparison alone; a report's adjusted p allows for all comparisons of an answer"] : []),
    ...(isAmong ? ["adjusted p: allows for all the pairs that are compared here on one metric"] : []),
  ];
}

/** Refusals and notes, each once. */
function missing(pairs: Pair[]): string[] {
  const about = new Map<string, string[]>();
  for (const { b, results } of pairs) {
    const texts = results.flatMap(({ refused, notes }) => [refused ?? [], notes].flat());
    const isEmpty = !results.some(({ comparison }) => comparison);
    for (const text of new Set([...texts, ...(isEmpty ? ["nothing was compared."] : [])]))
      about.set(text, [...(about.get(text) ?? []), b]);
  }
  return Array.from(joined(about), ([text, of]) => (pairs.length > 1 ? `${several(of)}: ${text}` : text));
}

/** Refusals of the same variants for the same reason are one: `PPL, KLD are not compared: the second: unfinished.` */
function joined(about: Map<string, string[]>): [text: string, of: string[]][] {
  const groups = new Map<string, { labels: string[]; reason: string; of: string[] }>();
  for (const [text, of] of about) {
    const [, label, reason] = /^(.{1,200}?) is not compared: (.*)$/s.exec(text) ?? [undefined, undefined, text];
    const key = JSON.stringify([reason, label === undefined, of]);
    const group = groups.get(key) ?? { labels: [], reason: reason!, of };
    if (label !== undefined) group.labels.push(label);
    groups.set(key, group);
  }
  return Array.from(groups.values(), ({ labels, reason, of }) => {
    if (labels.length === 0) return [reason, of];
    return [`${labels.join(", ")} ${labels.length === 1 ? "is" : "are"} not compared: ${reason}`, of];
  });
}
