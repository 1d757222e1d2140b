/** How models mark what they think before they answer. */
const opening = /<(?:seed:)?think(?:ing)?>/;
const closing = /<\/(?:seed:)?think(?:ing)?>/g;

/** What is left of a text when its thoughts are taken away. */
export interface Spoken {
  text: string;
  /** Whether the model thought at all: an empty thought is none. */
  thought: boolean;
  /** Whether something was said outside of thoughts; `text` is empty where the model did not come to the end of one. */
  closed: boolean;
}

/** `begun`: the prompt ends inside a thought, which the text then begins with. */
export function withoutThought(text: string, begun = false): Spoken {
  const end = [...text.matchAll(closing)].at(-1);
  // A thought that is closed was begun, by the template perhaps.
  const [before, after] = end
    ? [text.slice(0, end.index), text.slice(end.index + end[0].length).trimStart()]
    : begun
      ? [text, undefined]
      : ["", text];
  const thought = before.replace(opening, "").trim() !== "";
  if (after === undefined) return { text: "", thought: true, closed: false };
  const again = after.search(opening);
  if (again < 0) return { text: after, thought, closed: true };
  const said = after.slice(0, again).trim();
  return { text: said, thought: true, closed: said !== "" };
}
