import { definite } from "../../definite.js";
import { BenchError } from "../../errors.js";
import type { Engine, EngineFacts, EngineListener, EngineName, VariantSpec } from "../backend.js";
import { OllamaChat } from "./chat.js";
import { OllamaGeneration } from "./generation.js";
import { OllamaLetters } from "./letters.js";
import { nameOf } from "./model.js";
import { Runner } from "./runner.js";
import { greedy } from "./sampling.js";
import { OllamaServer } from "./server.js";
import { ollamaSettings } from "./settings.js";
import { OllamaTiming } from "./timing.js";

/** A model that Ollama has loaded. */
export class OllamaEngine implements Engine {
  readonly timing: OllamaTiming;
  readonly generation: OllamaGeneration;
  readonly letters: OllamaLetters;

  private constructor(
    readonly facts: EngineFacts,
    private readonly server: OllamaServer,
    private readonly runner: Runner | undefined,
    private readonly own: boolean,
    private readonly conversations: OllamaChat,
    { context, listener }: { context: number; listener: EngineListener },
  ) {
    this.timing = new OllamaTiming(server, context, runner, listener.doing);
    this.generation = new OllamaGeneration(server, context, conversations, listener.warning);
    this.letters = new OllamaLetters(server, context, conversations);
  }

  /** Lets the server load the model. Throws a BenchError that says why it cannot. */
  static async open(
    { model, settings, facts: file }: VariantSpec,
    name: EngineName,
    listener: EngineListener,
  ): Promise<OllamaEngine> {
    const said = ollamaSettings.parse(settings);
    const called = nameOf(model);
    const context = Math.min(said.contextLength, file?.contextLength ?? Infinity);
    const server = new OllamaServer(said, called, {
      num_ctx: context,
      num_batch: said.batch,
      ...definite({ num_thread: said.threads, num_gpu: said.gpuLayers }),
    });
    listener.doing("loading the model");
    const [listed] = await digestOf(server);
    if (!listed)
      throw new BenchError("model-missing", `Ollama at ${server.address} has no model ${called} any more`, {
        hint: `\`ollama pull ${called}\` fetches it`,
      });
    const before = (await server.running()).some(({ digest }) => digest === listed);
    const { load_duration } = await server.generate({
      prompt: "a",
      raw: true,
      think: false,
      options: { ...greedy, num_predict: 1 },
    });
    const runner = server.local && file?.files[0] ? new Runner(file.files[0]) : undefined;
    const flags = runner?.flags();
    if (flags === undefined && name.environment === undefined)
      listener.warning(
        "its runner cannot be seen from here: what OLLAMA_NUM_PARALLEL, OLLAMA_KV_CACHE_TYPE and OLLAMA_FLASH_ATTENTION are set to on the server is unknown",
      );
    const threads = said.threads ?? (Number(runner?.flag("-t", "--threads")) || undefined);
    return new OllamaEngine(
      definite({
        ...name,
        system: [`model ${listed.slice(0, 12)}`, ...(flags === undefined ? [] : [flags])].join(", "),
        threads,
        tensorBytes: file?.tensorBytes,
        parameters: file?.parameters,
        vocabulary: file?.vocabulary,
        trainedContext: file?.contextLength,
        loadSeconds: before ? undefined : load_duration / 1e9,
      }),
      server,
      runner,
      !before,
      new OllamaChat(
        server,
        file?.files[0],
        file?.chatTemplateSha256 !== undefined,
        (await server.show()).template,
        said,
        listener.warning,
      ),
      { context, listener },
    );
  }

  peakMemory(): number | undefined {
    return this.runner?.takeHighWaterMark();
  }

  async close(): Promise<void> {
    // What was there before stays.
    if (this.own) await this.server.unload().catch(() => {});
    this.server.close();
    await this.conversations.close();
  }
}

/** Ollama's own digest of the model, which covers its Modelfile too. */
async function digestOf(server: OllamaServer): Promise<string[]> {
  const asked = server.model.toLowerCase();
  const names = new Set([asked, `${asked}:latest`]);
  return (await server.models()).filter(({ name }) => names.has(name.toLowerCase())).map(({ digest }) => digest);
}
