// biome-ignore-all lint/suspicious/noTemplateCurlyInString: ${…} is the placeholder of benchmark files
import { z } from "zod";
import type { Settings } from "../backends/backend.js";
import { backendNames, backendOf, settingsOf } from "../backends/index.js";
import { definite } from "../definite.js";
import { addressWithoutSecrets } from "../secrets.js";
import { Faults, nearest, type Written, type YamlPath } from "../yaml.js";
import type { ReadOptions, VariantConfig } from "./benchmark.js";
import { checkName, matrixSchema, said, settingsShape, variantSchemas, variantShape } from "./form.js";
import { fill, type Lookup, placeholders, type Scalar } from "./placeholders.js";

const MAX_VARIANTS = 10_000;

const variantOutline = z
  .looseObject({ matrix: matrixSchema.optional() })
  .describe("A variant is a map, `NAME: {model: FILE.gguf}`.");

/** One combination of axes of an entry of `variants:`. */
interface Combination {
  key: string;
  path: YamlPath;
  body: Record<string, unknown>;
  axes: Record<string, Scalar>;
}

/** The entries of `variants:`, axes expanded. */
export function readVariants(
  file: Written,
  entries: Record<string, unknown>,
  defaults: Settings,
  options: ReadOptions,
): VariantConfig[] {
  const variants: VariantConfig[] = [];
  const names = new Set<string>();
  const pathTo = new Map<string, YamlPath>();
  let hasReference = false;
  const faults = new Faults(file);
  const take = (combination: Combination) => {
    const variant = readVariant(file, combination, defaults, options);
    const fault = (message: string, hint: string) => file.fault(combination.path, message, { hint, at: "key" });
    if (names.has(variant.name))
      throw fault(
        `two variants are named "${variant.name}".`,
        "Put an axis into the name, such as ${quant}, or rename one.",
      );
    if (variant.reference && hasReference)
      throw fault(`"${variant.name}" is a second reference.`, "One variant is what all others are compared with.");
    if (variant.reference) hasReference = true;
    names.add(variant.name);
    if (variant.against !== undefined) pathTo.set(variant.against, [...combination.path, "reference"]);
    variants.push(variant);
  };
  const all = combinations(file, entries, placeholders(file, options), faults);
  for (const combination of all) faults.of(() => take(combination));
  if (faults.any) throw faults.joined();
  for (const { against } of variants)
    if (against !== undefined && !names.has(against))
      throw file.fault(pathTo.get(against)!, `there is no variant "${against}" to compare with.`, {
        hint: nearest(against, [...names]),
      });
  if (variants.length === 0)
    throw file.fault(["variants"], "there are no variants.", {
      hint: "For example `Q4_K_M: {model: model-Q4_K_M.gguf}`.",
    });
  return variants;
}

/** All variants to be, counted before any is made. */
function combinations(file: Written, entries: Record<string, unknown>, lookup: Lookup, faults: Faults): Combination[] {
  const read = ([key, entry]: [string, unknown]) => {
    const path = ["variants", key];
    const { matrix, ...body } = file.check(variantOutline, entry, path);
    const { exclude = [], ...axes } = fill(matrix ?? {}, lookup, [...path, "matrix"]);
    for (const axis of Object.keys(axes)) {
      checkAxis(file, axis, key, body);
      const values = (axes as Record<string, Scalar[]>)[axis]!;
      const twice = values.findIndex((value, index) => values.indexOf(value) < index);
      if (twice >= 0)
        throw file.fault(
          [...path, "matrix", axis, twice],
          `the axis \`${axis}\` has ${JSON.stringify(values[twice])} twice.`,
        );
    }
    for (const [index, excluded] of exclude.entries())
      for (const axis of Object.keys(excluded))
        if (!Object.hasOwn(axes, axis))
          throw file.fault([...path, "matrix", "exclude", index, axis], `there is no axis \`${axis}\`.`, {
            hint: nearest(axis, Object.keys(axes)),
            at: "key",
          });
    return { key, path, body, axes: axes as Record<string, Scalar[]>, exclude };
  };
  const matrices = Object.entries(entries).flatMap((entry) => faults.of(() => read(entry)) ?? []);
  const count = matrices.reduce(
    (total, { axes }) => total + Object.values(axes).reduce((product, values) => product * values.length, 1),
    0,
  );
  if (count > MAX_VARIANTS)
    throw file.fault(["variants"], `the matrix makes ${count} variants, more than ${MAX_VARIANTS}.`, {
      hint: "Shorten its axes, or split the file.",
      at: "key",
    });
  return matrices.flatMap(({ key, path, body, axes, exclude }) => {
    let made: Record<string, Scalar>[] = [{}];
    for (const [axis, values] of Object.entries(axes))
      made = made.flatMap((one) => values.map((value) => ({ ...one, [axis]: value })));
    const kept = made.filter(
      (one) => !exclude.some((out) => Object.entries(out).every(([axis, v]) => one[axis] === v)),
    );
    return kept.map((axes) => ({ key, path, body, axes }));
  });
}

/** An axis must make a difference, or all its variants would be one. */
function checkAxis(file: Written, axis: string, key: string, body: Record<string, unknown>): void {
  const path = ["variants", key, "matrix", axis];
  if (!/^[A-Za-z_][\w-]*$/.test(axis) || axis === "models" || axis === "data")
    throw file.fault(path, `an axis cannot be named \`${axis}\`.`, { hint: "Letters, digits, - and _.", at: "key" });
  const sets = Object.hasOwn(settingsShape, axis) && body[axis] === undefined;
  if (!sets && !JSON.stringify(body).includes(`\${${axis}}`))
    throw file.fault(path, `the axis \`${axis}\` is used nowhere but in the name.`, {
      hint: `Put \${${axis}} into the model or a setting; an axis named like a setting, such as threads, sets it by itself.`,
      at: "key",
    });
}

function readVariant(
  file: Written,
  { key, path, body, axes }: Combination,
  defaults: Settings,
  options: ReadOptions,
): VariantConfig {
  const lookup = placeholders(file, options, axes);
  const unnamed = Object.entries(axes).filter(([axis]) => !key.includes(`\${${axis}}`));
  const parts = unnamed.map(([axis, value]) => (typeof value === "string" ? `-${value}` : `-${axis}=${value}`));
  const name = addressWithoutSecrets(`${String(fill(key, lookup, path))}${parts.join("")}`);
  checkName(file, path, name);
  const written = fill(body, lookup, path);
  const backend = backendNamed(file, path, written);
  // An axis may be called as a setting of another backend, where its name stands for its value.
  const settingAxes = Object.entries(axes).filter(
    ([axis]) =>
      Object.hasOwn(settingsShape, axis) &&
      (Object.hasOwn(settingsOf(backend).shape, axis) || !JSON.stringify(body).includes(`\${${axis}}`)),
  );
  const filled = { ...Object.fromEntries(settingAxes), ...written };
  file.check(variantSchemas[backend]!, filled, path, {
    context: "The context belongs to a measurement: `perplexity: {text: wikitext-2, context: 512}`.",
    ...settingsElsewhere(backend),
  });
  const { model: models, quantize, imatrix, reference, lora, tags } = z.object(variantShape).parse(filled);
  const [model = "", ...elsewhere] = [models].flat();
  if (imatrix !== undefined && quantize === undefined)
    throw file.fault([...path, "imatrix"], "an importance matrix without a type to quantize to.", {
      hint: "Add `quantize: Q4_K_M`, say; a file that is quantized already says itself which matrix was used.",
      at: "key",
    });
  const adapters = lora === undefined ? [] : Array.isArray(lora) ? lora : [lora];
  return definite({
    name,
    model,
    elsewhere: elsewhere.length > 0 ? elsewhere : undefined,
    quantize: quantize === undefined ? undefined : definite({ type: quantize, imatrix }),
    backend,
    reference: reference === true,
    against: typeof reference === "string" ? reference : undefined,
    lora: adapters.map((one) => (typeof one === "string" ? { path: one, scale: 1 } : one)),
    tags: Object.fromEntries(
      Object.entries({ ...axes, ...tags }).map(([tag, value]) => [tag, addressWithoutSecrets(String(value))]),
    ),
    settings: said({ ...defaults, ...filled }, settingsOf(backend)),
  });
}

function backendNamed(file: Written, path: YamlPath, { backend, model }: Record<string, unknown>): string {
  if (typeof backend !== "string") return backendOf(String([model].flat()[0]));
  if (backendNames.includes(backend)) return backend;
  throw file.fault([...path, "backend"], `there is no backend "${backend}".`, { hint: nearest(backend, backendNames) });
}

/** Hints for the settings that only other backends have. */
function settingsElsewhere(backend: string): Record<string, string> {
  const owners = (key: string) => backendNames.filter((name) => Object.hasOwn(settingsOf(name).shape, key));
  return Object.fromEntries(
    Object.keys(settingsShape).map((key) => [
      key,
      `\`${key}\` is a setting of ${owners(key).join(" and ")}; this variant runs on ${backend}.`,
    ]),
  );
}
