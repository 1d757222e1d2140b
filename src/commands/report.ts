import { existsSync } from "node:fs";
import { join, resolve } from "node:path";
import { BenchError, exitCodes } from "../errors.js";
import { harmless } from "../harmless.js";
import { type Run, replay } from "../replay/index.js";
import { type CardWishes, cardOf, readPublished } from "../reports/card/index.js";
import { findFormat } from "../reports/formats/index.js";
import { factsFrom } from "../reports/index.js";
import { isLocked, readEvents, writeWhole } from "../store/index.js";
import { say, type Writer } from "../terminal.js";
import type { Surroundings } from "./command.js";
import { runFolders, runOf, runsFolder } from "./folder.js";
import { sayConclusion, writeTables } from "./outcome.js";

export interface ReportCommand {
  /** A run's folder; by default that of the latest run. */
  run?: string | undefined;
  /** The tables of every run in `reports/`. */
  all?: boolean;
  /** Print the table for a model card, and write nothing else. So do all options below, by themselves. */
  card?: boolean;
  /** Names of its columns, and of the one that it is sorted by. */
  columns?: string[];
  sort?: string;
  /** Names of variants: these alone. */
  variants?: string[];
  /** A file of figures that others published. */
  published?: string;
  /** The name of a format (default: md). */
  format?: string;
  /** A file in place of stdout. */
  out?: string;
}

/** Makes all tables of a run again from its events, or tells it in a form for others; no model is needed. */
export async function reportCommand(asked: ReportCommand, where: Surroundings): Promise<number> {
  const { run, card, all = false, ...wishes } = asked;
  if (all) return everyReport(asked, where);
  const folder = runOf(run, where);
  if (card || Object.values(wishes).some((wish) => wish !== undefined)) return cardCommand(folder, asked, where);
  const facts = factsFrom(replay(readEvents(folder)), folder);
  await writeTables(folder, facts);
  sayConclusion(folder, facts, where);
  return exitCodes.allMeasured;
}

/** The file of published figures that the run's benchmark names, if it is here. */
function publishedIn({ plan }: Run, stderr: Writer): string | undefined {
  const { published, folders } = plan?.provenance ?? {};
  if (published === undefined || !folders) return undefined;
  const file = resolve(folders.baseDir, published);
  if (existsSync(file)) return file;
  const where = `The figures that its benchmark names are not here: there is no ${harmless(file, { length: 90 })}.`;
  say(stderr, `gguf-bench: ${where} --published FILE names them.\n`);
  return undefined;
}

/** Tells each run in a line. One that cannot be read keeps no other from its tables. */
async function everyReport({ all: _, ...others }: ReportCommand, { stdout }: Surroundings): Promise<number> {
  if (Object.values(others).some((wish) => wish !== undefined))
    throw new BenchError("config", "--all is about every run, and writes their tables", {
      hint: "leave --all out for one run, or for its card",
    });
  const folders = runFolders().map((name) => join(runsFolder, name));
  if (folders.length === 0)
    throw new BenchError("nothing-run", `there is no run in ${runsFolder}/`, {
      hint: "measure something first: gguf-bench run",
    });
  let failed = false;
  for (const folder of folders) {
    const told = await anew(folder).catch((error: unknown) => {
      if (!(error instanceof BenchError)) throw error;
      failed = true;
      return [error.message, error.hint ?? []].flat().join(" ");
    });
    say(stdout, `${harmless(folder)}: ${told}\n`);
  }
  return failed ? exitCodes.someFailed : exitCodes.allMeasured;
}

async function anew(folder: string): Promise<string> {
  if (isLocked(folder)) return "is being measured now; its own end makes them.";
  await writeTables(folder, factsFrom(replay(readEvents(folder)), folder));
  return "made anew.";
}

async function cardCommand(
  folder: string,
  { columns, sort, variants, published, format: name = "md", out }: ReportCommand,
  { stdout, stderr }: Surroundings,
): Promise<number> {
  const format = findFormat(name);
  const useless = Object.entries({ columns, sort, published }).find(([, wish]) => wish !== undefined);
  if (useless && !format.ofCard)
    throw new BenchError("config", `--${useless[0]} means nothing to --format ${format.name}`, {
      hint: "it is for the card, in md, csv, html or json",
    });
  if (format.binary && out === undefined)
    throw new BenchError("config", `--format ${format.name} is no text`, {
      hint: "say which file it goes to: --out FILE",
    });
  const run = replay(readEvents(folder));
  const facts = factsFrom(run, folder);
  const beside = published ?? (format.ofCard ? publishedIn(run, stderr) : undefined);
  const wishes: CardWishes = {
    ...(columns ? { columns } : {}),
    ...(sort === undefined ? {} : { sort }),
    ...(variants ? { variants } : {}),
    ...(beside === undefined ? {} : { published: await readPublished(beside) }),
  };
  const card = cardOf(facts, wishes);
  const chosen = facts.table.rows.flatMap(({ variant }) =>
    card.rows.some((row) => row.variant === variant.name) ? [variant.name] : [],
  );
  const { content, notes } = await format.render({ run, facts, card, variants: chosen });
  if (out !== undefined) writeWhole(out, content);
  // The mark of UTF-8 is for the programs that open files.
  else say(stdout, String(content).replace(/^\ufeff/, ""));
  for (const note of [...new Set(notes)]) say(stderr, `gguf-bench: ${harmless(note, { length: 200 })}\n`);
  return exitCodes.allMeasured;
}
