import { readFile, stat } from "node:fs/promises";
import path from "node:path";
import { BenchError } from "../errors.js";
import { several } from "../harmless.js";
import { readOldMatrix } from "../llama/imatrix.js";
import { fileIdentity, recall, remember } from "./cache.js";
import { beginsAsGguf } from "./folder.js";
import { type ModelPart, readPart } from "./gguf.js";

/** How much of a model an importance matrix weighs, in weight matrices of its layers. */
export interface Coverage {
  covered: number;
  of: number;
  /** Names of the first ones without importance. */
  missing: string[];
}

/**
 * Holds an importance matrix against the model that it is to weigh. llama.cpp quantizes a tensor that has no importance as if
 * there were no matrix, and says so in its log alone. Undefined for a file that is no matrix: llama.cpp's own reader says why.
 *
 * Throws a BenchError `imatrix` for a matrix of another model, or one that weighs nothing.
 */
export async function readCoverage(matrix: string, model: string): Promise<Coverage | undefined> {
  const identities = await Promise.all(
    [matrix, model].map(async (file) => fileIdentity(await stat(file, { bigint: true }))),
  );
  const key = `coverage by ${matrix} of ${model}`;
  const kept = await recall<Coverage>(key, identities);
  if (kept) return kept;
  const entries = await readEntries(matrix).catch(() => undefined);
  if (!entries || entries.size === 0) return undefined;
  const coverage = coverageOf({ matrix, model }, entries, (await readPart(model)).tensors);
  await remember(key, identities, coverage);
  return coverage;
}

function coverageOf(
  { matrix, model }: { matrix: string; model: string },
  entries: ReadonlyMap<string, number>,
  tensors: ModelPart["tensors"],
): Coverage {
  const name = `the importance matrix ${path.basename(matrix)}`;
  const refused = (what: string) =>
    new BenchError("imatrix", `${name} ${what}`, { hint: "make one for this model with llama-imatrix" });
  const of = path.basename(model);
  const known = new Map(tensors.map((tensor) => [tensor.name, tensor]));
  const foreign = [...entries.keys()].filter((tensor) => !known.has(tensor));
  if (foreign.length > entries.size / 2)
    throw refused(`is of another model than ${of}, which has no ${several(foreign, 2)}`);
  const weights = tensors.filter(isWeighed);
  const covered = weights.filter((tensor) => entries.has(tensor.name));
  const other = covered.find((tensor) => entries.get(tensor.name) !== columnsOf(tensor));
  if (other)
    throw refused(
      `is of another model than ${of}: it has ${entries.get(other.name)} values for ${other.name}, which has ${columnsOf(other)} columns`,
    );
  if (covered.length === 0 && weights.length > 0)
    throw refused(`covers none of the ${weights.length} weight matrices of ${of}`);
  const missing = weights.filter((tensor) => !entries.has(tensor.name)).map((tensor) => tensor.name);
  return { covered: covered.length, of: weights.length, missing: missing.slice(0, 3) };
}

/** A warning where some matrices have no importance, a sentence without its end. */
export function coverageNote({ covered, of, missing }: Coverage): string | undefined {
  if (covered === of) return undefined;
  const more = of - covered > missing.length ? " …" : "";
  return `its importance matrix covers ${covered} of ${of} weight matrices; the others are quantized as without one: ${missing.join(", ")}${more}`;
}

/** The number of values that a matrix has for each tensor. */
async function readEntries(file: string): Promise<Map<string, number>> {
  if (!(await beginsAsGguf(file))) {
    const { means } = readOldMatrix(file, await readFile(file));
    return new Map([...means].map(([tensor, values]) => [tensor, values.length]));
  }
  const { tensors } = await readPart(file);
  return new Map(
    tensors.flatMap(({ name, elements }) =>
      name.endsWith(sums) ? [[name.slice(0, -sums.length), elements] as const] : [],
    ),
  );
}

const sums = ".in_sum2";

/** Columns of all experts, one expert after another. */
const columnsOf = ({ shape }: ModelPart["tensors"][number]) => (shape[0] ?? 1) * (shape[2] ?? 1);

/**
 * Whether llama-quantize asks for the importance of a tensor that llama-imatrix sees: a matrix of a layer that is quantized
 * (`tensor_allows_quantization` of llama.cpp). Embedding and output have importance only when llama-imatrix was asked for it.
 */
function isWeighed({ name, shape }: ModelPart["tensors"][number]): boolean {
  return /^blk\.\d+\..*\.weight$/.test(name) && shape.slice(1).some((length) => length > 1) && !kept.test(name);
}

/** Tensors that are never quantized. */
const kept =
  /_norm\.weight$|ffn_gate_inp\.|altup|laurel|ssm_conv1d|shortconv\.conv|time_mix_(first|w0|w1|w2|v0|v1|v2|a0|a1|a2|g1|g2|decay_w1|decay_w2|lerp_fused)\.|attn_rel_b\./;
