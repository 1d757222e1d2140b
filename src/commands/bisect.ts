import { existsSync, realpathSync, statSync } from "node:fs";
import path from "node:path";
import type { Settings } from "../backends/backend.js";
import { settingsOf } from "../backends/index.js";
import { type Benchmark, flagsOf, quickBenchmark, type VariantConfig } from "../benchmark/index.js";
import { definite } from "../definite.js";
import { sha256 } from "../digest.js";
import { BenchError, exitCodes } from "../errors.js";
import type { Executor } from "../executors/index.js";
import { harmless, several } from "../harmless.js";
import { type Check, gate, parseRule, type Rule } from "../judge/index.js";
import { measurements } from "../measurements/index.js";
import { isMeantBy, meant } from "../metrics.js";
import { librariesIn } from "../models/builds.js";
import { makePlan, type Plan } from "../plan/index.js";
import { Fold, type JobProgress, progressOf } from "../replay/index.js";
import { factsFrom } from "../reports/index.js";
import { nextTiming, run } from "../run/index.js";
import { type Series, seriesFrom } from "../stats/series.js";
import { Store } from "../store/index.js";
import { say } from "../terminal.js";
import { openView } from "../tui/index.js";
import { counted } from "../units.js";
import { type FolderOptions, foldersOf, type Surroundings } from "./command.js";
import { checkPlace } from "./folder.js";
import { writeTables } from "./outcome.js";
import { stopper, unlessStopped } from "./stop.js";
import { versions } from "./versions.js";

export interface BisectCommand extends FolderOptions {
  /** Folders of llama.cpp's programs, or of libllama, in order. */
  builds: string[];
  /** Of the gate; a limit on a change is one from the good build. */
  rules: string[];
  model: string;
  /** By default what the rules ask of. */
  measures?: string[];
  /** `llama-tools` or `llama`; by default the programs unless a build has libllama alone. */
  backend?: string;
  /** A build that is known to keep the rules, in place of the first; and one that is known to break one, in place of the last. */
  good?: string;
  bad?: string;
  /** The run's folder, with every measurement. */
  out?: string;
  /** Seconds without a sign of life after which a measurement is given up. */
  timeout?: number;
  /** As typed, for the provenance. */
  command?: string[];
  /** Flags, see `QuickOptions`. */
  [flag: string]: unknown;
  executor?: Executor;
}

/** What became of one build. */
export interface Judged {
  answer: "good" | "bad" | "skipped";
  sentence: string;
}

/** Where builds change from good to bad: by their places. */
export interface Change {
  /** The last good one and the first bad one that were found. */
  good: number;
  bad: number;
  /** Those in between, of which nothing could be found out. */
  skipped: number[];
}

/**
 * Finds where builds turn from good to bad, between one that is good and one after it that is bad, asking as few as a binary
 * search does. One of which nothing can be found out is passed over, and the nearest to the middle of the others is asked.
 */
export async function firstBad(
  { good, bad }: { good: number; bad: number },
  ask: (place: number) => Promise<Judged["answer"]>,
): Promise<Change> {
  const skipped = new Set<number>();
  for (;;) {
    const between = Array.from({ length: bad - good - 1 }, (_, i) => good + 1 + i);
    const middle = (good + bad) / 2;
    const [next] = between
      .filter((place) => !skipped.has(place))
      .sort((a, b) => Math.abs(a - middle) - Math.abs(b - middle) || a - b);
    if (next === undefined) return { good, bad, skipped: between };
    const answer = await ask(next);
    if (answer === "good") good = next;
    else if (answer === "bad") bad = next;
    else skipped.add(next);
  }
}

/** Says which of ordered builds is the first that breaks a rule. Returns the exit code: 3 where there is one, 0 where none does, 4 where it cannot be told. */
export async function bisectCommand(asked: BisectCommand, where: Surroundings): Promise<number> {
  const executor = asked.executor!;
  const stop = stopper(
    () => executor.stop(),
    () => void executor.close(),
  );
  try {
    const rules = asked.rules.map(parseRule);
    const ends = endsOf(asked);
    const benchmark = await benchmarkOf(asked, rules, where);
    const options = { command: asked.command ?? [], versions: versions(), place: executor.place, signal: stop.signal };
    const plan = await unlessStopped(makePlan(benchmark, options), stop.signal);
    if (!plan) return stopped(where);
    checkRules(rules, plan);
    const folder = asked.out ?? path.join("reports", folderName(plan));
    checkPlace(folder);
    const builds = new Builds(plan, folder, {
      executor,
      signal: stop.signal,
      where,
    });
    try {
      const tell = (line: string) => say(where.stdout, `${harmless(line, { length: 2000 })}\n`);
      return (await new Search(builds, rules, tell).run(ends)) ?? stopped(where);
    } finally {
      await builds.close();
    }
  } finally {
    stop.end();
    await executor.close();
  }
}

function stopped({ stderr }: Surroundings): number {
  stderr.write("Stopped; the same command goes on where it ended.\n");
  return exitCodes.stopped;
}

/** A search over builds, told line by line. */
class Search {
  readonly #said = new Map<number, Judged>();
  /** The build that a change is measured from. */
  #from: number | undefined;

  constructor(
    private readonly builds: Builds,
    private readonly rules: Rule[],
    private readonly tell: (line: string) => void,
  ) {}

  /** The exit code; undefined when the user stops it. */
  async run(told: { good?: number; bad?: number }): Promise<number | undefined> {
    const { names } = this.builds;
    if (told.good !== undefined) await this.#startFrom(told.good);
    const good = told.good ?? (await this.#firstTold(names.map((_, place) => place).slice(0, -1)));
    if (good === undefined || this.builds.signal.aborted) return this.#nothing();
    if (good !== told.good && this.#said.get(good)?.answer === "bad") {
      this.tell(`The first build that can be measured breaks a rule already: ${names[good]}.`);
      return exitCodes.gateFailed;
    }
    this.#from = good;
    const after = names.map((_, place) => place).slice(good + 1);
    const bad = told.bad ?? (await this.#firstTold(after.toReversed()));
    if (bad === undefined || this.builds.signal.aborted) return this.#nothing();
    if (bad !== told.bad && this.#said.get(bad)?.answer === "good") {
      this.tell(`No build breaks a rule, as far as they were measured: ${names[bad]} keeps them.`);
      return exitCodes.allMeasured;
    }
    const change = await firstBad({ good, bad }, (place) => this.#ask(place));
    if (this.builds.signal.aborted) return undefined;
    this.#conclude(change);
    return change.skipped.length === 0 ? exitCodes.gateFailed : exitCodes.gateUndecided;
  }

  /** A build that is good, as the user says, need be measured only where a rule sets a limit on the change from it. */
  async #startFrom(place: number): Promise<void> {
    if (!this.rules.some(({ limit }) => limit.kind === "change" || limit.kind === "flips")) return;
    await this.builds.measure(place);
    const missing = this.builds.missing(place);
    if (missing !== undefined && !this.builds.signal.aborted)
      throw new BenchError("nothing-run", `${this.builds.names[place]} could not be measured: ${missing}`, {
        hint: "name another build with --good",
      });
  }

  /** The first of these places of which something can be found out. */
  async #firstTold(places: number[]): Promise<number | undefined> {
    for (const place of places) {
      if ((await this.#ask(place)) !== "skipped") return place;
      if (this.builds.signal.aborted) return undefined;
    }
    return undefined;
  }

  async #ask(place: number): Promise<Judged["answer"]> {
    const judged = await this.builds.judge(place, this.rules, this.#from ?? place);
    if (this.builds.signal.aborted) return "skipped";
    this.#said.set(place, judged);
    this.tell(`${this.builds.names[place]}: ${judged.answer}: ${judged.sentence}`);
    return judged.answer;
  }

  #nothing(): number | undefined {
    if (this.builds.signal.aborted) return undefined;
    this.tell("Nothing can be told: too few builds could be measured.");
    return exitCodes.gateUndecided;
  }

  #conclude({ good, bad, skipped }: Change): void {
    const { names, measuredNow, measuredBefore, folder } = this.builds;
    const about = (place: number) => `${names[place]}: ${this.#said.get(place)?.sentence ?? "as was said"}`;
    this.tell(
      skipped.length === 0
        ? `First bad build: ${about(bad)}`
        : `The first bad build is one of ${several([...skipped, bad].map((place) => names[place]!))}: only of the last could anything be found out.`,
    );
    this.tell(`Last good build: ${about(good)}`);
    const before = measuredBefore > 0 ? `, and ${measuredBefore} before` : "";
    this.tell(`${counted(measuredNow, "build")} of ${names.length} measured${before}; figures: ${folder}`);
  }
}

/** A job of which nothing is left to do. */
const over: JobProgress = { items: new Set(), complete: true };

/** The builds as variants of one plan, each measured when it is asked for, all in one run's folder. */
class Builds {
  readonly names: string[];
  readonly signal: AbortSignal;
  measuredNow = 0;
  measuredBefore = 0;
  readonly #fold = new Fold();
  readonly #store: Store;
  readonly #asked = new Set<string>();

  constructor(
    private readonly plan: Plan,
    readonly folder: string,
    private readonly how: { executor: Executor; signal: AbortSignal; where: Surroundings },
  ) {
    this.names = plan.variants.map(({ name }) => name);
    this.signal = how.signal;
    this.#store = Store.open(folder, (event) => this.#fold.add(event));
  }

  /** Measures what the folder does not have of a build yet. */
  async measure(place: number): Promise<void> {
    const name = this.names[place]!;
    if (this.#asked.has(name)) return;
    this.#asked.add(name);
    const plan = partOf(this.plan, this.#asked);
    const own = plan.jobs.filter(({ record }) => record.variant === name);
    if (own.every(({ record: { id } }) => this.#fold.run.jobs.get(id)?.done)) this.measuredBefore++;
    else this.measuredNow++;
    const { executor, signal, where } = this.how;
    const view = await openView({ plain: true, stdout: where.stderr, env: where.env, onStop: () => {} });
    try {
      view.resume(this.#fold.run);
      // One that failed is not tried again for the sake of another.
      const others = plan.jobs.filter((job) => !own.includes(job)).map(({ record }) => record.id);
      // Builds are timed apart, each in a session of its own.
      const timing = nextTiming(this.#fold.run, plan);
      const done = progressOf(this.#fold.run, timing);
      for (const id of others) done.set(id, over);
      const options = { executor, done, timing, signal };
      for await (const event of run(plan, options)) {
        const stored = this.#store.append(event);
        if (stored) this.#fold.add(stored);
        view.handle(event);
      }
    } finally {
      await view.close();
    }
  }

  /** Why a build has no figures; undefined where it has. */
  missing(place: number): string | undefined {
    const failure = this.#fold.run.plan?.variants.find(({ name }) => name === this.names[place])?.failure;
    const said = failure?.message ?? this.#series(place).find(({ missing }) => missing !== undefined)?.missing;
    return said === undefined ? undefined : this.#ofOwnFolder(place, said);
  }

  /** Builds of the same bytes share their jobs, and a failure names the folder of the one that was measured. */
  #ofOwnFolder(place: number, sentence: string): string {
    const own = this.names[place]!;
    const jobs = this.plan.jobs.map(({ record }) => record);
    const shared = new Set(jobs.flatMap(({ id, variant }) => (variant === own ? [id] : [])));
    const alike = new Set(jobs.flatMap(({ id, variant }) => (variant !== own && shared.has(id) ? [variant] : [])));
    const inside = (folder: string) => `${folder}${path.sep}`;
    return [...alike]
      .flatMap((name) => [path.resolve(name), realpathSync(name)])
      .reduce((said, folder) => said.replaceAll(inside(folder), inside(path.resolve(own))), sentence);
  }

  /** That the builds differ is what is asked about, and need not be noted beside each answer. */
  #series(place: number): Series[] {
    return seriesFrom(this.#fold.run).flatMap((one) => {
      const { variant, engine } = one;
      if (variant.name !== this.names[place]) return [];
      const { tools: _, library: __, ...settings } = variant.settings;
      const alike = { version: "", library: "", ...definite({ rounding: engine?.rounding }) };
      return { ...one, variant: { ...variant, settings }, engine: alike };
    });
  }

  /** Measures a build and asks the rules of it, held against another one. */
  async judge(place: number, rules: Rule[], against: number): Promise<Judged> {
    await this.measure(against);
    await this.measure(place);
    const missing = this.missing(place);
    if (missing !== undefined) return { answer: "skipped", sentence: missing };
    const own = this.#series(place);
    const broken = own.find((one) => one.broken !== undefined)?.broken;
    if (broken !== undefined) return { answer: "bad", sentence: `broken: ${broken}.` };
    const { outcome, checks } = gate(own, this.#series(against), rules);
    const deciding = checks.filter((check) => check.outcome === outcome);
    return {
      answer: ({ passed: "good", failed: "bad", undecided: "skipped" } as const)[outcome],
      sentence: deciding.map((check) => withoutName(check)).join(" "),
    };
  }

  async close(): Promise<void> {
    this.#store.close();
    if (this.#fold.run.plan) await writeTables(this.folder, factsFrom(this.#fold.run, this.folder));
  }
}

/** A check's sentence names its variant, which is told before it here. */
function withoutName({ sentence, variant }: Check): string {
  return sentence.startsWith(`${variant}: `) ? sentence.slice(variant.length + 2) : sentence;
}

/** The places of the builds that were named as good and as bad. */
function endsOf({ builds, good, bad }: BisectCommand): { good?: number; bad?: number } {
  const names = builds.map(nameOf);
  const twice = names.find((name, i) => names.indexOf(name) < i);
  if (twice !== undefined) throw new BenchError("config", `${twice} is named twice`, { hint: "name each build once" });
  if (names.length < 2)
    throw new BenchError("config", "a search needs two builds at least", {
      hint: "name their folders in order: --builds b1 b2 b3",
    });
  const placeOf = (flag: string, name: string | undefined) => {
    if (name === undefined) return undefined;
    const place = names.indexOf(nameOf(name));
    if (place < 0)
      throw new BenchError("config", `--${flag} ${name} is none of the builds`, {
        hint: `there are ${several(names)}`,
      });
    return place;
  };
  const ends = { good: placeOf("good", good), bad: placeOf("bad", bad) };
  if ((ends.good ?? 0) >= (ends.bad ?? names.length - 1))
    throw new BenchError("config", "the good build must come before the bad one", {
      hint: "name the builds in order, from the good one to the bad one",
    });
  return definite(ends);
}

const nameOf = (folder: string) => folder.replace(/(?<=.)[/\\]+$/, "");

/** One variant per build, all else alike. */
async function benchmarkOf(asked: BisectCommand, rules: Rule[], where: Surroundings): Promise<Benchmark> {
  const { builds, measures = measuresFor(rules), model, good, backend: wanted, rules: _, bad: __, ...rest } = asked;
  const options = { ...foldersOf(asked, where), env: where.env, measurements };
  const benchmark = await quickBenchmark({ ...options, models: [model], measures, flags: flagsOf(rest, measurements) });
  const [variant, ...others] = benchmark.variants as [VariantConfig, ...VariantConfig[]];
  if (others.length > 0)
    throw new BenchError("config", `${model} stands for ${others.length + 1} models; builds are compared on one`, {
      hint: "name one model file",
    });
  const backend = wanted ?? (builds.some(hasPrograms) && !builds.some(hasLibraryAlone) ? "llama-tools" : "llama");
  const key = ({ "llama-tools": "tools", llama: "library" } as Record<string, string>)[backend];
  if (key === undefined)
    throw new BenchError("config", `builds cannot be measured by the backend ${backend}`, {
      hint: "take llama-tools (programs) or llama (libllama in process)",
    });
  const known = Object.keys(settingsOf(backend).shape);
  const settings: Settings = Object.fromEntries(
    Object.entries(variant.settings).filter(([name]) => known.includes(name)),
  );
  return {
    ...benchmark,
    ...definite({ timeout: asked.timeout }),
    name: "bisect",
    variants: builds.map((folder) => ({
      ...variant,
      name: nameOf(folder),
      backend,
      reference: nameOf(folder) === nameOf(good ?? builds[0]!),
      settings: { ...settings, [key]: folder },
    })),
  };
}

const hasPrograms = (folder: string) =>
  ["", "bin"].some((inner) =>
    ["llama-perplexity", "llama-perplexity.exe"].some((name) => existsSync(path.join(folder, inner, name))),
  );

/** A folder that holds neither, an empty one say, decides nothing: it is passed over by either backend. */
const hasLibraryAlone = (folder: string) =>
  !hasPrograms(folder) &&
  ["", "lib", "bin"]
    .map((inner) => path.join(folder, inner))
    .some((place) => statSync(place, { throwIfNoEntry: false })?.isDirectory() && librariesIn(place).length > 0);

/** What gives the metrics that rules ask of, where no measurement is named. */
function measuresFor(rules: Rule[]): string[] {
  return [...new Set(rules.map(({ metric }) => (meant(metric)?.per === "repetition" ? "speed" : "perplexity")))];
}

/** Throws before anything is measured where a rule asks of what will not be. */
function checkRules(rules: Rule[], { jobs }: Plan): void {
  const metrics = [...new Set(jobs.flatMap(({ record }) => record.metrics))];
  for (const { text, metric } of rules)
    if (metric !== "flips" && !metrics.some((name) => isMeantBy(metric, name)))
      throw new BenchError("rule", `the rule "${text}" asks of what is not measured`, {
        hint: `add --measure with what gives ${metric}; there will be ${metrics.join(", ")}`,
      });
}

/** The same question has the same folder, so that the same command goes on, whichever builds were added. */
function folderName({ jobs }: Plan): string {
  const questions = [...new Set(jobs.map(({ record }) => record.question ?? record.id))];
  return `bisect-${sha256(questions.sort().join("\n")).slice(0, 8)}`;
}

/** The part of a plan that is about these variants. */
function partOf(plan: Plan, variants: ReadonlySet<string>): Plan {
  return {
    ...plan,
    variants: plan.variants.filter(({ name }) => variants.has(name)),
    jobs: plan.jobs.filter(({ record }) => variants.has(record.variant)),
    preparations: plan.preparations.filter(({ variant }) => variants.has(variant)),
    completed: async (...done) => partOf(await plan.completed(...done), variants),
  };
}
