import type { JobRecord, Sample, StoredEvent, VariantRecord } from "../../dist/events.js";
import { random } from "../draws.mjs";

/** A variant of a made run. */
export interface Made {
  name: string;
  bytes?: number;
  /** Bytes of its tensors, where they are not all of it. */
  weights?: number;
  bpw?: number;
  quant?: string;
  tags?: Record<string, string>;
  reference?: boolean;
  against?: string;
  tokenizer?: string;
  /** The text that its importance matrix was made from. */
  imatrix?: string;
  /** Nats per token above the first variant. */
  cost?: number;
  /** From the first variant, nats. */
  kld?: number;
  /** Tokens per second. */
  speed?: number;
  /** Questions that are answered otherwise than by the first variant: [to right, to wrong]. */
  flips?: [number, number];
  /** What became of its perplexity. */
  end?: "failed" | "unfinished" | "not a number" | "guessing";
}

export type Kind = "perplexity" | "divergence" | "hellaswag" | "speed";

export interface MadeRun {
  kinds: readonly Kind[];
  chunks?: number;
  questions?: number;
  /** How differently chunks suffer from what a variant costs, as a share of it. */
  spread?: number;
}

const metricsOf = {
  perplexity: ["perplexity", "bits_per_byte"],
  divergence: ["kld", "same_top"],
  hellaswag: ["acc", "acc_norm"],
  speed: ["tg128"],
};
const datasetOf = { perplexity: "wikitext-2", divergence: "wikitext-2", hellaswag: "hellaswag", speed: "" };

/** The events of a run of these variants, the same for the same arguments. */
export function eventsOf(
  variants: Made[],
  { kinds, chunks = 32, questions = 200, spread = 0.2 }: MadeRun,
): StoredEvent[] {
  const records = variants.map(
    ({ name, bytes = 1, weights = bytes, bpw = weights / 1e7, tokenizer = "t", ...made }): VariantRecord => ({
      name,
      model: `${name}.gguf`,
      backend: "llama",
      reference: made.reference ?? false,
      ...(made.against ? { against: made.against } : {}),
      tags: made.tags ?? {},
      settings: {},
      facts: {
        files: [],
        sha256: name,
        bytes,
        tensorBytes: weights,
        parameters: 1e8,
        bpw,
        quant: made.quant ?? "F16",
        architecture: "llama",
        name: "Small",
        contextLength: 512,
        vocabulary: 1000,
        layers: 1,
        kvBytesPerToken: 1,
        tokenizerSha256: tokenizer,
        vocabularySha256: tokenizer,
        ...(made.imatrix ? { imatrix: { file: "i.gguf", dataset: made.imatrix, chunks: 10 } } : {}),
      },
    }),
  );
  const jobs = variants.flatMap(({ name }) =>
    kinds.map(
      (kind): JobRecord => ({
        id: `${name} ${kind}`,
        variant: name,
        backend: "llama",
        measurement: kind,
        kind: kind === "hellaswag" ? "choice" : kind,
        dataset: datasetOf[kind],
        datasetSha256: datasetOf[kind],
        settings: {},
        metrics: metricsOf[kind],
        ...(kind === "divergence" ? { against: variants[0]!.name } : {}),
      }),
    ),
  );
  const started: StoredEvent = {
    type: "started",
    at: 0,
    name: "ladder",
    variants: records,
    jobs,
    measurements: [],
    provenance: {
      command: ["gguf-bench"],
      versions: {},
      machine: { cpu: "A", cpus: 2, memoryBytes: 1e9, os: "Linux", arch: "x64", gpus: [] },
      engine: { version: "llama.cpp b1", library: "cpu.so", origin: "" },
      datasets: [{ name: "wikitext-2", path: "/data/wiki.test.raw", sha256: "wikitext-2", bytes: 1 }],
    },
  };
  const next = random(1);
  const difficulty = Array.from({ length: chunks }, () => 3 + next());
  const scatter = () => 1 + spread * (2 * next() - 1);
  const items: Record<Kind, (variant: Made) => Omit<Sample, "weight">[][]> = {
    perplexity: ({ cost = 0, end }) =>
      difficulty.map((nll) => {
        const guessed = end === "guessing" ? 5 : 0;
        const value = end === "not a number" ? Number.NaN : nll + guessed + cost * scatter();
        return [
          { metric: "perplexity", value, square: value * value + 1 },
          { metric: "bits_per_byte", value: value / 3 },
        ];
      }),
    divergence: ({ kld = 1e-7 }) =>
      difficulty.map(() => [
        { metric: "kld", value: kld * scatter(), square: kld * kld * 2 },
        { metric: "same_top", value: 1 - Math.min(0.5, kld), square: 1 - Math.min(0.5, kld) },
      ]),
    hellaswag: ({ flips: [toRight, toWrong] = [0, 0] }) =>
      Array.from({ length: questions }, (_, question) => {
        const right = question % 2;
        const other = (right === 0 && question < 2 * toRight) || (right === 1 && question < 2 * toWrong);
        return ["acc", "acc_norm"].map((metric) => ({ metric, value: other ? 1 - right : right }));
      }),
    speed: ({ speed = 50 }) =>
      Array.from({ length: 8 }, () => [{ metric: "tg128", value: speed * (1 + 0.02 * next()) }]),
  };
  const weight = { perplexity: 255, divergence: 255, hellaswag: 1, speed: 1 };
  const measured = variants.flatMap((variant) =>
    kinds.flatMap((kind): StoredEvent[] => {
      const job = `${variant.name} ${kind}`;
      const samples = items[kind](variant).map(
        (list, item): StoredEvent => ({
          ...{ type: "samples", job, item: String(item) },
          samples: list.map((sample) => ({ weight: weight[kind], ...sample })),
        }),
      );
      if (kind === "perplexity" && variant.end === "unfinished") return samples.slice(0, 3);
      if (kind === "perplexity" && variant.end === "failed")
        return [{ type: "job-failed", at: 1, job, failure: { code: "engine-died", message: "the engine died" } }];
      return [...samples, { type: "job-done", at: 1, job, items: samples.length, seconds: 1 }];
    }),
  );
  return [started, ...measured];
}
