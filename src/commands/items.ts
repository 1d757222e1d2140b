import { definite } from "../definite.js";
import { BenchError, exitCodes } from "../errors.js";
import { harmlessJson } from "../harmless.js";
import { isAsked, itemsOf, questionsOf, type ShownItem } from "../items/index.js";
import { replay } from "../replay/index.js";
import { itemsText } from "../reports/items.js";
import { readEvents } from "../store/index.js";
import { say } from "../terminal.js";
import { type FolderOptions, foldersOf, type Surroundings } from "./command.js";

export interface ItemsCommand extends Pick<FolderOptions, "dataDir"> {
  /** A run's folder. */
  run: string;
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
  const run = replay(readEvents(asked.run), isAsked);
  const [from, to] = flipped ?? [];
  const found = itemsOf(run, {
    ...wanted,
    ...(from !== undefined && to !== undefined ? { flipped: [from, to] } : {}),
  });
  const folders = { baseDir: process.cwd(), ...definite({ dataDir: foldersOf(asked, where).dataDir }) };
  const page = found.items.slice(skip, skip + limit);
  const questions = page.length > 0 ? await questionsOf(run, found.record, folders) : undefined;
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
  const width = Math.max(40, stdout.columns ?? 100);
  const notes: string[] = [];
  if (page.length > 0 && !questions)
    notes.push(
      `The questions are not here, or other ones: \`gguf-bench fetch ${found.record.dataset}\` or --data-dir brings them beside their answers.`,
    );
  const last = skip + page.length;
  if (last < found.items.length) notes.push(`${page.length} of ${found.items.length} shown; the next: --skip ${last}`);
  say(stdout, itemsText(found, shown, { width, prompt }) + (notes.length > 0 ? `\n${notes.join("\n")}\n` : ""));
  return exitCodes.allMeasured;
}
