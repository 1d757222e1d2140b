import { methodOf } from "./methods.js";
import { equal, isNumber, members, PyTuple, text, tuple, typeName, Undefined } from "./values.js";

/** The one thing that a template may change: `{% set ns.a = 1 %}`. */
export class Namespace {
  readonly values = new Map<string, unknown>();
}

/** `value.name` where that is a method, or a name in a namespace. */
export function attributeOf(value: unknown, name: string): unknown {
  return value instanceof Namespace ? value.values.get(name) : methodOf(value, name);
}

/** `value[key]`, and `value.key` where there is no such item. */
export function member(value: unknown, key: unknown): unknown {
  const found = item(value, key);
  return found instanceof Undefined && typeof key === "string" ? (attributeOf(value, key) ?? found) : found;
}

/** `value[key]`. */
export function item(value: unknown, key: unknown): unknown {
  if (value instanceof Undefined) value.fail();
  if (value instanceof Map) {
    for (const same of isNumber(key) ? [...value.keys()].filter((one) => equal(one, key)) : [key])
      if (value.has(same)) return value.get(same);
    return new Undefined(`there is no "${text(key)}" in a map`);
  }
  if ((typeof value === "string" || Array.isArray(value)) && (typeof key === "number" || typeof key === "boolean")) {
    const found = members(value).at(Number(key));
    return found === undefined ? new Undefined(`item ${Number(key)} of ${members(value).length} is not there`) : found;
  }
  return new Undefined(`${typeName(value)} has no "${key instanceof Undefined ? key.fail() : text(key)}"`);
}

/** `value[start:stop:step]`. */
export function sliced(value: unknown, start: unknown, stop: unknown, step: unknown): unknown {
  if (typeof value !== "string" && !Array.isArray(value)) throw new Error(`${typeName(value)} has no slices`);
  const whole = (one: unknown) => {
    if (one === null || typeof one === "number") return one;
    throw new Error("a slice begins and ends at whole numbers");
  };
  const [from, to, by] = [whole(start), whole(stop), whole(step) ?? 1];
  if (by === 0) throw new Error("a slice with steps of zero");
  const all = members(value);
  const bound = (at: number | null, otherwise: number) => {
    if (at === null) return otherwise;
    const place = at < 0 ? at + all.length : at;
    return by > 0 ? Math.min(Math.max(place, 0), all.length) : Math.min(Math.max(place, -1), all.length - 1);
  };
  const found: unknown[] = [];
  const [first, end] = by > 0 ? [bound(from, 0), bound(to, all.length)] : [bound(from, all.length - 1), bound(to, -1)];
  for (let i = first; by > 0 ? i < end : i > end; i += by) found.push(all[i]);
  if (typeof value === "string") return found.join("");
  return value instanceof PyTuple ? tuple(found) : found;
}
