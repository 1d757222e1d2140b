import { spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { LlamaModel } from "../../dist/backends/llama/model.js";
import { Tokenizer } from "../../dist/backends/llama/tokenizer.js";
import { type ChatTokens, Conversations } from "../../dist/chat/conversation.js";
import type { ChatSettings } from "../../dist/chat/settings.js";
import { ChatRenderer } from "../../dist/chat/template.js";
import { loadLibrary } from "../../dist/llama/library.js";
import { chooseLibrary } from "../../dist/llama/location.js";
import { root } from "../repository.js";

const script = join(root, "../shared/tools/vocabularies.sh");
/** Whether vocabularies and templates of real models can be had here. */
export const realVocabularies = existsSync(script);

/** Puts them into a folder, as `vocabularies` and `templates`. */
export function unpackVocabularies(folder: string): void {
  const made = spawnSync("bash", [script, join(root, "node_modules"), folder], { encoding: "utf8" });
  if (made.status !== 0 || made.stderr !== "") throw new Error(made.stderr || `it ended with ${made.status}`);
}

/** A tokenizer, and what tests ask of it besides. */
export type Vocabulary = Tokenizer & { special(token: number): boolean; bytes(token: number): Uint8Array; bos: number };

/** A vocabulary of a file without weights. */
export function vocabulary(path: string): Vocabulary {
  const library = loadLibrary(chooseLibrary("cpu"), { quiet: true });
  const pointer = library.loadModel(path, { ...library.modelDefaults(), vocab_only: true });
  if (pointer === null) throw new Error(`${path} cannot be loaded`);
  const vocab = library.vocab(pointer);
  const bos = library.addsBos(vocab) ? library.bos(vocab) : -1;
  const tokens = new Tokenizer({ library, vocab, bos, doing() {} } as unknown as LlamaModel);
  // A special token is written in no answer.
  const special = (token: number) => tokens.written(token).length === 0 && tokens.name(token) !== "";
  const bytes = (token: number) => {
    const out = Buffer.alloc(256);
    return out.subarray(0, library.tokenToPiece(vocab, token, out, out.length, 0, true));
  };
  return Object.assign(tokens, { special, bytes, bos });
}

/** Conversations of a vocabulary by a template. */
export function conversations(
  tokens: Tokenizer & { bos: number },
  template: string,
  { bos = "", said = {}, warnings = [] }: { bos?: string; said?: ChatSettings; warnings?: string[] } = {},
): Conversations & { close(): void } {
  const warning = (message: string) => void warnings.push(message);
  const renderer = new ChatRenderer({ text: template, bos, eos: "" }, "model.gguf", said, warning);
  const chatTokens: ChatTokens = {
    ids: (text, parse) => tokens.piece(text, parse),
    name: (token) => tokens.name(token),
    bos: () => tokens.bos,
    warning,
  };
  return Object.assign(new Conversations(renderer, chatTokens), { close: () => renderer.close() });
}

export const templateOf = (folder: string, name: string): string =>
  readFileSync(join(folder, "templates", `${name}.jinja`), "utf8");
