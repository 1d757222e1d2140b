import { splitAtBlanks, stripped, strippedLeft, strippedRight } from "../../../scores/python.js";
import {
  compare,
  equal,
  isNumber,
  members,
  numberOf,
  PyFloat,
  type PyFunction,
  PyTuple,
  text,
  tuple,
  typeName,
} from "./values.js";

// Methods of Python's texts, lists and maps, as far as templates call them.

type Method<Self> = (self: Self, args: unknown[], named: Map<string, unknown>) => unknown;

function aText(value: unknown): string {
  if (typeof value !== "string") throw new Error(`${typeName(value)} stands where a text is needed`);
  return value;
}

function aCount(value: unknown): number {
  if (typeof value !== "number" && typeof value !== "boolean")
    throw new Error(`${typeName(value)} stands where a whole number is needed`);
  return Number(value);
}

const ofSet = (characters: string) => new Set([...characters]);

function strip(self: string, characters: unknown, ends: { left: boolean; right: boolean }): string {
  if (characters === undefined || characters === null)
    return ends.left ? (ends.right ? stripped(self) : strippedLeft(self)) : strippedRight(self);
  const set = ofSet(aText(characters));
  const all = [...self];
  let [from, to] = [0, all.length];
  while (ends.left && from < to && set.has(all[from]!)) from++;
  while (ends.right && to > from && set.has(all[to - 1]!)) to--;
  return all.slice(from, to).join("");
}

function split(self: string, separator: unknown, most: unknown): string[] {
  const limit = most === undefined ? -1 : aCount(most);
  if (separator === undefined || separator === null) {
    if (limit < 0) return splitAtBlanks(self);
    const parts: string[] = [];
    let rest = strippedLeft(self);
    while (rest !== "" && parts.length < limit) {
      const word = splitAtBlanks(rest)[0]!;
      parts.push(word);
      rest = strippedLeft(rest.slice(word.length));
    }
    return rest === "" ? parts : [...parts, rest];
  }
  const mark = aText(separator);
  if (mark === "") throw new Error("an empty separator");
  const parts = self.split(mark);
  return limit >= 0 && parts.length > limit + 1 ? [...parts.slice(0, limit), parts.slice(limit).join(mark)] : parts;
}

function splitFromRight(self: string, separator: unknown, most: unknown): string[] {
  if (most === undefined) return split(self, separator, undefined);
  const mark = aText(separator);
  const parts = self.split(mark);
  const limit = aCount(most);
  const cut = Math.max(0, parts.length - limit);
  return limit >= 0 && parts.length > limit + 1 ? [parts.slice(0, cut).join(mark), ...parts.slice(cut)] : parts;
}

export const capitalized = (self: string) => {
  const [first = "", ...rest] = [...self];
  return first.toUpperCase() + rest.join("").toLowerCase();
};

const titled = (self: string) => self.replace(/\p{L}+/gu, (word) => capitalized(word));

export function replacedIn(self: string, from: unknown, to: unknown, most?: unknown): string {
  const [old, instead] = [aText(from), aText(to)];
  if (most === undefined || most === null || aCount(most) < 0) return self.replaceAll(old, () => instead);
  let [out, rest] = ["", self];
  for (let left = aCount(most); left > 0; left--) {
    const at = rest.indexOf(old);
    if (at < 0) break;
    out += rest.slice(0, at) + instead;
    rest = rest.slice(at + old.length);
    if (old === "") {
      const [first = ""] = [...rest];
      if (first === "") break;
      out += first;
      rest = rest.slice(first.length);
    }
  }
  return out + rest;
}

const places = (value: unknown): string[] => (Array.isArray(value) ? value.map(aText) : [aText(value)]);

/** An index in UTF-16 as one in characters. */
const inCharacters = (self: string, at: number) => (at < 0 ? at : [...self.slice(0, at)].length);

function atOrFail(at: number): number {
  if (at < 0) throw new Error("what is looked for is not there");
  return at;
}

/** `"{} of {name}".format(1, name=2)`, without specifications. */
function formatted(self: string, args: unknown[], named: Map<string, unknown>): string {
  let next = 0;
  return self.replace(/\{\{|\}\}|\{([^{}]*)\}/g, (whole, key: string | undefined) => {
    if (key === undefined) return whole[0]!;
    if (/[:!.[]/.test(key)) throw new Error(`format's {${key}} is not known here`);
    const value = key === "" ? args[next++] : /^\d+$/.test(key) ? args[Number(key)] : named.get(key);
    if (value === undefined) throw new Error(`format has nothing for {${key}}`);
    return text(value);
  });
}

const ofText: Record<string, Method<string>> = {
  strip: (self, [characters]) => strip(self, characters, { left: true, right: true }),
  lstrip: (self, [characters]) => strip(self, characters, { left: true, right: false }),
  rstrip: (self, [characters]) => strip(self, characters, { left: false, right: true }),
  split: (self, [separator, most], named) => split(self, separator ?? named.get("sep"), most ?? named.get("maxsplit")),
  rsplit: (self, [separator, most], named) =>
    splitFromRight(self, separator ?? named.get("sep"), most ?? named.get("maxsplit")),
  splitlines: (self) => {
    const lines = self.split(/\r\n|[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]/);
    return lines.at(-1) === "" ? lines.slice(0, -1) : lines;
  },
  replace: (self, [from, to, most], named) => replacedIn(self, from, to, most ?? named.get("count")),
  lower: (self) => self.toLowerCase(),
  upper: (self) => self.toUpperCase(),
  capitalize: capitalized,
  title: titled,
  join: (self, [list]) => members(list).map(aText).join(self),
  startswith: (self, [start]) => places(start).some((one) => self.startsWith(one)),
  endswith: (self, [end]) => places(end).some((one) => self.endsWith(one)),
  removeprefix: (self, [start]) => (self.startsWith(aText(start)) ? self.slice(aText(start).length) : self),
  removesuffix: (self, [end]) =>
    aText(end) !== "" && self.endsWith(aText(end)) ? self.slice(0, -aText(end).length) : self,
  find: (self, [part]) => inCharacters(self, self.indexOf(aText(part))),
  rfind: (self, [part]) => inCharacters(self, self.lastIndexOf(aText(part))),
  index: (self, [part]) => atOrFail(inCharacters(self, self.indexOf(aText(part)))),
  count: (self, [part]) => self.split(aText(part)).length - 1,
  isdigit: (self) => /^\p{Nd}+$/u.test(self),
  isnumeric: (self) => /^\p{N}+$/u.test(self),
  isalpha: (self) => /^\p{L}+$/u.test(self),
  isspace: (self) => self !== "" && stripped(self) === "",
  isupper: (self) => self !== self.toLowerCase() && self === self.toUpperCase(),
  islower: (self) => self !== self.toUpperCase() && self === self.toLowerCase(),
  zfill: (self, [width]) =>
    self.replace(/^[+-]?/, (sign) => sign + "0".repeat(Math.max(0, aCount(width) - [...self].length))),
  format: formatted,
};

const ofList: Record<string, Method<unknown[]>> = {
  index: (self, [wanted]) => atOrFail(self.findIndex((one) => equal(one, wanted))),
  count: (self, [wanted]) => self.filter((one) => equal(one, wanted)).length,
  copy: (self) => [...self],
  append: (self, [one]) => {
    self.push(one);
    return null;
  },
  extend: (self, [more]) => {
    self.push(...members(more));
    return null;
  },
  insert: (self, [at, one]) => {
    self.splice(aCount(at), 0, one);
    return null;
  },
  pop: (self, [at]) => {
    const place = at === undefined ? self.length - 1 : aCount(at);
    const [taken] = self.splice(place, 1);
    if (taken === undefined) throw new Error("a pop from a list that has no such member");
    return taken;
  },
  sort: (self) => {
    self.sort(compare);
    return null;
  },
  reverse: (self) => {
    self.reverse();
    return null;
  },
};

const ofMap: Record<string, Method<Map<unknown, unknown>>> = {
  keys: (self) => [...self.keys()],
  values: (self) => [...self.values()],
  items: (self) => [...self].map((pair) => tuple(pair)),
  get: (self, [key, other = null]) => (self.has(key) ? self.get(key) : other),
  copy: (self) => new Map(self),
  update: (self, [more]) => {
    if (!(more instanceof Map)) throw new Error("update needs a map");
    for (const [key, one] of more) self.set(key, one);
    return null;
  },
};

const ofNumber: Record<string, Method<number>> = {
  is_integer: (self) => Number.isInteger(self),
};

/** The method of this name that the value has; undefined if it has none. */
export function methodOf(value: unknown, name: string): PyFunction | undefined {
  const bound = <Self>(all: Record<string, Method<Self>>, self: Self): PyFunction | undefined =>
    Object.hasOwn(all, name) ? (args, named) => all[name]!(self, args, named) : undefined;
  if (typeof value === "string") return bound(ofText, value);
  if (value instanceof PyTuple) return ["index", "count"].includes(name) ? bound(ofList, value) : undefined;
  if (Array.isArray(value)) return bound(ofList, value);
  if (value instanceof Map) return bound(ofMap, value);
  return isNumber(value) && value instanceof PyFloat ? bound(ofNumber, numberOf(value)) : undefined;
}
