import { definite } from "../definite.js";
import { BenchError } from "../errors.js";
import { isDistance, judgeable, type Metric, meant, usualName } from "../metrics.js";
import { nearest } from "../yaml.js";
import { isShare } from "./words.js";

/** `perplexity: +0.5%`, read. */
export interface Rule {
  /** As the user wrote it. */
  text: string;
  /** Asked of this measurement alone. */
  measurement?: string;
  /** A metric's name; `pp` and `tg` stand for all prompt and all generation speeds; `flips` for changed answers. */
  metric: string;
  limit: RuleLimit;
}

export type RuleLimit =
  /** How far it may move to the worse from the baseline: a share of the baseline's value, or in the metric's unit. */
  | { kind: "change"; size: number; relative: boolean }
  /** The worst value that is allowed, whatever the baseline. */
  | { kind: "level"; size: number }
  /** How many times the noise floor, the reference's distance from itself. */
  | { kind: "floor"; times: number }
  /** The share of answers that may change, whichever way. */
  | { kind: "flips"; size: number };

const form = /^\s*(?:(.+)\.)?([\w@]+)\s*:\s*([+\-−]?)\s*(\d+(?:\.\d+)?|\.\d+)\s*(%|x(?:\s*floor)?)?\s*$/;

/** Reads a rule; throws a BenchError that says what is wrong with it and how it is written. */
export function parseRule(text: string): Rule {
  const match = text.match(form);
  if (!match)
    throw fault(
      text,
      "is no rule",
      "write METRIC: LIMIT, such as `perplexity: +0.5%`, `acc: -2%`, `tg: -5%`, `kld: 0.01`, `flips: 2%`",
    );
  const [, measurement, said = "", sign = "", digits = "", unit = ""] = match;
  const metric = usualName(said);
  const limit =
    metric === "flips"
      ? flipsLimit(text, sign, Number(digits), unit)
      : limitOf(text, said, describedBy(metric, text), { sign, digits, unit });
  return { text: text.trim(), ...definite({ measurement }), metric, limit };
}

function flipsLimit(text: string, sign: string, number: number, unit: string): RuleLimit {
  if (sign !== "" || unit !== "%" || number > 100)
    throw fault(text, "does not say a share of answers", "write `flips: 2%`: at most 2 % of the answers may change");
  return { kind: "flips", size: number / 100 };
}

function limitOf(
  text: string,
  said: string,
  described: Metric,
  { sign, digits, unit }: { sign: string; digits: string; unit: string },
): RuleLimit {
  const { name, better } = described;
  const number = Number(digits);
  const size = unit === "%" ? number / 100 : number;
  const harm = better === "lower" ? "+" : "-";
  if (better === "neither")
    throw fault(text, `asks for ${said}, of which neither less nor more is better`, "take another metric");
  if (unit.startsWith("x")) {
    if (!(isDistance(described) && described.leads === true) || sign !== "")
      throw fault(text, "sets a limit by the noise floor, which only kld has", "write `kld: 3x floor`");
    return { kind: "floor", times: number };
  }
  if (sign === "") {
    if (unit === "%" && !isShare(name))
      throw fault(
        text,
        `does not say of what the ${number} % are`,
        `for a change against the baseline write \`${said}: ${harm}${number}%\``,
      );
    return { kind: "level", size };
  }
  if ((sign === "+") !== (better === "lower"))
    throw fault(
      text,
      `allows ${said} to get better: ${better} is better`,
      `the harm is written \`${said}: ${harm}${digits}${unit}\``,
    );
  return { kind: "change", size, relative: unit === "%" && !isShare(name) };
}

/** The metric, or one of its family, for what can be known of it before anything is measured. */
function describedBy(name: string, text: string): Metric {
  const found = meant(name);
  if (found) return found;
  throw fault(text, `asks for "${name}", which is no metric`, nearest(name, [...judgeable(), "flips", "ppl"]));
}

function fault(rule: string, what: string, hint: string): BenchError {
  return new BenchError("rule", `the rule "${rule.trim()}" ${what}`, { hint });
}
