import { basename } from "node:path";
import { ChatRenderer } from "../../chat/template.js";
import { definite } from "../../definite.js";
import { BenchError } from "../../errors.js";
import type { Listener } from "../../machine.js";
import type {
  Engine,
  EngineFacts,
  EngineListener,
  Generation,
  Likelihood,
  Options,
  Part,
  Timing,
  VariantSpec,
} from "../backend.js";
import { byQuestions } from "../options.js";
import { Client, measuring } from "./client.js";
import { openaiGeneration } from "./completions.js";
import { Fleet } from "./fleet.js";
import { LlamaServerTiming, ServerChat, ServerTokenizer, scoreOptions, serverGeneration } from "./llama-server.js";
import { ServerProcess } from "./process.js";
import { processOf } from "./seen.js";
import { type Served, served } from "./server.js";
import type { OpenaiSettings, ServerKind, Target } from "./settings.js";
import { PromptScorer, promptLikelihood } from "./vllm.js";

/** Answers at a time of a server that does not tell how many it makes. */
const usualSlots = 4;

/** What servers of each kind can do. */
export function partsOf({ kind }: { kind: ServerKind }): readonly Part[] {
  if (kind === "llama-server") return ["options", "letters", "generation", "timing"];
  if (kind === "vllm") return ["likelihood", "passages", "options", "letters", "generation"];
  return ["generation"];
}

/** What is known of an engine besides what its server says. */
interface KnownBesides {
  /** Whether the model has a template for conversations, as far as its file is known. */
  chats: boolean;
  /** Of a server that was started. */
  build: string | undefined;
  loadSeconds: number | undefined;
  process: ServerProcess | undefined;
  warning(message: string): void;
}

/** One server, or several of one model. */
export class ServerEngine implements Engine {
  readonly facts: EngineFacts;
  readonly likelihood?: Likelihood;
  readonly passages?: Likelihood;
  readonly options?: Options;
  readonly letters?: Options;
  readonly generation: Generation;
  readonly timing?: Timing;
  readonly #process: ServerProcess | undefined;
  /** The process that computes, where it is seen. */
  readonly #seen: Pick<Listener, "takePeak" | "seconds"> | undefined;
  readonly #chat: ServerChat | undefined;

  private constructor(
    clients: readonly Client[],
    first: Client,
    said: Served,
    settings: OpenaiSettings,
    { chats, build, loadSeconds, process, warning }: KnownBesides,
  ) {
    const { concurrency, contextLength, templateKwargs } = settings;
    this.#process = process;
    const seen = process ?? (clients.length === 1 ? processOf(first.base) : undefined);
    this.#seen = seen;
    const { vocabulary = 0, trainedContext, parameters, tensorBytes } = said;
    const context = Math.min(said.context ?? Infinity, contextLength ?? Infinity, trainedContext ?? Infinity);
    this.facts = {
      version: [said.kind, said.version].filter(Boolean).join(" "),
      library: said.kind,
      ...definite({ build, vocabulary: said.vocabulary, trainedContext, parameters, tensorBytes, loadSeconds }),
    };
    const slots = concurrency ?? said.slots ?? usualSlots;
    const answering = new Fleet(clients, slots);
    const bound = context < Infinity ? context : 0;
    switch (said.kind) {
      case "llama-server": {
        const tokenizer = new ServerTokenizer();
        // Beside others an option would be decoded in batches of another shape each time.
        const scoring = new Fleet(clients, Math.min(concurrency ?? 1, said.slots ?? 1));
        // Where the file has no template, the server says another one, which the model was not trained for.
        if (said.template && chats) {
          const renderer = new ChatRenderer(said.template, basename(said.model), settings, warning);
          this.#chat = new ServerChat(answering, tokenizer, renderer, warning);
          this.facts = { ...this.facts, ...definite({ conversationDay: renderer.day }) };
        }
        this.options = byQuestions({
          trainedContext: bound,
          parallel: scoring.lanes,
          chats: this.#chat !== undefined,
          converse: (messages, endings) => this.#chat!.read(messages, endings),
          tokenize: (text) => answering.run(({ client }) => tokenizer.tokenize(client, text)),
          score: (request) =>
            scoring.run(async (lane) => {
              const { whole } = await tokenizer.known(lane.client);
              return scoreOptions(request, lane, { whole, vocabulary });
            }),
        });
        this.letters = this.options;
        this.generation = serverGeneration(answering, tokenizer, this.#chat, context);
        this.timing = new LlamaServerTiming(first, vocabulary, context, () => seen?.seconds());
        break;
      }
      case "vllm": {
        const scorer = new PromptScorer(said.model);
        this.likelihood = promptLikelihood(answering, scorer);
        this.passages = this.likelihood;
        this.options = byQuestions({
          trainedContext: bound,
          parallel: answering.lanes,
          // A server without a template refuses a conversation, and says so.
          chats: true,
          converse: (messages, endings) =>
            answering.run(({ client }) => scorer.converse(client, messages, endings, templateKwargs)),
          tokenize: (text) => answering.run(({ client }) => scorer.tokenize(client, text)),
          score: (request) => answering.run(({ client }) => scorer.score(request, client)),
        });
        this.letters = this.options;
        this.generation = openaiGeneration(answering, said.model, templateKwargs);
        break;
      }
      default:
        this.generation = openaiGeneration(answering, said.model, templateKwargs);
    }
  }

  /** `build`: of the program that is started, where one is. */
  static async open(
    variant: VariantSpec,
    target: Target,
    build: string | undefined,
    listener?: EngineListener,
  ): Promise<ServerEngine> {
    const { started, settings } = target;
    const begun = performance.now();
    const doing = (step: string) => listener?.doing(step);
    const process =
      started && (await ServerProcess.start(started, { model: variant.model, variant: variant.name, doing }));
    try {
      const clients = (process ? [process.base] : target.urls).map(
        (url) =>
          new Client(url, {
            ...{ keyEnv: settings.keyEnv, requestTimeout: settings.requestTimeout, patience: measuring },
            waiting: (why) => doing(`asking ${url} again: ${why}`),
            ...(process ? { ended: () => process.ended() } : {}),
          }),
      );
      doing("asking the server what it is");
      // A server that was started has one model, whatever its file is called.
      const asked = process ? definite({ kind: target.kind }) : target;
      const [said] = await Promise.all(clients.map((client) => served(client, asked)));
      const [first] = clients;
      if (!first || !said) throw new Error("a server is named, or started");
      checkModel(variant, said, first);
      const { facts } = variant;
      return new ServerEngine(clients, first, said, settings, {
        ...{ build, process, chats: facts === undefined || facts.chatTemplateSha256 !== undefined },
        warning: (message) => listener?.warning(message),
        loadSeconds: process && (performance.now() - begun) / 1000,
      });
    } catch (error) {
      const ended = await process?.ended();
      await process?.stop();
      throw ended ?? error;
    }
  }

  peakMemory(): number | undefined {
    return this.#seen?.takePeak();
  }

  async close(): Promise<void> {
    this.#chat?.close();
    await this.#process?.stop();
  }
}

/** The figures stand beside the model that was planned: a server may have been started anew with another. */
function checkModel({ facts }: VariantSpec, { parameters, tensorBytes }: Served, { base }: Client): void {
  if (!facts) return;
  const others =
    (parameters !== undefined && parameters !== facts.parameters) ||
    (tensorBytes !== undefined && tensorBytes !== facts.tensorBytes);
  if (others)
    throw new BenchError("file-changed", `${base} has another model than the one that was planned`, {
      hint: "the same command measures the one that it has now",
    });
}
