import { ChatRenderer, type ChatTemplate, type Message } from "../../chat/template.js";
import { readPart } from "../../models/gguf.js";
import type { OllamaServer } from "./server.js";

/** OllamaChat that tell templates apart: without a system message and with one, which not every template takes. */
const probes: Message[][] = [
  [
    { role: "user", content: "One?" },
    { role: "assistant", content: "Two." },
    { role: "user", content: "Three?" },
  ],
  [
    { role: "system", content: "Zero." },
    { role: "user", content: "One?" },
  ],
];

/** What a Modelfile says where nobody gave it a template. */
const noTemplate = /^\s*\{\{-?\s*\.Prompt\s*-?\}\}\s*$/;

/** A conversation as the server is given it. */
export type PromptForm = { prompt: string; raw: true } | { messages: readonly Message[] };

/**
 * How conversations are written for a model. Its file's chat template and the template of its Modelfile should say the same; where
 * they do, the file's is used, as in process. Where they do not, the server writes them, as it does for all its users, and the
 * reader is told.
 */
export class OllamaChat {
  /** Whether there is any template. */
  readonly some: boolean;
  #renderer: Promise<FileTemplate | undefined> | undefined;

  constructor(
    private readonly server: OllamaServer,
    /** The model's, where it can be read here and has a template. */
    private readonly file: string | undefined,
    modelfileTemplate: string,
    private readonly warning: (message: string) => void,
  ) {
    this.some = file !== undefined || !noTemplate.test(modelfileTemplate);
  }

  async ask(messages: readonly Message[]): Promise<PromptForm> {
    this.#renderer ??= this.#chosen();
    const renderer = await this.#renderer;
    return renderer ? { prompt: await renderer.render(messages), raw: true } : { messages };
  }

  async close(): Promise<void> {
    (await this.#renderer?.catch(() => undefined))?.close();
  }

  async #chosen(): Promise<FileTemplate | undefined> {
    const own = this.file === undefined ? undefined : await FileTemplate.read(this.file);
    const differs = own ? await this.#difference(own) : "whose file's chat template cannot be read here";
    if (differs === undefined) return own;
    this.warning(`conversations are written by the template of its Modelfile, ${differs}`);
    own?.close();
    return undefined;
  }

  /** What tells the server's way from the file's, a phrase. */
  async #difference(own: FileTemplate): Promise<string | undefined> {
    for (const messages of probes) {
      const written = await own.render(messages).catch(() => undefined);
      // A template that takes no system message refuses one.
      if (written === undefined) continue;
      const served = await this.server.rendered(messages);
      if (served === undefined) return "which the server does not show";
      if (own.withoutBos(served) !== written) return "which is not the file's chat template";
    }
    return undefined;
  }
}

/** The chat template of a model's file. */
class FileTemplate {
  private constructor(
    private readonly renderer: ChatRenderer,
    /** What the server puts before every prompt. */
    private readonly bos: string,
  ) {}

  /** Undefined where it has none. */
  static async read(path: string): Promise<FileTemplate | undefined> {
    const { metadata } = await readPart(path);
    const text = metadata["tokenizer.chat_template"];
    if (typeof text !== "string" || text === "") return undefined;
    const tokens = metadata["tokenizer.ggml.tokens"];
    const named = (key: string): string => {
      const id = metadata[`tokenizer.ggml.${key}_token_id`];
      const token: unknown = Array.isArray(tokens) && id !== undefined ? tokens[Number(id)] : undefined;
      return typeof token === "string" ? token : "";
    };
    const template: ChatTemplate = { text, bos: named("bos"), eos: named("eos") };
    const adds = metadata["tokenizer.ggml.add_bos_token"] ?? metadata["tokenizer.ggml.model"] === "llama";
    return new FileTemplate(new ChatRenderer(template, path), adds ? template.bos : "");
  }

  /** Without the BOS that the server adds: a second one would be read as a text's. */
  async render(messages: readonly Message[]): Promise<string> {
    return this.withoutBos(await this.renderer.render(messages));
  }

  withoutBos(text: string): string {
    return this.bos !== "" && text.startsWith(this.bos) ? text.slice(this.bos.length) : text;
  }

  close(): void {
    this.renderer.close();
  }
}
