import { BenchError, exitCodes } from "../errors.js";
import { harmless } from "../harmless.js";
import { replay } from "../replay/index.js";
import { type CardWishes, cardOf, readPublished } from "../reports/card/index.js";
import { findFormat } from "../reports/formats/index.js";
import { factsFrom } from "../reports/index.js";
import { readEvents, writeWhole } from "../store/index.js";
import { say } from "../terminal.js";
import type { Surroundings } from "./command.js";
import { runOf } from "./folder.js";
import { sayConclusion, writeTables } from "./outcome.js";

export interface ReportCommand {
  /** A run's folder; by default that of the latest run. */
  run?: string | undefined;
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
  const { run, card, ...wishes } = asked;
  const folder = runOf(run, where);
  if (card || Object.values(wishes).some((wish) => wish !== undefined)) return cardCommand(folder, asked, where);
  const facts = factsFrom(replay(readEvents(folder)), folder);
  await writeTables(folder, facts);
  sayConclusion(folder, facts, where);
  return exitCodes.allMeasured;
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
  const wishes: CardWishes = {
    ...(columns ? { columns } : {}),
    ...(sort === undefined ? {} : { sort }),
    ...(variants ? { variants } : {}),
    ...(published === undefined ? {} : { published: await readPublished(published) }),
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
