import { type ChildProcess, fork } from "node:child_process";
import { fileURLToPath } from "node:url";
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

const program = fileURLToPath(new URL("./render-process.js", import.meta.url));

/** For one conversation: a template is a program of unknown origin. */
const limits = { seconds: 10, megabytes: 128 };

/**
 * Writes conversations as a model was trained to read them: by its own chat template, up to where the assistant's answer
 * begins. As in transformers, blocks take their line's blanks and line end with them. There are no tools and no documents,
 * and it is always the same day: a prompt that names today's date would be another one tomorrow. A template that leaves out a
 * message is refused: what it makes is not what was asked.
 *
 * A template runs in a process of its own, so that one which never ends, or takes all memory, ends as a sentence. A thread
 * would not do: V8 ends the whole process when a single array takes a thread's last memory.
 */
export class ChatRenderer {
  #process: ChildProcess | undefined;
  #last: Promise<unknown> = Promise.resolve();

  constructor(
    private readonly template: ChatTemplate,
    /** Whose template it is, for messages. */
    private readonly model: string,
    private readonly said: ChatSettings = {},
    /** Hears of variables that the template does not have. */
    warning: (message: string) => void = () => {},
    private readonly allowed = limits,
  ) {
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

  /** Throws a BenchError `template-failed`. */
  render(messages: readonly Message[]): Promise<string> {
    // The process takes one conversation at a time.
    const text = this.#last.then(() => this.#rendered(messages));
    this.#last = text.catch(() => {});
    return text;
  }

  async #rendered(messages: readonly Message[]): Promise<string> {
    const reply = await this.#ask(messages);
    const [{ role } = {}] = messages;
    if ("fault" in reply) {
      const fault = `fails: ${harmless(reply.fault, { length: 100 })}`;
      throw this.#failed(fault, role === "system" && /system|role/i.test(reply.fault) ? withoutSystem : undefined);
    }
    checkWhole(reply.text, messages, this.model);
    return reply.text;
  }

  close(): void {
    this.#process?.kill("SIGKILL");
    this.#process = undefined;
  }

  #ask(messages: readonly Message[]): Promise<FromRenderer> {
    const { seconds, megabytes } = this.allowed;
    const renderer = this.#process ?? this.#start();
    return new Promise((resolve, reject) => {
      const end = (settle: () => void) => {
        clearTimeout(timer);
        renderer.removeAllListeners();
        // Nobody waits for a process that has nothing to do.
        renderer.unref();
        renderer.channel?.unref();
        settle();
      };
      const give = (what: string) => {
        this.close();
        end(() => reject(this.#failed(what)));
      };
      const timer = setTimeout(() => give(`does not end within ${seconds} s`), seconds * 1000);
      renderer.ref();
      renderer.channel?.ref();
      renderer.on("message", (reply: FromRenderer) => end(() => resolve(reply)));
      renderer.on("error", (error) => give(`could not be run (${error.message})`));
      renderer.on("exit", (code, signal) => {
        const outOfMemory = signal === "SIGABRT" || code === 134;
        give(outOfMemory ? `takes more than ${megabytes} MB of memory` : `ended its process (${signal ?? code})`);
      });
      renderer.send({ messages } satisfies ToRenderer);
    });
  }

  #start(): ChildProcess {
    const { megabytes } = this.allowed;
    const execArgv = [`--max-old-space-size=${megabytes}`];
    // V8 tells at length of memory that it lacks.
    const renderer = fork(program, [], { execArgv, stdio: ["ignore", "ignore", "ignore", "ipc"] });
    const { templateKwargs: kwargs = {}, conversationDay: day = usualDay } = this.said;
    renderer.send({ template: this.template, kwargs, day } satisfies ToRenderer);
    this.#process = renderer;
    return renderer;
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
