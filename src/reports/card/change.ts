import { changeOf, isAtChance, markOf, type Result, type Verdicts } from "../../judge/index.js";
import { metric as describe } from "../../metrics.js";
import type { CardCell } from "./card.js";

/** A metric of a variant's measurement, compared with the variant's reference. */
export type Changes = (variant: string, measurement: string, metric: string) => Result | undefined;

/** The comparisons of every variant with the one that it is held against. */
export function changesOf({ questions }: Pick<Verdicts, "questions">): Changes {
  const key = (...parts: string[]) => JSON.stringify(parts);
  const found = new Map(
    questions.flatMap(({ base, pairs }) =>
      base === undefined
        ? []
        : pairs.flatMap(({ b, results }) =>
            results.map((result) => [key(b, result.measurement, result.metric), result] as const),
          ),
    ),
  );
  return (...parts) => found.get(key(...parts));
}

/** The unit of a change, which stands in the head of its column. */
export function unitOfChange(metric: string): string {
  const { scale, per } = describe(metric);
  return per === "repetition" ? "×" : scale === "percent" ? "points" : "%";
}

/** `+0.9`; `≈` after it where it is shown not to matter, `?` where it is not shown to be there; in brackets what is only likely. */
export function changeCell(result: Result | undefined): CardCell {
  if (result?.refused !== undefined) return { text: "n/a" };
  const change = result && changeOf(result);
  if (!result?.comparison) return { text: "" };
  const mark = markOf(result);
  if (change === undefined) return { text: mark === "?" && !isAtChance(result.verdict!) ? "?" : "" };
  const { metric, scale, a, difference, low, high } = result.comparison;
  // Bits per byte are compared in bits, and told in per cent as PPL is.
  const share = (amount: number) =>
    scale === "relative" || describe(metric).scale === "percent" ? amount : amount / a;
  const text = change.replace(/ (%|points)$/, "");
  const isLikely = mark === "likely better" || mark === "likely worse";
  return {
    text: isLikely ? `(${text})` : mark === "≈" || mark === "?" ? `${text} ${mark}` : text,
    ...(Number.isFinite(difference) ? { value: share(difference) } : {}),
    ...(Number.isFinite(low) ? { low: share(low), high: share(high) } : {}),
    unit: "1",
  };
}
