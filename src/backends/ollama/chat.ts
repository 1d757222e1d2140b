import { basename } from "node:path";
import { opensThought } from "../../chat/conversation.js";
import type { ChatSettings } from "../../chat/settings.js";
import { ChatRenderer, type ChatTemplate, type Message } from "../../chat/template.js";
import { readPart } from "../../models/gguf.js";
import { beginsWithBos, specialTexts } from "../../models/tokenizer.js";
import type { Prompt } from "../backend.js";
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

/** A prompt as the server is given it: as it stands, or for the server to write. */
export type PromptForm = { think: boolean | string } & (
  | { prompt: string; raw: true }
  | { messages: readonly Message[] }
);

/** A prompt in that form, or why it is not asked. */
type AskedPrompt = { fault: string } | { form: PromptForm; thinks: boolean };

/**
 * How conversations are written for a model. Its file's chat template and the template of its Modelfile should say the same; where
 * they do, the file's is used, as in process. Where they do not, the server writes them, as it does for all its users, and the
 * reader is told.
 */
export class OllamaChat {
  /** Whether there is any template. */
  readonly some: boolean;
  #renderer: Promise<FileTemplate | undefined> | undefined;
  #specials: Promise<string[]> | undefined;

  constructor(
    private readonly server: OllamaServer,
    /** The model's, where it can be read here. */
    private readonly file: string | undefined,
    private readonly templated: boolean,
    modelfileTemplate: string,
    private readonly said: ChatSettings,
    private readonly warning: (message: string) => void,
  ) {
    this.some = templated || !noTemplate.test(modelfileTemplate);
  }

  async ask(prompt: Prompt): Promise<AskedPrompt> {
    const texts = "text" in prompt ? [prompt.text] : prompt.messages.map(({ content }) => content);
    const special = await this.#specialIn(texts);
    // It parses them wherever they stand.
    if (special !== undefined) return { fault: `its text holds ${special}, which Ollama takes for a special token` };
    if ("text" in prompt) return { form: { prompt: prompt.text, raw: true, think: false }, thinks: false };
    if (!this.some) return { fault: "the model has no template for conversations" };
    this.#renderer ??= this.#chosen();
    const renderer = await this.#renderer;
    if (!renderer) return { form: { messages: prompt.messages, think: this.#think }, thinks: false };
    const text = await renderer.render(prompt.messages);
    return { form: { prompt: text, raw: true, think: false }, thinks: opensThought.test(text) };
  }

  /** The prompt in its form as the model is given it, where the server tells. */
  async written(form: PromptForm): Promise<string | undefined> {
    return "prompt" in form ? form.prompt : this.server.rendered(form.messages, form.think);
  }

  /** Ollama's own variable for what templates call otherwise. */
  get #think(): boolean | string {
    const { enable_thinking: thinking, reasoning_effort: effort } = this.said.templateKwargs ?? {};
    return typeof thinking === "boolean" ? thinking : typeof effort === "string" ? effort : false;
  }

  async #specialIn(texts: readonly string[]): Promise<string | undefined> {
    if (this.file === undefined) return undefined;
    this.#specials ??= readPart(this.file).then(({ metadata }) => specialTexts(metadata));
    const specials = await this.#specials;
    return specials.find((special) => texts.some((text) => text.includes(special)));
  }

  async close(): Promise<void> {
    (await this.#renderer?.catch(() => undefined))?.close();
  }

  async #chosen(): Promise<FileTemplate | undefined> {
    const own =
      this.file === undefined || !this.templated
        ? undefined
        : await FileTemplate.read(this.file, this.said, this.warning);
    const differs = own ? await this.#difference(own) : "whose file's chat template cannot be read here";
    if (differs === undefined) return own;
    this.warning(`conversations are written by the template of its Modelfile, ${differs}`);
    const { enable_thinking: _, reasoning_effort: __, ...others } = this.said.templateKwargs ?? {};
    for (const name of [...Object.keys(others), ...(this.said.conversationDay ? ["conversationDay"] : [])])
      this.warning(
        `that template is not told ${name}: Ollama knows \`enable_thinking\` and \`reasoning_effort\` alone`,
      );
    own?.close();
    return undefined;
  }

  /** What tells the server's way from the file's, a phrase. */
  async #difference(own: FileTemplate): Promise<string | undefined> {
    for (const messages of probes) {
      const written = await own.render(messages).catch(() => undefined);
      // A template that takes no system message refuses one.
      if (written === undefined) continue;
      const served = await this.server.rendered(messages, this.#think);
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
  static async read(
    path: string,
    said: ChatSettings,
    warning: (message: string) => void,
  ): Promise<FileTemplate | undefined> {
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
    const renderer = new ChatRenderer(template, basename(path), said, warning);
    return new FileTemplate(renderer, beginsWithBos(metadata) ? template.bos : "");
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
