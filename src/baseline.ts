import { existsSync, readFileSync, statSync } from "node:fs";
import { BenchError, messageOf } from "./errors.js";
import { seriesFault } from "./events.js";
import { impossibleIn, isMetric } from "./metrics.js";
import { type Run, replay } from "./replay/index.js";
import type { Observation } from "./stats/comparison.js";
import { believed, type Series, seriesFrom } from "./stats/series.js";
import { readEvents } from "./store/index.js";
import { byNumber } from "./units.js";

const format = "gguf-bench baseline 1";

/**
 * A run as a text to keep in git: JSON lines, first what it is, then per variant and measurement what was measured and
 * where, then one line per item, all of it sorted, so that a changed figure is a changed line. Values have nine digits:
 * far below any noise, and a few MB for a dozen variants over a whole test set.
 */
export function baselineText(run: Run): string {
  const { plan } = run;
  const series = seriesFrom(run).filter(({ missing, broken }) => missing === undefined && broken === undefined);
  if (!plan || series.length === 0)
    throw new BenchError("nothing-run", "this run holds no finished measurement, so there is nothing to keep", {
      hint: "run it to its end first",
    });
  const head = { format, name: plan.name, versions: plan.provenance.versions };
  const sorted = series.map((one) => ({ one, key: keyOf(one) })).sort((a, b) => compareText(a.key, b.key));
  return [head, ...sorted.map(({ one }) => about(one)), ...sorted.flatMap(({ one, key }) => lines(one, key))]
    .map((line) => `${JSON.stringify(line)}\n`)
    .join("");
}

/** The series of a run's folder, or of a baseline's file. */
export function readSeries(place: string): Series[] {
  return existsSync(place) && statSync(place).isDirectory()
    ? seriesFrom(replay(readEvents(place)))
    : readBaseline(place);
}

/** Reads what `baselineText` wrote. Throws a BenchError that names the line. */
export function readBaseline(file: string): Series[] {
  let text: string;
  try {
    text = readFileSync(file, "utf8");
  } catch (cause) {
    const why = existsSync(file)
      ? `the baseline ${file} cannot be read: ${messageOf(cause)}`
      : `there is no baseline ${file}`;
    throw new BenchError("baseline-missing", why, {
      hint: `make one of a run that you trust: gguf-bench baseline RUN --out ${file}`,
      cause,
    });
  }
  const series = new Map<string, Draft>();
  for (const [index, line] of text.trimEnd().split("\n").entries())
    try {
      const value = JSON.parse(line);
      if (index === 0) {
        if (value.format !== format) throw new Error(`its first line does not say "${format}"`);
      } else if (Array.isArray(value)) addItem(series, value as ItemLine);
      else {
        const fault = seriesFault(value);
        if (fault) throw new Error(fault);
        series.set(keyOf(value), { ...value, observations: new Map() });
      }
    } catch (cause) {
      throw new BenchError("baseline-damaged", `${file}:${index + 1} is no line of a baseline: ${messageOf(cause)}`, {
        hint: "make it again: gguf-bench baseline RUN --out FILE",
        cause,
      });
    }
  return believed([...series.values()]);
}

/**
 * The same rounding as in the file, for what is compared with it: a run against its own baseline then differs by nothing.
 */
export function asInBaseline(series: Series): Series {
  const observations = new Map(
    Array.from(series.observations.keys(), (metric) => [
      metric,
      series.observations.get(metric)!.map((one) => ({ ...one, value: rounded(one.value) ?? Number.NaN })),
    ]),
  );
  return { ...series, observations };
}

/** A series while its lines are read. */
type Draft = Series & { observations: Map<string, Observation[]>; clusters?: Map<string, string> };

/** `[value, weight]`, or the value alone where the weight is 1; null for what is not a number. */
type ItemValue = number | null | [number | null, number];
type ItemLine = [key: string, item: string, values: Record<string, ItemValue>, cluster?: string];

const keyOf = ({ variant, job }: Pick<Series, "variant" | "job">) => `${variant.name}/${job.measurement}`;
const compareText = (a: string, b: string) => (a < b ? -1 : a > b ? 1 : 0);
const rounded = (value: number) => (Number.isFinite(value) ? Number(value.toPrecision(9)) : null);

/** Without what only the machine that measured it knows. */
function about({ variant, job, engine, machine, file, foreign, loads }: Series) {
  const { facts, ...rest } = variant;
  return {
    variant: { ...rest, ...(facts ? { facts: { ...facts, files: [] } } : {}) },
    job,
    engine,
    machine,
    file,
    foreign,
    loads,
  };
}

function lines({ observations, clusters }: Series, key: string): ItemLine[] {
  const items = new Map<string, Record<string, ItemValue>>();
  for (const metric of [...observations.keys()].sort())
    for (const { item, value, weight } of observations.get(metric)!) {
      const values = items.get(item) ?? {};
      values[metric] = weight === 1 ? rounded(value) : [rounded(value), weight];
      items.set(item, values);
    }
  return Array.from(items, ([item, values]): ItemLine => {
    const cluster = clusters?.get(item);
    return cluster === undefined ? [key, item, values] : [key, item, values, cluster];
  }).sort(([, a], [, b]) => byNumber(a, b));
}

function addItem(all: Map<string, Draft>, [key, item, values, cluster]: ItemLine): void {
  const series = all.get(key);
  if (!series || typeof item !== "string") throw new Error(`"${key}" was not introduced before`);
  for (const [metric, found] of Object.entries(values)) {
    const [value, weight] = Array.isArray(found) ? found : [found, 1];
    if (!isMetric(metric)) throw new Error(`no metric of this version is named "${metric}"`);
    if (!(value === null || Number.isFinite(value)) || !Number.isFinite(weight))
      throw new Error(`the value of ${metric} is no number`);
    const impossible = impossibleIn(metric, value, weight);
    if (impossible !== undefined) throw new Error(impossible);
    const list = series.observations.get(metric) ?? [];
    list.push({ item, value: value ?? Number.NaN, weight });
    series.observations.set(metric, list);
  }
  if (cluster === undefined) return;
  series.clusters ??= new Map();
  series.clusters.set(item, cluster);
}
