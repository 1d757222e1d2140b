import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { expect, it } from "vitest";

const root = fileURLToPath(new URL("..", import.meta.url));
const longest = 200;

/** The text of every string and template in a source, without comments; `…` stands for what a template fills in. */
function literals(source: string): string[] {
  const found: string[] = [];
  const template = (start: number): number => {
    let text = "";
    let at = start + 1;
    while (at < source.length && source[at] !== "`") {
      if (source[at] === "\\") {
        text += source[at + 1];
        at += 2;
      } else if (source.startsWith("${", at)) {
        text += "…";
        at = code(at + 2, true);
      } else text += source[at++];
    }
    found.push(text);
    return at + 1;
  };
  const code = (start: number, untilBrace: boolean): number => {
    let depth = 0;
    let at = start;
    while (at < source.length) {
      const rest = source.slice(at, at + 2000);
      const skipped =
        rest.match(/^\/\/[^\n]*|^\/\*[\s\S]*?\*\//) ??
        // A regular expression stands where a value is expected.
        (/(?:[=(,:[!&|?{};]|return|=>)\s*$/.test(source.slice(Math.max(0, at - 12), at))
          ? rest.match(/^\/(?:\\.|\[(?:\\.|[^\]\\\n])*\]|[^/\\\n[])+\//)
          : null);
      const quoted = rest.match(/^"((?:\\.|[^"\\\n])*)"|^'((?:\\.|[^'\\\n])*)'/);
      if (skipped) at += skipped[0].length;
      else if (quoted) {
        found.push(quoted[1] ?? quoted[2]!);
        at += quoted[0].length;
      } else if (source[at] === "`") at = template(at);
      else {
        if (untilBrace && source[at] === "}" && depth-- === 0) return at + 1;
        if (source[at] === "{") depth++;
        at++;
      }
    }
    return at;
  };
  code(0, false);
  return found;
}

const sentences = (text: string) => text.split(/(?<=[.!?])\s+|\n/);

it("no sentence that a user can see is longer than 200 characters", () => {
  const src = readdirSync(`${root}src`, { recursive: true, encoding: "utf8" }).filter((name) => /\.tsx?$/.test(name));
  const texts = src.flatMap((name) => literals(readFileSync(`${root}src/${name}`, "utf8")));
  expect(texts.length).toBeGreaterThan(2000);
  expect(texts).toContain(
    "make the tables of a run again from its events; or print it for a model card or another program",
  );
  expect(texts.flatMap(sentences).filter((sentence) => sentence.length > longest)).toEqual([]);
});

it("sees long sentences in strings and templates, not in comments", () => {
  const long = "word ".repeat(50);
  const seen = (source: string) =>
    literals(source)
      .flatMap(sentences)
      .some((one) => one.length > longest);
  expect(seen(`throw new BenchError("config", "${long}");`)).toBe(true);
  expect(seen(`const a = \`\${b ? \`${long}\` : ""} c\`;`)).toBe(true);
  expect(seen(`// ${long}\n/* ${long} */\nconst re = /["\`]/; // ${long}`)).toBe(false);
});
