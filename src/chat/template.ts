import { ConfinedProcess } from "../confined.js";
import { BenchError } from "../errors.js";
import { harmless } from "../harmless.js";
import { conversationDay as usualDay } from "./date.js";
import type { ChatSettings } from "./settings.js";

/** How a model wants conversations written: a Jinja template, and the texts of the tokens that it may name; empty if there are none. */
export interface ChatTemplate {
  text: string;
  bos: string;
  eos: string;
}

/** One turn of a conversation. */
export interface Message {
  role: "system" | "user" | "assistant";
  content: string;
}

/** What the process that renders is given: a template first, then conversations. It answers each of these. */
export type ToRenderer =
  | { template: ChatTemplate; kwargs: Record<string, unknown>; day: string }
  | { messages: readonly Message[] };
export type FromRenderer = { text: string } | { fault: string };

const program = new URL("./render-process.js", import.meta.url);

/** For one conversation: a template is a program of unknown origin. */
const limits = { seconds: 10, megabytes: 128 };

/**
 * Writes conversations as a model was trained to read them: by its own chat template, up to where the assistant's answer
 * begins. As in transformers, blocks take their line's blanks and line end with them. There are no tools and no documents,
 * and it is always the same day: a prompt that names today's date would be another one tomorrow. A template that leaves out a
 * message is refused: what it makes is not what was asked.
 */
export class ChatRenderer {
  readonly #process: ConfinedProcess<ToRenderer, FromRenderer>;
  #last: Promise<unknown> = Promise.resolve();

  constructor(
    private readonly template: ChatTemplate,
    /** Whose template it is, for messages. */
    private readonly model: string,
    private readonly said: ChatSettings = {},
    /** Hears of variables that the template does not have. */
    warning: (message: string) => void = () => {},
    allowed = limits,
  ) {
    const { templateKwargs: kwargs = {}, conversationDay: day = usualDay } = said;
    const first = { template, kwargs, day } satisfies ToRenderer;
    this.#process = new ConfinedProcess(program, allowed, first);
    const names = Object.keys(said.templateKwargs ?? {}).filter(
      (name) => !new RegExp(`\\b${name}\\b`).test(template.text),
    );
    for (const name of names)
      warning(`its chat template has no variable \`${name}\`: setting it in \`templateKwargs\` changes nothing`);
  }

  /** The day that the template is told, if it asks for the date. */
  get day(): string | undefined {
    return /\bstrftime_now\b/.test(this.template.text) ? (this.said.conversationDay ?? usualDay) : undefined;
  }

  /** Whether BOS stands before a conversation also where the template writes it. */
  get doublesBos(): boolean {
    return this.said.doubleBos ?? false;
  }

  /** Throws a BenchError `template-failed`. */
  render(messages: readonly Message[]): Promise<string> {
    // The process takes one conversation at a time.
    const text = this.#last.then(() => this.#rendered(messages));
    this.#last = text.catch(() => {});
    return text;
  }

  async #rendered(messages: readonly Message[]): Promise<string> {
    const reply = await this.#process.ask({ messages });
    const [{ role } = {}] = messages;
    if ("noAnswer" in reply) throw this.#failed(reply.noAnswer);
    if ("fault" in reply) {
      const fault = `fails: ${harmless(reply.fault, { length: 100 })}`;
      throw this.#failed(fault, role === "system" && /system|role/i.test(reply.fault) ? withoutSystem : undefined);
    }
    checkWhole(reply.text, messages, this.model);
    return reply.text;
  }

  close(): void {
    this.#process.close();
  }

  #failed(what: string, hint?: string): BenchError {
    return failed(this.model, what, hint);
  }
}

/** Throws a BenchError `template-failed` where a prompt lacks a message of the conversation that it was made of. */
export function checkWhole(prompt: string, messages: readonly Message[], model: string): void {
  const lost = messages.find((message) => !prompt.includes(coreOf(message)));
  if (lost?.role === "system") throw failed(model, "leaves out the system message without a word", withoutSystem);
  if (lost) throw failed(model, `leaves out or rewrites a message of the ${lost.role}`);
}

function failed(model: string, what: string, hint = brokenTemplate): BenchError {
  return new BenchError("template-failed", `the chat template of ${model} ${what}`, { hint });
}

const brokenTemplate =
  "the file's tokenizer.chat_template is at fault: take another file of the model, or ask it without its template";
const withoutSystem = "its model was trained without system messages: take `system` away, or ask in another style";

/** What templates keep of a message: blanks around it may go, and what an assistant thought. */
function coreOf({ role, content }: Message): string {
  const said = role === "assistant" ? (content.split("</think>").at(-1) ?? "") : content;
  return said.trim();
}
