import type { JobRecord, Measured, StoredEvent, VariantRecord } from "../../dist/events.js";

type Items = Omit<Measured, "tokens">[];

const facts = (name: string, quant: string, bytes: number, bpw: number): NonNullable<VariantRecord["facts"]> => ({
  files: [`/models/${name}.gguf`],
  sha256: quant.toLowerCase().padEnd(64, "0"),
  bytes,
  tensorBytes: bytes - 1000,
  parameters: 134515008,
  bpw,
  quant,
  architecture: "llama",
  name: "Small",
  contextLength: 8192,
  vocabulary: 49152,
  layers: 30,
  kvBytesPerToken: 23040,
  tokenizerSha256: "a".repeat(64),
  ...(quant === "Q2_K" ? { imatrix: { file: "small.imatrix", dataset: "calibration.txt", chunks: 100 } } : {}),
});

const variant = (name: string, more: Partial<VariantRecord>): VariantRecord => ({
  name,
  model: `models/${name}.gguf`,
  backend: "llama",
  reference: false,
  tags: {},
  settings: { threads: 2 },
  ...more,
});

const hostile = "<img src=x onerror=alert(1)>|";
const missing = {
  code: "model-missing",
  message: "There is no file models/=1+1.gguf.",
  hint: "Check the path, or fetch it with `hf:`.",
};

const variants: VariantRecord[] = [
  variant("F16", { reference: true, facts: facts("F16", "F16", 270885024, 16.01) }),
  variant("Q2_K", { facts: facts("Q2_K", "Q2_K", 88202400, 5.2407) }),
  variant(hostile, { backend: "ollama", facts: facts("img", "Q4_K_M", 105454144, 6.25) }),
  variant("=1+1", { failure: missing }),
  variant("模型-very-long-name-that-goes-on-and-on-and-on", { facts: facts("late", "Q8_0", 144811104, 8.51) }),
];

const measurements = [
  { name: "perplexity", kind: "perplexity", settings: { text: "wiki" } },
  { name: "perplexity-zh", kind: "perplexity", settings: { text: "zh" } },
  { name: "speed", kind: "speed", settings: {} },
  { name: "hellaswag", kind: "choice", settings: { limit: 8 } },
];
const about: Record<string, Pick<JobRecord, "dataset" | "settings" | "metrics">> = {
  perplexity: {
    dataset: "wiki",
    settings: { context: 512, chunks: 3 },
    metrics: ["perplexity", "bits_per_byte", "peak_memory"],
  },
  "perplexity-zh": { dataset: "zh", settings: { context: 512, chunks: 1 }, metrics: ["perplexity", "peak_memory"] },
  speed: {
    dataset: "",
    settings: { prompt: 512, generate: 128, repetitions: 3 },
    metrics: ["pp512", "tg128", "peak_memory"],
  },
  hellaswag: { dataset: "hellaswag", settings: { limit: 8 }, metrics: ["acc", "acc_norm", "peak_memory"] },
};

const id = (name: string, measurement: string) => `${measurement}/${name}`;
const jobs: JobRecord[] = variants.flatMap(({ name, backend }) =>
  measurements.map(({ name: measurement, kind }) => ({
    id: id(name, measurement),
    variant: name,
    backend,
    measurement,
    kind,
    ...about[measurement]!,
    ...(backend === "ollama" && measurement !== "speed"
      ? { impossible: "ollama gives no prompt log-probabilities" }
      : {}),
  })),
);

/** `shift` makes one variant worse than another. */
const items: Record<string, (shift: number) => Items> = {
  perplexity: (shift) =>
    [3.1, 3.5, 3.3].map((nll, chunk) => ({
      item: String(chunk + 8),
      samples: [
        { metric: "perplexity", value: nll + shift, weight: 255, square: (nll + shift) ** 2 + 7 },
        { metric: "bits_per_byte", value: (nll + shift) / 2.7, weight: 1100 + chunk },
        { metric: "peak_memory", value: 400e6 + chunk, weight: 1 },
      ],
    })),
  "perplexity-zh": (shift) => [
    {
      item: "0",
      samples: [
        { metric: "perplexity", value: 4 + shift, weight: 255, square: (4 + shift) ** 2 + 9 },
        { metric: "peak_memory", value: 300e6, weight: 1 },
      ],
    },
  ],
  speed: (shift) =>
    [500, 510, 505].map((rate, repetition) => ({
      item: String(repetition),
      samples: [
        { metric: "pp512", value: rate * (1 + shift), weight: 1 },
        { metric: "tg128", value: (rate / 10) * (1 + shift), weight: 1 },
        { metric: "peak_memory", value: 350e6, weight: 1 },
      ],
      foreign: repetition === 1 && shift > 0 ? 0.4 : 0.02,
    })),
  hellaswag: (shift) =>
    [1, 1, 0, 1, 0, 1, shift > 0 ? 0 : 1, 0].map((right, question) => ({
      item: String(question),
      samples: [
        { metric: "acc", value: right, weight: 1 },
        { metric: "acc_norm", value: 1 - right, weight: 1 },
        { metric: "peak_memory", value: 380e6, weight: 1 },
      ],
    })),
};

const samples = (job: string, list: Items): StoredEvent[] => list.map((item) => ({ type: "samples", job, ...item }));
const itemsOf = (name: string, measurement: string, shift: number) =>
  samples(id(name, measurement), items[measurement]!(shift));
const done = (name: string, measurement: string, shift: number): StoredEvent[] => [
  { type: "job-started", at: 1767323046000, job: id(name, measurement), done: 0 },
  ...itemsOf(name, measurement, shift),
  {
    type: "job-done",
    at: 1767323047000,
    job: id(name, measurement),
    items: items[measurement]!(shift).length,
    seconds: 1,
  },
];

const started = (at: number): StoredEvent => ({
  type: "started",
  at,
  name: "ladder | demo",
  variants,
  jobs,
  measurements,
  provenance: {
    command: ["gguf-bench", "run", "my ladder.yaml", "--threads", "2"],
    versions: { "gguf-bench": "0.1.0", node: "20.20.2" },
    machine: {
      cpu: "Example CPU @ 2.00GHz",
      cpus: 2,
      memoryBytes: 16e9,
      os: "Linux 6.1",
      arch: "x64",
      gpus: [],
    },
    engine: { version: "llama.cpp b6700", library: "libggml-cpu-haswell.so", origin: "node-llama-cpp 3.22.1" },
    datasets: [
      {
        name: "wiki",
        path: "datasets/wiki.txt",
        sha256: "1".repeat(64),
        bytes: 1290590,
        note: "other bytes than published",
      },
      { name: "zh", path: "datasets/zh.txt", sha256: "2".repeat(64), bytes: 20000 },
      { name: "hellaswag", path: "datasets/hellaswag.txt", sha256: "3".repeat(64), bytes: 40000 },
    ],
  },
});

const opened = (name: string): StoredEvent => ({
  type: "opened",
  at: 1767323046000,
  variant: name,
  engine: {
    version: "llama.cpp b6700",
    library: "libggml-cpu-haswell.so",
    devices: ["CPU"],
    system: "AVX2 = 1",
    threads: 2,
    tensorBytes: 1,
    parameters: 134515008,
    vocabulary: 49152,
    trainedContext: 8192,
    addsBos: true,
    loadSeconds: 0.25,
  },
});

/** Cut off while it measured Q2_K and carried on; at the end one variant is not finished. */
export const events: StoredEvent[] = [
  started(1767323045000),
  opened("F16"),
  ...["perplexity", "perplexity-zh", "speed", "hellaswag"].flatMap((measurement) => done("F16", measurement, 0)),
  opened("Q2_K"),
  { type: "job-started", at: 1767323048000, job: id("Q2_K", "perplexity"), done: 0 },
  ...itemsOf("Q2_K", "perplexity", 0.3).slice(0, 2),
  {
    type: "job-failed",
    at: 1767323049000,
    job: id("Q2_K", "perplexity-zh"),
    failure: { code: "timeout", message: "No sign of life for 60 s." },
  },
  started(1767323145000),
  opened("Q2_K"),
  { type: "job-started", at: 1767323148000, job: id("Q2_K", "perplexity"), done: 2 },
  ...itemsOf("Q2_K", "perplexity", 0.3).slice(2),
  { type: "job-done", at: 1767323149000, job: id("Q2_K", "perplexity"), items: 3, seconds: 1 },
  ...done("Q2_K", "perplexity-zh", 0.3),
  ...done("Q2_K", "speed", 0.5),
  {
    type: "job-failed",
    at: 1767323150000,
    job: id("Q2_K", "hellaswag"),
    failure: {
      code: "engine-died",
      message: "The engine process ended by SIGSEGV at question 3.\n    at native code",
      hint: "Try fewer threads.",
    },
  },
  opened(hostile),
  ...done(hostile, "speed", 0.1),
  { type: "warning", at: 1767323151000, message: "the page cache was cold", variant: "Q2_K" },
  ...samples("another-plan", items.speed!(0)),
  opened("模型-very-long-name-that-goes-on-and-on-and-on"),
  ...itemsOf("模型-very-long-name-that-goes-on-and-on-and-on", "perplexity", 0.1).slice(0, 2),
  { type: "finished", at: 1767323200000, outcome: "stopped" },
];
