import { createHash } from "node:crypto";
import { harmless } from "../../harmless.js";
import { divergenceTables } from "../divergence.js";
import { explanations, howAveraged, howDiverging, provenance, quoted } from "../explained.js";
import type { Facts } from "../facts.js";
import { intervalsOf, layoutOf } from "../layout.js";
import { commandWithoutFolders, foldersIn } from "../places.js";
import { darkened, type PlacedSvg } from "../plots/index.js";
import { taskSections } from "../task-tables.js";
import { behaviour } from "./behaviour.js";
import { type Content, html, Markup } from "./markup.js";
import { shortTable } from "./short-table.js";
import { style } from "./style.js";
import { folded, listOf, marked, tableOf } from "./tables.js";
import { verdictSection } from "./verdicts.js";
import { worstTokens } from "./worst.js";

const wholeStyle = `${style}@media screen and (prefers-color-scheme: dark) {${darkened("figure svg ")}}\n`;
const hash = (text: string) => `'sha256-${createHash("sha256").update(text).digest("base64")}'`;

/** Nothing may be fetched, sent or run but what stands in the page itself. */
const policy = `default-src 'none'; style-src ${hash(wholeStyle)}; script-src ${hash(behaviour)}; base-uri 'none'; form-action 'none'`;

/** The report for reading: one file that asks for nothing from elsewhere. `svgs`: the pictures of the same facts. */
export function page(facts: Facts, svgs: readonly PlacedSvg[]): string {
  const { table, verdicts, tasks, divergences, short } = facts;
  const { started, sessions } = table;
  const sections = [
    section("table", "The variants", shortTable(facts), folded("All figures", everything(facts))),
    section("pictures", "Pictures", pictures(svgs, "answer")),
    verdictSection(verdicts, table),
    section("tasks", "Tasks", taskParts(tasks)),
    section("where", "Where it hurts", pictures(svgs, "where"), worstTokens(divergences), divergenceParts(divergences)),
    section("course", "The course of measuring", pictures(svgs, "course")),
    section("sources", "Where the figures come from", sources(facts)),
  ].flatMap((one) => one ?? []);
  const day = new Date(sessions[0]!.at).toISOString().slice(0, 10);
  const title = `${started.name}: gguf-bench`;
  const body = html`<header>
<h1>${started.name}</h1>
<p class="soft">${started.variants.length} variants, measured ${day}</p>
${answer(short.conclusions)}
</header>
<main>
${sections}
</main>`;
  const folders = foldersIn(started).map((folder) => html`${folder}`.text);
  const withoutKnown = (text: string) => folders.reduce((left, folder) => left.replaceAll(folder, ""), text);
  return `${
    html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="${new Markup(policy)}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="referrer" content="no-referrer">
<title>${title}</title>
<style>${new Markup(wholeStyle)}</style>
</head>
<body>
${new Markup(withoutKnown(body.text))}
<p id="said" class="unseen" role="status"></p>
<script>${new Markup(behaviour)}</script>
</body>
</html>`.text
  }\n`;
}

function answer(conclusions: string[]): Content {
  if (conclusions.length === 0) return undefined;
  return html`<section class="answer" aria-label="The answer">${conclusions.map((line) => html`<p>${line}</p>`)}</section>`;
}

/** A part of the page; nothing where it would be empty. */
function section(id: string, title: string, ...parts: Content[]): Markup | undefined {
  if (parts.every((part) => part === undefined)) return undefined;
  return html`<section aria-labelledby="${id}"><h2 id="${id}">${title}</h2>${parts}</section>`;
}

function pictures(svgs: readonly PlacedSvg[], where: PlacedSvg["section"]): Content {
  const own = svgs.filter((one) => one.section === where);
  if (own.length === 0) return undefined;
  return html`<div class="plots">${own.map(({ inline, title, caption }) => html`<figure>${new Markup(inline)}<figcaption><strong>${title}</strong> ${caption}</figcaption></figure>`)}</div>`;
}

function everything({ table }: Facts): Content {
  const [main, intervals] = [layoutOf(table), intervalsOf(table)];
  return [
    tableOf(main, "All figures of all variants"),
    html`<div class="small soft">${listOf(main.footnotes)}</div>`,
    intervals.rows.length > 0 ? tableOf(intervals, "95 % intervals") : undefined,
    html`<h3>How to read this</h3>`,
    listOf(explanations(table).map(marked)),
  ];
}

function taskParts(tasks: Facts["tasks"]): Content {
  const parts = taskSections(tasks);
  if (parts.length === 0) return undefined;
  return [
    parts.map(({ title, tables }) =>
      folded(
        title,
        tables.map(({ title: of, table, below }) => [
          tableOf(table, of ?? "Averages"),
          below === undefined ? undefined : html`<p class="small soft">${below}</p>`,
        ]),
      ),
    ),
    folded("How these are made", listOf(howAveraged)),
  ];
}

function divergenceParts(divergences: Facts["divergences"]): Content {
  const tables = divergenceTables(divergences);
  if (tables.length === 0) return undefined;
  return folded("All figures of the divergence", [
    html`<p class="small">${howDiverging}</p>`,
    tables.map(({ title, table }) => tableOf(table, title)),
  ]);
}

function sources({ table }: Facts): Content {
  const lines = provenance(table).map((line): [string, string] => {
    const at = line.indexOf(": ");
    return at > 0 ? [line.slice(0, at), line.slice(at + 2)] : ["Versions", line];
  });
  const command = commandWithoutFolders(table.started)
    .map((argument) => quoted(harmless(argument)))
    .join(" ");
  return [
    html`<dl class="small">${lines.map(([name, text]) => html`<dt>${name}</dt><dd>${text}</dd>`)}</dl>`,
    html`<pre>${command}</pre>`,
    html`<p class="small soft">The same figures for programs: table.csv, table-long.csv, comparisons.csv, run.json beside this file.</p>`,
  ];
}
