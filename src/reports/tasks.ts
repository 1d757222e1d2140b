import type { JobRecord, VariantRecord } from "../events.js";
import { metric as describe, isQuality, isTally, leadsAmong, type Metric } from "../metrics.js";
import { type JobResult, planOf, type Run } from "../replay/index.js";
import { type AnswerHabit, habitOf } from "../stats/answers.js";
import { besideChance, chanceOf } from "../stats/chance.js";
import { seriesFrom } from "../stats/series.js";
import { type BySubject, bySubject } from "../stats/subjects.js";
import { type Summary, summarize } from "../stats/summary.js";
import type { TaskFacts } from "../task.js";

/** A measurement on questions, in all its parts. */
export interface TaskReport {
  measurement: string;
  dataset: string;
  facts: TaskFacts;
  settings: JobRecord["settings"];
  variants: TaskResult[];
}

/** What one variant did in a task. */
export interface TaskResult {
  variant: VariantRecord;
  /** Its leading figure over all questions (micro average); absent where no answer has a key. */
  figure?: TaskFigure;
  /** How it answers, where all questions have the same options. */
  habit?: AnswerHabit;
  /** Questions by what befell them: unanswerable, ungraded … */
  tallies: { metric: Metric; count: number }[];
}

export interface TaskFigure {
  metric: Metric;
  summary: Summary;
  chance?: number;
  /** Where it lies if it is not shown to be above chance. */
  beside?: "not above" | "below";
  /** Where the questions are of several subjects. */
  parts?: BySubject;
}

/** The tasks of a run, in the order of its last plan; those of which no job is done are left out. */
export function tasksFrom(run: Run): TaskReport[] {
  if (!run.plan) return [];
  const { jobs, variants } = planOf(run);
  const broken = new Set(
    seriesFrom(run).flatMap(({ broken, job, variant }) => (broken === undefined ? [] : [`${variant.name} ${job.id}`])),
  );
  const tasks = new Map<string, TaskReport>();
  for (const record of jobs) {
    const result = run.jobs.get(record.id)!;
    const variant = variants.find(({ name }) => name === record.variant);
    // A run folder may come from anyone.
    if (!variant) continue;
    const { measurement, dataset, settings, task: facts = {} } = record;
    if (result.state !== "done" || broken.has(`${variant.name} ${record.id}`)) continue;
    if (!result.metrics.some((name) => describe(name).per === "question")) continue;
    const task = tasks.get(measurement) ?? { measurement, dataset, facts, settings, variants: [] };
    tasks.set(measurement, task);
    task.variants.push({ variant, ...taskResult(result, record, facts) });
  }
  return [...tasks.values()];
}

function taskResult(result: JobResult, record: JobRecord, facts: TaskFacts): Omit<TaskResult, "variant"> {
  const found = result.metrics.map(describe);
  const lead = found.find(
    (metric) => metric.per === "question" && isQuality(metric) && leadsAmong(metric.name, record.metrics),
  );
  const habit = habitOf(result, record);
  const tallies = found.flatMap((metric) => {
    const count = result.count(metric.name);
    return isTally(metric) && count > 0 ? [{ metric, count }] : [];
  });
  return { ...(lead ? { figure: taskFigure(lead, result, facts) } : {}), ...(habit ? { habit } : {}), tallies };
}

function taskFigure(metric: Metric, result: JobResult, task: TaskFacts): TaskFigure {
  const samples = result.samples(metric.name);
  const { clusters } = result;
  const summary = summarize(metric.name, samples, clusters ? { clusters } : {});
  const chance = chanceOf({ task }, metric.name);
  const beside = chance === undefined ? undefined : besideChance(summary, chance);
  const parts = bySubject(metric.name, samples, clusters, task.groups);
  return {
    ...{ metric, summary },
    ...(chance === undefined ? {} : { chance }),
    ...(beside === undefined ? {} : { beside }),
    ...(parts === undefined ? {} : { parts }),
  };
}
