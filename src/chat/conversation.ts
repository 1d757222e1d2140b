import type { ChatRenderer, Message } from "./template.js";

/** What a vocabulary makes of text. */
export interface ChatTokens {
  /** Ids of a text, with nothing put before or after it; special tokens in it are parsed, or are text like any other. */
  ids(text: string, parse: boolean): Int32Array | Promise<Int32Array>;
  /** The text by which a token goes, a special one too. */
  name(token: number): string | Promise<string>;
  /** The token that the vocabulary puts before texts, or −1. */
  bos(): number | Promise<number>;
  /** Hears a fact that a reader of the figures should know, a sentence without its end. */
  warning(message: string): void;
}

/** A conversation as its model reads it. */
export interface Conversation {
  /** As the template wrote it, up to where the answer begins. */
  text: string;
  /** The same in tokens, with BOS where the vocabulary wants it. */
  ids: Int32Array;
  /** Of each ending, the conversation with it: it begins with `ids`, unless the two merge at the border. */
  whole: Int32Array[];
  /** Why it cannot be asked, a phrase; there are no ids then. */
  fault?: string;
  /** Whether its end is inside a thought, which the answer then begins with. */
  thinks: boolean;
}

/** A text, or a conversation, as it is asked. */
export type AskedText = Pick<Conversation, "text" | "ids"> & Partial<Conversation>;

/** A conversation in which the texts of special tokens that nobody means are broken by a mark. */
interface Marked {
  text: string;
  mark: string;
}

/** A token that comes of parsing, by its text; some take the white space beside them with them. */
interface SpecialToken {
  name: string;
  takesBefore: boolean;
  takesAfter: boolean;
}

/** Contents that are known to hold no special token: the examples of few-shot questions come again and again. */
const mostRemembered = 10_000;

/** For a mark: characters that stand for nothing, and in no vocabulary's tokens. */
const marks = Array.from({ length: 16 }, (_, i) => String.fromCodePoint(0xf0e10 + i));

/** Whether a prompt's end opens a thought. */
export const opensThought = /<(seed:)?think(ing)?>\s*$/;

/**
 * Conversations of one model as tokens.
 *
 * The special tokens that the template writes are parsed, and the same text within a message is text: a question cannot close its
 * turn. For an ordinary conversation the prompt is tokenized as it stands, as llama-server does. Where a message holds the text of
 * a special token, that text is broken by a mark before it is rendered; the prompt is then cut at the special tokens that are
 * left, which are the template's, and each piece is tokenized without its marks. Vocabularies tokenize what stands between two
 * special tokens by itself, so that this is the same cut; it is checked on the prompt with its marks.
 */
export class Conversations {
  readonly #plain = new Set<string>();
  #written: Promise<ReadonlySet<number>> | undefined;
  readonly #specials = new Map<number, SpecialToken | undefined>();
  #toldOfBos = false;

  constructor(
    private readonly renderer: ChatRenderer,
    private readonly tokens: ChatTokens,
  ) {}

  /**
   * `endings`: beginnings of answers, each of which goes on from where the conversation ends. Throws a BenchError
   * `template-failed`.
   */
  async read(messages: readonly Message[], endings: readonly string[] = []): Promise<Conversation> {
    const text = await this.renderer.render(messages);
    const thinks = opensThought.test(text);
    const not = (fault: string): Conversation => ({ text, ids: new Int32Array(0), whole: [], thinks, fault });
    const marked = await this.#marked(messages, text);
    if ("fault" in marked) return not(marked.fault);
    const bare = marked.mark === "" ? await this.tokens.ids(text, true) : await this.#between(marked);
    if (!bare) return not(notCut);
    const bos = await this.tokens.bos();
    if (bos >= 0 && bare[0] === bos && bare[1] === bos && !this.#toldOfBos) {
      this.#toldOfBos = true;
      this.tokens.warning("its chat template begins conversations with BOS twice; models are trained with one");
    }
    // Many templates write the BOS that the vocabulary would add: it stands there once, unless it is wanted twice.
    const { doublesBos } = this.renderer;
    if (doublesBos && (bos < 0 || bare[0] !== bos) && !this.#toldOfBos) {
      this.#toldOfBos = true;
      this.tokens.warning("`doubleBos` changes nothing: vocabulary and chat template do not both write BOS");
    }
    const begin = bos >= 0 && (bare[0] !== bos || doublesBos) ? [bos] : [];
    const whole: Int32Array[] = [];
    if (endings.length > 0) {
      const last = await this.#lastPiece(bare, marked);
      if (!last) return not(notCut);
      for (const ending of endings) {
        const ids = await this.tokens.ids(last.tail(ending), false);
        whole.push(joined([Int32Array.from(begin), last.head, ids]));
      }
    }
    return { text, ids: Int32Array.from([...begin, ...bare]), whole, thinks };
  }

  /** Without a mark where no message holds the text of a special token. */
  async #marked(messages: readonly Message[], text: string): Promise<Marked | { fault: string }> {
    const plain = await Promise.all(messages.map(({ content }) => this.#isPlain(content)));
    if (plain.every(Boolean)) return { text, mark: "" };
    const mark = marks.find((one) => !text.includes(one)) ?? "";
    const broken: Message[] = [];
    for (const [i, message] of messages.entries()) {
      const content = plain[i] ? message.content : await this.#broken(message.content, mark);
      if (content === undefined) return { fault: notCut };
      broken.push({ ...message, content });
    }
    const rendered = await this.renderer.render(broken);
    if (rendered.replaceAll(mark, "") !== text)
      return { fault: "the chat template changes a special token in its text" };
    return { text: rendered, mark };
  }

  async #isPlain(content: string): Promise<boolean> {
    if (this.#plain.has(content)) return true;
    const ids = await this.tokens.ids(content, true);
    const written = await this.#writtenByTemplate();
    if (ids.some((id) => written.has(id))) return false;
    if (!same(ids, await this.tokens.ids(content, false))) return false;
    if (this.#plain.size < mostRemembered) this.#plain.add(content);
    return true;
  }

  /** The content with a mark in each text of a special token; undefined where none helps. */
  async #broken(content: string, mark: string): Promise<string | undefined> {
    let broken = content;
    // Two of them may overlap.
    for (let attempt = 0; attempt < 4; attempt++) {
      if (await this.#isPlain(broken)) return broken;
      for (const { name } of await this.#specialsIn(await this.tokens.ids(broken, true))) {
        const [first = ""] = name;
        broken = broken.replaceAll(name, first + mark + name.slice(first.length));
      }
    }
    return undefined;
  }

  /** Special tokens that were parsed, those of the longest texts first. */
  async #specialsIn(ids: Int32Array): Promise<SpecialToken[]> {
    const found: SpecialToken[] = [];
    for (const id of new Set(ids)) {
      const special = await this.#special(id);
      if (special) found.push(special);
    }
    return found.sort((a, b) => b.name.length - a.name.length);
  }

  /** Undefined for a token of ordinary text. */
  async #special(id: number): Promise<SpecialToken | undefined> {
    if (this.#specials.has(id)) return this.#specials.get(id);
    const name = await this.tokens.name(id);
    const gives = async (text: string, parse: boolean) => same(await this.tokens.ids(text, parse), [id]);
    const parsed = name !== "" && (await gives(name, true)) && !(await gives(name, false));
    const is = parsed || (await this.#writtenByTemplate()).has(id);
    const special = is
      ? { name, takesBefore: await gives(`\n${name}`, true), takesAfter: await gives(`${name}\n`, true) }
      : undefined;
    this.#specials.set(id, special);
    return special;
  }

  /**
   * Tokens of the template that a vocabulary finds in every text, whether special ones are parsed or not: `user-defined` ones, as
   * the marks of turns are in some files.
   */
  #writtenByTemplate(): Promise<ReadonlySet<number>> {
    this.#written ??= this.#probe();
    return this.#written;
  }

  async #probe(): Promise<ReadonlySet<number>> {
    const turn: Message[] = [{ role: "user", content: "a" }];
    const text = await this.renderer
      .render([...turn, { role: "assistant", content: "a" }, ...turn])
      .catch(() => this.renderer.render(turn))
      // A template that takes neither may take the conversations that are asked.
      .catch(() => "");
    const found = new Set<number>();
    for (const id of new Set(await this.tokens.ids(text, true))) {
      const name = await this.tokens.name(id);
      // A thought's marks may stand in what an assistant said before.
      if (!/^(<.+>|\[.+\])$/s.test(name) || /think/.test(name)) continue;
      if (same(await this.tokens.ids(name, false), [id])) found.add(id);
    }
    return found;
  }

  /** Ids of the marked prompt without its marks; undefined where it cannot be cut as its vocabulary does. */
  async #between({ text, mark }: Marked): Promise<Int32Array | undefined> {
    const parsed = await this.tokens.ids(text, true);
    const specials = new Map((await this.#specialsIn(parsed)).map((special) => [special.name, special]));
    const literal = [...specials.keys()].map((name) => name.replace(/[\\^$.*+?()[\]{}|/]/g, "\\$&"));
    const pieces = (literal.length > 0 ? text.split(new RegExp(`(${literal.join("|")})`)) : [text])
      .map((piece, i, all) => {
        const end = specials.get(all[i + 1] ?? "")?.takesBefore ? piece.replace(/[ \t-\r]+$/, "") : piece;
        return specials.get(all[i - 1] ?? "")?.takesAfter ? withoutStart(end) : end;
      })
      .filter((piece) => piece !== "");
    const ids = (piece: string) => this.tokens.ids(piece, specials.has(piece));
    const cut = await Promise.all(pieces.map(ids));
    if (!same(joined(cut), parsed)) return undefined;
    const written = await this.#writtenByTemplate();
    const whole = await Promise.all(
      pieces.map(async (piece, i) => {
        if (!piece.includes(mark)) return cut[i]!;
        const bare = await ids(piece.replaceAll(mark, ""));
        // Such a token cannot be had as text but in two parts.
        return bare.some((id) => written.has(id)) ? joined(await Promise.all(piece.split(mark).map(ids))) : bare;
      }),
    );
    return joined(whole);
  }

  /** The prompt up to its last special token, and what follows that with an ending. */
  async #lastPiece(
    ids: Int32Array,
    { text, mark }: Marked,
  ): Promise<{ head: Int32Array; tail: (ending: string) => string } | undefined> {
    for (let end = ids.length; end >= 0; end--) {
      const special = end > 0 ? await this.#special(ids[end - 1]!) : start;
      const at = special ? text.lastIndexOf(special.name) : -1;
      if (!special || at < 0) continue;
      const head = ids.subarray(0, end);
      const after = (end > 0 ? text.slice(at + special.name.length) : text).replaceAll(mark, "");
      const tail = (ending: string) => (special.takesAfter ? withoutStart(after + ending) : after + ending);
      if (same(joined([head, await this.tokens.ids(tail(""), false)]), ids)) return { head, tail };
    }
    return undefined;
  }
}

/** Where a prompt begins. */
const start: SpecialToken = { name: "", takesBefore: false, takesAfter: false };

/** Less the white space that C calls so. */
const withoutStart = (text: string) => text.replace(/^[ \t-\r]+/, "");

const notCut = "its text holds a special token of the model, which cannot be kept apart from the template's";

const same = (one: ArrayLike<number>, other: ArrayLike<number>) =>
  one.length === other.length && Array.prototype.every.call(one, (id, i) => id === other[i]);

/** Runs of tokens as one. */
export const joined = (parts: readonly Int32Array[]): Int32Array => {
  const all = new Int32Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
};
