#!/usr/bin/env node
import { readFileSync } from "node:fs";
import { Command, InvalidArgumentError, Option } from "commander";
import { commands } from "./commands/index.js";
import { harmlessLines } from "./harmless.js";
import { outliveReaders } from "./terminal.js";
import { readBytes } from "./units.js";

const { version } = JSON.parse(readFileSync(new URL("../package.json", import.meta.url), "utf8")) as {
  version: string;
};

const integer =
  (least: number, most = 1_000_000_000) =>
  (text: string) => {
    const value = Number(text);
    if (!/^\d+$/.test(text) || value < least || value > most)
      throw new InvalidArgumentError(`a whole number from ${least} to ${most} is expected.`);
    return value;
  };
const list = (value: string, before: string[] = []) => [...before, value];
/** A list separated by commas. Names of measurements and metrics hold none; names and addresses of models may. */
const names = (value: string, before: string[] = []) => {
  const parts = value.split(",").map((part) => part.trim());
  if (parts.includes("")) throw new InvalidArgumentError("a name is missing.");
  return [...before, ...parts];
};
const bytes = (text: string) => {
  const size = readBytes(text);
  if (!size || !Number.isSafeInteger(size))
    throw new InvalidArgumentError("a size is expected, such as 800MB or 4GiB.");
  return size;
};

/** Ends with a command's exit code. A stopped command may leave work that cannot be interrupted, such as the digest of a large file. */
const exit = (code: number) => {
  process.exitCode = code;
  if (code === 130) setTimeout(() => process.exit(), 1000).unref();
};

// Options that several commands take.
const dataDir = () =>
  new Option("--data-dir <dir>", "where datasets are (default: $GGUF_BENCH_DATA, then what is shipped)");
const modelsDir = () => new Option("--models-dir <dir>", "where models are, too (default: $GGUF_BENCH_MODELS)");
const threads = () =>
  new Option("-t, --threads <n>", "CPU threads (default: the physical cores)").argParser(integer(1));
const chunks = () => new Option("--chunks <n>", "chunks of the text (default: all)").argParser(integer(1));
const timeout = (given: string) =>
  new Option("--timeout <seconds>", `give ${given} up after so long without a sign of life (default: 600)`).argParser(
    integer(1, 2_000_000),
  );

const program = new Command("gguf-bench")
  .description("Which of these local model files should I use, publish, or worry about?")
  .helpCommand("help [command]", "print what a command takes")
  .showHelpAfterError("(gguf-bench --help shows what there is)")
  .version(version, "-v, --version", "print the version")
  .addOption(new Option("-V").hideHelp())
  .on("option:V", () => {
    process.stdout.write(`${version}\n`);
    process.exit();
  })
  .configureOutput({ writeErr: (text) => process.stderr.write(harmlessLines(text)) })
  .addHelpText(
    "after",
    `
Examples:
  gguf-bench run benchmarks/smollm2.yaml --models-dir models --data-dir data
  gguf-bench run *.gguf --text book.txt --chunks 16
  gguf-bench run models --measure perplexity,divergence --text book.txt --reference model-F16
  gguf-bench run model-Q4_K_M.gguf --measure speed --prompt 512 --generate 128
  gguf-bench quantize model-F16.gguf --types Q8_0,Q4_K_M,Q2_K --imatrix model.imatrix.gguf
  gguf-bench reference model-F16.gguf --text wikitext-2 --form compact --out model-F16.kld
  gguf-bench run model-Q4_K_M.gguf --measure stored-divergence --base model-F16.kld
  gguf-bench report reports/smollm2
  gguf-bench compare reports/smollm2:Q4_K_M reports/smollm2:Q4_K_M-im
  gguf-bench gate reports/new --baseline baseline.jsonl --rule "perplexity: +0.5%" --rule "flips: 2%"

Downloads are kept in $GGUF_BENCH_CACHE (default: ~/.cache/gguf-bench). HF_TOKEN opens gated models; it goes
to huggingface.co, or to the mirror in HF_ENDPOINT, and to no other host.

Exit codes:
  0 all measured · 1 bad input or nothing measured · 2 some cells failed
  3 gate failed · 4 gate undecided · 130 stopped by the user (the same command goes on)`,
  );

program
  .command("run")
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
    "perplexity (default; ppl for short), divergence, speed, stored-divergence, or a task such as hellaswag; a,b or repeatable",
    names,
  )
  .option("--reference <name>", "the variant that others are compared with (default: the most bits per weight)")
  .option("--text <file or dataset>", "text for perplexity and divergence, such as book.txt or wikitext-2")
  .option("--base <file>", "stored reference for --measure stored-divergence, see `gguf-bench reference`")
  .option(
    "-c, --context <n>",
    "tokens per chunk of a text (default: 512), or per question (default: what the task needs)",
    integer(1),
  )
  .addOption(chunks())
  .option("--limit <n>", "questions of a task, from the first on (default: all)", integer(1))
  .addOption(threads())
  .option("--prompt <n>", "tokens of the prompt speed test; 0: none (default: 512)", integer(0))
  .option("--generate <n>", "tokens of the generation speed test; 0: none (default: 128)", integer(0))
  .option("--repetitions <n>", "how often each speed test is timed (default: 5)", integer(1))
  .addOption(dataDir())
  .addOption(modelsDir())
  .option("-o, --out <folder>", "the run's folder (default: reports/NAME)")
  .option("--only <pattern>", "these variants or measurements alone, * stands for anything; repeatable", list)
  .option("--exclude <pattern>", "not these; repeatable", list)
  .option("--memory-limit <size>", "memory that engines may use, such as 4GB (default: what is free)", bytes)
  .option(
    "--parallel <n>",
    "variants measured side by side, never for speed (default: as many as the cores have threads for)",
    integer(1),
  )
  .addOption(timeout("a job"))
  .option("--dry-run", "print the plan, with estimated memory and time; measure nothing")
  .option("--plain", "lines instead of the live view")
  .option("--json", "events as JSON lines on stdout")
  .action(async (named: string[], { model, measure, ...options }) => {
    const command = ["gguf-bench", ...process.argv.slice(2)];
    exit(await commands.run({ ...options, named, models: model, measures: measure, command }));
  });

program
  .command("report")
  .description("make the tables of a run again from its events; needs no model")
  .argument("<run>", "a run's folder")
  .action(async (run: string) => exit(await commands.report({ run })));

program
  .command("compare")
  .description("say which differences between two runs, or two variants of a run, are real")
  .argument("<a>", "a run's folder, RUN:VARIANT, or a baseline file")
  .argument("<b>", "what it is compared with")
  .option("--metric <names>", "compare this metric; a,b or repeatable (default: perplexity, kld, acc, speeds)", names)
  .option("--json", "everything as JSON on stdout")
  .action(async (a: string, b: string, { metric, ...options }) =>
    exit(await commands.compare({ ...options, a, b, metrics: metric })),
  );

program
  .command("baseline")
  .description("write what later runs are held against: a text with one line per item, to keep in git")
  .argument("<run>", "a run's folder")
  .option("-o, --out <file>", "where it goes (default: stdout)")
  .action(async (run: string, options) => exit(await commands.baseline({ ...options, run })));

program
  .command("gate")
  .description("hold a run against a baseline by rules: exit code 0 passed, 3 failed, 4 undecided")
  .argument("<run>", "a run's folder")
  .option("--baseline <file>", "a file made by `gguf-bench baseline`, or the folder of an earlier run")
  .requiredOption("--rule <rule>", "such as `perplexity: +0.5%`, `flips: 2%`, `tg: -5%`, `kld: 0.01`; repeatable", list)
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
  )
  .action(async (run: string, { rule, ...options }) => exit(await commands.gate({ ...options, run, rules: rule })));

program
  .command("quantize")
  .description("make a ladder of quantizations from one model file, byte for byte as llama-quantize does")
  .argument("<model>", "an unquantized model (F16, BF16 or F32)")
  .requiredOption("--types <list>", "types to make, such as Q8_0,Q4_K_M,Q2_K; repeatable", names)
  .option("--imatrix <file>", "an importance matrix made by llama-imatrix; names get -im (default: none)")
  .option("--allow-requantize", "take a model that is quantized already, which loses twice")
  .option("-o, --out <dir>", "where the files go (default: beside the model)")
  .addOption(modelsDir())
  .action(async (model: string, options) => exit(await commands.quantize({ ...options, model })));

program
  .command("reference")
  .description("write a model's distributions over a text to a file, to compare variants with it later")
  .argument("<model>", "the model to compare with, such as the F16")
  .requiredOption("--text <file or dataset>", "such as wikitext-2")
  .requiredOption("-o, --out <file>", "the file; it is there whole or not at all")
  .option("-c, --context <n>", "tokens per chunk", integer(8), 512)
  .addOption(chunks())
  .addOption(
    new Option("--form <name>", "llama: as llama-perplexity --kl-divergence-base; compact: a fiftieth of it")
      .choices(["llama", "compact"])
      .default("llama"),
  )
  .option("--top <n>", "tokens that the compact form keeps of each position (default: 256)", integer(1))
  .addOption(threads())
  .addOption(dataDir())
  .addOption(modelsDir())
  .addOption(timeout("the engine"))
  .action(async (model: string, options) => exit(await commands.reference({ ...options, model })));

program
  .command("list")
  .description("what there is: runs, benchmark files, datasets, backends")
  .addOption(dataDir())
  .action(async (options) => exit(await commands.list(options)));

program
  .command("doctor")
  .description("what this machine has: llama.cpp libraries, processor, GPU, memory, data")
  .option("--build", "build llama.cpp from node-llama-cpp's own source for this processor; engines then use it")
  .addOption(dataDir())
  .action(async (options) => exit(await commands.doctor(options)));

outliveReaders();
program.parseAsync().catch(async (error) => {
  process.stderr.write((await import("./errors.js")).describeError(error));
  process.exitCode = 1;
});
