import { existsSync } from "node:fs";
import { join } from "node:path";
import { readSeries } from "../baseline.js";
import { BenchError, exitCodes } from "../errors.js";
import { harmless, harmlessJson, several } from "../harmless.js";
import { type Asked, comparedIn, type Pair, verdictsOver } from "../judge/index.js";
import { alsoCalled, isMeantBy, usualName } from "../metrics.js";
import { replay } from "../replay/index.js";
import { compared } from "../reports/compared.js";
import { wrap } from "../reports/text.js";
import { type Series, seriesFrom } from "../stats/series.js";
import { readEvents } from "../store/index.js";
import { say } from "../terminal.js";
import { nearest } from "../yaml.js";
import type { Surroundings } from "./command.js";
import { checkRun, runFolders, runOf, runsFolder, sayIfMeasured } from "./folder.js";

export interface CompareCommand {
  /** A run's folder, `RUN:VARIANT`, a variant of the latest run, or a baseline's file. */
  a: string;
  b: string;
  /** Compare these only; `tg` stands for every generation speed. */
  metrics?: string[] | undefined;
  /** Everything as JSON on stdout. */
  json?: boolean;
}

/** Compares two runs, or two variants, and says which differences are real; undecided where nothing can be compared. */
export async function compareCommand({ a, b, metrics, json }: CompareCommand, where: Surroundings): Promise<number> {
  const { stdout } = where;
  let latest: string | undefined;
  const latestRun = () => {
    latest ??= runFolders().length > 0 ? runOf(undefined, where) : undefined;
    return latest;
  };
  const [first, second] = [sideOf(a, latestRun), sideOf(b, latestRun)];
  for (const path of new Set([first.path, second.path])) if (path !== latest) sayIfMeasured(path, where);
  const across = first.path !== second.path;
  const shown = (name: string, side: "a" | "b") =>
    across ? `${name} (${(side === "a" ? first : second).path})` : name;
  const verdicts = verdictsOver(
    [pairsOf(first, second)],
    (name, side) => (side === "a" ? first : second).series.filter(({ variant }) => variant.name === name),
    {
      across,
      complete: true,
      // Of one run its report tells the same.
      beside: across ? [] : comparedIn(first.all),
      ...(metrics ? { metrics: metricsOf([...first.series, ...second.series], metrics) } : {}),
      shown,
    },
  );
  // What is piped on is searched by line.
  const width = stdout.columns || Infinity;
  const drawn = verdicts.questions.map(({ title, pairs }) => {
    const sides = sidesOf(pairs, [first.path, second.path]);
    return compared({ title, sides, pairs, shown }, width);
  });
  const notes = verdicts.notes.map((note) => wrap(harmless(note), width));
  say(stdout, json ? `${harmlessJson(verdicts, 2)}\n` : `${[...drawn, ...notes].join("\n\n")}\n`);
  const isEmpty = !verdicts.questions.some(({ pairs }) =>
    pairs.some(({ results }) => results.some(({ comparison }) => comparison)),
  );
  return isEmpty ? exitCodes.gateUndecided : exitCodes.allMeasured;
}

/** Heads of the two columns: the variants, or the runs if there are several pairs or both variants have one name. */
function sidesOf(pairs: Pair[], runs: [a: string, b: string]): [a: string, b: string] {
  const [only, ...others] = pairs;
  if (!only || others.length > 0 || only.a === only.b) return runs;
  return [only.a, only.b];
}

interface Side {
  path: string;
  variant: string | undefined;
  series: Series[];
  /** Those of its other variants, too. */
  all: Series[];
}

/** The metrics that are meant, as the runs have them: `ppl` is perplexity, `tg` every generation speed. */
function metricsOf(series: Series[], asked: string[]): string[] {
  const known = [...new Set(series.flatMap(({ observations }) => [...observations.keys()]))];
  return asked.flatMap((name) => {
    const usual = usualName(name);
    const meant = known.filter((one) => isMeantBy(usual, one));
    if (meant.length > 0) return meant;
    throw new BenchError("config", `--metric ${name}: neither side has a metric of that name`, {
      hint: nearest(
        name,
        known.flatMap((one) => [one, ...alsoCalled(one)]),
      ),
    });
  });
}

/** `RUN`, `RUN:VARIANT`, or a variant of the latest run, by its name or the end of it; a folder may have a colon in its name, a variant too. */
function sideOf(text: string, latestRun: () => string | undefined): Side {
  const at = existsSync(text)
    ? -1
    : Array.from(text.matchAll(/:/g), ({ index }) => index).find((i) => existsSync(text.slice(0, i)));
  if (at === undefined) {
    const path = latestRun();
    const all = path === undefined ? [] : readSeries(path);
    const { variant, series } = ofVariant(all, text);
    if (path !== undefined && variant !== undefined) return { path, variant, series, all };
    if (path !== undefined)
      throw new BenchError("config", `${text} is no run, and ${path} has no variant of that name`, {
        hint: nearest(text, [...namesIn(all), ...runFolders().map((name) => join(runsFolder, name))]),
      });
  }
  const path = at === undefined || at < 0 ? text : text.slice(0, at);
  const asked = path === text ? undefined : text.slice(path.length + 1);
  checkRun(path);
  const all = existsSync(path) ? readSeries(path) : seriesFrom(replay(readEvents(path)));
  if (asked === undefined) return { path, variant: undefined, series: all, all };
  const { variant, series } = ofVariant(all, asked);
  if (variant === undefined)
    throw new BenchError("config", `${path} has no variant named "${asked}"`, { hint: nearest(asked, namesIn(all)) });
  return { path, variant, series, all };
}

const namesIn = (all: Series[]) => [...new Set(all.map(({ variant }) => variant.name))];

/** The variant of a name, or the only one whose name ends with it as a word: `Q4_K_M` of `model-Q4_K_M` and `model-Q4_K_M-im`. */
function ofVariant(all: Series[], asked: string): { variant?: string; series: Series[] } {
  const names = namesIn(all);
  const [only, ...others] = names.includes(asked) ? [asked] : names.filter((name) => name.endsWith(`-${asked}`));
  if (only === undefined || others.length > 0) return { series: [] };
  return { variant: only, series: all.filter(({ variant }) => variant.name === only) };
}

/** One variant each, or the variants of the same name; two runs of one variant each are a pair whatever its name. */
function pairsOf(a: Side, b: Side): Asked {
  const names = (side: Side) => [...new Set(side.series.map(({ variant }) => variant.name))];
  const shown = ({ path, variant }: Side) => (variant === undefined ? path : `${path}:${variant}`);
  const [first, second] = [names(a), names(b)];
  const title = `${shown(a)} → ${shown(b)}`;
  if (a.path === b.path && (a.variant === undefined || b.variant === undefined))
    throw new BenchError("config", "a run compared with itself", {
      hint: "name two of its variants: RUN:VARIANT RUN:VARIANT",
    });
  if (first.length === 1 && second.length === 1) return { title, pairs: [[first[0]!, second[0]!]] };
  const shared = first.filter((name) => second.includes(name));
  if (shared.length === 0)
    throw new BenchError("config", `no variant of ${a.path} is one of ${b.path}`, {
      hint: `name one of each, RUN:VARIANT: ${several(first)} · ${several(second)}`,
    });
  return { title, pairs: shared.map((name) => [name, name]) };
}
