import type { ShownPrompt } from "../backends/backend.js";
import type { ShownQuestion } from "../data/index.js";
import { definite } from "../definite.js";
import { BenchError } from "../errors.js";
import type { JobRecord } from "../events.js";
import { several } from "../harmless.js";
import { metric as describe, isQuality, isTally } from "../metrics.js";
import { type JobResult, planOf, type Run } from "../replay/index.js";
import { natural } from "../stats/comparison.js";
import { nearest } from "../yaml.js";
import { answerOf, type ItemAnswer, isAsked } from "./answers.js";

export { type ItemAnswer, isAsked } from "./answers.js";
export { type Questions, questionsOf } from "./questions.js";

/** What is asked of a run's items. */
export interface ItemsAsked {
  /** Name of a measurement, or of a dataset; may be left out where the run has one task. */
  task?: string;
  /** Variants that are shown; by default all, or the two of `flipped`. */
  variants?: readonly string[];
  /** Items that one of the shown variants answers wrong; together with `flipped`, those that became wrong. */
  wrong?: boolean;
  /** Items of which one variant's answer is right and the other's is not. */
  flipped?: readonly [from: string, to: string];
  /** Subjects, by name or title, or groups of them. */
  subjects?: readonly string[];
}

/** An item as it was asked, and what each variant made of it. */
export interface ShownItem {
  item: string;
  /** By the name that people write, where the task has one. */
  subject?: string;
  /** First digits of the sha256 of what was asked. */
  prompt?: string;
  /** Absent where the data are not on this machine. */
  question?: ShownQuestion;
  answers: (ItemAnswer & { variant: string })[];
}

/** The items of one task that were asked for. */
export interface Items {
  record: JobRecord;
  variants: string[];
  items: ShownItem[];
  /** Items that all shown variants have. */
  of: number;
  flips?: Flipped;
  /** The first prompt as a variant was given it, where the run keeps it. */
  given?: ShownPrompt & { variant: string };
}

/** How often the answers of two variants differ. */
export interface Flipped {
  from: string;
  to: string;
  /** Questions that both answered. */
  of: number;
  toWrong: number;
  toRight: number;
  /** From one wrong answer to another. */
  otherwise: number;
}

/** The jobs of a task by variant, in the plan's order. */
interface Task {
  record: JobRecord;
  jobs: Map<string, JobResult>;
}

/** Throws a BenchError `config` for a task, a variant or a subject that the run does not have. */
export function itemsOf(run: Run, asked: ItemsAsked): Items {
  const { record, jobs } = taskOf(run, asked.task);
  const wanted = asked.variants ?? asked.flipped ?? [...jobs.keys()];
  for (const name of wanted)
    if (!jobs.has(name))
      throw new BenchError("config", `the run has no variant "${name}" that was asked ${record.measurement}`, {
        hint: nearest(name, [...jobs.keys()]),
      });
  const variants = [...new Set(wanted)];
  const columns = variants.map((variant) => ({
    variant,
    details: jobs.get(variant)!.details!,
    ...scoresOf(jobs.get(variant)!),
  }));
  const inSubject = subjectFilter(record, jobs, asked.subjects ?? []);
  const clusters = [...jobs.values()].find((job) => job.clusters)?.clusters;
  const items: ShownItem[] = [];
  const flips = asked.flipped && {
    from: asked.flipped[0],
    to: asked.flipped[1],
    ...{ of: 0, toWrong: 0, toRight: 0, otherwise: 0 },
  };
  let of = 0;
  let given: Items["given"];
  for (const item of new Set(columns.flatMap(({ details }) => [...details.keys()]))) {
    const cluster = clusters?.get(item);
    if (!inSubject(cluster)) continue;
    const answers = columns.map(({ variant, details, scores, unanswerable }) => ({
      variant,
      ...answerOf(details.get(item), scores.get(item), unanswerable.get(item)),
    }));
    const first = given ? undefined : answers.find((one) => one.given !== undefined);
    if (first?.given) given = { variant: first.variant, ...first.given };
    if (answers.every(({ isThere }) => isThere)) of++;
    if (!isWanted(asked, answers, flips)) continue;
    items.push({
      item,
      ...definite({
        subject: cluster === undefined ? undefined : (record.task?.titles?.[cluster] ?? cluster),
        prompt: answers.find(({ prompt }) => prompt !== undefined)?.prompt,
      }),
      answers,
    });
  }
  // Answers in words come longest question first.
  return { record, variants, items: natural(items), of, ...definite({ flips, given }) };
}

/** Whether an item is among those that were asked for; counts flips. */
function isWanted({ wrong, flipped }: ItemsAsked, answers: ItemAnswer[], flips: Flipped | undefined): boolean {
  if (!flipped || !flips) return !wrong || answers.some((answer) => answer.right === false);
  const [from, to] = answers.length === 2 ? answers : [];
  if (from?.right === undefined || to?.right === undefined) return false;
  flips.of++;
  if (from.right === to.right) {
    if (!from.right && from.said !== to.said) flips.otherwise++;
    return false;
  }
  if (to.right) flips.toRight++;
  else flips.toWrong++;
  return !wrong || !to.right;
}

/** The score that says whether an item is right: by the job's first metric of quality, which leads the others. */
function scoresOf(job: JobResult): { scores: Map<string, number>; unanswerable: ReadonlyMap<string, string> } {
  const isGraded = (name: string) => isQuality(describe(name)) && !isTally(describe(name));
  const [metric = ""] = (job.record?.metrics ?? []).filter((name) => isGraded(name) && job.count(name) > 0);
  return {
    scores: new Map(job.samples(metric).map(({ item, value }) => [item, value])),
    unanswerable: job.unanswerable,
  };
}

function taskOf(run: Run, wanted: string | undefined): Task {
  const tasks = new Map<string, Task>();
  for (const record of planOf(run).jobs) {
    const job = run.jobs.get(record.id);
    if (!isAsked(record) || !job?.details?.size) continue;
    const task = tasks.get(record.measurement) ?? { record, jobs: new Map() };
    task.jobs.set(record.variant, job);
    tasks.set(record.measurement, task);
  }
  const names = [...tasks.keys()];
  const found = [...tasks.values()].filter(
    ({ record }) => wanted === undefined || record.measurement === wanted || record.dataset === wanted,
  );
  const exact = found.find(({ record }) => record.measurement === wanted);
  if (exact) return exact;
  if (found.length === 1) return found[0]!;
  if (names.length === 0)
    throw new BenchError("config", "no question was asked in this run", {
      hint: "Tasks are what `items` shows: ceval, hellaswag …",
    });
  throw wanted === undefined
    ? new BenchError("config", `the run has several tasks: ${several(names)}`, { hint: "Name one with --task." })
    : new BenchError(
        "config",
        `--task ${wanted}: ${found.length > 1 ? "several tasks of the run ask it" : "the run has no such task"}`,
        {
          hint:
            found.length > 1
              ? `Name one of ${several(found.map(({ record }) => record.measurement))}.`
              : nearest(wanted, names),
        },
      );
}

/** Whether a cluster is in one of the subjects or groups. */
function subjectFilter(
  { task, measurement, dataset }: JobRecord,
  jobs: ReadonlyMap<string, JobResult>,
  wanted: readonly string[],
): (cluster: string | undefined) => boolean {
  if (wanted.length === 0) return () => true;
  const known = new Set([...jobs.values()].flatMap(({ clusters }) => [...(clusters?.values() ?? [])]));
  const titles = new Map(Object.entries(task?.titles ?? {}).map(([name, title]) => [title, name]));
  const chosen = new Set<string>();
  for (const one of wanted) {
    const meant = task?.groups?.[one] ?? [titles.get(one) ?? one];
    for (const name of meant) if (known.has(name)) chosen.add(name);
    if (!meant.some((name) => known.has(name)))
      throw new BenchError("config", `--subject ${one}: ${measurement} has no such subject or group`, {
        hint: `${nearest(one, [...known, ...Object.keys(task?.groups ?? {})])} \`gguf-bench list ${dataset}\` tells all.`,
      });
  }
  return (cluster) => cluster !== undefined && chosen.has(cluster);
}
