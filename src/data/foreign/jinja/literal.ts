import { PyFloat, tuple } from "./values.js";

const escapes: Record<string, string> = {
  ...{ n: "\n", t: "\t", r: "\r", b: "\b", f: "\f", v: "\v", a: "\x07", "\\": "\\", "'": "'", '"': '"', "\n": "" },
};

/** What Python's `ast.literal_eval` makes of a text: texts, numbers, lists, tuples, maps, True, False, None. Throws for all else. */
export function pythonLiteral(source: string): unknown {
  const reader = new LiteralReader(source.replace(/^[ \t]+/, ""));
  const value = reader.listed();
  reader.end();
  return value;
}

class LiteralReader {
  #at = 0;

  constructor(private readonly source: string) {}

  /** A value, or several with commas between them, which are a tuple. */
  listed(): unknown {
    const first = this.#value();
    if (!this.#has(",")) return first;
    const values = [first];
    while (this.#take(",")) if (!this.#atEnd()) values.push(this.#value());
    return tuple(values);
  }

  end(): void {
    if (!this.#atEnd()) this.#fail();
  }

  #atEnd(): boolean {
    this.#blanks();
    return this.#at >= this.source.length;
  }

  #fail(): never {
    throw new Error(`it is no Python literal at character ${this.#at + 1}`);
  }

  #blanks(): void {
    while (/[ \t\n\r\f]/.test(this.source[this.#at] ?? "")) this.#at++;
  }

  #has(mark: string): boolean {
    this.#blanks();
    return this.source.startsWith(mark, this.#at);
  }

  #take(mark: string): boolean {
    if (!this.#has(mark)) return false;
    this.#at += mark.length;
    return true;
  }

  #match(pattern: RegExp): string | undefined {
    this.#blanks();
    const sticky = new RegExp(pattern.source, "yi");
    sticky.lastIndex = this.#at;
    const found = sticky.exec(this.source)?.[0];
    if (found !== undefined) this.#at += found.length;
    return found;
  }

  #value(): unknown {
    if (this.#take("[")) return this.#until("]");
    if (this.#take("(")) return this.#tuple();
    if (this.#take("{")) return this.#map();
    const text = this.#text();
    if (text !== undefined) return text;
    const word = this.#match(/[a-z_]\w*/);
    if (word !== undefined) {
      if (word === "None") return null;
      if (word === "True" || word === "False") return word === "True";
      this.#fail();
    }
    return this.#number();
  }

  #number(): unknown {
    const sign = this.#match(/[+-]/) === "-" ? -1 : 1;
    const digits = this.#match(/(\d[\d_]*)?\.?(\d[\d_]*)?(e[+-]?\d+)?/);
    if (!digits || !/\d/.test(digits) || /^0\d*[1-9]\d*$/.test(digits)) this.#fail();
    const number = sign * Number(digits.replaceAll("_", ""));
    return /[.e]/i.test(digits) ? new PyFloat(number) : number;
  }

  #until(mark: string): unknown[] {
    const values: unknown[] = [];
    while (!this.#take(mark)) {
      values.push(this.#value());
      if (!this.#take(",") && !this.#has(mark)) this.#fail();
    }
    return values;
  }

  #tuple(): unknown {
    const from = this.#at;
    const values = this.#until(")");
    const isOne =
      values.length === 1 &&
      !this.source
        .slice(from, this.#at - 1)
        .trimEnd()
        .endsWith(",");
    return isOne ? values[0] : tuple(values);
  }

  #map(): Map<unknown, unknown> {
    const map = new Map<unknown, unknown>();
    while (!this.#take("}")) {
      const key = this.#value();
      if (!this.#take(":")) this.#fail();
      map.set(key, this.#value());
      if (!this.#take(",") && !this.#has("}")) this.#fail();
    }
    return map;
  }

  /** Texts that stand side by side are one. */
  #text(): string | undefined {
    let whole: string | undefined;
    for (let prefix = this.#match(/[ru]?(?=['"])/); prefix !== undefined; prefix = this.#match(/[ru]?(?=['"])/))
      whole = (whole ?? "") + this.#quoted(prefix.toLowerCase() === "r");
    return whole;
  }

  #quoted(raw: boolean): string {
    const { source } = this;
    const one = source[this.#at]!;
    const mark = source.startsWith(one.repeat(3), this.#at) ? one.repeat(3) : one;
    this.#at += mark.length;
    let text = "";
    while (!source.startsWith(mark, this.#at)) {
      const next = source[this.#at];
      if (next === undefined || (next === "\n" && mark.length === 1)) this.#fail();
      this.#at++;
      text += next !== "\\" ? next : raw ? next + (source[this.#at++] ?? "") : this.#escaped();
    }
    this.#at += mark.length;
    return text;
  }

  #escaped(): string {
    const one = this.source[this.#at++] ?? this.#fail();
    const known = escapes[one];
    if (known !== undefined) return known;
    const width = { x: 2, u: 4, U: 8 }[one];
    const octal = /[0-7]/.test(one) ? /^[0-7]{1,3}/.exec(this.source.slice(this.#at - 1))![0] : undefined;
    if (octal !== undefined) {
      this.#at += octal.length - 1;
      return String.fromCodePoint(Number.parseInt(octal, 8));
    }
    if (width === undefined) return `\\${one}`;
    const code = this.source.slice(this.#at, this.#at + width);
    if (code.length < width || !/^[0-9a-f]+$/i.test(code)) this.#fail();
    this.#at += width;
    return String.fromCodePoint(Number.parseInt(code, 16));
  }
}
