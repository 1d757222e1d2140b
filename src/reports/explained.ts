import { harmless, several } from "../harmless.js";
import { marginsOf } from "../judge/index.js";
import { errorsExplained } from "../metrics.js";
import { bytes as inUnits } from "../units.js";
import type { Table } from "./table.js";
import { askedOf } from "./task-tables.js";

// What reports for people say beside the figures, as sentences that are not escaped yet; `code` stands between backquotes.

/** The meaning of ± and intervals, for the kinds of figures that are there. */
export function explanations({ columns }: Table): string[] {
  return [
    ...errorsExplained(columns.map(({ metric }) => metric)),
    "1 MB = 1,000,000 bytes; BPW: bits per weight. table-long.csv holds bytes, shares from 0 to 1, and all digits.",
  ];
}

/** How to read the verdicts; the margins are those of the metrics that are there. */
export function howJudged({ columns }: Table): string[] {
  const margins = marginsOf(columns.map(({ metric }) => metric));
  return [
    "Comparisons are paired when both variants have the same chunks, questions or turns.",
    "95 % CI: the interval of the difference. Its unit is a piece of text, a question or a subject of questions, a repetition. A piece of text is a chunk, or a block of neighbours when the mean autocorrelation over the comparisons on the text says that they hang together.",
    "On average: the mean over the pairs of an answer, of their differences item by item (PPL, KLD: of the logarithms). Its interval is that of other text, or other questions, for just these pairs.",
    "Better, worse: certain also among the comparisons of one answer (one question, one metric), of which the mean counts as much as all pairs together. The chance of a single false one among them is at most 5 % (adjusted p: Holm's, with these weights), whatever else was measured.",
    "Likely: the interval shows it by itself; among so many comparisons, from so few pieces, or (a speed, †) in fewer than three sessions beside other processes, it is not certain.",
    "`~`: the data show neither a difference nor equivalence. Detectable: the smallest difference that this report would have flagged with 80 % probability, given its number of comparisons. Over ×10, of a fall over 90 %: no smaller one would have been flagged; none: so few pieces flag no difference.",
    `Equivalent: shown to be smaller than the margin that matters${margins === "" ? "" : ` (${margins})`}.`,
    "A distance from the reference (KLD) is a size, told in margins; it is not tested. The noise floor is the reference's distance from itself.",
    "Cannot tell: too few items for any interval, or an interval that reaches beyond ten times the estimate, or below a tenth of it.",
  ];
}

export const howAveraged = [
  "Micro average: right answers over all questions. Macro average: the mean of the subjects' figures, each of which counts alike. Both intervals allow for other subjects as well as for other questions; those of fewer than five subjects for other questions alone.",
  "Answers: how often each option is given, beside how often it is right. Mass: the probability that falls on these options, of all that could stand there; where it is small, the model does not answer in this form.",
  "Acc without priors: the accuracy once each option's mean log-probability over all questions is subtracted from its own (batch calibration). It is a diagnostic of a model that favours a letter, no score of the task.",
];

export const howDiverging =
  "Against the reference, token by token, with llama-perplexity's formulas: its ± take the tokens as independent. Percentages are percentiles over the tokens.";

/** Where every figure comes from: `Engine: …`, `Machine: …`, `Data: …`, `Model: …`. */
export function provenance({ started, engines, sessions }: Table): string[] {
  const { engine, machine, datasets, versions } = started.provenance;
  const opened = [...engines.values()];
  const unique = (values: (string | number)[]) => [...new Set(values)].join(", ");
  const names = new Set(started.jobs.map(({ measurement }) => measurement));
  const threads = opened.length > 0 ? `; threads: ${unique(opened.flatMap((one) => one.threads ?? "unknown"))}` : "";
  return [
    `Engine: ${engines.size > 0 ? enginesIn(engines) : `${engine.version} (${engine.library})`}`,
    `Machine: ${[...(machine.host === undefined ? [] : [harmless(machine.host)]), machine.cpu, ...machine.gpus].join(", ")}, ${machine.cpus} CPUs, ${inUnits(machine.memoryBytes)} memory, ${machine.os} ${machine.arch}${threads}`,
    ...Array.from(names, (name) => {
      const job = started.jobs.find(({ measurement }) => measurement === name)!;
      return `${name}: ${[job.dataset, ...askedOf(job)].filter(Boolean).join(", ")}`;
    }),
    ...new Set(
      datasets.map(({ name, sha256, bytes }) => `Data: ${name}, ${bytes} bytes, sha256 ${sha256.slice(0, 12)}…`),
    ),
    ...started.variants.flatMap(({ name, facts }) =>
      facts ? [`Model: ${name}, ${facts.architecture} ${facts.quant}, sha256 ${facts.sha256.slice(0, 12)}…`] : [],
    ),
    `${Object.entries(versions)
      .map(([name, version]) => `${name} ${version}`)
      .join(
        ", ",
      )}; ${new Date(sessions[0]!.at).toISOString().slice(0, 10)}${sessions.length > 1 ? `, in ${sessions.length} sessions` : ""}`,
  ];
}

/** What computed; where that is not one for all, for whom. */
function enginesIn(engines: Table["engines"]): string {
  const users = new Map<string, string[]>();
  for (const [variant, { version, library, build }] of engines) {
    const name = `${version} (${build === undefined ? library : `${library}, build ${build}`})`;
    users.set(name, [...(users.get(name) ?? []), variant]);
  }
  const told = ([name, variants]: [string, string[]]) => (users.size === 1 ? name : `${name} for ${several(variants)}`);
  return [...users].map(told).join("; ");
}

/** An argument of a command as a shell reads it. */
export const quoted = (argument: string) =>
  /^[\w@%+=:,./-]+$/.test(argument) ? argument : `'${argument.replaceAll("'", "'\\''")}'`;
