import type { Benchmark, MeasurementConfig } from "../benchmark/index.js";
import { BenchError } from "../errors.js";
import { usualName } from "../metrics.js";
import { nearest } from "../yaml.js";

/** Patterns (`*` stands for anything) over `variant`, `measurement` or `variant/measurement`. */
export interface Selected {
  only?: string[];
  exclude?: string[];
}

/** Throws a BenchError with code `config` for a pattern that stands for nothing: it is a slip of the pen. */
export function selection(
  { variants, measurements }: Benchmark,
  { only = [], exclude = [] }: Selected,
): (variant: string, measurement: SelectedMeasurement) => boolean {
  const read = (flag: string, pattern: string): Pattern[] => {
    const meant = [[pattern], pattern.split(",").map((part) => part.trim().replace(/[^/]+$/, usualName))].map((each) =>
      each.map(matcher),
    );
    const stands = (matches: Pattern) =>
      variants.some(({ name }) => measurements.some((measurement) => matches(name, measurement)));
    const found = meant.find((each) => each.every(stands));
    if (found) return found;
    throw new BenchError("config", `--${flag} ${pattern}: there is no variant and no measurement of that name`, {
      hint: nearest(
        pattern,
        [...measurements, ...variants].map(({ name }) => name),
      ),
    });
  };
  const taken = only.flatMap((pattern) => read("only", pattern));
  const left = exclude.flatMap((pattern) => read("exclude", pattern));
  return (variant, measurement) =>
    (taken.length === 0 || taken.some((matches) => matches(variant, measurement))) &&
    !left.some((matches) => matches(variant, measurement));
}

/** A measurement by its name, or by that of the entry that it is a part of. */
type SelectedMeasurement = Pick<MeasurementConfig, "name" | "group">;
type Pattern = (variant: string, measurement: SelectedMeasurement) => boolean;

/** `*` stands for anything; the pattern is of a variant, of a measurement, or of `variant/measurement`. */
function matcher(pattern: string): Pattern {
  const parts = pattern.split("*").map((part) => part.replace(/[.+?^${}()|[\]\\]/g, "\\$&"));
  const test = new RegExp(`^${parts.join(".*")}$`, "s");
  return (variant, { name, group }) =>
    [name, ...(group === undefined ? [] : [group])].some((measurement) =>
      [variant, measurement, `${variant}/${measurement}`].some((name) => test.test(name)),
    );
}
