// Values as Python has them: null is None, a whole number an int, an array a list, a Map a dict.

/** A float, also one that is whole: Python writes 1.0. */
export class PyFloat {
  constructor(readonly value: number) {}
}

export class PyTuple extends Array<unknown> {}

export function tuple(values: readonly unknown[]): PyTuple {
  const made = new PyTuple();
  for (const value of values) made.push(value);
  return made;
}

/** What a template names and nobody gave: as under Jinja's StrictUndefined, whatever is done with it fails. */
export class Undefined {
  constructor(readonly what: string) {}

  fail(): never {
    throw new Error(this.what);
  }
}

export type PyFunction = (args: unknown[], named: Map<string, unknown>) => unknown;

/** JSON's data as Python's. */
export function fromData(value: unknown): unknown {
  if (typeof value === "number") return Number.isInteger(value) ? value : new PyFloat(value);
  if (Array.isArray(value)) return value.map(fromData);
  if (typeof value === "object" && value !== null)
    return new Map(Object.entries(value).map(([key, one]) => [key, fromData(one)]));
  return value;
}

export const isNumber = (value: unknown): value is number | boolean | PyFloat =>
  typeof value === "number" || typeof value === "boolean" || value instanceof PyFloat;

export const numberOf = (value: number | boolean | PyFloat): number =>
  value instanceof PyFloat ? value.value : Number(value);

export function typeName(value: unknown): string {
  if (value === null) return "None";
  if (typeof value === "boolean") return "a bool";
  if (typeof value === "number") return "an int";
  if (typeof value === "string") return "a text";
  if (typeof value === "function") return "a function";
  if (value instanceof PyFloat) return "a float";
  if (value instanceof PyTuple) return "a tuple";
  if (Array.isArray(value)) return "a list";
  return value instanceof Map ? "a map" : "something else";
}

export function truth(value: unknown): boolean {
  if (value instanceof Undefined) value.fail();
  if (value === null || value === false || value === "" || value === 0) return false;
  if (value instanceof PyFloat) return value.value !== 0;
  if (Array.isArray(value)) return value.length > 0;
  return value instanceof Map ? value.size > 0 : true;
}

export function equal(a: unknown, b: unknown): boolean {
  for (const one of [a, b]) if (one instanceof Undefined) one.fail();
  if (isNumber(a) && isNumber(b)) return numberOf(a) === numberOf(b);
  if (Array.isArray(a) && Array.isArray(b))
    return (
      a instanceof PyTuple === b instanceof PyTuple && a.length === b.length && a.every((one, i) => equal(one, b[i]))
    );
  if (a instanceof Map && b instanceof Map)
    return a.size === b.size && [...a].every(([key, one]) => b.has(key) && equal(one, b.get(key)));
  return a === b;
}

/** Below 0, 0, above 0; throws for what Python puts in no order. */
export function compare(a: unknown, b: unknown): number {
  for (const one of [a, b]) if (one instanceof Undefined) one.fail();
  if (isNumber(a) && isNumber(b)) return numberOf(a) - numberOf(b);
  if (typeof a === "string" && typeof b === "string") {
    const [x, y] = [[...a], [...b]];
    for (let i = 0; i < Math.min(x.length, y.length); i++)
      if (x[i] !== y[i]) return x[i]!.codePointAt(0)! - y[i]!.codePointAt(0)!;
    return x.length - y.length;
  }
  if (Array.isArray(a) && Array.isArray(b)) {
    for (let i = 0; i < Math.min(a.length, b.length); i++) if (!equal(a[i], b[i])) return compare(a[i], b[i]);
    return a.length - b.length;
  }
  throw new Error(`${typeName(a)} and ${typeName(b)} have no order`);
}

/** Python's `str()`. */
export function text(value: unknown): string {
  return typeof value === "string" ? value : written(value);
}

/** Python's `repr()`. */
export function written(value: unknown): string {
  if (value instanceof Undefined) return value.fail();
  if (value === null) return "None";
  if (value === true) return "True";
  if (value === false) return "False";
  if (typeof value === "number") return wholeNumber(value);
  if (value instanceof PyFloat) return floatText(value.value);
  if (typeof value === "string") return quoted(value);
  if (value instanceof PyTuple) return `(${[...value].map(written).join(", ")}${value.length === 1 ? "," : ""})`;
  if (Array.isArray(value)) return `[${value.map(written).join(", ")}]`;
  if (value instanceof Map) return `{${[...value].map(([key, one]) => `${written(key)}: ${written(one)}`).join(", ")}}`;
  throw new Error(`${typeName(value)} has no text`);
}

function wholeNumber(value: number): string {
  if (!Number.isSafeInteger(value)) throw new Error("a whole number has more digits than are kept exactly");
  return String(value);
}

function floatText(value: number): string {
  if (Number.isNaN(value)) return "nan";
  if (!Number.isFinite(value)) return value < 0 ? "-inf" : "inf";
  if (Object.is(value, -0)) return "-0.0";
  const [digits = "", exponent = "0"] = value.toExponential().split("e");
  const power = Number(exponent);
  if (power < -4 || power >= 16) return `${digits}e${power < 0 ? "-" : "+"}${String(Math.abs(power)).padStart(2, "0")}`;
  const plain = String(value);
  return plain.includes(".") ? plain : `${plain}.0`;
}

const escapes: Record<string, string> = { "\n": "\\n", "\r": "\\r", "\t": "\\t", "\\": "\\\\" };

function quoted(value: string): string {
  const mark = value.includes("'") && !value.includes('"') ? '"' : "'";
  const inner = [...value].map((one) => {
    if (one === mark) return `\\${one}`;
    if (escapes[one]) return escapes[one];
    if (one === " " || !/[\p{C}\p{Z}]/u.test(one)) return one;
    const code = one.codePointAt(0)!.toString(16);
    return code.length <= 2
      ? `\\x${code.padStart(2, "0")}`
      : code.length <= 4
        ? `\\u${code.padStart(4, "0")}`
        : `\\U${code.padStart(8, "0")}`;
  });
  return mark + inner.join("") + mark;
}

/** The members that a loop goes through. */
export function members(value: unknown): unknown[] {
  if (value instanceof Undefined) value.fail();
  if (Array.isArray(value)) return [...value];
  if (typeof value === "string") return [...value];
  if (value instanceof Map) return [...value.keys()];
  throw new Error(`${typeName(value)} has no members`);
}

/** Whether a text or a list holds it; a map has it as a key. */
export function holds(all: unknown, one: unknown): boolean {
  if (one instanceof Undefined) one.fail();
  if (typeof all === "string") {
    if (typeof one !== "string") throw new Error(`a text holds no ${typeName(one).replace(/^an? /, "")}`);
    return all.includes(one);
  }
  return members(all).some((member) => equal(member, one));
}
