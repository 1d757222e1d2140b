import { z } from "zod";
import { findKind } from "../data/index.js";
import { alsoCalled } from "../metrics.js";
import { jsonSchema } from "../yaml.js";
import type { MeasurementForm, Measurements } from "./benchmark.js";
import { entrySchema, fileSchema, formsOf, matrixSchema, settingsShape, variantShape } from "./form.js";

/** The JSON Schema of benchmark files, for editors. */
export function benchmarkSchema(measurements: Measurements): object {
  const file = jsonSchema(fileSchema);
  const variant = jsonSchema(z.strictObject({ ...variantShape, ...settingsShape, matrix: matrixSchema.optional() }));
  const entry = (name: string, measurement: MeasurementForm, named: boolean) => {
    const own = jsonSchema(entrySchema(measurement));
    const settings = jsonSchema(measurement.settings);
    const kind = named ? { measurement: { ...own.properties?.measurement, const: name } } : {};
    const { key, one } = findKind(measurement.data)?.several ?? {};
    const alone = (own.required ?? []).filter((name) => name !== one);
    const required = [...alone, ...(settings.required ?? []), ...(named ? ["measurement"] : [])];
    const list = key !== undefined && one !== undefined ? severalOf(key, one, own.properties?.[one]) : undefined;
    return {
      type: required.length > 0 || list ? "object" : ["object", "null"],
      properties: { ...own.properties, ...list?.properties, ...settings.properties, ...kind },
      ...(list ? { oneOf: list.oneOf } : {}),
      ...(required.length > 0 ? { required } : {}),
      additionalProperties: false,
    };
  };
  const members = Object.entries(measurements);
  const schema = withPlaceholders({
    ...file,
    title: "A benchmark file of gguf-bench",
    properties: {
      ...file.properties,
      variants: { ...file.properties?.variants, minProperties: 1, additionalProperties: variant },
      measurements: {
        ...file.properties?.measurements,
        minProperties: 1,
        properties: Object.fromEntries(
          members.flatMap(([name, one]) => {
            const forms = formsOf(one).map((form) => entry(name, form, false));
            const own = forms.length > 1 ? { anyOf: forms } : forms[0];
            return [name, ...alsoCalled(name)].map((called) => [called, own]);
          }),
        ),
        // An entry of any other name says its kind, or is named like a dataset of questions.
        additionalProperties: {
          anyOf: members.flatMap(([name, one]) =>
            formsOf(one).map((form) => entry(name, form, findKind(form.data)?.named === undefined)),
          ),
        },
      },
    },
  });
  return { $schema: "https://json-schema.org/draft/2020-12/schema", ...(schema as object) };
}

/** A list of data in place of one. */
function severalOf(key: string, one: string, items: unknown) {
  const description = `Several of them: a measurement of each, named after it, and the mean over them.`;
  return {
    properties: { [key]: { description, type: "array", items, minItems: 2 } },
    oneOf: [{ required: [one] }, { required: [key] }],
  };
}

/** Wherever a number, a choice or true/false is expected, a placeholder may stand. */
function withPlaceholders(form: unknown): unknown {
  if (Array.isArray(form)) return form.map(withPlaceholders);
  if (typeof form !== "object" || form === null) return form;
  const { $schema: _, ...own } = Object.fromEntries(
    Object.entries(form).map(([key, value]) => [key, key === "$schema" ? undefined : withPlaceholders(value)]),
  );
  if (!("enum" in own) && !["integer", "number", "boolean"].includes(String(own.type))) return own;
  const { description, default: fallback, examples, ...bare } = own;
  const said = Object.fromEntries(
    Object.entries({ description, default: fallback, examples }).filter(([, v]) => v !== undefined),
  );
  return { ...said, anyOf: [bare, { type: "string", pattern: "\\$\\{.+\\}" }] };
}
