import { BenchError } from "../../errors.js";
import { excerpt } from "../files.js";
import { isBlank, lines } from "./cells.js";
import type { TaskRow } from "./rows.js";

/** One JSON object a line. */
export function jsonLines(path: string, text: string): TaskRow[] {
  if (isList(text))
    throw new BenchError("dataset-invalid", `${path} is one JSON list, not an object a line.`, {
      hint: "Say `format: json` in its card.",
    });
  return lines(text).flatMap((line, index) => {
    if (isBlank(line)) return [];
    let cells: unknown;
    try {
      cells = JSON.parse(line);
    } catch {
      // said below
    }
    const row = rowOf(cells, `${path}:${index + 1}: the line`, `:${index + 1}`);
    refuseTwice(line, `${path}:${index + 1}`);
    return [row];
  });
}

/** One list of JSON objects. */
export function jsonList(path: string, text: string): TaskRow[] {
  let all: unknown;
  try {
    all = JSON.parse(text.replace(/^\ufeff/, ""));
  } catch (cause) {
    const first = lines(text).find((line) => !isBlank(line)) ?? "";
    throw new BenchError("dataset-invalid", `${path} is not JSON: ${cause instanceof Error ? cause.message : cause}.`, {
      hint: isObject(first) ? "It has an object a line: say `format: jsonl` in its card." : "Mend it, or get it anew.",
    });
  }
  if (!Array.isArray(all))
    throw new BenchError("dataset-invalid", `${path} is JSON, but no list of objects.`, {
      hint:
        typeof all === "object" && all !== null && lines(text).length === 1
          ? "An object a line is `format: jsonl`."
          : "Its rows stand in one list, [{…}, {…}]; jq '.KEY' FILE takes a list out of a map.",
    });
  refuseTwice(text, path);
  return all.map((cells, index) => rowOf(cells, `${path}, item ${index + 1}: it`, `, item ${index + 1}`));
}

function rowOf(cells: unknown, subject: string, at: string): TaskRow {
  if (typeof cells !== "object" || cells === null || Array.isArray(cells))
    throw new BenchError("dataset-invalid", `${subject} is not a JSON object.`, {
      hint: "Each row is an object, its columns by name.",
    });
  return { at, cells: { ...cells } };
}

function refuseTwice(text: string, where: string): void {
  const twice = repeatedKey(text);
  if (twice !== undefined)
    throw new BenchError("dataset-invalid", `${where}: column "${excerpt(twice)}" is there twice.`);
}

/** Whether a file begins as a JSON list of objects does, on one line or on many. */
const isList = (text: string) => /^\ufeff?\s*\[\s*(\{|$)/.test(text.slice(0, 10_000));

function isObject(line: string): boolean {
  try {
    const value: unknown = JSON.parse(line);
    return typeof value === "object" && value !== null && !Array.isArray(value);
  } catch {
    return false;
  }
}

/** A key that an object in the text has twice, at whatever depth: JSON.parse keeps the last without a word. */
function repeatedKey(text: string): string | undefined {
  const open: Set<string>[] = [];
  for (const [token, key] of text.matchAll(/("(?:[^"\\]|\\.)*")\s*:|"(?:[^"\\]|\\.)*"|[{}]/g)) {
    if (token === "{") open.push(new Set());
    else if (token === "}") open.pop();
    else if (key !== undefined) {
      const name: string = JSON.parse(key);
      if (open.at(-1)?.has(name)) return name;
      open.at(-1)?.add(name);
    }
  }
  return undefined;
}
