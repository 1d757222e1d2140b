import { definite } from "../definite.js";
import { BenchError, exitCodes } from "../errors.js";
import { harmless, harmlessJson } from "../harmless.js";
import { isAsked, itemsOf, type Questions, questionsOf, type ShownItem } from "../items/index.js";
import { replay } from "../replay/index.js";
import { itemsText } from "../reports/items.js";
import { readEvents } from "../store/index.js";
import { say } from "../terminal.js";
import { type FolderOptions, foldersOf, type Surroundings } from "./command.js";
import { runOf } from "./folder.js";

export interface ItemsCommand extends Pick<FolderOptions, "dataDir"> {
  /** A run's folder; by default that of the latest run. */
  run?: string | undefined;
  /** Name of a measurement, or of a dataset. */
  task?: string;
  variants?: string[];
  wrong?: boolean;
  /** Names of two variants. */
  flipped?: readonly string[];
  subjects?: string[];
  /** Most items that are shown, and how many are passed over before them. */
  limit?: number;
  skip?: number;
  /** Whether the first prompt of the task is shown as a variant was given it. */
  prompt?: boolean;
  json?: boolean;
}

/** Without what only serves to compare answers. */
const plain = ({ answers, ...item }: ShownItem) => ({
  ...item,
  answers: answers.map(({ isThere: _, said: __, given: ___, ...answer }) => answer),
});

/** Shows items of a run one by one: what was asked, what each variant answered, and how sure it was. Needs no model. */
export async function itemsCommand(asked: ItemsCommand, where: Surroundings): Promise<number> {
  const { limit = 20, skip = 0, prompt = false, json, flipped, ...wanted } = asked;
  if (flipped && flipped.length !== 2)
    throw new BenchError("config", "--flipped takes the names of two variants", {
      hint: "Name the run before it: items RUN --flipped A B.",
    });
  const { stdout } = where;
  const run = replay(readEvents(runOf(asked.run, where)), isAsked);
  const [from, to] = flipped ?? [];
  const found = itemsOf(run, {
    ...wanted,
    ...(from !== undefined && to !== undefined ? { flipped: [from, to] } : {}),
  });
  const page = found.items.slice(skip, skip + limit);
  const { dataDir } = foldersOf(asked, where);
  const { questions, ...absent } = page.length > 0 ? await questionsOf(run, found.record, dataDir) : {};
  const shown = page.map(({ answers, ...item }) => ({
    ...item,
    ...definite({ question: questions?.get(item.item) }),
    answers,
  }));
  if (json) {
    const { record, items, ...facts } = found;
    const { measurement, dataset, task, settings } = record;
    say(
      stdout,
      `${harmlessJson({ ...definite({ measurement, dataset, task }), settings, ...facts, found: items.length, items: shown.map(plain) }, 2)}\n`,
    );
    return exitCodes.allMeasured;
  }
  const width = Math.max(40, stdout.columns || 100);
  const notes: string[] = [];
  if ("changed" in absent) notes.push(whyNone(found.record.dataset, absent));
  const last = skip + page.length;
  if (last < found.items.length) notes.push(`${page.length} of ${found.items.length} shown; the next: --skip ${last}`);
  say(stdout, itemsText(found, shown, { width, prompt }) + (notes.length > 0 ? `\n${notes.join("\n")}\n` : ""));
  return exitCodes.allMeasured;
}

/** Why answers are shown without their questions, and what brings these. */
function whyNone(dataset: string, { changed, fetchable, path }: Exclude<Questions, { questions: object }>): string {
  const name = harmless(dataset, { length: 60 });
  const why = changed
    ? `The questions of ${name} that are here are not those that were asked`
    : `The questions of ${name} are not here`;
  if (fetchable) return `${why}: \`gguf-bench fetch ${name}\` or --data-dir brings them beside their answers.`;
  if (path === undefined) return `${why}: --data-dir brings them beside their answers.`;
  return `${why}: they were read from ${harmless(path, { length: 300 })}. That file, or --data-dir, brings them beside their answers.`;
}
