import { isNumber, numberOf, PyFloat, PyTuple, text, tuple, typeName } from "./values.js";

const times = (list: unknown[], count: number) => Array.from({ length: Math.max(0, count) }, () => list).flat(1);

/** What Python makes of two values and an operator between them. */
export function arithmetic(operator: string, a: unknown, b: unknown): unknown {
  if (isNumber(a) && isNumber(b)) {
    const [x, y] = [numberOf(a), numberOf(b)];
    const isFloat = a instanceof PyFloat || b instanceof PyFloat;
    const number = (value: number) => (isFloat ? new PyFloat(value) : value);
    if (["/", "//", "%"].includes(operator) && y === 0) throw new Error("a division by zero");
    switch (operator) {
      case "+":
        return number(x + y);
      case "-":
        return number(x - y);
      case "*":
        return number(x * y);
      case "/":
        return new PyFloat(x / y);
      case "//":
        return number(Math.floor(x / y));
      case "%":
        return number(x - y * Math.floor(x / y));
      case "**":
        return y < 0 ? new PyFloat(x ** y) : number(x ** y);
    }
  }
  if (operator === "+" && typeof a === "string" && typeof b === "string") return a + b;
  if (operator === "+" && Array.isArray(a) && Array.isArray(b) && a instanceof PyTuple === b instanceof PyTuple)
    return a instanceof PyTuple ? tuple([...a, ...b]) : [...a, ...b];
  if (operator === "*" && typeof a === "string" && typeof b === "number") return a.repeat(Math.max(0, b));
  if (operator === "*" && typeof b === "string" && typeof a === "number") return b.repeat(Math.max(0, a));
  if (operator === "*" && Array.isArray(a) && typeof b === "number") return times(a, b);
  if (operator === "%" && typeof a === "string") return printed(a, b instanceof PyTuple ? [...b] : [b]);
  throw new Error(`${typeName(a)} ${operator} ${typeName(b)}`);
}

/** `"%s of %d" % (a, b)`. */
function printed(form: string, values: unknown[]): string {
  let next = 0;
  const out = form.replace(/%(.?)/gs, (_, kind: string) => {
    if (kind === "%") return "%";
    if (kind !== "s" && kind !== "d") throw new Error(`%${kind} is not known here`);
    if (next >= values.length) throw new Error("there are fewer values than the text has %s");
    const value = values[next++];
    return kind === "d" && value instanceof PyFloat ? text(Math.trunc(value.value)) : text(value);
  });
  if (next < values.length) throw new Error("there are more values than the text has %s");
  return out;
}
