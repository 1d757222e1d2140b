import { definite } from "../definite.js";
import type { Executor } from "../executors/index.js";
import type { BisectCommand } from "./bisect.js";
import type { Command, Surroundings } from "./command.js";
import {
  bytes,
  chunks,
  dataDir,
  integer,
  library,
  list,
  margin,
  maxSize,
  minSpeed,
  mirror,
  modelsDir,
  names,
  shard,
  spread,
  type Typed,
  templateKwargs,
  threads,
  timeout,
} from "./options.js";
import type { RunCommand } from "./run.js";

export type { BaselineCommand } from "./baseline.js";
export type { BisectCommand } from "./bisect.js";
export type { ChooseCommand } from "./choose.js";
export type { Surroundings } from "./command.js";
export type { CompareCommand } from "./compare.js";
export type { DoctorCommand } from "./doctor.js";
export type { FetchCommand } from "./fetch.js";
export type { GateCommand } from "./gate.js";
export type { ItemsCommand } from "./items.js";
export type { ListCommand } from "./list.js";
export type { ModelsCommand } from "./models.js";
export type { QuantizeCommand } from "./quantize.js";
export type { ReferenceCommand } from "./reference.js";
export type { ReportCommand } from "./report.js";
export type { RunCommand } from "./run.js";
export type { ViewCommand } from "./view.js";
export type { WorkerCommand } from "./worker.js";

/** A command whose code is loaded when it is called, so that `--help` answers at once. Returns the exit code. */
const command = <Asked>(load: () => Promise<Command<Asked>>, { line, asked }: Typed<Asked>) => {
  const call = async (request: Asked, where: Surroundings = process) => (await load())(request, where);
  return Object.assign(call, { line, typed: (...typed: unknown[]) => call(asked(...typed)) });
};

/** All that the command line does, by the names typed there, in the order of the help. A new command: a file beside these, and an entry. */
export const commands = {
  run: command(async () => runCommand, {
    line: (line) =>
      line
        .description("measure variants and write the tables; the same command goes on where an earlier one ended")
        .argument(
          "[what...]",
          "a benchmark file (.yaml, .yml, .json), or models: .gguf files, folders of them, hf:owner/repo:quant",
        )
        .option(
          "-m, --model <path or uri>",
          "a model or a folder of models, the same as WHAT but never a benchmark file; repeatable",
          list,
        )
        .option(
          "--measure <names>",
          "perplexity (default; ppl for short), divergence, speed, or a task such as hellaswag; a,b or repeatable",
          names,
        )
        .option("--reference <name>", "the variant that others are compared with (default: the most bits per weight)")
        .option("--text <file or dataset>", "text for perplexity and divergence, such as book.txt or wikitext-2")
        .option("--base <file>", "stored reference for --measure divergence, see `gguf-bench reference`")
        .option(
          "-c, --context <n>",
          "tokens per chunk of a text (default: 512), or per question (default: what the task needs)",
          integer(1),
        )
        .addOption(chunks())
        .addOption(spread())
        .option(
          "--limit <n>",
          "questions of a task: the first ones, or the first of each subject (default: all)",
          integer(1),
        )
        .option("--split <name>", "the split of a task that is measured (default: what its card says)")
        .option(
          "--shots <n>",
          "solved examples before every question of a task (default: what its card says)",
          integer(0),
        )
        .option("--style <name>", "how the questions of a task are put, one of its card's styles (default: the card's)")
        .option("--subjects <names>", "these subjects or groups of a task alone; a,b or repeatable", names)
        .option("--system <text>", "the system prompt of a task put as a conversation (default: its style's)")
        .option(
          "--template-kwargs <name=value>",
          "a variable of the models' chat templates, such as enable_thinking=false; repeatable",
          templateKwargs,
        )
        .addOption(threads())
        .addOption(library())
        .option("--prompt <n>", "tokens of the prompt speed test; 0: none (default: 512)", integer(0))
        .option("--generate <n>", "tokens of the generation speed test; 0: none (default: 128)", integer(0))
        .option("--repetitions <n>", "how often each speed test is timed (default: 5)", integer(1))
        .addOption(dataDir())
        .addOption(modelsDir())
        .option(
          "-o, --out <folder>",
          "the run's folder (default: in reports/, named by the file, or by the day and the models)",
        )
        .option(
          "--only <pattern>",
          "these variants, measurements or VARIANT/MEASUREMENT alone, * stands for anything; repeatable: what any of them means",
          list,
        )
        .option("--exclude <pattern>", "not these; repeatable", list)
        .option("--memory-limit <size>", "memory that engines may use, such as 4GB (default: what is free)", bytes)
        .option(
          "--parallel <n>",
          "variants measured side by side, never for speed (default: as many as the cores have threads for)",
          integer(1),
        )
        .addOption(timeout("a job"))
        .option(
          "--queue <address>",
          "measure by workers on other machines: redis://HOST:6379, see `gguf-bench worker` (default: here)",
        )
        .option("--tags <names>", "with --queue: only by workers that have all of these tags; a,b or repeatable", names)
        .option("--speed-host <name>", "with --queue: the worker that measures speed (default: the first one)")
        .addOption(shard())
        .option("--again", "time the speed of a run that is there once more, as another session in its folder")
        .option("--dry-run", "print the plan as a table, with estimated memory and time; measure nothing")
        .option("--plain", "lines instead of the live view")
        .option("--json", "events as JSON lines on stdout")
        .addOption(maxSize())
        .addOption(minSpeed())
        .addOption(margin()),
    asked: (named: string[], { model, measure, ...options }) => {
      const command = ["gguf-bench", ...process.argv.slice(2)];
      return { ...options, named, models: model, measures: measure, command };
    },
  }),
  merge: command(async () => (await import("./merge.js")).mergeCommand, {
    line: (line) =>
      line
        .description("join the parts of a run that `run --shard` measured on several machines; needs no model")
        .argument("<runs...>", "the folders of the parts, in any order; one may be there twice, or missing")
        .requiredOption("-o, --out <folder>", "the run that they become; what is there already stays")
        .addHelpText(
          "after",
          `
An item that was measured twice counts once. Refused: a part of another plan, two values of one item, a value that its own
values per token or scores contradict. Figures of two engines or processors are not mixed: each measurement keeps the place
where most of it was measured. What is missing is named; \`gguf-bench run FILE --out FOLDER\` measures it.`,
        ),
    asked: (runs: string[], { out }) => ({ runs, out }),
  }),
  worker: command(async () => (await import("./worker.js")).workerCommand, {
    line: (line) =>
      line
        .description("measure on this machine what `run --queue` asks for on another one, until it is stopped")
        .requiredOption("--queue <address>", "the Redis of both: redis://HOST:6379, or rediss:// with TLS")
        .option("--name <name>", "what it is called beside figures (default: the machine's name)")
        .option("--tags <names>", "labels that `run --tags` asks for, such as gpu; a,b or repeatable", names)
        .option(
          "--models <dir>",
          "a folder of models, with all below it; repeatable (default: $GGUF_BENCH_MODELS)",
          list,
        )
        .option(
          "--allow-source <start>",
          "fetch models that are missing from addresses that begin so; repeatable (default: https://huggingface.co/)",
          list,
        )
        .option("--memory-limit <size>", "memory that engines may use, such as 4GB (default: what is free)", bytes)
        .addOption(threads())
        .addHelpText(
          "after",
          `
A worker opens no file but those of its folders, by links in them, too, and of the cache ($GGUF_BENCH_CACHE); it finds
models there by their bytes, and fetches from nowhere but the sources that it allows. A password stands in the address
or in $GGUF_BENCH_QUEUE_PASSWORD, which no list of processes shows. Ctrl-C ends it after the item at hand; what is left
goes to other workers.`,
        ),
    asked: ({ models, ...options }) => ({ ...options, folders: models }),
  }),
  report: command(async () => (await import("./report.js")).reportCommand, {
    line: (line) =>
      line
        .description("make the tables of a run again from its events; or print it for a model card or another program")
        .argument("[run]", "a run's folder (default: the latest run)")
        .option("--all", "the tables of every run in reports/, as after an update")
        .option("--card", "print the table for a model card, as Markdown; write nothing else")
        .option(
          "--columns <names>",
          "its columns: size, ppl, kld, change, MEASUREMENT, MEASUREMENT.METRIC …, or all; a,b or repeatable",
          names,
        )
        .option("--sort <column>", "its rows, the best of this column first (default: as in the run)")
        .option("--variant <name>", "this variant alone; repeatable (default: all)", list)
        .option(
          "--published <file>",
          "figures of others beside those of the run, such as chinese-llama-3/published.json",
        )
        .option("--format <name>", "md (default), csv, html, json; or a form that another program reads, see below")
        .option("-o, --out <file>", "where it goes (default: stdout)")
        .addHelpText(
          "after",
          `
Forms for other programs:
  model-index              metadata of a model card (README.md on the Hugging Face Hub)
  eval-results             .eval_results/*.yaml of a model on the Hugging Face Hub
  customSmallerIsBetter    github-action-benchmark: perplexity, divergence, size, memory
  customBiggerIsBetter     github-action-benchmark: accuracy and speed
  bencher                  Bencher (\`bencher run --adapter json\`)
  parquet                  table-long.csv with types, for DuckDB and pandas
  parquet-samples          the raw values, one row per chunk, question or repetition`,
        ),
    asked: (run: string | undefined, { variant, ...options }) => ({ ...options, run, variants: variant }),
  }),
  choose: command(async () => (await import("./choose.js")).chooseCommand, {
    line: (line) =>
      line
        .description("say which file of a run to take, in two or three sentences; needs no model")
        .argument("[run]", "a run's folder (default: the latest run)")
        .addOption(maxSize())
        .addOption(minSpeed())
        .addOption(margin())
        .option("--json", "the choice as JSON on stdout")
        .addHelpText(
          "after",
          `
Without a wish: the smallest file that is not shown to be worse than the reference. A file of which a figure is missing is never taken.

Exit codes:
  0 a file is named · 3 no file is as wished · 4 too little was measured to tell · 1 bad input`,
        ),
    asked: (run: string | undefined, options) => ({ ...options, run }),
  }),
  compare: command(async () => (await import("./compare.js")).compareCommand, {
    line: (line) =>
      line
        .description("say which differences between two runs, or two variants of a run, are real")
        .argument("<a>", "a run's folder, RUN:VARIANT, a variant of the latest run, or a baseline file")
        .argument("<b>", "what it is compared with")
        .option(
          "--metric <names>",
          "compare this metric; a,b or repeatable (default: perplexity, kld, acc, speeds)",
          names,
        )
        .option("--json", "everything as JSON on stdout"),
    asked: (a: string, b: string, { metric, ...options }) => ({ ...options, a, b, metrics: metric }),
  }),
  items: command(async () => (await import("./items.js")).itemsCommand, {
    line: (line) =>
      line
        .description("show what a task asked and what each variant answered, side by side; needs no model")
        .argument("[run]", "a run's folder (default: the latest run)")
        .option("--task <name>", "a measurement or a dataset (default: the only task of the run)")
        .option("--variant <name>", "this variant alone; repeatable (default: all)", list)
        .option("--wrong", "items that are answered wrong; with --flipped those that became wrong")
        .option("--prompt", "first of all the task's first prompt, as a variant was given it, with token ids")
        .option("--flipped <names...>", "two variants: items that one answers right and the other does not")
        .option("--subject <name>", "items of this subject or group of subjects; repeatable", list)
        .option("--limit <n>", "how many are shown (default: 20)", integer(1))
        .option("--skip <n>", "how many are passed over before them", integer(0))
        .addOption(dataDir())
        .option("--json", "everything as JSON on stdout, texts whole"),
    asked: (run: string | undefined, { variant, subject, ...options }) => ({
      ...options,
      run,
      variants: variant,
      subjects: subject,
    }),
  }),
  view: command(async () => (await import("./view.js")).viewCommand, {
    line: (line) =>
      line
        .description("look at a run as the live view shows it: all columns, each cell with its items; needs no model")
        .argument("[run]", "a run's folder (default: the latest run)"),
    asked: (run: string | undefined) => ({ run }),
  }),
  watch: command(async () => (await import("./view.js")).viewCommand, {
    line: (line) =>
      line
        .description("the same of a run that another process measures now, with its figures as they come")
        .argument("[run]", "a run's folder (default: the latest run)"),
    asked: (run: string | undefined) => ({ run, follow: true }),
  }),
  baseline: command(async () => (await import("./baseline.js")).baselineCommand, {
    line: (line) =>
      line
        .description("write what later runs are held against: a text with one line per item, to keep in git")
        .argument("<run>", "a run's folder")
        .option("-o, --out <file>", "where it goes (default: stdout)"),
    asked: (run: string, options) => ({ ...options, run }),
  }),
  gate: command(async () => (await import("./gate.js")).gateCommand, {
    line: (line) =>
      line
        .description("hold a run against a baseline by rules: exit code 0 passed, 3 failed, 4 undecided")
        .argument("<run>", "a run's folder")
        .option("--baseline <file>", "a file made by `gguf-bench baseline`, or the folder of an earlier run")
        .requiredOption(
          "--rule <rule>",
          "such as `perplexity: +0.5%`, `flips: 2%`, `tg: -5%`, `kld: 0.01`; repeatable",
          list,
        )
        .option("--junit <file>", "write the answers as JUnit XML, too")
        .addHelpText(
          "after",
          `
Rules, METRIC: LIMIT, or MEASUREMENT.METRIC: LIMIT:
  perplexity: +0.5%   may rise by half a per cent of the baseline's; also bits_per_byte, kld, size …
  tg: -5%             every generation speed may fall by five per cent; pp likewise
  acc: -2%            may fall by two points
  flips: 2%           two per cent of the answers may change, whichever way
  kld: 0.01           may be 0.01 nat at most, whatever the baseline
  kld: 3x floor       three times the noise floor at most
A rule fails where the data show more harm than it allows, passes where they exclude it, and is undecided otherwise.`,
        ),
    asked: (run: string, { rule, ...options }) => ({ ...options, run, rules: rule }),
  }),
  bisect: command(async () => bisectCommand, {
    line: (line) =>
      line
        .description(
          "find the first of ordered builds of llama.cpp that breaks a rule, with as few measurements as can be",
        )
        .requiredOption(
          "--builds <folders...>",
          "in order, the oldest first: folders of llama.cpp's programs, or of libllama",
        )
        .requiredOption("--rule <rule>", "as of `gguf-bench gate`, from the good build; repeatable", list)
        .requiredOption("-m, --model <path or uri>", "what is measured with each build")
        .option("--measure <names>", "default: what the rule asks of, perplexity or speed; a,b or repeatable", names)
        .option("--text <file or dataset>", "text for perplexity, such as book.txt or wikitext-2")
        .option("--base <file>", "stored reference for --measure stored-divergence")
        .option("-c, --context <n>", "tokens per chunk of a text (default: 512), or per question", integer(1))
        .addOption(chunks())
        .addOption(spread())
        .option(
          "--limit <n>",
          "questions of a task: the first ones, or the first of each subject (default: all)",
          integer(1),
        )
        .addOption(threads())
        .option("--prompt <n>", "tokens of the prompt speed test; 0: none (default: 512)", integer(0))
        .option("--generate <n>", "tokens of the generation speed test; 0: none (default: 128)", integer(0))
        .option("--repetitions <n>", "how often each speed test is timed (default: 5)", integer(1))
        .option("--good <folder>", "a build that keeps the rule, as is known (default: the first, which is measured)")
        .option("--bad <folder>", "a build that breaks it, as is known (default: the last, which is measured)")
        .option(
          "--backend <name>",
          "llama-tools (programs) or llama (libllama in process); default: what all builds have",
        )
        .addOption(dataDir())
        .addOption(modelsDir())
        .option("-o, --out <folder>", "where every measurement is kept (default: reports/bisect-…)")
        .addOption(timeout("a measurement"))
        .addHelpText(
          "after",
          `
A build that cannot be measured, or of which the rule is undecided, is passed over. The same command goes on after a stop
and measures no build twice.

Exit codes:
  0 no build breaks the rule · 3 the first that does was found · 4 it cannot be told which
  1 bad input · 130 stopped by the user`,
        ),
    asked: ({ rule, measure, ...options }) => {
      const command = ["gguf-bench", ...process.argv.slice(2)];
      return { ...options, rules: rule, command, ...definite({ measures: measure }) };
    },
  }),
  quantize: command(async () => (await import("./quantize.js")).quantizeCommand, {
    line: (line) =>
      line
        .description("make a ladder of quantizations from one model file, byte for byte as llama-quantize does")
        .argument("<model>", "an unquantized model (F16, BF16 or F32)")
        .requiredOption("--types <list>", "types to make, such as Q8_0,Q4_K_M,Q2_K; repeatable", names)
        .option("--imatrix <file>", "an importance matrix made by llama-imatrix; names get -im (default: none)")
        .option("--allow-requantize", "take a model that is quantized already, which loses twice")
        .option("-o, --out <dir>", "where the files go (default: beside the model)")
        .addOption(modelsDir()),
    asked: (model: string, options) => ({ ...options, model }),
  }),
  reference: command(async () => (await import("./reference.js")).referenceCommand, {
    line: (line) =>
      line
        .description("write a model's distributions over a text to a file, to compare variants with it later")
        .argument("<model>", "the model to compare with, such as the F16")
        .requiredOption("--text <file or dataset>", "such as wikitext-2")
        .requiredOption("-o, --out <file>", "the file; it is there whole or not at all")
        .option("-c, --context <n>", "tokens per chunk", integer(8), 512)
        .addOption(chunks())
        .addOption(spread().hideHelp())
        .addOption(
          line
            .createOption("--form <name>", "llama: as llama-perplexity --kl-divergence-base; compact: a fiftieth of it")
            .choices(["llama", "compact"])
            .default("llama"),
        )
        .option("--top <n>", "tokens that the compact form keeps of each position (default: 256)", integer(1))
        .addOption(threads())
        .addOption(library())
        .addOption(dataDir())
        .addOption(modelsDir())
        .addOption(timeout("the engine")),
    asked: (model: string, options) => ({ ...options, model }),
  }),
  fetch: command(async () => (await import("./fetch.js")).fetchCommand, {
    line: (line) =>
      line
        .description(
          "fetch models and the data of tasks, checked and gone on with after a stop, and say where they lie",
        )
        .argument(
          "<what...>",
          "a dataset such as ceval; or hf:owner/repo:quant, ms:owner/repo:file.gguf, wisemodel:owner/repo:file.gguf, https://…",
        )
        .option("--accept-licence", "accept the licence of data that are not free for every use")
        .addOption(mirror())
        .addOption(dataDir())
        .addOption(modelsDir())
        .addHelpText(
          "after",
          `
Models go into the cache, data into the data directory where one is named, else into the cache, where every run looks.
Data for non-commercial use only are fetched after a yes in the terminal or with --accept-licence, else the exit code is 1.`,
        ),
    asked: (wanted: string[], { mirror, ...options }) => ({ ...options, wanted, mirrors: mirror }),
  }),
  models: command(async () => (await import("./models.js")).modelsCommand, {
    line: (line) =>
      line
        .description("the models of the cache; or those of a repository, and which of them fit into memory")
        .argument("[repository]", "such as hf:owner/repo: headers are read, nothing is downloaded")
        .option("--memory <size>", "memory for one model, such as 8GB (default: what is free here)", bytes)
        .option("-c, --context <n>", "tokens of context that the memory is for (default: 4096)", integer(1))
        .addOption(mirror())
        .option("--prune", "name the models of the cache that are to go: by --unused-for, by --keep or by both")
        .option("--unused-for <days>", "those that no command asked for so long (default: any)", integer(0))
        .option(
          "--keep <size>",
          "the least recently used, until the rest takes no more than this (default: any size)",
          bytes,
        )
        .option("--yes", "remove them; never what a running process uses")
        .option("--json", "the answer as JSON"),
    asked: (repository: string | undefined, { mirror, ...options }) => ({ ...options, repository, mirrors: mirror }),
  }),
  list: command(async () => (await import("./list.js")).listCommand, {
    line: (line) =>
      line
        .description(
          "what there is: runs, benchmark files, datasets, backends; or the splits and subjects of a dataset",
        )
        .argument("[dataset]", "such as ceval: its splits, styles, subjects and groups, and which of it is here")
        .addOption(dataDir()),
    asked: (dataset: string | undefined, options) => ({ ...options, dataset }),
  }),
  doctor: command(async () => (await import("./doctor.js")).doctorCommand, {
    line: (line) =>
      line
        .description("what this machine has: llama.cpp libraries, processor, GPU, memory, data")
        .option(
          "--build",
          "build llama.cpp from node-llama-cpp's source (a package of its own) for this processor; engines then use it",
        )
        .addOption(library())
        .addOption(dataDir()),
    asked: (options) => options,
  }),
};

async function executorOf({ queue, tags, speedHost }: RunCommand, { stderr }: Surroundings): Promise<Executor> {
  if (queue === undefined) return (await import("../executors/child.js")).childExecutor();
  const [{ queueExecutor }, { versions }] = await Promise.all([
    import("../executors/queue/index.js"),
    import("./versions.js"),
  ]);
  const waiting = (sentence: string) => void stderr.write(`gguf-bench: ${sentence}\n`);
  return queueExecutor({ url: queue, version: versions()["gguf-bench"]!, waiting, ...definite({ tags, speedHost }) });
}

/** Starts the first engine process before this one loads its own code, because they use different cores. */
async function runCommand(asked: RunCommand, where: Surroundings): Promise<number> {
  (await import("./conflicts.js")).checkOptions(asked);
  const executor = asked.dryRun ? undefined : (asked.executor ?? (await executorOf(asked, where)));
  return (await import("./run.js")).runCommand(definite({ ...asked, executor }), where);
}

async function bisectCommand(asked: BisectCommand, where: Surroundings): Promise<number> {
  const executor = asked.executor ?? (await import("../executors/child.js")).childExecutor();
  return (await import("./bisect.js")).bisectCommand({ ...asked, executor }, where);
}
