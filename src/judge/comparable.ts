import type { JobRecord } from "../events.js";
import { acrossTokenizers, countsLeftOut, metric as describe } from "../metrics.js";
import type { Series } from "../stats/series.js";
import { fewestRuns } from "../stats/speed.js";
import { isDisturbed } from "./disturbance.js";

/** Whether two figures may be compared. */
export interface Comparability {
  /** Why they must not be, in one sentence. */
  refused?: string;
  /** The metric that can be compared instead. */
  instead?: string;
  /** Whether the same item is the same piece of work in both. */
  paired: boolean;
  /** Differences besides the variants, each a sentence: marked, not refused. */
  notes: string[];
}

/** Settings of a measurement that say how much is measured rather than what: the items that both have are compared. */
const extent = new Set(["chunks", "spread", "limit", "repetitions"]);

/** A seed is one where it draws the items, and not where it draws answers. */
const isExtent = (key: string, ...jobs: Series["job"][]) =>
  extent.has(key) || (key === "seed" && jobs.some(({ settings }) => settings.spread !== undefined));

/** Whether two measurements are of the same chunks of one text. */
export function isOnSameChunks({ job: a }: Series, { job: b }: Series): boolean {
  const digest = a.askedSha256 && b.askedSha256 ? "askedSha256" : "datasetSha256";
  const keys = [...Object.keys(b.settings), ...extent, "seed"];
  return a.dataset === b.dataset && a[digest] === b[digest] && keys.every((key) => a.settings[key] === b.settings[key]);
}

/** Settings of a speed that stand in its name: `pp128@d512` is the same work whatever else was timed. */
const inNames = new Set(["prompt", "generate", "depth"]);

/** Whether all of the data were asked for. */
export const isWhole = ({ settings }: JobRecord) => [...extent].every((key) => settings[key] === undefined);

/**
 * May B's figure be set against A's? Everything but the thing in question must be alike. `across`: the two come from
 * different runs, and so another engine or another setting may be what is compared.
 */
export function comparability(name: string, a: Series, b: Series, { across = false } = {}): Comparability {
  const sameTokens = sameTokenizer(a, b);
  const { per } = describe(name);
  // Repetitions of one session take turns, those of two do not meet; chunk 7 holds another text in other tokens.
  const paired =
    per === "repetition" ? !across && haveCommon(name, a, b) : sameTokens || per === "question" || per === "variant";
  const refusal = refusalOf(name, a, b, { across, paired });
  const notes = [
    ...enginesNote(a, b),
    ...settingsNote(a, b),
    ...machineNote(name, a, b),
    ...unpairedNote(name, paired),
    ...unaskedNote(name, a, b),
    ...partsNote(name, a, b),
  ];
  return {
    ...(refusal ?? {}),
    paired,
    notes: refusal ? [] : notes,
  };
}

function refusalOf(
  name: string,
  a: Series,
  b: Series,
  { across, paired }: { across: boolean; paired: boolean },
): Pick<Comparability, "refused" | "instead"> | undefined {
  const { label, per } = describe(name);
  for (const { broken, variant } of [a, b])
    if (broken !== undefined) return { refused: `${label} is not compared: ${variant.name}: ${broken}.` };
  if (a.job.kind !== b.job.kind)
    return { refused: `${label} is not compared: ${a.job.kind} was measured for one, ${b.job.kind} for the other.` };
  if ((a.job.rule ?? 1) !== (b.job.rule ?? 1))
    return {
      refused: `${label} is not compared: two versions of gguf-bench score ${a.job.kind} by different rules; measure the older run anew.`,
    };
  const data = dataRefusal(a, b);
  if (data) return { refused: `${label} is not compared: ${data}.` };
  const settings = differences(a.job.settings, b.job.settings).filter(
    (key) => !isExtent(key, a.job, b.job) && !(per === "repetition" && inNames.has(key)),
  );
  if (settings.length > 0) {
    const why = methodsTold(a, b) ?? told(settings, a.job.settings, b.job.settings);
    return { refused: `${label} is not compared: ${why}.` };
  }
  const templates = [templateOf(a), templateOf(b)];
  if (usesTemplate(a) && !templates.includes(undefined) && templates[0] !== templates[1])
    return { refused: `${label} is not compared: the chat templates differ, so the models saw different prompts.` };
  if (per === "repetition" && !sameMachine(a, b))
    return { refused: `${label} is not compared: ${a.machine.cpu} against ${b.machine.cpu} is another machine.` };
  const disturbed = per === "repetition" && !paired ? [a, b].find((one) => isDisturbed(name, one)) : undefined;
  if (disturbed)
    return {
      refused: `${label} is not compared: other processes used ${disturbed.foreign!.toFixed(1)} of ${disturbed.machine.cpus} CPU cores while ${disturbed.variant.name} was timed; ${fewestRuns} runs on each side (\`--again\`) show what that does.`,
    };
  if (per === "token") {
    const [x, y] = [a.variant.facts, b.variant.facts];
    if (x && y && x.vocabulary !== y.vocabulary)
      return {
        refused: `${label} is not compared: vocabularies of ${x.vocabulary} and ${y.vocabulary} tokens; figures per token need one tokenizer.`,
        instead: acrossTokenizers,
      };
    if (!sameTokenizer(a, b))
      return {
        refused: `${label} is not compared: the tokenizers differ, and figures per token need one tokenizer.`,
        instead: acrossTokenizers,
      };
  }
  const parts = partsOf(name, a, b);
  if (parts?.shared === 0 && parts.smaller > 0 && sameTokenizer(a, b))
    return { refused: `${label} is not compared: ${parts.told}, and no chunk is in both.` };
  if (a.job.against !== b.job.against)
    return {
      refused: `${label} is not compared: one is the distance from ${a.job.against}, the other from ${b.job.against}.`,
    };
  if (!across && !sameEngine(a, b) && a.variant.facts?.sha256 !== b.variant.facts?.sha256)
    return {
      refused: `${label} is not compared: another model on another engine (${engineOf(a)} against ${engineOf(b)}); which of the two makes the difference could not be told.`,
    };
  return undefined;
}

const haveCommon = (name: string, a: Series, b: Series) => {
  const items = new Set(a.observations.get(name)?.map(({ item }) => item));
  return b.observations.get(name)?.some(({ item }) => items.has(item)) ?? false;
};

/** Another file may hold the same questions, and another card asks the same file in another way. */
function dataRefusal(a: Series, b: Series): string | undefined {
  const digest = a.job.askedSha256 && b.job.askedSha256 ? "askedSha256" : "datasetSha256";
  if (a.job.dataset === b.job.dataset && a.job[digest] === b.job[digest]) return undefined;
  return a.job.dataset === b.job.dataset && a.job.datasetSha256 === b.job.datasetSha256
    ? `the cards of ${a.job.dataset} differ, so the models were asked in two ways`
    : `the data differ (${dataOf(a)} against ${dataOf(b)})`;
}

/** A sentence if the importance matrix was made from the very text, or the same corpus, that is measured here. */
export function imatrixFlag({ variant, job, file }: Series): string | undefined {
  // The text comes from a file that anyone may have made: control characters must not reach the terminal.
  const source = variant.facts?.imatrix?.dataset.replace(/[\u0000-\u001f\u007f-\u009f]+/g, " ");
  if (!source || !job.metrics.some((name) => describe(name).per === "token")) return undefined;
  const base = (path: string) => path.split(/[/\\]/).at(-1)!.toLowerCase();
  const words = (text: string) => text.toLowerCase().split(/[^\p{L}\p{N}]+/u);
  if (file !== "" && base(source) === base(file))
    return `${variant.name}: its importance matrix was made from ${source}, the text that is measured here: its figure flatters it.`;
  const common = words(`${job.dataset} ${file}`).filter((word) => telling(word) && words(source).includes(word));
  if (common.length === 0) return undefined;
  return `${variant.name}: its importance matrix was made from ${source}, which seems to be of the corpus that is measured here (${job.dataset}): its figure may flatter it.`;
}

const common = new Set(
  "test train valid validation held heldout text data dataset datasets corpus chunks full".split(" "),
);
const telling = (word: string) => word.length >= 4 && !/^\d+$/.test(word) && !common.has(word);

/**
 * Two tokenizers are one where they gave the same ids for what was measured and have one vocabulary. Where the ids are not
 * kept (earlier versions, baselines), what the files say of their tokenizers decides.
 */
export function sameTokenizer(a: Series, b: Series): boolean {
  const [x, y] = [a.variant.facts, b.variant.facts];
  if (!x || !y) return true;
  const shared = [...(a.ids ?? [])].filter(([item]) => b.ids?.has(item));
  const known = x.vocabularySha256 !== undefined && y.vocabularySha256 !== undefined;
  if (known && shared.length > 0)
    return x.vocabularySha256 === y.vocabularySha256 && shared.every(([item, ids]) => b.ids!.get(item) === ids);
  return (
    x.tokenizerSha256 === y.tokenizerSha256 ||
    (x.tokenizerBehaviour !== undefined && x.tokenizerBehaviour === y.tokenizerBehaviour)
  );
}

/** An engine that a run of version 0.1 does not name is not called another one. */
const sameEngine = (a: Series, b: Series) =>
  a.job.backend === b.job.backend && (!a.engine || !b.engine || engineOf(a) === engineOf(b));
const sameMachine = (a: Series, b: Series) => a.machine.cpu === b.machine.cpu && a.machine.cpus === b.machine.cpus;
function engineOf({ engine, job }: Series): string {
  if (!engine) return job.backend;
  const { version, library, build, environment = {} } = engine;
  const set = Object.entries(environment).map(([name, value]) => `${name}=${value}`);
  return [version, library, build ? `build ${build}` : [], set].flat().join(", ");
}
const dataOf = ({ job }: Series) => `${job.dataset} ${job.datasetSha256?.slice(0, 12) ?? ""}`.trim();
const templateOf = ({ variant }: Series) => variant.facts?.chatTemplateSha256;
const usesTemplate = ({ job: { settings, task } }: Series) =>
  settings.template !== "none" && (settings.by === "generation" || settings.template === "model" || task?.templated);

/** An answer that is written and one that is the most likely of some are answers to two questions. */
function methodsTold(a: Series, b: Series): string | undefined {
  if (a.job.method === b.job.method) return undefined;
  const [one, other] = a.job.method === undefined ? [b, a] : [a, b];
  const there = other.job.method ? `${other.job.method} for ${other.variant.name}` : `not so for ${other.variant.name}`;
  return `it was measured ${one.job.method} for ${one.variant.name}, and ${there}, which are two questions`;
}

function unpairedNote(name: string, paired: boolean): string[] {
  const { label, per } = describe(name);
  // A comparison of speeds says by itself what it takes runs apart to do.
  if (paired || per === "repetition") return [];
  return [`${label}: the tokenizers differ, so the chunks hold other text; compared unpaired, which sees far less.`];
}

/** With fewer chunks the interval rests on few pieces of text. */
const enoughChunks = 10;

/** Two unlike parts of one text: how they were chosen, and how many chunks are in both and in the smaller of them. */
function partsOf(name: string, a: Series, b: Series): { told: string; shared: number; smaller: number } | undefined {
  const { per } = describe(name);
  if (per !== "token" && per !== "text") return undefined;
  const [first, second] = [a.job.settings, b.job.settings];
  if (differences(first, second).every((key) => !isExtent(key, a.job, b.job))) return undefined;
  const items = new Set(a.observations.get(name)?.map(({ item }) => item));
  const others = b.observations.get(name) ?? [];
  const shared = others.filter(({ item }) => items.has(item)).length;
  return {
    told: `${partTold(first)} were measured for one, ${partTold(second)} for the other`,
    shared,
    smaller: Math.min(items.size, others.length),
  };
}

const partTold = ({ chunks, spread }: Record<string, unknown>) =>
  spread !== undefined
    ? `${spread} chunks from all over the text`
    : chunks !== undefined
      ? `its first ${chunks} chunks`
      : "all chunks";

function partsNote(name: string, a: Series, b: Series): string[] {
  const parts = partsOf(name, a, b);
  if (!parts || parts.shared === 0 || parts.shared >= Math.min(enoughChunks, parts.smaller)) return [];
  return [`${describe(name).label}: ${parts.told}; those in both are few.`];
}

/** Pairing leaves out what was not asked of both. */
function unaskedNote(name: string, a: Series, b: Series): string[] {
  const { label, per } = describe(name);
  const [x, y] = [tallied(a), tallied(b)];
  if (per !== "question" || x + y === 0) return [];
  return [
    `${label}: questions that could not be asked: ${x} of ${a.variant.name}, ${y} of ${b.variant.name}; those asked of both are compared.`,
  ];
}

function tallied({ observations }: Series): number {
  let count = 0;
  for (const name of observations.keys()) if (countsLeftOut(describe(name))) count += observations.get(name)!.length;
  return count;
}

function enginesNote(a: Series, b: Series): string[] {
  return sameEngine(a, b) ? [] : [`The engines differ: ${engineOf(a)} against ${engineOf(b)}.`];
}

function settingsNote(a: Series, b: Series): string[] {
  const keys = differences(a.variant.settings, b.variant.settings);
  return keys.length > 0 ? [`Engine settings differ: ${told(keys, a.variant.settings, b.variant.settings)}.`] : [];
}

function machineNote(name: string, a: Series, b: Series): string[] {
  if (sameMachine(a, b) || describe(name).per === "repetition") return [];
  return [`The machines differ (${a.machine.cpu} against ${b.machine.cpu}): last digits do, too.`];
}

function differences(a: Record<string, unknown>, b: Record<string, unknown>): string[] {
  const keys = [...new Set([...Object.keys(a), ...Object.keys(b)])].sort();
  return keys.filter((key) => JSON.stringify(a[key]) !== JSON.stringify(b[key]));
}

function told(keys: string[], a: Record<string, unknown>, b: Record<string, unknown>): string {
  const value = (one: unknown) => (one === undefined ? "default" : typeof one === "string" ? one : JSON.stringify(one));
  return keys.map((key) => `${key} ${value(a[key])} against ${value(b[key])}`).join(", ");
}
