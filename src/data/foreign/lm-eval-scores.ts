import { isExpression } from "../../expressions.js";
import { several } from "../../harmless.js";
import type { ScoreRule } from "../../scores/index.js";
import type { LmEvalTask } from "./lm-eval-form.js";
import { codeIn, type MergedYaml } from "./merged.js";

/** How answers are scored, and what of the task's own scoring is left out. */
export interface ForeignScores {
  scores: ScoreRule[];
  notes: string[];
}

type ListedMetric = NonNullable<LmEvalTask["metric_list"]>[number];
type FilterList = NonNullable<LmEvalTask["filter_list"]>[number];

const leftOut = (names: readonly string[]) =>
  names.length > 0 ? [`not computed: ${several([...new Set(names)])}`] : [];

/** Whether a metric's figure is the mean over questions. */
const isMean = ({ aggregation = "mean" }: ListedMetric) => aggregation === "mean" || aggregation === "nanmean";

/** What is said of metrics on options; throws if none of them is computed here. `codes`: metrics that are Python code. */
export function choiceMetrics(yaml: MergedYaml, { metric_list }: LmEvalTask, codes: readonly string[]): string[] {
  if (!metric_list) return [];
  const known = metric_list.filter((one) => ["acc", "acc_norm"].includes(one.metric) && isMean(one));
  const others = [...metric_list.filter((one) => !known.includes(one)).map(({ metric }) => metric), ...codes];
  if (known.length === 0)
    throw yaml.fault(["metric_list"], `none of its metrics is computed here: ${several(others)}.`, {
      hint: "Computed are acc and acc_norm, as means over questions.",
    });
  return leftOut(others);
}

/** Rules for generated answers. Throws if none of the task's metrics is computed here, or no filter can be. */
export function generationScores(yaml: MergedYaml, task: LmEvalTask, codes: readonly string[]): ForeignScores {
  const listed = task.metric_list ?? [{ metric: "exact_match" }];
  const exact = listed.find((one) => one.metric === "exact_match" && isMean(one));
  const others = [...listed.filter((one) => one !== exact).map(({ metric }) => metric), ...codes];
  if (!exact)
    throw yaml.fault(
      ["metric_list"],
      others.length > 0 ? `none of its metrics is computed here: ${several(others)}.` : "there is no metric.",
      { hint: "Computed is exact_match, as the mean over questions." },
    );
  const rule = exactRule(yaml, exact, listed.indexOf(exact));
  const pipelines = task.filter_list ?? [{ name: "none", filter: [{ function: "take_first" }] }];
  const read = pipelines.map((one) => pipeline(one, rule));
  const usable = read.flatMap((one) => ("rule" in one ? [one] : []));
  if (usable.length === 0) {
    const [first] = read;
    const why = first && "because" in first ? `: ${first.because}` : "";
    throw yaml.fault(["filter_list"], `no filter of the task is built here${why}.`, {
      hint: "Built are regex (first or last match), remove_whitespace and take_first.",
    });
  }
  // A second way to read the same answers is a metric of its own, the looser one of two where their names say it.
  const looser = (one: { name: string }) => /flex/i.test(one.name);
  const main = usable.find((one) => !looser(one)) ?? usable[0]!;
  const further = usable.filter((one) => one !== main);
  const second = further.find(looser) ?? further[0];
  const taken = [
    { metric: "exact_match", from: main },
    ...(second ? [{ metric: "exact_match_flexible", from: second }] : []),
  ];
  const because = read.flatMap((one) => ("because" in one ? [`filter ${one.name} is left out: ${one.because}`] : []));
  const spare = further
    .filter((one) => one !== second)
    .map(({ name }) => `filter ${name} is left out: two filters at most are computed`);
  const told = taken.map(({ metric, from }) => `${metric} is that of the filter ${from.name}`);
  return {
    scores: taken.map(({ metric, from }) => ({ ...from.rule, metric })),
    notes: [...leftOut(others), ...(pipelines.length > 1 ? told : []), ...because, ...spare],
  };
}

const known = ["metric", "aggregation", "higher_is_better", "hf_evaluate"];

type ExactRule = Extract<ScoreRule, { by: "exact" }>;

function exactRule(yaml: MergedYaml, metric: ListedMetric, index: number): ExactRule {
  const { ignore_case = false, ignore_punctuation = false, regexes_to_ignore = [], ...rest } = metric;
  const path = ["metric_list", index];
  const stray = Object.keys(rest).find((key) => !known.includes(key) && rest[key] !== false);
  if (stray !== undefined)
    throw yaml.fault(path, `\`${stray}\` of exact_match is not known here.`, {
      hint: "Known are ignore_case, ignore_punctuation and regexes_to_ignore.",
    });
  const patterns = Array.isArray(regexes_to_ignore) ? regexes_to_ignore : [];
  for (const pattern of patterns)
    if (typeof pattern !== "string" || !isExpression(pattern))
      throw yaml.fault(path, `\`regexes_to_ignore\`: "${String(pattern)}" means nothing outside Python.`, {
        hint: "Write it with what Python and JavaScript share.",
      });
  return {
    by: "exact",
    metric: "exact_match",
    clean: patterns.map((pattern: string) => ({ pattern, with: "" })),
    ignoreCase: ignore_case === true,
    ignorePunctuation: ignore_punctuation === true,
    trim: false,
  };
}

type Pipeline = { name: string; rule: ExactRule } | { name: string; because: string };

/** The whole of an answer, less the blanks around it. */
const everything = "[\\s\\S]+";

/** A list of filters as one extraction. The first answer is the only one. */
function pipeline({ name, filter }: FilterList, rule: ExactRule): Pipeline {
  let extract: ExactRule["extract"];
  for (const { function: step, ...said } of filter) {
    if (step === "take_first") continue;
    if (typeof step !== "string" || codeIn(said) !== undefined) return { name, because: "it runs Python code" };
    if (step === "remove_whitespace") {
      // What an expression finds has none around it.
      extract ??= { first: everything };
      continue;
    }
    if (step === "lowercase" && rule.ignoreCase) continue;
    if (step !== "regex") return { name, because: `${step} is not built` };
    if (extract && "first" in extract && extract.first !== everything)
      return { name, because: "an expression after another is not built" };
    const {
      regex_pattern: pattern = "#### (\\-?[0-9\\.\\,]+)",
      group_select: select = 0,
      fallback = "[invalid]",
      ...rest
    } = said;
    const [stray] = Object.keys(rest);
    if (stray !== undefined) return { name, because: `\`${stray}\` of regex is not known` };
    if (typeof pattern !== "string" || !isExpression(pattern))
      return { name, because: "its expression means nothing outside Python" };
    if (select !== 0 && select !== -1) return { name, because: `group_select ${String(select)} is neither 0 nor -1` };
    if (typeof fallback === "string" && !/^\[?(invalid|no_match|none)\]?$|^$/i.test(fallback))
      return { name, because: `its fallback "${fallback}" could be an answer` };
    extract = select === 0 ? { first: pattern } : { last: pattern };
  }
  return { name, rule: extract ? { ...rule, extract } : rule };
}
