import type { Beginning } from "../../backends/backend.js";
import type { Message } from "../../chat/template.js";
import { BenchError } from "../../errors.js";
import { nearest } from "../../yaml.js";
import type { Style, TaskCard, TaskSaid } from "./card.js";
import { isBlank, mendOrRemove, textAt } from "./cells.js";
import type { Refusal, TaskRow } from "./rows.js";
import type { TaskSubject } from "./subjects.js";

/**
 * A question with all that goes before it: a text to go on with, its heading and examples apart where there are examples; or a
 * conversation that the model answers.
 */
export type TaskPrompt = { before?: Beginning; text: string } | { messages: Message[] };

/** A solved question, as prompts show it. */
export interface Example {
  asked: string;
  answer: string;
}

/** The style that is asked for, or the card's own. Throws a BenchError for one that there is not. */
export function styleOf(card: TaskCard, said: Pick<TaskSaid, "style" | "system">): Style {
  const { styles = {}, style: usual, examples } = card;
  const name = said.style ?? usual;
  if (name !== undefined && !Object.hasOwn(styles, name))
    throw new BenchError("dataset-unknown", `${card.name} has no style "${name}".`, {
      hint: card.styles ? nearest(name, Object.keys(styles)) : "Its card has one style, without a name.",
    });
  const own = name === undefined ? {} : styles[name]!;
  const { heading, prompt, delimiter, exampleDelimiter, separator, continueWith, chat, system, reply, titles, clean } =
    {
      ...card,
      ...own,
    };
  const speaks = chat ?? (system !== undefined || reply !== undefined);
  if (said.system !== undefined && !speaks && system === undefined)
    throw new BenchError("dataset-unknown", `${card.name} is put as a text, which has no system prompt.`, {
      hint: "Take a style that is a conversation, or leave `system` out.",
    });
  return {
    ...(name === undefined ? {} : { name }),
    heading: heading ?? "",
    prompt: prompt!,
    delimiter: delimiter ?? (speaks ? "" : " "),
    exampleDelimiter: exampleDelimiter ?? delimiter ?? " ",
    separator: separator ?? examples?.separator ?? "\n\n",
    continueWith: continueWith ?? "text",
    chat: speaks,
    system: said.system ?? system ?? "",
    ...(reply === undefined ? {} : { reply }),
    titles: titles ?? {},
    clean: clean ?? {},
  };
}

/**
 * The prompt with the row's texts in it. Throws for a row that asks nothing: its columns are empty but for those of the options,
 * which `asks` tells apart; where a prompt shows options alone, they are the question.
 */
export function filled(
  prompt: string,
  row: TaskRow,
  subject: TaskSubject | undefined,
  refused: Refusal,
  asks: (column: string) => boolean = () => true,
): string {
  const texts = new Map<string, string>();
  const text = prompt.replace(/\{([^{}]+)\}/g, (_, column: string) => {
    if (subject && column === "subject") return subject.title;
    const value = textAt(row, column, refused);
    texts.set(column, value);
    return value;
  });
  const asking = [...texts.keys()].filter(asks);
  if ((asking.length > 0 ? asking : [...texts.keys()]).every((column) => isBlank(texts.get(column)!)))
    throw refused("the question is empty.", mendOrRemove);
  return text;
}

/**
 * What goes before and around the questions of one subject. A text: heading, examples, question. A conversation: the system
 * prompt; then, where there are examples and a reply, the heading with that reply; each example as a turn; the question. Else
 * the heading begins the first turn.
 */
export function framed(
  { heading, exampleDelimiter, separator, chat, system, reply }: Style,
  subject: TaskSubject | undefined,
  examples: readonly Example[],
): (question: string) => TaskPrompt {
  const titled = (text: string) => (subject ? text.replaceAll("{subject}", () => subject.title) : text);
  const head = titled(heading);
  if (!chat) {
    if (examples.length === 0) return (question) => ({ text: head + question });
    const solved = examples.map(({ asked, answer }) => asked + exampleDelimiter + answer + separator);
    const before = { text: head + solved.join("") };
    return (question) => ({ before, text: question });
  }
  const turns = examples.flatMap(({ asked, answer }) => turn(asked, answer));
  const opening = turns.length > 0 && reply !== undefined ? turn(head, titled(reply)) : [];
  const [first, ...others] = turns;
  const begun = opening.length > 0 || !first ? turns : [{ ...first, content: head + first.content }, ...others];
  const before = [...(system === "" ? [] : [message("system", titled(system))]), ...opening, ...begun];
  return (question) => ({ messages: [...before, message("user", turns.length > 0 ? question : head + question)] });
}

const message = (role: Message["role"], content: string): Message => ({ role, content });
const turn = (asked: string, answer: string) => [message("user", asked), message("assistant", answer)];
