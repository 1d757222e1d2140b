// The process in which the templates of a task run.

import { answerParent } from "../../confined.js";
import { messageOf } from "../../errors.js";
import { matchesOf } from "../../expressions.js";
import { JinjaTemplate } from "./jinja/evaluate.js";
import { PyFloat } from "./jinja/values.js";
import type { FromTemplates, ToTemplates } from "./templates.js";

/** Python's `re.sub`, in whose replacements `\1` and `\g<1>` are groups. */
function replaced(text: string, pattern: string, instead: string, most: number): string {
  const found = matchesOf(pattern, text, { key: "regex_replace", text: "a row" });
  let [out, from] = ["", 0];
  for (const { index, found: whole, groups } of found.slice(0, most > 0 ? most : found.length)) {
    const inner = instead.replace(
      /\\(?:g<(\d+)>|(\d)|n)/g,
      (_, long: string | undefined, short: string | undefined) => {
        const group = long ?? short;
        return group === undefined ? "\n" : ((group === "0" ? whole : groups[Number(group) - 1]) ?? "");
      },
    );
    out += text.slice(from, index) + inner;
    from = index + whole.length;
  }
  return out + text.slice(from);
}

const known = new Map<string, JinjaTemplate>();

function templateOf(source: string): JinjaTemplate {
  const template = known.get(source) ?? new JinjaTemplate(source, replaced);
  known.set(source, template);
  return template;
}

function render({ templates, rows, floats }: ToTemplates): FromTemplates {
  let at = { template: 0, row: 0 };
  try {
    const parsed = templates.map((source, template) => {
      at = { template, row: -1 };
      return templateOf(source);
    });
    return {
      rendered: rows.map((cells, row) => {
        const given = Object.fromEntries(
          Object.entries(cells).map(([name, value]) => [
            name,
            typeof value === "number" && floats.includes(name) ? new PyFloat(value) : value,
          ]),
        );
        return parsed.map((one, template) => {
          at = { template, row };
          return one.render(given);
        });
      }),
    };
  } catch (error) {
    return { ...at, fault: messageOf(error) };
  }
}

answerParent((asked: ToTemplates | Record<never, never>) => ("templates" in asked ? render(asked) : undefined));
