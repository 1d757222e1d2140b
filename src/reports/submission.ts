import { harmlessJson } from "../harmless.js";
import { keyless } from "../metrics.js";
import { planOf, type Run } from "../replay/index.js";

/**
 * The answers to questions whose keys are not public, as those who hold the keys take them: `{subject: {row: letter}}`, the form that
 * C-Eval's site wants and ymcui's `submission.json` has. By name of the file. An answer that names no option is left out.
 */
export function submissions(run: Run): Map<string, string> {
  const files = new Map<string, string>();
  if (!run.plan) return files;
  for (const record of planOf(run).jobs) {
    const result = run.jobs.get(record.id)!;
    if (result.state !== "done") continue;
    if (result.count(keyless) === 0) continue;
    // A few questions without a key among others are no test whose keys somebody holds.
    const answers = result.answers();
    if (answers.length === 0 || answers.some(({ gold }) => gold !== undefined)) continue;
    const names = record.task?.answers;
    const subjects = new Map<string, [row: string, answer: string][]>();
    for (const { item, prediction } of answers) {
      if (prediction === undefined) continue;
      const subject = result.clusters?.get(item) ?? record.dataset;
      const row = item.startsWith(`${subject}/`) ? item.slice(subject.length + 1) : item;
      const of = subjects.get(subject) ?? [];
      subjects.set(subject, of);
      of.push([row, names?.[prediction] ?? String.fromCharCode(65 + prediction)]);
    }
    const form = Object.fromEntries(Array.from(subjects, ([subject, rows]) => [subject, Object.fromEntries(rows)]));
    const name = `submission-${plain(record.measurement)}-${plain(record.variant)}`;
    let free = name;
    for (let i = 2; files.has(`${free}.json`); i++) free = `${name}-${i}`;
    files.set(`${free}.json`, `${harmlessJson(form, 1)}\n`);
  }
  return files;
}

/** Part of a file's name on any system. */
const plain = (name: string) => name.replace(/[^\p{L}\p{N}._+=-]+/gu, "_").slice(0, 80);
