// The command lines of both sides, where their programs and data are, and how to read what they print.
import fs from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";

export const repository = path.resolve(path.dirname(fileURLToPath(import.meta.url)), "../..");
const cli = path.join(repository, "dist/cli.js");

/** The programs' version lines go to stderr or stdout, as they please. */
const all = (run) => `${run.stdout}\n${run.stderr}`;

/**
 * Where everything is, and ours and the peers' commands as steps of a side.
 * @param {{models: string, peers: string, dataDir: string, threads: number, temporary: string}} options
 */
export function tools({ models, peers, dataDir, threads, temporary }) {
  const same = path.join(peers, "same-library");
  const native = path.join(peers, "bin");
  const wiki = path.join(dataDir, "wikitext-2", "wiki.test.raw");
  const model = (quant) => path.join(models, `smollm2-${quant}.gguf`);
  let runs = 0;

  /** Our own program with a fresh run folder, so that nothing is resumed. */
  const ours = (args, { library, read }) => {
    const folder = path.join(temporary, `run-${++runs}`);
    return {
      command: process.execPath,
      args: [cli, "run", ...args, "--out", folder, "--plain"],
      env: { ...process.env, ...(library ? { GGUF_BENCH_LIBRARY: library } : {}) },
      read(run) {
        try {
          const events = fs.readFileSync(path.join(folder, "events.jsonl"), "utf8").trim().split("\n");
          const parsed = events.map((line) => JSON.parse(line));
          const long = fs.readFileSync(path.join(folder, "table-long.csv"), "utf8");
          const figures = readLongTable(long);
          const engine = parsed.find(({ type }) => type === "opened")?.engine;
          return {
            ...read({ events: parsed, figures, long, run }),
            library: engine?.library,
            vocabulary: engine?.vocabulary,
          };
        } finally {
          fs.rmSync(folder, { recursive: true, force: true });
        }
      },
    };
  };
  const withThreads = ["--threads", String(threads)];
  const flags = (options) => Object.entries(options).flatMap(([flag, value]) => [`--${flag}`, String(value)]);

  return {
    cli,
    wiki,
    model,
    hellaswagFile: path.join(dataDir, "hellaswag", "hellaswag_val_full.txt"),
    winograndeFile: path.join(dataDir, "winogrande", "dev.jsonl"),
    cevalFolder: path.join(dataDir, "ceval", "val"),
    perplexityTool: { same: path.join(same, "llama-perplexity"), native: path.join(native, "llama-perplexity") },
    benchTool: path.join(same, "llama-bench"),
    serverTool: path.join(native, "llama-server"),
    gsm8kFile: path.join(dataDir, "gsm8k", "test.jsonl"),
    sharedLibraryLink: path.join(same, "libllama.so.0"),
    hasSharedLibrary: () => fs.existsSync(path.join(same, "libllama.so.0")),
    /** The folder of the libraries that the peers of `same-library` run on: ours runs on the very same files. */
    sharedLibrary: () => path.dirname(fs.realpathSync(path.join(same, "libllama.so.0"))),

    ourPerplexity: (quant, { context, chunks, library }) => {
      const args = ["--model", model(quant), ...withThreads, ...flags({ text: wiki, context, chunks })];
      return () => ours(args, { library, read: ({ figures }) => ({ ppl: printed(figures("perplexity")) }) });
    },
    /** For what must be refused: the exit code and the sentence. */
    ourRefusal: (quant, { context, library }) => {
      const args = ["--model", model(quant), ...withThreads, ...flags({ text: wiki, context, chunks: 2 })];
      return () => ({
        ...ours(args, { library, read: () => ({}) }),
        read: (run) => ({
          code: run.code,
          said: all(run)
            .split("\n")
            .find((line) => /token/.test(line) && line.includes(context)),
        }),
      });
    },
    ourSpeed: (quant, { prompt, generate, repetitions, library }) => {
      const args = [
        "--model",
        model(quant),
        ...withThreads,
        "--measure",
        "speed",
        ...flags({ prompt, generate, repetitions }),
      ];
      return () => ours(args, { library, read: ({ events }) => ourSpeeds(events) });
    },
    /** `folder`: a data directory that has the tasks as its hellaswag data. */
    ourHellaswag: (quant, { folder, context, library }) => {
      const args = ["--model", model(quant), ...withThreads, "--measure", "hellaswag", "--data-dir", folder];
      if (context) args.push(...flags({ context }));
      return () => ours(args, { library, read: ({ events }) => ({ answers: ourAnswers(events) }) });
    },
    ourWinogrande: (quant, { folder, library }) => {
      const args = ["--model", model(quant), ...withThreads, "--measure", "winogrande", "--data-dir", folder];
      const counted = ({ events }) => {
        const samples = events.filter(({ type }) => type === "samples").flatMap(({ samples }) => samples);
        const own = samples.filter(({ metric }) => metric === "acc");
        return { right: own.filter(({ value }) => value === 1).length, asked: own.length };
      };
      return () => ours(args, { library, read: counted });
    },
    peerWinogrande: (tool, quant, { file, tasks }) => {
      const args = ["-m", model(quant), "-f", file, "--winogrande", "--winogrande-tasks", tasks, "-t", threads];
      return () => ({
        command: tool,
        args: args.map(String),
        read(run) {
          const [percent, asked] =
            all(run)
              .match(/Final Winogrande score\((\d+) tasks\): ([\d.]+)/)
              ?.toReversed() ?? [];
          if (!asked) throw new Error("no final Winogrande score");
          return { right: Math.round((Number(asked) * Number(percent)) / 100), asked: Number(asked) };
        },
      });
    },
    /** `one-by-one.mjs` in this repository. */
    oneByOne: (quant, { dataset, subjects, together = false, count = false, ubatch = 512 }) => {
      const script = path.join(repository, "benchmarks/peers/one-by-one.mjs");
      const args = [script, "--model", model(quant), "--data-dir", dataDir, ...withThreads];
      args.push(...flags({ dataset, subjects: subjects.join(","), ubatch }));
      if (together) args.push("--together");
      if (count) args.push("--count");
      return () => ({ command: process.execPath, args, read: (run) => JSON.parse(run.stdout) });
    },
    /** The first of `quants` is the reference of the others. Without the noise floor, which the peer does not measure. */
    ourDivergence: (quants, { context, chunks, library }) => {
      const file = path.join(temporary, "divergence.yaml");
      const variants = quants.map((quant, i) => [
        `smollm2-${quant}`,
        { model: model(quant), threads, reference: i === 0 },
      ]);
      const divergence = { text: wiki, context, chunks, floor: 0 };
      // JSON is YAML.
      fs.writeFileSync(file, JSON.stringify({ variants: Object.fromEntries(variants), measurements: { divergence } }));
      return () => ours([file], { library, read: ourKld(quants.slice(1)) });
    },
    /** Perplexity and divergence of all, the first of `quants` being the reference. */
    ourQuality: (quants, { context, chunks, library }) => {
      const file = path.join(temporary, "quality.yaml");
      const variants = quants.map((quant, i) => [
        `smollm2-${quant}`,
        { model: model(quant), threads, reference: i === 0 },
      ]);
      const text = { text: wiki, context, chunks };
      const measurements = { perplexity: text, divergence: { ...text, floor: 0 } };
      fs.writeFileSync(file, JSON.stringify({ variants: Object.fromEntries(variants), measurements }));
      const perplexities = (figures) => quants.map((quant) => printed(figures("perplexity", `smollm2-${quant}`)));
      return () => ours([file], { library, read: ({ figures }) => ({ perplexity: perplexities(figures) }) });
    },
    /** The same figures from llama-perplexity's own file. */
    ourImported: (quants, file, { library }) => {
      const models = quants.flatMap((quant) => ["--model", model(quant)]);
      const args = [...models, ...withThreads, "--measure", "divergence", "--base", file];
      return () => ours(args, { library, read: ourKld(quants) });
    },
    /** The file that llama-perplexity's divergence is measured from. */
    peerBase: (tool, quant, file, { context, chunks }) => {
      const args = ["-m", model(quant), "-f", wiki, "-c", context, "--chunks", chunks, "-t", threads].map(String);
      return () => ({
        command: tool,
        args: [...args, "--kl-divergence-base", file],
        read: () => ({ bytes: fs.statSync(file).size }),
      });
    },
    peerDivergence: (tool, quant, file, { context }) => {
      const args = ["-m", model(quant), "-c", String(context), "-t", String(threads)];
      return () => ({
        command: tool,
        args: [...args, "--kl-divergence-base", file, "--kl-divergence"],
        read: (run) => ({ kld: meanKld(all(run)), said: all(run).replace(/^[\s\S]*(?====== Perplexity stat)/, "") }),
      });
    },
    /** Our compact reference of the same rows. */
    ourCompact: (quant, file, { context, chunks, library }) => {
      const args = [cli, "reference", model(quant), "--form", "compact", "--out", file, "--threads", String(threads)];
      return () => ({
        command: process.execPath,
        args: [...args, ...flags({ text: wiki, context, chunks })],
        env: { ...process.env, GGUF_BENCH_LIBRARY: library },
        read: () => ({ bytes: fs.statSync(file).size }),
      });
    },
    ourBracket: (quant, file, { library }) => {
      const args = ["--model", model(quant), ...withThreads, "--measure", "divergence", "--base", file];
      const read = ({ figures }) => ({
        low: figures("kld_low").value,
        estimate: figures("kld_estimate").value,
        high: figures("kld_high").value,
      });
      return () => ours(args, { library, read });
    },
    peerPerplexity: (tool, quant, { context, chunks }) => {
      const args = ["-m", model(quant), "-f", wiki, "-c", context, "--chunks", chunks, "-t", threads].map(String);
      return () => ({ command: tool, args, read: (run) => ({ ppl: finalEstimate(all(run)) }) });
    },
    peerSpeed: (tool, quant, { prompt, generate, repetitions }) => {
      const counts = ["-p", prompt, "-n", generate, "-r", repetitions, "-t", threads].map(String);
      const args = ["-m", model(quant), "-o", "json", ...counts];
      return () => ({ command: tool, args, read: (run) => peerSpeeds(run.stdout) });
    },
    ourGsm8k: (quant, { questions }) => {
      const args = ["--model", model(quant), ...withThreads, "--measure", "gsm8k", "--data-dir", dataDir];
      const read = ({ events }) => ({ answers: ourTexts(events) });
      return () => ours([...args, ...flags({ limit: questions })], { read });
    },
    /** `prompts`: a file with a list of them. */
    peerGsm8k: (tool, quant, prompts, asked) => {
      const said = JSON.stringify({ tool, model: model(quant), prompts, threads, ...asked });
      const script = path.join(repository, "benchmarks/peers/ask-server.mjs");
      return () => ({
        command: process.execPath,
        args: [script, said],
        read: (run) => ({ answers: JSON.parse(run.stdout) }),
      });
    },
    peerHellaswag: (tool, quant, { file, tasks }) => {
      const args = [
        "-m",
        model(quant),
        "-f",
        file,
        "--hellaswag",
        "--hellaswag-tasks",
        String(tasks),
        "-t",
        String(threads),
      ];
      return () => ({ command: tool, args, read: (run) => ({ right: rightAnswers(all(run)) }) });
    },
  };
}

/** PPL and its error as llama-perplexity prints them: %.4lf +/- %.5lf. */
const printed = ({ value, error }) => `${value.toFixed(4)} +/- ${error.toFixed(5)}`;

function finalEstimate(text) {
  const found = text.match(/Final estimate: PPL = ([\d.]+ \+\/- [\d.]+)/);
  if (!found) throw new Error("no final estimate of the PPL");
  return found[1];
}

/** The mean KLD and its error as llama-perplexity prints them: %10.6lf ± %10.6lf. */
const printedKld = ({ value, error }) => `${value.toFixed(6)} ± ${error.toFixed(6)}`;

const ourKld =
  (quants) =>
  ({ figures, long }) => ({ kld: quants.map((quant) => printedKld(figures("kld", `smollm2-${quant}`))), said: long });

function meanKld(text) {
  const found = text.match(/Mean\s+KLD:\s+([\d.]+)\s*±\s*([\d.]+)/);
  if (!found) throw new Error("no mean KLD");
  return `${found[1]} ± ${found[2]}`;
}

/** A lookup of a figure by metric, and by variant where there are several; no column before them holds a quoted comma. */
function readLongTable(text) {
  const [head, ...rows] = text
    .trim()
    .split(/\r?\n/)
    .map((line) => line.split(","));
  return (metric, variant) => {
    const row = rows.find(
      (cells) =>
        cells[head.indexOf("metric")] === metric &&
        (variant === undefined || cells[head.indexOf("variant")] === variant),
    );
    if (!row) throw new Error(`no ${metric} in table-long.csv`);
    return { value: Number(row[head.indexOf("value")]), error: Number(row[head.indexOf("error")]) };
  };
}

const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;

/** llama-bench's avg_ts is the mean of the repetitions' tokens per second; so is this. */
function ourSpeeds(events) {
  const samples = events.filter(({ type }) => type === "samples").flatMap(({ samples }) => samples);
  const rate = (prefix) => mean(samples.filter(({ metric }) => metric.startsWith(prefix)).map(({ value }) => value));
  return { pp: rate("pp"), tg: rate("tg") };
}

function peerSpeeds(json) {
  const tests = JSON.parse(json);
  return {
    pp: tests.find(({ n_prompt, n_gen }) => n_prompt > 0 && n_gen === 0).avg_ts,
    tg: tests.find(({ n_prompt, n_gen }) => n_gen > 0 && n_prompt === 0).avg_ts,
  };
}

/** In file order. `means`: mean log-probability per token of each option, the rule of llama-perplexity. */
function ourAnswers(events) {
  const answers = events
    .filter(({ type, detail }) => type === "samples" && detail?.scores_token !== undefined)
    .map(({ item, samples, detail }) => ({
      task: Number(item),
      right: samples.find(({ metric }) => metric === "acc_token").value === 1,
      means: detail.scores_token,
    }));
  if (answers.length === 0) throw new Error("no answers");
  return answers.sort((a, b) => a.task - b.task);
}

/** In file order. */
function ourTexts(events) {
  const answers = events
    .filter(({ type, detail }) => type === "samples" && detail?.text !== undefined)
    .map(({ item, detail: { text, tokens } }) => ({ item: Number(item), text, tokens }));
  if (answers.length === 0) throw new Error("no answers");
  return answers.sort((a, b) => a.item - b.item);
}

/** llama-perplexity prints the accuracy so far after each task; what it grew by says whether the task was right. */
export function rightAnswers(text) {
  const right = [];
  let before = 0;
  for (const [, count, percent] of text.matchAll(/^(\d+)\t([\d.]+)%\t\[/gm)) {
    const sum = Math.round((Number(percent) / 100) * Number(count));
    right.push(sum > before);
    before = sum;
  }
  if (right.length === 0) throw new Error("no accuracies");
  return right;
}
