import { definite } from "../definite.js";
import { BenchError, exitCodes } from "../errors.js";
import { harmless } from "../harmless.js";
import { freeMemory } from "../machine.js";
import { type CachedModel, cachedModels, removeModels, superfluous } from "../models/cached.js";
import { estimateMemory } from "../models/memory.js";
import { type OfferedModel, offeredModels } from "../models/offer.js";
import { addressWithoutSecrets } from "../secrets.js";
import { say } from "../terminal.js";
import { bytes, counted, duration } from "../units.js";
import { columns } from "./columns.js";
import type { Surroundings } from "./command.js";

export interface ModelsCommand {
  /** A repository, `hf:owner/repo`, or one file's address: what it offers. Without one: what the cache holds. */
  repository?: string;
  /** Bytes that a model may take; default: what is free here. */
  memory?: number;
  /** Tokens of context that the memory is for. */
  context?: number;
  /** Servers that hold what Hugging Face holds, asked in turn when it fails. */
  mirrors?: string[];
  /** Name the models of the cache that are to go; `yes` removes them. */
  prune?: boolean;
  /** Days without use after which a model goes. */
  unusedFor?: number;
  /** Bytes that the cache may keep: the least recently used models go first. */
  keep?: number;
  yes?: boolean;
  /** The answer as JSON. */
  json?: boolean;
}

/** Lists what the cache holds, or what a repository offers and what of it fits into memory. */
export async function modelsCommand(asked: ModelsCommand, where: Surroundings): Promise<number> {
  const { repository, prune, unusedFor, keep, yes, memory, context } = asked;
  const misplaced = (flag: string, hint: string) => {
    throw new BenchError("config", `${flag} has no meaning here.`, { hint });
  };
  if (repository !== undefined) {
    if (prune || yes || unusedFor !== undefined || keep !== undefined)
      misplaced("--prune", "It removes models from the cache: leave the repository out.");
    return offers(repository, asked, where);
  }
  if (memory !== undefined || context !== undefined)
    misplaced(memory === undefined ? "--context" : "--memory", "Name a repository: `gguf-bench models hf:owner/repo`.");
  if (prune) return pruned(asked, where);
  if (yes || unusedFor !== undefined || keep !== undefined)
    misplaced(yes ? "--yes" : keep === undefined ? "--unused-for" : "--keep", "It belongs to --prune.");
  const models = await cachedModels();
  if (asked.json) {
    say(where.stdout, `${JSON.stringify(models, null, 2)}\n`);
    return exitCodes.allMeasured;
  }
  const total = models.reduce((sum, model) => sum + model.bytes, 0);
  const lines = [`${counted(models.length, "model")} in the cache, ${bytes(total)}`, ...columns(table(models))];
  say(where.stdout, `${lines.join("\n")}\n`);
  return exitCodes.allMeasured;
}

function table(models: readonly CachedModel[]): string[][] {
  if (models.length === 0) return [];
  const rows = models
    .toReversed()
    .map(({ kind, name, bytes: size, usedAt, sha256, from, folder, inUse }) => [
      name,
      bytes(size),
      kind === "partial" ? "partial" : kind === "quantization" ? "made here" : "fetched",
      inUse ?? ago(usedAt),
      sha256?.slice(0, 12) ?? "-",
      from ?? folder,
    ]);
  return [["name", "size", "how", "last used", "sha256", "from"], ...rows];
}

const ago = (at: number) => `${duration((Date.now() - at) / 1000)} ago`;

async function pruned({ unusedFor, keep, yes, json }: ModelsCommand, { stdout }: Surroundings): Promise<number> {
  if (unusedFor === undefined && keep === undefined)
    throw new BenchError("config", "--prune needs to know what may go.", {
      hint: "Say --unused-for DAYS, or --keep SIZE: the least recently used go until the cache is as small.",
    });
  const days = 86_400_000;
  const limits = definite({ keep, unusedFor: unusedFor === undefined ? undefined : unusedFor * days });
  const models = superfluous(await cachedModels(), limits);
  const staying = yes ? await removeModels(models) : models.filter(({ inUse }) => inUse);
  const going = models.filter(({ folder }) => !staying.some((one) => one.folder === folder));
  if (json) {
    say(stdout, `${JSON.stringify({ removed: yes === true, going, staying }, null, 2)}\n`);
    return exitCodes.allMeasured;
  }
  const size = bytes(going.reduce((sum, model) => sum + model.bytes, 0));
  const lines = [
    `${yes ? "removed" : "would be removed"}: ${counted(going.length, "model")}, ${size}`,
    ...columns(table(going)),
    ...staying.map(({ name, inUse }) => `stays: ${harmless(name)}, ${inUse}`),
    ...(yes || going.length === 0 ? [] : ["Nothing is removed yet: --yes does it."]),
  ];
  say(stdout, `${lines.join("\n")}\n`);
  return exitCodes.allMeasured;
}

/** Tokens of context that people give a model who say nothing. */
const usualContext = 4096;

async function offers(repository: string, asked: ModelsCommand, { stdout, stderr }: Surroundings): Promise<number> {
  const { memory = freeMemory(), context = usualContext, mirrors, json } = asked;
  const clear = () => stderr.isTTY && stderr.write("\r\u001b[K");
  const models = await offeredModels(repository, definite({ mirrors }), (read, of) => {
    clear();
    if (stderr.isTTY) stderr.write(`reading headers: ${read} of ${of}`);
  }).finally(clear);
  const rows = models.map((model) => ({ model, need: needOf(model, context) }));
  const fitting = rows.filter(({ need }) => need !== undefined && need <= memory);
  if (json) {
    const entries = rows.map(({ model, need }) => ({
      ...model,
      ...definite({ memory: need }),
      ...(need === undefined ? {} : { fits: need <= memory }),
    }));
    say(stdout, `${JSON.stringify({ memory, context, models: entries }, null, 2)}\n`);
    return exitCodes.allMeasured;
  }
  const which = asked.memory === undefined ? `${bytes(memory)} that are free here` : bytes(memory);
  const shown = harmless(addressWithoutSecrets(repository));
  const largest = fitting.at(-1)?.model;
  const lines = [
    `${shown}: ${counted(models.length, "model")}; memory of one conversation of ${context} tokens with a KV cache of 16 bits, beside ${which}`,
    ...columns([
      ["file", "size", "type", "BPW", "imatrix", "memory", "fits"],
      ...rows.map((row) => offerRow(row, memory)),
    ]),
    ...models.flatMap(({ file, fault }) => (fault === undefined ? [] : [`${harmless(file)}: ${harmless(fault)}`])),
    ...rows.flatMap(({ model: { file, facts } }) =>
      facts && facts.contextLength < context
        ? [`${harmless(file)}: trained for ${facts.contextLength} tokens of context, and its memory is of as many`]
        : [],
    ),
    largest
      ? `The largest that fits: gguf-bench fetch ${harmless(largest.address)}`
      : "None of them fits; a shorter --context needs less.",
  ];
  say(stdout, `${lines.join("\n")}\n`);
  return exitCodes.allMeasured;
}

/** Bytes that an engine process takes which runs one sequence with llama.cpp's usual micro-batch. */
function needOf({ facts }: OfferedModel, context: number): number | undefined {
  const usual = { parallel: 1, rows: 1, ubatch: 512, cacheBitsK: 16, cacheBitsV: 16 };
  return facts && estimateMemory(facts, { ...usual, context: Math.min(context, facts.contextLength) }).total;
}

function offerRow({ model, need }: { model: OfferedModel; need: number | undefined }, memory: number): string[] {
  const { file, bytes: size, facts } = model;
  const fits = need === undefined ? "?" : need <= memory ? "yes" : "no";
  return [
    file,
    size === undefined ? "?" : bytes(size),
    facts?.quant ?? "?",
    facts?.bpw.toFixed(2) ?? "?",
    facts === undefined ? "?" : facts.imatrix ? `yes, ${counted(facts.imatrix.chunks, "chunk")}` : "no",
    need === undefined ? "?" : bytes(need),
    fits,
  ];
}
