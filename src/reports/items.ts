import { harmless } from "../harmless.js";
import type { Flipped, ItemAnswer, Items, ShownItem } from "../items/index.js";
import { percent } from "../units.js";
import { cutMiddle, widthOf } from "./names.js";

/** Lines that a question takes at most without its options, each option, a written answer, and a prompt. */
const [ofQuestion, ofOption, ofText, ofPrompt] = [12, 5, 3, 40];
/** Token ids of a prompt that are shown. */
const ofIds = 8;
const indent = "  ";

/** Items for a terminal of `width` cells, which none of their texts can make obey; each text is cut to a few lines. */
export function itemsText(
  items: Items,
  shown: readonly ShownItem[],
  { width, prompt = false }: { width: number; prompt?: boolean },
): string {
  const { variants, given } = items;
  const widest = Math.min(24, Math.max(...variants.map((name) => widthOf(harmless(name)))));
  const lines = [heading(items), ...summary(items)];
  if (given && prompt) {
    const { variant, text, ids } = given;
    const tokens = ids ? `, ${count(ids.length)} tokens, ${ids.slice(0, ofIds).join(" ")} …` : "";
    const first = `The first prompt as ${harmless(variant, { length: 60 })} was given it${tokens}:`;
    lines.push("", ...wrapped(first, width, 3), ...wrapped(text, width, ofPrompt, { keepLines: true }));
  }
  for (const item of shown) lines.push("", ...itemLines(item, widest, width));
  return `${lines.join("\n")}\n`;
}

function heading({ record: { measurement, dataset, task, method }, variants }: Items): string {
  const { split, shots, style } = task ?? {};
  const facts = [
    measurement,
    ...(dataset === measurement ? [] : [dataset]),
    ...(split ? [split] : []),
    ...(shots === undefined ? [] : [`${shots}-shot`]),
    ...(style ? [style] : []),
    ...(method ? [method] : []),
  ];
  return harmless(`${facts.join(" · ")}: ${variants.join(", ")}`, { length: 300 });
}

function summary({ flips, items, of }: Items): string[] {
  if (flips) return [flipsInWords(flips)];
  return [`${count(items.length)} of ${count(of)} ${of === 1 ? "item" : "items"}.`];
}

/** `12 of 1,346 answers flipped: 7 became wrong, 5 right.` */
export function flipsInWords({ from, to, of, toWrong, toRight, otherwise }: Flipped): string {
  const flipped = toWrong + toRight;
  const which = flipped === 0 ? "" : `: ${count(toWrong)} became wrong, ${count(toRight)} right`;
  const more = otherwise > 0 ? ` ${count(otherwise)} more changed from one wrong answer to another.` : "";
  const between = `from ${harmless(from, { length: 60 })} to ${harmless(to, { length: 60 })}`;
  return `${count(flipped)} of ${count(of)} answers flipped${which} (${between}).${more}`;
}

const count = (number: number) => number.toLocaleString("en-US");

function itemLines({ item, subject, question, prompt, answers }: ShownItem, widest: number, width: number): string[] {
  const id = harmless(item, { length: 100 });
  const lines = [
    subject === undefined || item.startsWith(`${subject}/`) || item.startsWith(`${subject.replaceAll(" ", "_")}/`)
      ? id
      : `${id} (${harmless(subject, { length: 60 })})`,
  ];
  const gold = question?.right ?? answers.find((one) => one.gold !== undefined)?.gold;
  // As it was asked: the letters are those that the model was shown.
  const order = answers.find((one) => one.order)?.order;
  if (question) {
    const { text, options = [] } = question;
    const areLetters = options.length > 0 && options.every((option, i) => option === letterOf(i));
    const [asked, ...lettered] = areLetters ? withOptions(text, options.length) : [text];
    lines.push(...wrapped(asked!, width, ofQuestion, { keepLines: true }));
    for (const option of lettered) lines.push(...wrapped(option, width, ofOption, { keepLines: true }));
    const listed = order ? order.map((option) => options[option] ?? "") : options;
    if (!areLetters)
      for (const [i, option] of listed.entries())
        lines.push(...wrapped(`${letterOf(i)}  ${option.trim()}`, width, ofOption));
    if (question.answers && question.answers.length > 0)
      lines.push(...wrapped(`right: ${question.answers.join(" | ")}`, width, ofText));
  } else if (prompt !== undefined) lines.push(`${indent}prompt ${harmless(prompt, { length: 20 })}…`);
  if (!question?.answers && gold && gold.length > 0)
    lines.push(...wrapped(`right: ${gold.map((one) => nameOf(one, order)).join(", ")}`, width, ofText));
  for (const answer of answers) lines.push(...answerLines(answer, widest, width));
  return lines;
}

/** A question and each of its options, which are listed in it by letters, the last one with what follows it; or all in one. */
function withOptions(text: string, options: number): string[] {
  const lines = text.split(/\r\n|\n|\r/);
  const isListed = (option: number, line: string) =>
    new RegExp(`^[\\s(（[【"'*-]{0,3}${letterOf(option)}(?![\\p{L}\\p{N}])`, "u").test(line);
  for (let start = lines.length - 1; start > 0; start--) {
    if (!isListed(0, lines[start]!)) continue;
    const starts = [start];
    for (let at = start + 1; at < lines.length && starts.length < options; at++)
      if (isListed(starts.length, lines[at]!)) starts.push(at);
    if (starts.length === options)
      return [0, ...starts].map((from, i) => lines.slice(from, starts[i] ?? lines.length).join("\n"));
  }
  return [text];
}

const nameOf = (gold: number | string, order: readonly number[] | undefined) =>
  typeof gold === "number" ? letterOf(order?.indexOf(gold) ?? gold) : gold;

/** A … Z, AA …, as spreadsheets name columns. */
function letterOf(option: number): string {
  const last = String.fromCharCode(65 + (option % 26));
  return option < 26 ? last : letterOf(Math.floor(option / 26) - 1) + last;
}

function answerLines(answer: ItemAnswer & { variant: string }, widest: number, width: number): string[] {
  const name = cutMiddle(harmless(answer.variant), widest);
  const padded = `${indent}${name}${" ".repeat(Math.max(0, widest - widthOf(name)))}`;
  const { isThere, unanswerable, prediction, order, confidence, right, score, text, extracted, finish } = answer;
  const scores = order && answer.scores ? order.map((option) => answer.scores![option]!) : answer.scores;
  if (!isThere) return [`${padded}  not measured`];
  if (unanswerable !== undefined) return wrappedAfter(padded, `not asked: ${unanswerable}`, width);
  const graded =
    right === undefined
      ? "no key"
      : score === 0 || score === 1
        ? right
          ? "right"
          : "wrong"
        : `score ${score!.toFixed(3)}`;
  const said =
    prediction !== undefined
      ? nameOf(prediction, order)
      : extracted !== undefined
        ? JSON.stringify(harmless(extracted, { length: 60 }))
        : "no answer";
  const shares =
    scores && confidence !== undefined ? `  ${percent(confidence)} of the probability;  ${sharesOf(scores)}` : "";
  const lines = wrappedAfter(padded, `${said} ${graded}${shares}`, width);
  if (text !== undefined)
    lines.push(
      ...wrapped(`wrote${finish === "length" ? " (cut off)" : ""}: ${text.trim() || "nothing"}`, width, ofText),
    );
  return lines;
}

/** `A 10 %  B 62 %  …`: of the probability of all options. */
function sharesOf(scores: readonly number[]): string {
  const most = Math.max(...scores);
  const weights = scores.map((score) => Math.exp(score - most));
  const all = weights.reduce((sum, one) => sum + one, 0);
  return weights.map((weight, i) => `${letterOf(i)} ${percent(weight / all)}`).join("  ");
}

function wrappedAfter(before: string, text: string, width: number): string[] {
  const room = Math.max(20, width - widthOf(before) - 2);
  const [first = "", ...rest] = wrapped(text, room, ofOption).map((line) => line.slice(indent.length));
  return [`${before}  ${first}`, ...rest.map((line) => `${" ".repeat(widthOf(before))}  ${line}`)];
}

const segmenter = new Intl.Segmenter("en", { granularity: "grapheme" });

/**
 * A text in lines of `width` cells, indented; of one that has more than `most` the middle goes: a question's end tells most.
 * `keepLines`: its own line ends stay.
 */
function wrapped(text: string, width: number, most: number, { keepLines = false } = {}): string[] {
  const room = Math.max(20, width - indent.length);
  const paragraphs = keepLines ? text.split(/\r\n|\n|\r/).filter((line) => line.trim() !== "") : [text];
  const lines = paragraphs.flatMap((one) => broken(harmless(one, { length: 20_000 }), room));
  const last = Math.floor((most - 1) / 2);
  const kept =
    lines.length <= most ? lines : [...lines.slice(0, most - 1 - last), "…", ...lines.slice(lines.length - last)];
  return kept.map((line) => `${indent}${line}`);
}

/** At blanks where there are some, else between characters. */
function broken(text: string, room: number): string[] {
  const lines: string[] = [];
  let [line, used] = ["", 0];
  for (const { segment } of segmenter.segment(text.trim())) {
    const cells = widthOf(segment);
    if (used + cells > room) {
      const at = line.lastIndexOf(" ");
      const cut = at > room / 2 ? at + 1 : line.length;
      lines.push(line.slice(0, cut).trimEnd());
      line = line.slice(cut);
      used = widthOf(line);
    }
    line += segment;
    used += cells;
  }
  if (line !== "") lines.push(line);
  return lines;
}
