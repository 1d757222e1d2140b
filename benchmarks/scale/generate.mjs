// A run folder of any size, as if it had been measured: a ladder of 40 variants over tasks the size of MMLU (14,042 questions of
// 57 subjects, four options) and over a text. The same arguments give the same bytes.
//
//   node benchmarks/scale/generate.mjs FOLDER [SAMPLES=500000]
import fs from "node:fs";
import path from "node:path";
import { pathToFileURL } from "node:url";
import { random } from "../../test/draws.mjs";

const variantCount = 40;
const questionCount = 14_042;
const subjectCount = 57;
const chunkCount = 128;

const at = Date.UTC(2026, 0, 1);
const quants = ["F16", "Q8_0", "Q6_K", "Q5_K_M", "Q4_K_M", "Q4_0", "Q3_K_M", "Q3_K_S", "Q2_K", "IQ2_XS"];
/** How many questions a quantization answers otherwise than F16, and nats per token that it costs. */
const damages = [0, 0.004, 0.008, 0.015, 0.03, 0.045, 0.07, 0.09, 0.15, 0.2];

function variants() {
  return Array.from({ length: variantCount }, (_, i) => {
    const quant = quants[i % quants.length];
    const version = `v${1 + Math.floor(i / quants.length)}`;
    return {
      name: `${version}-${quant}`,
      model: `models/${version}-${quant}.gguf`,
      backend: "llama",
      reference: i === 0,
      tags: { version },
      settings: { threads: 2 },
      facts: {
        files: [`/models/${version}-${quant}.gguf`],
        sha256: String(i).padStart(64, "0"),
        bytes: 16e9 - (i % quants.length) * 1.4e9,
        tensorBytes: 16e9 - (i % quants.length) * 1.4e9,
        parameters: 8e9,
        bpw: 16 - (i % quants.length) * 1.4,
        quant,
        architecture: "llama",
        name: "Scale",
        contextLength: 8192,
        vocabulary: 128256,
        layers: 32,
        kvBytesPerToken: 131072,
        tokenizerSha256: "a".repeat(64),
      },
    };
  });
}

/** @param {number} samples */
function measurements(samples) {
  const whole = Math.max(1, Math.round(samples / (variantCount * questionCount)));
  const questions = Math.min(questionCount, Math.ceil(samples / (variantCount * whole)));
  const tasks = Array.from({ length: whole }, (_, i) => ({
    name: i === 0 ? "mmlu" : `mmlu-${i + 1}`,
    kind: "choice",
    settings: { limit: questions },
    metrics: ["acc", "acc_norm", "acc_token", "unanswerable"],
    rule: 2,
    items: questions,
  }));
  const perplexity = {
    name: "perplexity",
    kind: "perplexity",
    settings: { context: 512, chunks: chunkCount },
    metrics: ["perplexity", "bits_per_byte", "bits_per_character"],
    rule: 1,
    items: chunkCount,
  };
  return [perplexity, ...tasks];
}

/**
 * @param {string} folder @param {number} samples Events with samples, roughly: whole tasks.
 * @returns {{ samples: number, bytes: number }}
 */
export function generate(folder, samples) {
  fs.rmSync(folder, { recursive: true, force: true });
  fs.mkdirSync(path.join(folder, "tokens"), { recursive: true });
  const file = fs.openSync(path.join(folder, "events.jsonl"), "w");
  let [lines, length, bytes, written] = [/** @type {string[]} */ ([]), 0, 0, 0];
  const flush = () => {
    bytes += fs.writeSync(file, lines.join(""));
    [lines, length] = [[], 0];
  };
  const put = (/** @type {string} */ line) => {
    lines.push(line, "\n");
    length += line.length;
    if (length > 1 << 22) flush();
  };
  const [rows, columns] = [variants(), measurements(samples)];
  const jobs = columns.flatMap(({ name, kind, settings, metrics, rule }, column) =>
    rows.map((variant, row) => ({
      id: `${column.toString(16).padStart(4, "0")}${row.toString(16).padStart(12, "0")}`,
      variant: variant.name,
      backend: "llama",
      measurement: name,
      kind,
      dataset: name,
      datasetSha256: "d".repeat(64),
      askedSha256: "e".repeat(64),
      rule,
      settings,
      metrics,
    })),
  );
  put(
    JSON.stringify({
      type: "started",
      at,
      name: "scale",
      variants: rows,
      jobs,
      measurements: columns.map(({ name, kind, settings }) => ({ name, kind, settings })),
      provenance: {
        command: ["gguf-bench", "run", "scale.yaml"],
        versions: { "gguf-bench": "0.1.0", node: "22.0.0" },
        machine: { cpu: "a processor", cpus: 2, memoryBytes: 24e9, os: "Linux", arch: "x64", gpus: [] },
        engine: { version: "llama.cpp 1.0", library: "libggml-cpu.so", origin: "prebuilt" },
        datasets: columns.map(({ name }) => ({ name, path: `/data/${name}`, sha256: "d".repeat(64), bytes: 1e7 })),
      },
    }),
  );
  const engine = { version: "llama.cpp 1.0", library: "libggml-cpu.so" };
  for (const [column, { kind, items }] of columns.entries())
    for (const [row, variant] of rows.entries()) {
      const { id } = jobs[column * rows.length + row];
      if (column === 0)
        put(
          JSON.stringify({
            type: "opened",
            at,
            variant: variant.name,
            engine: { ...engine, loadSeconds: 1 + row / 10, threads: 2 },
          }),
        );
      put(JSON.stringify({ type: "job-started", at, job: id, done: 0 }));
      const line = kind === "choice" ? choice : perplexity;
      const draw = { shared: random(1000 + column), own: random(1e6 * (column + 1) + row) };
      for (let item = 0; item < items; item++) put(line(id, item, damages[row % quants.length], draw));
      written += items;
      put(
        `{"type":"samples","job":"${id}","item":"peak_memory","samples":[{"metric":"peak_memory","value":${5e9 + row},"weight":1}]}`,
      );
      put(JSON.stringify({ type: "job-done", at, job: id, items, seconds: 100 + row, engine }));
    }
  put(JSON.stringify({ type: "finished", at, outcome: "complete" }));
  flush();
  fs.closeSync(file);
  return { samples: written, bytes };
}

/** @typedef {{ shared: () => number, own: () => number }} Draw `shared` is the same for all variants: the question. */

/** @param {string} job @param {number} item @param {number} damage @param {Draw} draw */
function choice(job, item, damage, { shared, own }) {
  const gold = Math.floor(4 * shared());
  const known = shared() < 0.62;
  const ordinary = known ? gold : (gold + 1) % 4;
  const predictions = [0, 1, 2].map(() => (own() < damage ? Math.floor(4 * own()) : ordinary));
  const scores = [0, 1, 2, 3].map((option) => -20 * own() - (option === predictions[0] ? 0 : 5));
  const samples = ["acc", "acc_norm", "acc_token"].map(
    (metric, i) => `{"metric":"${metric}","value":${predictions[i] === gold ? 1 : 0},"weight":1}`,
  );
  const subject = Math.floor((item * subjectCount) / questionCount);
  const [prediction, normalized, perToken] = predictions;
  return `{"type":"samples","job":"${job}","item":"${item}","samples":[${samples}],"cluster":"subject ${subject}","detail":{"prompt":"${(item * 2654435761).toString(16).padStart(16, "0")}","gold":${gold},"prediction":${prediction},"prediction_norm":${normalized},"prediction_token":${perToken},"scores":[${scores}],"scores_token":[${scores.map((score) => score / 7)}],"tokens":[7,7,7,7]}}`;
}

/** @param {string} job @param {number} item @param {number} damage @param {Draw} draw */
function perplexity(job, item, damage, { shared, own }) {
  const nll = 1.5 + shared() + damage * (0.5 + own());
  return `{"type":"samples","job":"${job}","item":"${item}","samples":[{"metric":"perplexity","value":${nll},"weight":255,"square":${nll * nll + 7}},{"metric":"bits_per_byte","value":${nll / 2.7},"weight":1100},{"metric":"bits_per_character","value":${nll / 2.6},"weight":1050}]}`;
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) {
  const [folder, samples = "500000"] = process.argv.slice(2);
  if (!folder) throw new Error("node benchmarks/scale/generate.mjs FOLDER [SAMPLES]");
  const made = generate(folder, Number(samples));
  process.stdout.write(`${folder}: ${made.samples} samples, ${(made.bytes / 1e6).toFixed(0)} MB\n`);
}
