import { createHash } from "node:crypto";
import type { z } from "zod";
import { BenchError } from "../errors.js";
import type {
  Backend,
  Engine,
  EngineFacts,
  OptionRequest,
  ScoredRow,
  SpeedTest,
  VariantSpec,
  WindowRequest,
} from "./backend.js";
import { mockSettingsFacts, mockVariantSettings } from "./mock-settings.js";

/**
 * A model without memory: every token is drawn from one law over the 256 bytes, whatever stands before it. So the true
 * perplexity of any text and the true divergence of two variants are known in closed form (`mockLaw`), and every stage
 * can be tested without a GGUF file.
 *
 * The model string sets it: `mock:seed=1,damage=0.3,rate=200,delay=0.01,crash=3`.
 */
export interface MockSettings {
  /** Which law. */
  seed: number;
  /** Standard deviation of the noise on the logits that stands for quantization; 0: the undamaged law. */
  damage: number;
  /** Tokens per second of generation; a prompt runs ten times as fast. */
  rate: number;
  /** Seconds that each batch takes. */
  delay: number;
  /** The process dies in the batch of this number, counted from 1. */
  crash: number;
  /** It stays silent for ever from the batch of this number on. */
  hang: number;
  /** 1: it cannot be loaded. */
  broken: number;
  /** Size of the "file" in bytes. */
  bytes: number;
}

const defaults: MockSettings = { seed: 1, damage: 0, rate: 200, delay: 0, crash: 0, hang: 0, broken: 0, bytes: 1e6 };

const vocabulary = 257;
const bosToken = 256;

export function mockSettings(model: string): MockSettings {
  const settings = { ...defaults };
  const body = model.replace(/^mock:?/, "");
  for (const part of body.split(",").filter(Boolean)) {
    const [key, value] = part.split("=") as [keyof MockSettings, string];
    if (!Object.hasOwn(defaults, key) || value === undefined || Number.isNaN(Number(value)))
      throw new BenchError("model-invalid", `"${part}" is no setting of a mock model`, {
        hint: `use ${Object.keys(defaults).join(", ")}, each with a number`,
      });
    settings[key] = Number(value);
  }
  return settings;
}

/** The law of a mock model: the probability of each byte, 256 of them. */
export function mockLaw({ seed, damage }: Pick<MockSettings, "seed" | "damage">): Float64Array {
  const truth = normals(`law ${seed}`);
  const noise = normals(`noise ${seed} ${damage}`);
  const law = Float64Array.from({ length: 256 }, () => Math.exp(truth() + damage * noise()));
  const sum = law.reduce((a, b) => a + b, 0);
  return law.map((weight) => weight / sum);
}

/** Uniform numbers in (0, 1) that depend on the name alone. */
function uniforms(name: string): () => number {
  let state = createHash("sha256").update(name).digest().readUInt32LE(0);
  // Mulberry32: 32 bits of state are plenty for a few hundred draws.
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return (((t ^ (t >>> 14)) >>> 0) + 0.5) / 4294967296;
  };
}

/** Standard normal numbers (Box and Muller). */
function normals(name: string): () => number {
  const next = uniforms(name);
  return () => Math.sqrt(-2 * Math.log(next())) * Math.cos(2 * Math.PI * next());
}

export const mock: Backend = {
  name: "mock",
  capabilities: new Set(["likelihood", "options", "divergence", "prompt-timing", "generation-timing"]),
  version: async () => ({ version: "mock 1", library: "mock", origin: "mock", gpu: false }),
  settingsFacts: mockSettingsFacts,
  async inspect({ model, lora }) {
    const { bytes } = mockSettings(model);
    if (lora?.length)
      throw new BenchError("adapter-unfit", `${model} has no weights that an adapter could change`, {
        hint: "take `lora` away",
      });
    const sha256 = createHash("sha256").update(model).digest("hex");
    return {
      model,
      lora: [],
      facts: {
        files: [],
        sha256,
        bytes,
        tensorBytes: bytes,
        parameters: bytes / 2,
        bpw: 16,
        quant: "mock",
        architecture: "mock",
        name: model,
        contextLength: 4096,
        vocabulary,
        layers: 1,
        kvBytesPerToken: 0,
        tokenizerSha256: "mock",
      },
    };
  },
  async open(variant) {
    return new MockEngine(variant);
  },
};

class MockEngine implements Engine {
  readonly facts: EngineFacts;
  readonly bos = bosToken;
  readonly #settings: MockSettings;
  readonly #variant: z.output<typeof mockVariantSettings>;
  readonly #nll: Float64Array;
  readonly #jitter: () => number;
  #batches = 0;

  constructor(variant: VariantSpec) {
    this.#settings = mockSettings(variant.model);
    this.#variant = mockVariantSettings.parse(variant.settings);
    if (this.#settings.broken)
      throw new BenchError("load-failed", `${variant.model} cannot be loaded`, { hint: "take away broken=1" });
    this.#nll = mockLaw(this.#settings).map((p) => -Math.log(p));
    this.#jitter = normals(`jitter ${variant.model}`);
    const { bytes } = this.#settings;
    this.facts = {
      version: "mock 1",
      library: "mock",
      devices: [],
      system: "",
      threads: this.#variant.threads ?? 1,
      tensorBytes: bytes,
      parameters: bytes / 2,
      vocabulary,
      trainedContext: 4096,
      addsBos: true,
      loadSeconds: 0,
    };
  }

  /** What each batch costs, and the accidents that were ordered. */
  async #batch(): Promise<void> {
    this.#batches++;
    if (this.#batches === this.#settings.crash) process.kill(process.pid, "SIGSEGV");
    if (this.#settings.hang > 0 && this.#batches >= this.#settings.hang)
      await new Promise(() => setInterval(() => {}, 1e6));
    if (this.#settings.delay > 0) await new Promise((resolve) => setTimeout(resolve, this.#settings.delay * 1000));
  }

  tokenize(text: string, special: boolean): Int32Array {
    const bytes = Buffer.from(text, "utf8");
    return special ? Int32Array.from([bosToken, ...bytes]) : Int32Array.from(bytes);
  }

  measureTokens(tokens: Int32Array) {
    const bytes = tokens.filter((token) => token < 256);
    return { bytes: bytes.length, characters: bytes.filter((byte) => (byte & 0xc0) !== 0x80).length };
  }

  parallelWindows(context: number): number {
    return Math.max(1, Math.floor(this.#variant.batch / context));
  }

  async score({ context, windows, scoreFrom }: WindowRequest, progress?: (tokens: number) => void) {
    await this.#batch();
    progress?.(windows.length * context);
    return windows.map((window) =>
      Float64Array.from(window.subarray(scoreFrom + 1, context), (token) => this.#cost(token)),
    );
  }

  async visitRows({ context, windows, scoreFrom }: WindowRequest, visit: (row: ScoredRow) => void) {
    await this.#batch();
    const logits = Float32Array.from({ length: vocabulary }, (_, token) => -this.#cost(token));
    for (const [window, tokens] of windows.entries())
      for (let row = 0; row < context - 1 - scoreFrom; row++)
        visit({ window, row, logits, token: tokens[scoreFrom + row + 1]! });
  }

  async diverge(request: WindowRequest, variants: Engine[], progress?: (tokens: number) => void) {
    const nllReference = await this.score(request, progress);
    const law = this.#nll.map((cost) => Math.exp(-cost));
    return Promise.all(
      (variants as MockEngine[]).map(async (variant) => {
        const nll = await variant.score(request);
        const kld = law.reduce((sum, p, byte) => sum + p * (variant.#nll[byte]! - this.#nll[byte]!), 0);
        return nll.map((values, window) => ({
          nll: values,
          nllReference: nllReference[window]!,
          kld: new Float64Array(values.length).fill(kld),
          top: new Int32Array(values.length).fill(variant.#top),
          topReference: new Int32Array(values.length).fill(this.#top),
        }));
      }),
    );
  }

  /** The most likely byte. */
  get #top(): number {
    return this.#nll.indexOf(Math.min(...this.#nll));
  }

  /** BOS has no probability in the law; inside a text it costs as much as the rarest of 2^16. */
  #cost(token: number): number {
    return this.#nll[token] ?? 16 * Math.LN2;
  }

  optionBatch() {
    return { tokens: 512, options: 64 };
  }

  async scoreOptions(questions: OptionRequest[]): Promise<Float64Array[][]> {
    await this.#batch();
    return questions.map(({ prefix, scoreFrom, options }) =>
      options.map((option) =>
        Float64Array.from([...prefix.subarray(scoreFrom), ...option], (token) => this.#cost(token)),
      ),
    );
  }

  async prepareSpeed(): Promise<void> {}

  async timeSpeed({ prompt, generate }: SpeedTest): Promise<number> {
    await this.#batch();
    const { rate } = this.#settings;
    return (prompt / (10 * rate) + generate / rate) * (1 + 0.01 * this.#jitter());
  }

  peakMemory(): number {
    return this.#settings.bytes;
  }

  async close(): Promise<void> {}
}
