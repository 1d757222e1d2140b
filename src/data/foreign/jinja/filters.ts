import { stripped } from "../../../scores/python.js";
import { capitalized, replacedIn } from "./methods.js";
import {
  compare,
  equal,
  holds,
  isNumber,
  members,
  numberOf,
  PyFloat,
  text,
  truth,
  tuple,
  typeName,
  Undefined,
} from "./values.js";

// Jinja's filters and tests, and lm-eval's own `regex_replace`.

/** What filters and tests need of the one who runs the template: members of values, and each other. */
export interface TemplateRoom {
  member(value: unknown, key: unknown): unknown;
  filter(name: string, value: unknown, args: unknown[], named: Map<string, unknown>): unknown;
  test(name: string, value: unknown, args: unknown[]): boolean;
  replaced(text: string, pattern: string, instead: string, most: number): string;
}

type Filter = (value: unknown, args: unknown[], named: Map<string, unknown>, room: TemplateRoom) => unknown;

const there = (value: unknown) => (value instanceof Undefined ? value.fail() : value);

function whole(value: unknown, otherwise: number): number {
  if (value === undefined || value === null) return otherwise;
  if (!isNumber(value)) throw new Error(`${typeName(value)} stands where a whole number is needed`);
  return numberOf(value);
}

function lengthOf(value: unknown): number {
  if (value instanceof Map) return value.size;
  if (typeof value === "string" || Array.isArray(value)) return members(value).length;
  if (value instanceof Undefined) value.fail();
  throw new Error(`${typeName(value)} has no length`);
}

function asInt(value: unknown, otherwise: unknown): unknown {
  if (value instanceof PyFloat) return Number.isFinite(value.value) ? Math.trunc(value.value) : otherwise;
  if (isNumber(value)) return Number(value);
  if (typeof value !== "string") return otherwise;
  const bare = stripped(value);
  if (/^[+-]?\d+(_\d+)*$/.test(bare)) return Number(bare.replaceAll("_", ""));
  const number = asFloat(bare);
  return number === undefined || !Number.isFinite(number) ? otherwise : Math.trunc(number);
}

function asFloat(value: string): number | undefined {
  const bare = stripped(value);
  return /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(bare) ? Number(bare) : undefined;
}

/** A key of each member, `a.b` or `0.a`, for `map`, `join`, `sort` and their like. */
function attribute(path: unknown, room: TemplateRoom): (value: unknown) => unknown {
  if (typeof path === "number") return (value) => room.member(value, path);
  const steps = text(path).split(".");
  return (value) =>
    steps.reduce((at: unknown, step) => room.member(at, /^\d+$/.test(step) ? Number(step) : step), value);
}

const keyed =
  (named: Map<string, unknown>, room: TemplateRoom): ((value: unknown) => unknown) =>
  (value) => {
    const path = named.get("attribute");
    const found = path === undefined || path === null ? value : attribute(path, room)(value);
    return typeof found === "string" && named.get("case_sensitive") !== true ? found.toLowerCase() : found;
  };

function sorted(value: unknown, named: Map<string, unknown>, room: TemplateRoom): unknown[] {
  const key = keyed(named, room);
  const all = members(value).sort((a, b) => compare(key(a), key(b)));
  if (named.get("reverse") !== true) return all;
  return members(value).sort((a, b) => compare(key(b), key(a)));
}

function rounded(value: number, digits: number): number {
  const scale = 10 ** digits;
  const below = Math.floor(value * scale);
  if (value * scale - below === 0.5) return (below % 2 === 0 ? below : below + 1) / scale;
  return digits >= 0 ? Number(value.toFixed(digits)) : Math.round(value * scale) / scale;
}

const markup: Record<string, string> = { "&": "&amp;", "<": "&lt;", ">": "&gt;", "'": "&#39;", '"': "&#34;" };

/** As Jinja's: keys in order, nothing beyond ASCII, nothing that a page could read as a tag. */
function json(value: unknown): string {
  if (value instanceof Undefined) value.fail();
  if (value instanceof PyFloat) return text(value);
  if (value instanceof Map) {
    const entries = [...value].sort(([a], [b]) => compare(a, b));
    return `{${entries.map(([key, one]) => `${json(text(key))}: ${json(one)}`).join(", ")}}`;
  }
  if (Array.isArray(value)) return `[${[...value].map(json).join(", ")}]`;
  return JSON.stringify(value).replace(
    /[<>&'\u007f-\uffff]/g,
    (one) => `\\u${one.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}

const chosen =
  (wanted: boolean, byAttribute: boolean): Filter =>
  (value, args, _, room) => {
    const [path, ...rest] = byAttribute ? args : [undefined, ...args];
    const [name, ...more] = rest;
    const of = byAttribute ? attribute(path, room) : (one: unknown) => one;
    const passes = (one: unknown) => (name === undefined ? truth(of(one)) : room.test(text(name), of(one), more));
    return members(value).filter((one) => passes(one) === wanted);
  };

const extreme =
  (sign: number): Filter =>
  (value, _, named, room) => {
    const key = keyed(named, room);
    const all = members(value);
    return all.length === 0
      ? new Undefined("the list is empty")
      : all.reduce((best, one) => (sign * compare(key(one), key(best)) > 0 ? one : best));
  };

const length: Filter = (value) => lengthOf(value);
const otherwise: Filter = (value, [other = "", alsoEmpty = false], named) => {
  const empty = truth(named.get("boolean") ?? alsoEmpty) && !(value instanceof Undefined) && !truth(value);
  return value instanceof Undefined || empty ? (named.get("default_value") ?? other) : value;
};
const escaped: Filter = (value) => text(value).replace(/[&<>'"]/g, (one) => markup[one]!);

export const filters: Record<string, Filter> = {
  abs: (value) => (value instanceof PyFloat ? new PyFloat(Math.abs(value.value)) : Math.abs(whole(value, 0))),
  capitalize: (value) => capitalized(text(value)),
  count: length,
  d: otherwise,
  default: otherwise,
  dictsort: (value) => {
    if (!(value instanceof Map)) throw new Error(`dictsort is of maps, not of ${typeName(value)}`);
    return [...value]
      .sort(([a], [b]) => compare(text(a).toLowerCase(), text(b).toLowerCase()))
      .map((one) => tuple(one));
  },
  e: escaped,
  escape: escaped,
  first: (value) => (members(value).length > 0 ? members(value)[0] : new Undefined("the list is empty")),
  float: (value, [other = new PyFloat(0)]) => {
    const number = typeof value === "string" ? asFloat(value) : isNumber(value) ? numberOf(value) : undefined;
    return number === undefined ? other : new PyFloat(number);
  },
  indent: (value, [width = 4, firstToo = false], named) => {
    const by = named.get("width") ?? width;
    const pad = typeof by === "string" ? by : " ".repeat(whole(by, 4));
    const lines = text(value).split("\n");
    const also = truth(named.get("first") ?? firstToo);
    return lines.map((line, i) => ((i === 0 ? also : line !== "") ? pad + line : line)).join("\n");
  },
  int: (value, [other = 0]) => asInt(there(value), other),
  items: (value) => {
    if (!(value instanceof Map)) throw new Error(`items is of maps, not of ${typeName(value)}`);
    return [...value].map((one) => tuple(one));
  },
  join: (value, [between = "", path], named, room) => {
    const key = named.get("attribute") ?? path;
    const of = key === undefined ? (one: unknown) => one : attribute(key, room);
    return members(value)
      .map((one) => text(of(one)))
      .join(text(named.get("d") ?? between));
  },
  last: (value) => (members(value).length > 0 ? members(value).at(-1) : new Undefined("the list is empty")),
  length,
  list: (value) => members(value),
  lower: (value) => text(value).toLowerCase(),
  map: (value, [name, ...args], named, room) => {
    const path = named.get("attribute");
    if (path !== undefined) {
      const [of, other] = [attribute(path, room), named.get("default")];
      return members(value).map((one) => {
        const found = of(one);
        return found instanceof Undefined && other !== undefined ? other : found;
      });
    }
    return members(value).map((one) => room.filter(text(name), one, args, named));
  },
  max: extreme(1),
  min: extreme(-1),
  regex_replace: (value, [pattern, instead, most = 0], named, room) =>
    room.replaced(
      text(value),
      text(pattern ?? named.get("pattern")),
      text(instead ?? named.get("repl")),
      whole(named.get("count") ?? most, 0),
    ),
  reject: chosen(false, false),
  rejectattr: chosen(false, true),
  replace: (value, [from, to, most]) => replacedIn(text(value), text(from), text(to), most),
  reverse: (value) => (typeof value === "string" ? members(value).reverse().join("") : members(value).reverse()),
  round: (value, [digits = 0, method = "common"]) => {
    if (method !== "common") throw new Error("round knows its common method alone here");
    return new PyFloat(rounded(isNumber(value) ? numberOf(value) : Number.NaN, whole(digits, 0)));
  },
  safe: (value) => value,
  select: chosen(true, false),
  selectattr: chosen(true, true),
  sort: (value, [reverse], named, room) =>
    sorted(value, reverse === undefined ? named : new Map([...named, ["reverse", reverse]]), room),
  string: (value) => text(value),
  sum: (value, [path], named, room) => {
    const key = named.get("attribute") ?? path;
    const all = members(value).map(key === undefined ? (one) => one : attribute(key, room));
    const total = all.reduce((sum: number, one) => sum + (isNumber(one) ? numberOf(one) : Number.NaN), 0);
    return all.some((one) => one instanceof PyFloat) ? new PyFloat(total) : total;
  },
  title: (value) =>
    text(value)
      .split(/([-\s({[<]+)/)
      .map((word) => capitalized(word))
      .join(""),
  tojson: (value) => json(value),
  trim: (value, [characters]) => {
    if (characters !== undefined && characters !== null) throw new Error("trim with characters is not known here");
    return stripped(text(value));
  },
  unique: (value, _, named, room) => {
    const key = keyed(named, room);
    const seen: unknown[] = [];
    return members(value).filter((one) => {
      if (seen.some((other) => equal(other, key(one)))) return false;
      seen.push(key(one));
      return true;
    });
  },
  upper: (value) => text(value).toUpperCase(),
  wordcount: (value) => text(value).match(/[\p{L}\p{N}_]+/gu)?.length ?? 0,
};

type Test = (value: unknown, args: unknown[]) => boolean;

const same: Test = (value, [other]) => equal(value, other);
const differs: Test = (value, [other]) => !equal(value, other);
const less: Test = (value, [other]) => compare(value, other) < 0;
const lessOrSame: Test = (value, [other]) => compare(value, other) <= 0;
const more: Test = (value, [other]) => compare(value, other) > 0;
const moreOrSame: Test = (value, [other]) => compare(value, other) >= 0;

export const tests: Record<string, Test> = {
  ...{ eq: same, equalto: same, "==": same, ne: differs, "!=": differs },
  ...{ lt: less, lessthan: less, "<": less, le: lessOrSame, "<=": lessOrSame },
  ...{ gt: more, greaterthan: more, ">": more, ge: moreOrSame, ">=": moreOrSame },
  boolean: (value) => typeof value === "boolean",
  defined: (value) => !(value instanceof Undefined),
  divisibleby: (value, [by]) => whole(value, 0) % whole(by, 1) === 0,
  even: (value) => whole(there(value), 0) % 2 === 0,
  false: (value) => value === false,
  float: (value) => value instanceof PyFloat,
  in: (value, [all]) => holds(all, value),
  integer: (value) => typeof value === "number",
  iterable: (value) => typeof value === "string" || Array.isArray(value) || value instanceof Map,
  lower: (value) => text(value) === text(value).toLowerCase() && text(value) !== text(value).toUpperCase(),
  mapping: (value) => value instanceof Map,
  none: (value) => there(value) === null,
  number: (value) => isNumber(value),
  odd: (value) => Math.abs(whole(there(value), 0)) % 2 === 1,
  sequence: (value) => typeof value === "string" || Array.isArray(value) || value instanceof Map,
  string: (value) => typeof value === "string",
  true: (value) => value === true,
  undefined: (value) => value instanceof Undefined,
  upper: (value) => text(value) === text(value).toUpperCase() && text(value) !== text(value).toLowerCase(),
};
