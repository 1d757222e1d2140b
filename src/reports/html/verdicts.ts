import {
  differenceIn,
  markedVerdict,
  markOf,
  type Result,
  tabulated,
  type Verdict,
  type Verdicts,
} from "../../judge/index.js";
import { counted } from "../../units.js";
import { howJudged } from "../explained.js";
import type { Table } from "../table.js";
import { html, type Markup } from "./markup.js";
import { folded, listOf, marked, scrolling } from "./tables.js";

/** Which differences are real, question by question; a box shows those alone that differ. */
export function verdictSection({ questions, notes }: Verdicts, table: Table): Markup | undefined {
  const asked = questions.filter(({ pairs }) => pairs.length > 0);
  if (asked.length === 0) return undefined;
  return html`<section id="verdicts" aria-labelledby="verdicts-head"><h2 id="verdicts-head">Verdicts</h2>
<p class="control"><label><input type="checkbox" id="different"> different only</label> <span id="shown" class="soft small" role="status"></span></p>
${asked.map((question) => asQuestion(question))}
${listOf(notes)}
${folded("How to read the verdicts", listOf(howJudged(table).map(marked)))}
</section>`;
}

/** Shown to differ, or to lie beyond the margin, surely or by its interval alone. */
const isDifferent = (said: Verdict) =>
  differenceIn(said, true) !== undefined ||
  differenceIn(said, false) !== undefined ||
  (said.kind === "size" && said.place === "beyond");

/** A distance beyond the margin is none by itself: where it decides, it is called worse. */
function toneOf(result: Result): string {
  const said = result.verdict!;
  const [sure, likely] = [differenceIn(said, true), differenceIn(said, false)];
  const direction = (sure ?? likely)?.direction;
  if (direction === "better") return "good";
  if (direction === "worse") return sure ? "bad" : "maybe";
  return said.kind === "size" && markOf(result) === "worse" ? "bad" : "";
}

/** More rows are folded: the answers above them say the same in short. */
const mostOpen = 40;

function asQuestion({ title, answers, pairs, base }: Verdicts["questions"][number]): Markup {
  const compared = pairs.flatMap(({ a, b, results }) =>
    results.flatMap((result) => {
      const { label, comparison, verdict } = result;
      return comparison && verdict
        ? [{ a, b, label, comparison, verdict, tone: toneOf(result), told: markedVerdict(result) }]
        : [];
    }),
  );
  const labels = [...new Set(compared.map(({ label }) => label))];
  const isPaired = base === undefined;
  const heads: [text: string, isNumber?: boolean][] = [
    ...[["variant"], ...(isPaired ? [["against"]] : [])].map(([text]): [string] => [text!]),
    ["difference", true],
    ["verdict"],
    ...["95 % CI", "adjusted p", "detectable", "rests on"].map((text): [string, boolean] => [text, true]),
  ];
  const number = (text: string) => html`<td class="number">${text}</td>`;
  const rowOf = ({ a, b, comparison, verdict, tone, told }: (typeof compared)[number]) => {
    const [difference = "", ...rest] = tabulated(comparison);
    return html`<tr data-different="${isDifferent(verdict) ? "yes" : "no"}"><th scope="row">${b}</th>${isPaired ? html`<td>${a}</td>` : ""}${number(difference)}<td class="nowrap ${tone}">${told}</td>${rest.map(number)}</tr>`;
  };
  const bodies = labels.map(
    (label) =>
      html`<tbody data-compared="yes"><tr><th scope="rowgroup" colspan="${heads.length}">${label}</th></tr>${compared.filter((one) => one.label === label).map(rowOf)}</tbody>`,
  );
  const table = html`<table><thead><tr>${heads.map(([text, isNumber]) => html`<th scope="col"${isNumber ? html` class="number"` : ""}>${text}</th>`)}</tr></thead>${bodies}</table>`;
  const different = compared.filter(({ verdict }) => isDifferent(verdict)).length;
  const summary = `${counted(compared.length, "comparison")}, ${different} different`;
  return html`<div data-compared="yes"><h3>${title}</h3>${listOf(answers)}${
    compared.length > 0 ? folded(summary, scrolling(`Comparisons: ${title}`, table), compared.length <= mostOpen) : ""
  }${folded("In sentences", listOf(pairs.map(({ sentence }) => sentence)))}</div>`;
}
