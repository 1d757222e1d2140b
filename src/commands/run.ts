import { existsSync } from "node:fs";
import path from "node:path";
import {
  flagOf,
  flagsOf,
  type QuickOptions,
  quickBenchmark,
  readBenchmark,
  sortArguments,
} from "../benchmark/index.js";
import { definite } from "../definite.js";
import { BenchError, exitCodes } from "../errors.js";
import type { Event, JobRecord } from "../events.js";
import { type Executor, localPlace, shownQueue } from "../executors/index.js";
import { harmless, harmlessJson } from "../harmless.js";
import { measurements } from "../measurements/index.js";
import { withoutKeeping } from "../models/cache.js";
import { makePlan, type Plan } from "../plan/index.js";
import { Fold, hasShare, isTimed, progressOf, type Run, replay } from "../replay/index.js";
import { readPublished } from "../reports/card/index.js";
import type { Wishes } from "../reports/choice.js";
import { factsFrom, writeReports } from "../reports/index.js";
import { nextTiming, run } from "../run/index.js";
import type { Share } from "../share.js";
import { readEvents, Store } from "../store/index.js";
import { onLost, say, type Writer } from "../terminal.js";
import { openView, type StopKind, type View } from "../tui/index.js";
import { counted } from "../units.js";
import { Comparing } from "./changes.js";
import { type FolderOptions, foldersOf, type Surroundings } from "./command.js";
import { describePlan, planAsJson } from "./describe.js";
import { checkPlace, folderOfQuestion, forget, runsFolder } from "./folder.js";
import { exitCode, isMeasured, sayConclusion, writeTables } from "./outcome.js";
import { stopper, unlessStopped } from "./stop.js";
import { versions } from "./versions.js";

export interface RunCommand
  extends Omit<QuickOptions, "measurements" | "models" | "flags" | keyof FolderOptions>,
    FolderOptions,
    Wishes {
  /** A benchmark file, or models; what each is shows by its ending or content. */
  named?: string[];
  /** A benchmark file of whatever name; without one, `models` and `named` say what is measured. */
  file?: string;
  /** Models, whatever they are named. */
  models?: string[];
  /** The variant that others are compared with; by default the one with the most bits per weight. */
  reference?: string;
  /** The run's folder; by default named after the benchmark, in `reports/`. */
  out?: string;
  only?: string[];
  exclude?: string[];
  dryRun?: boolean;
  /** Measure this shard of the plan alone. */
  shard?: Share;
  /** Times the speed of an existing run once more, as another session in its folder. */
  again?: boolean;
  /** Bytes that engines may use. */
  memoryLimit?: number;
  /** How many variants may be measured side by side, see `RunOptions`. */
  parallel?: number;
  /** Seconds without a sign of life after which a job is given up. */
  timeout?: number;
  /** Events as JSON lines on stdout. */
  json?: boolean;
  /** Lines even on a terminal. */
  plain?: boolean;
  /** The Redis by which workers on other machines measure; see `QueueOptions`. */
  queue?: string;
  tags?: string[];
  speedHost?: string;
  /** As typed, for the provenance. */
  command?: string[];
  /** Flags, see `QuickOptions`. */
  [flag: string]: unknown;
  /** Where engines run; closed at the end. A dry run has none. */
  executor?: Executor | undefined;
}

/** Measures what a benchmark file or the flags ask for, and writes the tables. Returns the exit code. */
export async function runCommand(said: RunCommand, where: Surroundings): Promise<number> {
  const { stdout, stderr } = where;
  const folders = foldersOf(said, where);
  const options = { ...said, ...folders };
  const { executor } = options;
  const stop = stopper(
    () => executor?.stop(),
    () => void executor?.close(),
  );
  if (executor) onLost(() => stop.signal.aborted || stop.ask("graceful"));
  try {
    const asked = await askedOf(options, folders);
    const read = await benchmarkOf(asked, { ...folders, env: where.env });
    if (read.published !== undefined) await readPublished(path.resolve(read.baseDir, read.published));
    const benchmark = { ...read, ...definite({ memoryLimit: read.memoryLimit ?? executor?.memory }) };
    const planned = () =>
      unlessStopped(
        makePlan(benchmark, {
          command: withoutSecretsOf(options),
          versions: versions(),
          place: executor?.place ?? localPlace,
          signal: stop.signal,
          ...definite({
            only: options.only,
            exclude: options.exclude,
            reference: options.reference,
            shard: options.shard,
          }),
        }),
        stop.signal,
      );
    const waiting = stdout.isTTY && !options.json ? sayWhenLong(benchmark.variants.length, stderr) : undefined;
    const plan = await (executor ? planned() : withoutKeeping(planned)).finally(() => clearTimeout(waiting));
    if (plan && !executor) {
      const shown = options.again ? againIn(folderOf(plan, asked), plan) : plan;
      say(stdout, options.json ? planAsJson(shown) : describePlan(shown));
      return foreseenCode(shown);
    }
    if (!plan || !executor) {
      stderr.write("Stopped; the same command goes on where it ended.\n");
      return exitCodes.stopped;
    }
    const folder = folderOf(plan, asked);
    if (options.again) checkAgain(folder, plan);
    checkPlace(folder);
    const isNew = !existsSync(folder);
    const fold = new Fold();
    const store = Store.open(folder, (event) => fold.add(event));
    const timing = nextTiming(fold.run, plan, options.again);
    if (!options.json) say(stdout, supersededNote(folder, fold.run, plan));
    if (!options.json) say(stdout, plan.notes.map((note) => `${harmless(note)}\n`).join(""));
    const view = await viewOf(options, where, stop.ask);
    const comparing = new Comparing(view, fold.run);
    try {
      view.resume(fold.run);
      const how = {
        executor,
        done: progressOf(fold.run, timing),
        timing,
        signal: stop.signal,
        ...definite({ parallel: options.parallel }),
      };
      for await (const event of run(plan, how)) {
        const stored = store.append(event);
        if (stored) fold.add(stored);
        view.handle(event);
        comparing.look();
      }
    } catch (error) {
      // The first error is the one to report; the tables can be made again.
      const tables = async () => writeReports(folder, factsFrom(fold.run, folder));
      if (store.isInPlace()) await tables().catch(() => {});
      throw error;
    } finally {
      await view.close();
      store.close();
    }
    const facts = factsFrom(fold.run, folder);
    // A signal that comes when all is measured stops nothing.
    const stopped = fold.run.sessions.at(-1)?.outcome === "stopped";
    // Who names a folder gets one, whatever became of the run.
    if (isNew && options.out === undefined && !options.shard && !isMeasured(facts.table)) forget(folder);
    else await writeTables(folder, facts);
    if (!options.json) sayConclusion(folder, facts, where, { stopped, wishes: options });
    const code = plan.shard && !stopped ? shardCode(plan, fold.run) : exitCode(facts, stopped);
    // The figures of earlier sessions stand.
    // A job whose model came on the way has another id than before.
    const failed = fold.run.plan?.jobs.some(({ id }) => fold.run.jobs.get(id)?.failedIn(timing.session));
    return code === exitCodes.allMeasured && failed ? exitCodes.someFailed : code;
  } finally {
    stop.end();
    await executor?.close();
  }
}

/** Every byte of the models is read for its digest, which takes minutes for the largest ones. */
const sayWhenLong = (models: number, stderr: Writer) =>
  setTimeout(() => stderr.write(`reading ${counted(models, "model")} …\n`), 1500);

/** The command as it may be written down. */
const withoutSecretsOf = ({ command = [], queue }: RunCommand) =>
  command.map((word) => (queue ? word.replaceAll(queue, shownQueue(queue)) : word));

function folderOf(plan: Plan, { out, file, reference }: RunCommand): string {
  if (out !== undefined) return out;
  const { shard } = plan;
  if (!file) return folderOfQuestion(plan, reference);
  return path.join(runsFolder, shard ? `${plan.name}-${shard.part}-of-${shard.of}` : plan.name);
}

/** The exit code of a shard: what it leaves to others is not missing here. */
function shardCode({ jobs }: Plan, run: Run): number {
  const left = jobs.filter(({ record }) => {
    const result = run.jobs.get(record.id);
    return record.impossible === undefined && !result?.done && !hasShare(record, result?.shares);
  });
  return left.length > 0 ? exitCodes.someFailed : exitCodes.allMeasured;
}

/** Throws where there is nothing to time once more: no run, or no speed in it. */
function checkAgain(folder: string, { jobs }: Plan): void {
  if (!existsSync(path.join(folder, "events.jsonl")))
    throw new BenchError("nothing-run", `${folder} holds no run yet that could be timed once more`, {
      hint: "run the same command without --again first, or name the run's folder with --out",
    });
  if (!jobs.some(({ record }) => isTimed(record) && record.impossible === undefined))
    throw new BenchError("config", "--again times speed once more, and nothing is timed here", {
      hint: "add --measure speed, or `speed` to the measurements of the file",
    });
}

/** The part of the plan that another session is made of. */
function againIn(folder: string, plan: Plan): Plan {
  checkAgain(folder, plan);
  const run = replay(readEvents(folder));
  const timing = nextTiming(run, plan, true);
  const done = progressOf(run, timing);
  const jobs = plan.jobs.filter(({ record }) => !done.get(record.id)?.complete);
  const timed = jobs.filter(({ record }) => isTimed(record)).length;
  const begun = timing.again ? "times speed once more" : "is not finished, and goes on";
  return {
    ...plan,
    jobs,
    notes: [`Session ${timing.session} of speed in ${folder} ${begun}: ${counted(timed, "job")}.`, ...plan.notes],
  };
}

/** One line where results of an earlier session no longer count, because their identity is another one now. */
function supersededNote(folder: string, { plan: before, jobs: stored }: Run, { jobs, provenance }: Plan): string {
  if (!before) return "";
  // A job whose model is not here yet has no final id.
  const final = jobs.filter(({ identified }) => identified);
  const now = new Map(final.map(({ record }) => [`${record.variant}/${record.measurement}`, record.id]));
  const kept = before.jobs.filter(({ id }) => stored.get(id)?.done);
  const anew = kept.filter(({ variant, measurement }) => {
    const id = now.get(`${variant}/${measurement}`);
    return id !== undefined && !stored.get(id)?.done;
  });
  if (anew.length === 0) return "";
  const own = "gguf-bench";
  const [then, version] = [before.provenance.versions[own], provenance.versions[own]];
  const changed = then === version ? `${own} itself` : `${own} itself (${then} then, ${version} now)`;
  return `${anew.length} of ${kept.length} results in ${harmless(folder)} are measured anew: the model, the data, the settings or ${changed} changed since.\n`;
}

/** The options with the arguments sorted: a benchmark file alone, or models. Says which flags a file leaves no room for. */
async function askedOf(options: RunCommand, folders: FolderOptions): Promise<RunCommand> {
  const { named = [], models = [] } = options;
  const sorted = await sortArguments(named, { ...folders, models });
  const file = options.file ?? sorted.file;
  if (file === undefined) return { ...options, models: [...models, ...sorted.models] };
  const { measures, file: _, ...rest } = options;
  const idle = measures ? "measure" : Object.keys(flagsOf(rest, measurements))[0];
  if (idle !== undefined)
    throw new BenchError(
      "config",
      `${flagOf(idle)} has no meaning beside a benchmark file: ${file} says what is measured`,
      {
        hint:
          idle === "measure"
            ? `--only ${measures![0]} measures that alone`
            : `leave ${flagOf(idle)} out, or set it in the file`,
      },
    );
  return { ...options, file };
}

async function benchmarkOf(options: RunCommand, places: FolderOptions & Pick<Surroundings, "env">) {
  const benchmark = options.file
    ? await readBenchmark(options.file, { measurements, ...places })
    : await quickBenchmark({
        ...places,
        ...definite({ measures: options.measures }),
        measurements,
        models: options.models ?? [],
        flags: flagsOf(options, measurements),
      });
  return { ...benchmark, ...definite({ memoryLimit: options.memoryLimit, timeout: options.timeout }) };
}

async function viewOf(
  { json, plain = false }: RunCommand,
  { stdout, env }: Surroundings,
  onStop: (kind: StopKind) => void,
): Promise<View> {
  return json ? jsonLines(stdout) : openView({ onStop, plain, stdout, env });
}

function jsonLines(stdout: Writer): View {
  const write = (event: Event) => {
    // The values of single tokens are binary files beside the events.
    say(stdout, `${harmlessJson(event.type === "samples" ? { ...event, tokens: undefined } : event)}\n`);
  };
  return { resume: () => {}, handle: write, close: async () => {} };
}

/** The exit code with which a run of the plan would end, as far as the files tell. */
function foreseenCode({ jobs, variants, preparations }: Plan): number {
  const failed = new Set(variants.flatMap(({ name, failure }) => (failure ? [name] : [])));
  const open = ({ impossible, variant }: JobRecord) => impossible === undefined && !failed.has(variant);
  // A model that is not here yet may turn out to be impossible.
  if (preparations.length === 0 && !jobs.some(({ record }) => open(record))) return exitCodes.badInput;
  return failed.size > 0 ? exitCodes.someFailed : exitCodes.allMeasured;
}
