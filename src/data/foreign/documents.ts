import { BenchError, messageOf } from "../../errors.js";
import type { TaskRow } from "../task/rows.js";
import { pythonLiteral } from "./jinja/literal.js";
import { fromData, PyFloat, text } from "./jinja/values.js";
import type { LmEvalTask } from "./lm-eval-form.js";
import type { MergedYaml } from "./merged.js";
import { type TaskTemplates, TemplateFault } from "./templates.js";

/** A task's ways to make of a row its question, its answer, its options. */
export interface DocumentFields {
  text: string | number;
  target: string | number | readonly unknown[];
  choice?: LmEvalTask["doc_to_choice"];
  prefix?: string | null | undefined;
  description?: string | null | undefined;
}

/** A row as lm-eval's `doc_to_…` make it. A text of digits is a number where there are options, as there. */
export interface Document {
  text: string | number;
  /** A text, an index, or a list of either. */
  target: unknown;
  choices?: string[];
  prefix?: string;
  description?: string;
}

/** DocumentRows as Python's rows, and where they come from. */
export interface DocumentRows {
  rows: readonly TaskRow[];
  floats: readonly string[];
  /** Their file, for messages. */
  path: string;
}

/** Columns decide whether a text names one of them or is a template. */
const columnsOf = ({ rows }: DocumentRows) => new Set(Object.keys(rows[0]?.cells ?? {}));

/** Makes documents of rows. Throws a BenchError that names the row and what fails there. */
export async function documents(
  yaml: MergedYaml,
  fields: DocumentFields,
  given: DocumentRows,
  columns: ReadonlySet<string>,
  templates: TaskTemplates,
): Promise<Document[]> {
  const { rows, floats, path } = given;
  const known = columns.size > 0 ? columns : columnsOf(given);
  const keys = ["text", "target", "choice", "prefix", "description"] as const;
  const isTemplate = (key: (typeof keys)[number]) => typeof fields[key] === "string" && !known.has(fields[key]);
  const rendered = keys.filter(isTemplate);
  const texts = await templates
    .render({
      templates: rendered.map((key) => String(fields[key])),
      rows: rows.map(({ cells }) => cells),
      floats,
    })
    .catch((fault: unknown) => {
      if (!(fault instanceof TemplateFault)) throw fault;
      const key = yamlKey[rendered[fault.template] ?? "text"];
      if (fault.row < 0) throw yaml.fault([key], `\`${key}\` is no template that can be read: ${fault.message}.`);
      throw yaml.fault([key], `\`${key}\` fails at ${path}${rows[fault.row]?.at}: ${fault.message}.`, {
        hint: "A template names columns of the row; see that it has them.",
      });
    });
  const options = fields.choice !== undefined && fields.choice !== null;
  return rows.map((row, i) => {
    const refused = (key: (typeof keys)[number], what: string) =>
      new BenchError("dataset-invalid", `${path}${row.at}: \`${yamlKey[key]}\` ${what}.`);
    const of = (key: (typeof keys)[number]): unknown => {
      const said = fields[key];
      if (typeof said !== "string") return said;
      return isTemplate(key) ? texts[i]![rendered.indexOf(key)] : cell(row, said, floats);
    };
    const document: Document = {
      text: asText(of("text"), options && isTemplate("text"), (what) => refused("text", what)),
      target: asTarget(of("target"), isTemplate("target"), options),
    };
    if (options) document.choices = asChoices(of("choice"), isTemplate("choice"), (what) => refused("choice", what));
    for (const key of ["prefix", "description"] as const) {
      const said = of(key);
      if (said !== undefined && said !== null && said !== "") document[key] = text(said);
    }
    return document;
  });
}

const yamlKey = {
  ...{ text: "doc_to_text", target: "doc_to_target", choice: "doc_to_choice" },
  ...{ prefix: "gen_prefix", description: "description" },
} as const;

function cell({ cells }: TaskRow, column: string, floats: readonly string[]): unknown {
  const value = cells[column];
  return typeof value === "number" && floats.includes(column) ? new PyFloat(value) : fromData(value ?? null);
}

type Refuse = (what: string) => BenchError;

/** Python's `int()` of digits; one that begins with 0 is a SyntaxError there. */
const digits = /^(0|[1-9]\d*)$/;

/** `index`: a text of digits is the index of an option. */
function asText(said: unknown, index: boolean, refused: Refuse): string | number {
  if (typeof said === "number") return said;
  if (typeof said !== "string") throw refused(`gives no text but ${said === null ? "nothing" : text(said)}`);
  return index && digits.test(said) ? Number(said) : said;
}

function asTarget(said: unknown, isTemplate: boolean, options: boolean): unknown {
  if (typeof said !== "string" || !isTemplate) return said;
  if (options && digits.test(said)) return Number(said);
  if (!/^\[[\s\S]*\]$/.test(said)) return said;
  try {
    return pythonLiteral(said);
  } catch {
    // A text in brackets is a text.
    return said;
  }
}

function asChoices(said: unknown, isTemplate: boolean, refused: Refuse): string[] {
  let listed = said instanceof Map ? [...said.values()] : said;
  if (isTemplate)
    try {
      listed = pythonLiteral(String(said));
    } catch (fault) {
      throw refused(`gives no list of options: ${messageOf(fault)}`);
    }
  else if (typeof said === "object" && said !== null && !Array.isArray(said) && !(said instanceof Map))
    listed = Object.values(said);
  if (!Array.isArray(listed)) throw refused("gives no list of options");
  if (listed.length < 2) throw refused(`gives ${listed.length} options, and a choice needs two`);
  return [...listed].map((one, i) => {
    if (typeof one !== "string") throw refused(`gives an option that is no text: ${text(one)}`);
    if (one === "") throw refused(`gives an empty option, number ${i + 1}`);
    return one;
  });
}
