import type { Conversation } from "../chat/conversation.js";
import { sha256 } from "../digest.js";
import { BenchError } from "../errors.js";
import { WindowComparison } from "../kernels/comparison.js";
import { uniforms } from "../kernels/sampling.js";
import type {
  BackendWith,
  Engine,
  EngineFacts,
  Generation,
  Likelihood,
  Message,
  Options,
  Part,
  ScoredRow,
  SpeedTest,
  Timing,
  VariantSpec,
  WindowRequest,
  Windows,
} from "./backend.js";
import { byWindows } from "./chunks.js";
import { generationByTokens, type TokenGenerator } from "./generation.js";
import { mockSettingsFacts, mockVariantSettings } from "./mock-settings.js";
import { byTokens, type OptionRequest, type OptionScorer } from "./options.js";

/**
 * A model without memory: every token is drawn from one law over the 256 bytes, whatever precedes it. So the true
 * perplexity of any text and the true divergence of two variants are known in closed form (`mockLaw`), and every stage
 * can be tested without a GGUF file. What it writes when it is asked a question is known too (`mockAnswer`).
 *
 * The model string sets it: `mock:seed=1,damage=0.3,rate=200,delay=0.01,crash=3`.
 */
interface MockSettings {
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
  /** From the batch of this number on the engine hangs. */
  hang: number;
  /** 1: it cannot be loaded. */
  broken: number;
  /** Seconds that loading takes. */
  load: number;
  /** Size of the "file" in bytes. */
  bytes: number;
}

const defaults: MockSettings = {
  ...{ seed: 1, damage: 0, rate: 200, delay: 0, crash: 0, hang: 0, broken: 0, load: 0, bytes: 1e6 },
};

const vocabulary = 257;
const bosToken = 256;
const trainedContext = 4096;

function mockSettings(model: string): MockSettings {
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

/** Standard normal numbers (Box and Muller). */
function normals(name: string): () => number {
  const next = uniforms(name);
  return () => Math.sqrt(-2 * Math.log(next())) * Math.cos(2 * Math.PI * next());
}

export const mock = {
  name: "mock",
  parts: ["likelihood", "passages", "options", "letters", "generation", "timing", "windows"],
  version: async () => ({ version: "mock 1", library: "mock", origin: "mock", gpu: false }),
  builds: [{}],
  settingsFacts: mockSettingsFacts,
  async locate({ model, lora }) {
    const { bytes } = mockSettings(model);
    if (lora?.length)
      throw new BenchError("adapter-unfit", `${model} has no weights that an adapter could change`, {
        hint: "take `lora` away",
      });
    const weights = sha256(model);
    return {
      state: "ready",
      model,
      lora: [],
      weights,
      facts: {
        files: [],
        sha256: weights,
        bytes,
        tensorBytes: bytes,
        parameters: bytes / 2,
        bpw: 16,
        quant: "mock",
        architecture: "mock",
        name: model,
        contextLength: trainedContext,
        vocabulary,
        layers: 1,
        kvBytesPerToken: 0,
        tokenizerSha256: "mock",
      },
    };
  },
  async prepare() {},
  async open(variant) {
    const { load } = mockSettings(variant.model);
    await new Promise((loaded) => setTimeout(loaded, load * 1000));
    return new MockEngine(variant);
  },
} satisfies BackendWith<Part>;

class MockEngine implements Engine {
  readonly facts: EngineFacts;
  readonly windows: Windows;
  readonly likelihood: Likelihood;
  readonly passages: Likelihood;
  readonly options: Options;
  readonly letters: Options;
  readonly generation: Generation;
  readonly timing: Timing;
  readonly #settings: MockSettings;

  constructor(variant: VariantSpec) {
    const { threads = 1, batch } = mockVariantSettings.parse(variant.settings);
    this.#settings = mockSettings(variant.model);
    if (this.#settings.broken)
      throw new BenchError("load-failed", `${variant.model} cannot be loaded`, { hint: "take away broken=1" });
    const { bytes } = this.#settings;
    this.facts = {
      version: "mock 1",
      library: "mock",
      devices: [],
      system: "",
      threads,
      tensorBytes: bytes,
      parameters: bytes / 2,
      vocabulary,
      trainedContext,
      addsBos: true,
      loadSeconds: this.#settings.load,
    };
    const law = new Law(this.#settings);
    this.windows = new MockWindows(law, batch);
    this.likelihood = byWindows(this.windows);
    this.passages = this.likelihood;
    this.options = byTokens(new MockOptions(law));
    this.letters = this.options;
    this.generation = generationByTokens(new MockGeneration(law, this.#settings));
    this.timing = new MockTiming(law, this.#settings.rate, normals(`jitter ${variant.model}`));
  }

  peakMemory(): number {
    return this.#settings.bytes;
  }

  async close(): Promise<void> {}
}

/** Costs of tokens by the law, and the accidents of batches. */
class Law {
  readonly nll: Float64Array;
  #batches = 0;

  constructor(private readonly settings: MockSettings) {
    this.nll = mockLaw(settings).map((p) => -Math.log(p));
  }

  /** The delay of a batch, and the accidents that the model's name asks for. */
  async batch(): Promise<void> {
    const { crash, hang, delay } = this.settings;
    this.#batches++;
    if (this.#batches === crash) process.kill(process.pid, "SIGSEGV");
    if (hang > 0 && this.#batches >= hang) await new Promise(() => setInterval(() => {}, 1e6));
    if (delay > 0) await new Promise((resolve) => setTimeout(resolve, delay * 1000));
  }

  /** BOS has no probability in the law; inside a text it costs as much as the rarest of 2^16. */
  cost(token: number): number {
    return this.nll[token] ?? 16 * Math.LN2;
  }

  /** The most likely byte. */
  get top(): number {
    return this.nll.indexOf(Math.min(...this.nll));
  }

  tokenize(text: string, special: boolean): Int32Array {
    const bytes = Buffer.from(text, "utf8");
    return special ? Int32Array.from([bosToken, ...bytes]) : Int32Array.from(bytes);
  }
}

class MockWindows implements Windows {
  readonly bos = bosToken;
  readonly vocabulary = vocabulary;

  constructor(
    private readonly law: Law,
    private readonly batch: number,
  ) {}

  tokenize(text: string, special: boolean): Int32Array {
    return this.law.tokenize(text, special);
  }

  measureTokens(tokens: Int32Array) {
    const bytes = tokens.filter((token) => token < 256);
    return { bytes: bytes.length, characters: bytes.filter((byte) => (byte & 0xc0) !== 0x80).length };
  }

  textOf(tokens: Int32Array): string {
    return Buffer.from(tokens.filter((token) => token < 256)).toString("utf8");
  }

  parallel(context: number): number {
    return Math.max(1, Math.floor(this.batch / context));
  }

  async score({ context, windows, scoreFrom }: WindowRequest, progress?: (tokens: number) => void) {
    await this.law.batch();
    progress?.(windows.length * context);
    return windows.map((window) =>
      Float64Array.from(window.subarray(scoreFrom + 1, context), (token) => this.law.cost(token)),
    );
  }

  async visit({ context, windows, scoreFrom }: WindowRequest, visit: (row: ScoredRow) => void) {
    await this.law.batch();
    const logits = Float32Array.from({ length: vocabulary }, (_, token) => -this.law.cost(token));
    for (const [window, tokens] of windows.entries())
      for (let row = 0; row < context - 1 - scoreFrom; row++)
        visit({ window, row, logits, token: tokens[scoreFrom + row + 1]! });
  }

  async compare(
    request: WindowRequest,
    variants: readonly Windows[],
    progress?: (tokens: number) => void,
  ): Promise<WindowComparison[][]> {
    const nllReference = await this.score(request, progress);
    const law = this.law.nll.map((cost) => Math.exp(-cost));
    return Promise.all(
      variants.map(async (variant) => {
        if (!(variant instanceof MockWindows)) throw new Error("windows of another backend have another law");
        const nll = await variant.score(request);
        const kld = law.reduce((sum, p, byte) => sum + p * (variant.law.nll[byte]! - this.law.nll[byte]!), 0);
        const [top, topReference] = [variant.law.top, this.law.top];
        return nll.map((values, window) => {
          const compared = new WindowComparison(values.length);
          for (const [row, cost] of values.entries())
            compared.keep(row, {
              ...{ nll: cost, nllReference: nllReference[window]![row]!, top, topReference, divergence: [kld] },
            });
          return compared;
        });
      }),
    );
  }
}

/** The options of a mock model, in tokens. */
export const mockOptions = (model: string): OptionScorer => new MockOptions(new Law(mockSettings(model)));

class MockOptions implements OptionScorer {
  readonly batch = { tokens: 512, options: 64 };
  readonly trainedContext = trainedContext;
  readonly chats = true;

  constructor(private readonly law: Law) {}

  tokenize(text: string): Int32Array {
    return this.law.tokenize(text, true);
  }

  async converse(messages: readonly Message[], endings: readonly string[]): Promise<Conversation> {
    const text = mockConversation(messages);
    const whole = endings.map((ending) => this.tokenize(text + ending));
    return { text, ids: this.tokenize(text), whole, thinks: false };
  }

  async score(questions: OptionRequest[]): Promise<Float64Array[][]> {
    await this.law.batch();
    return questions.map(({ prefix, scoreFrom, options, skip }) =>
      options.map((option, i) =>
        Float64Array.from([...prefix.subarray(scoreFrom), ...option.subarray(skip?.[i] ?? 0)], (token) =>
          this.law.cost(token),
        ),
      ),
    );
  }
}

/** How it says a letter; one of these does not. The thought of another is not what it says. */
const sayings: ((letter: string) => string)[] = [
  (letter) => letter,
  (letter) => `The answer is ${letter}.`,
  (letter) => `答案是${letter}。`,
  (letter) => `<think>A or B?</think>\n\n**${letter}**`,
  () => "A good question 🦙",
];

/**
 * What a mock model answers to a prompt at temperature 0: a letter from A to D in one of a few sayings, by seed and prompt.
 * A damaged one takes another letter now and then, as often as its damage says.
 */
export function mockAnswer({ seed, damage }: Pick<MockSettings, "seed" | "damage">, prompt: string): string {
  const truth = uniforms(`answer ${seed} ${prompt}`);
  const noise = uniforms(`damage ${seed} ${damage} ${prompt}`);
  const [saying, letter] = [truth(), truth()];
  const said = noise() < damage ? noise() : letter;
  return sayings[Math.floor(saying * sayings.length)]!("ABCD"[Math.floor(said * 4)]!);
}

/** A conversation as mock models read it. */
export const mockConversation = (messages: readonly Message[]): string =>
  `${messages.map(({ role, content }) => `${role}: ${content}\n`).join("")}assistant:`;

/** Logits of all bytes but the next one of the answer: at temperature 1 about one byte in ten is another. */
const unlikely = -7;

class MockGeneration implements TokenGenerator {
  readonly trainedContext = trainedContext;
  readonly vocabulary = vocabulary;
  readonly chats = true;
  /** By sequence. */
  readonly #answers = new Map<number, { bytes: Uint8Array; from: number }>();

  constructor(
    private readonly law: Law,
    private readonly settings: MockSettings,
  ) {}

  tokenize(text: string): Int32Array {
    return this.law.tokenize(text, true);
  }

  async converse(messages: readonly Message[]): Promise<Conversation> {
    const text = mockConversation(messages);
    return { text, ids: this.tokenize(text), whole: [], thinks: false };
  }

  bytes(token: number): Uint8Array {
    return Uint8Array.from(token < 256 ? [token] : []);
  }

  /** As in many a vocabulary, one token begins a text and ends it. */
  isEnd(token: number): boolean {
    return token === bosToken;
  }

  open(): void {
    this.#answers.clear();
  }

  async begin(sequence: number, tokens: Int32Array): Promise<Float32Array> {
    await this.law.batch();
    const prompt = Buffer.from(tokens.filter((token) => token < 256)).toString("utf8");
    const bytes = Buffer.from(mockAnswer(this.settings, prompt), "utf8");
    this.#answers.set(sequence, { bytes, from: tokens.length });
    return this.#row(sequence, tokens.length);
  }

  async next(added: readonly { sequence: number; position: number }[]): Promise<Float32Array[]> {
    await this.law.batch();
    return added.map(({ sequence, position }) => this.#row(sequence, position + 1));
  }

  /** What comes at this position: the answer's byte, or its end. */
  #row(sequence: number, position: number): Float32Array {
    const { bytes, from } = this.#answers.get(sequence)!;
    const row = new Float32Array(vocabulary).fill(unlikely);
    row[bytes[position - from] ?? bosToken] = 0;
    return row;
  }
}

class MockTiming implements Timing {
  constructor(
    private readonly law: Law,
    private readonly rate: number,
    private readonly jitter: () => number,
  ) {}

  async prepare(): Promise<void> {}

  async time({ prompt, generate }: SpeedTest): Promise<number> {
    await this.law.batch();
    return (prompt / (10 * this.rate) + generate / this.rate) * (1 + 0.01 * this.jitter());
  }
}
