import { join } from "node:path";
import { definite } from "../../definite.js";
import { sha256 } from "../../digest.js";
import { BenchError } from "../../errors.js";
import { several } from "../../harmless.js";
import type { TaskFacts } from "../../task.js";
import type { FoundDataset } from "../cards.js";
import type { DataFolders, Dataset } from "../data.js";
import { noted } from "../files.js";
import type { Style, TaskCard, TaskSaid } from "./card.js";
import { exampleFiles, measuredFiles, otherSplits, refuseOtherSplit } from "./files.js";
import { styleOf } from "./prompts.js";
import { readQuestions, type SubjectQuestions, type TaskItem, type TaskReader } from "./questions.js";
import type { TaskSubject } from "./subjects.js";

export { checkTask, describeTask, type Style, type TaskCard, type TaskSaid, taskKeys, taskShape } from "./card.js";
export { filledAt, hasNoText, isBlank, listAt, sameOptions, textAt, twinOf, valueAt, valuesAt } from "./cells.js";
export { styleOf } from "./prompts.js";
export {
  askedAgain,
  type FilledQuestion,
  type HowToSolve,
  repeated,
  type TaskItem,
  type TaskQuestion,
  type TaskReader,
} from "./questions.js";
export { type Refusal, readTable, type TaskRow } from "./rows.js";
export { sixLineColumns } from "./six-lines.js";

/** The questions of a task, in the order of its subjects and rows. */
export interface TaskData<Solution> extends Omit<Dataset, "kind"> {
  style: Style;
  task: TaskFacts;
  items: TaskItem<Solution>[];
}

/**
 * Reads the questions that an entry names. A subject that cannot be asked is left out, and the note says why, while others can.
 * Throws a BenchError with the place or the path, and the remedy.
 */
export async function readTask<Solution>(
  found: FoundDataset<TaskCard>,
  said: TaskSaid,
  folders: DataFolders,
  reader: TaskReader<Solution>,
): Promise<TaskData<Solution>> {
  const { card } = found;
  const style = styleOf(card, said);
  const { split, pattern, path, folder, files, strangers } = await measuredFiles(found, said, folders);
  const examples = await exampleFiles(found, said, folders);
  const others = await otherSplits(found, split, folders);
  const read: SubjectQuestions<Solution>[] = [];
  const faults: SubjectFault[] = [];
  const absent: string[] = [];
  // Where a split that is measured by default has no column of answers, the card names it wrongly.
  const mayBeKeyless = split !== undefined && split !== (card.split ?? split);
  for (const { subject: own, path } of files) {
    const subject = own && { ...own, title: style.titles[own.name] ?? own.title };
    if (path === undefined) absent.push(subject!.name);
    else
      try {
        await refuseOtherSplit(path, subject, others);
        const questions = await readQuestions({ card, style, reader, pattern, mayBeKeyless }, path, subject, examples);
        const same = read.find(({ digests }) => digests[0] === questions.digests[0])?.subject;
        if (same) throw new BenchError("dataset-invalid", `its file is the same as that of ${same.name}`);
        read.push(questions);
      } catch (fault) {
        if (!(fault instanceof BenchError) || !subject) throw fault;
        faults.push({ subject, fault });
      }
  }
  const kept = read.some(({ keyless }) => !keyless) ? read.filter(({ keyless }) => !keyless) : read;
  if (kept.length === 0) throw noneLeft(card, faults);
  const unkeyed = read.filter((one) => !kept.includes(one)).map(({ subject }) => subject!.name);
  const digests = kept.flatMap((one) => one.digests);
  const titled = kept.flatMap(({ subject }) => (subject && subject.title !== subject.name ? [subject] : []));
  const groups = groupsOf(kept.flatMap(({ subject }) => subject ?? []));
  return {
    name: card.name,
    path,
    sha256: digests.length === 1 ? digests[0]! : sha256(digests.join("")),
    bytes: kept.reduce((sum, { bytes }) => sum + bytes, 0),
    style,
    items: kept.flatMap(({ items }) => items),
    task: definite({
      split,
      style: style.name,
      subjects: said.subjects,
      shots: kept[0]!.shots,
      groups: Object.keys(groups).length > 0 ? groups : undefined,
      titles: titled.length > 0 ? Object.fromEntries(titled.map(({ name, title }) => [name, title])) : undefined,
    }),
    ...noted([
      ...differing(kept.flatMap(({ differences }) => differences)),
      ...remarked(kept.map(({ remarks }) => remarks)),
      absent.length > 0 && `left out, for they have no file: ${several(absent, 5)}`,
      unkeyed.length > 0 &&
        `left out, for their files have no answers as those of the others have: ${several(unkeyed, 5)}`,
      strangers.length > 0 && `left out, for they are not on the card: ${several(strangers, 5)}`,
      ...told(faults, folder),
      kept[0]!.keyless &&
        `${split === undefined ? "the file" : `the split ${split}`} comes without answers: no accuracy can be told`,
    ]),
  };
}

function groupsOf(subjects: TaskSubject[]): Record<string, string[]> {
  const groups: Record<string, string[]> = {};
  for (const { name, groups: own } of subjects)
    for (const group of own) groups[group] = [...(groups[group] ?? []), name];
  return groups;
}

/** Of many files that differ from the published ones, how many. */
function differing(differences: string[]): string[] {
  if (differences.length < 3) return differences;
  const names = differences.map((one) => one.split(" ")[0]!);
  return [`${differences.length} files differ from the published data: ${several(names, 5)}`];
}

/** Counts of all files together. */
function remarked(counts: Record<string, number>[]): string[] {
  const sums = new Map<string, number>();
  for (const [phrase, count] of counts.flatMap(Object.entries<number>))
    sums.set(phrase, (sums.get(phrase) ?? 0) + count);
  return [...sums].filter(([, count]) => count > 0).map(([phrase, count]) => `${phrase}: ${count}`);
}

interface SubjectFault {
  subject: TaskSubject;
  fault: BenchError;
}

/** Why subjects are left out; of many, the first few. Files are named as in their folder. */
function told(faults: SubjectFault[], folder: string, most = 5): string[] {
  const said = faults.slice(0, most).map(({ subject, fault }) => {
    return `${subject.name} is left out: ${fault.message.replaceAll(join(folder, "/"), "").replace(/\.$/, "")}`;
  });
  return faults.length > most
    ? [...said, `${faults.length - most} more ${faults.length - most === 1 ? "subject is" : "subjects are"} left out`]
    : said;
}

/** The one error where no subject can be asked. */
function noneLeft({ name }: TaskCard, faults: SubjectFault[]): BenchError {
  const [{ fault }, ...others] = faults as [SubjectFault, ...SubjectFault[]];
  if (others.length === 0) return fault;
  return new BenchError(
    "dataset-invalid",
    `None of ${faults.length} subjects of ${name} can be measured. ${fault.message}`,
    definite({ hint: fault.hint, cause: fault }),
  );
}
