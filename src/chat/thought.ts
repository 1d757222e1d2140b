/** How models write what they think before they answer. */
const forms = ["think", "thinking", "seed:think"].map((name) => ({ open: `<${name}>`, close: `</${name}>` }));
const closing = /<\/(?:seed:)?think(?:ing)?>/;

/** What is left of a text when its thoughts are taken away. */
export interface Spoken {
  text: string;
  /** Whether the model thought at all: an empty thought is none. */
  thought: boolean;
  /** Whether its thought came to an end; no answer was given where it did not, and `text` is empty. */
  closed: boolean;
}

/** `begun`: the prompt ends inside a thought, which the text then begins with. */
export function withoutThought(text: string, begun = false): Spoken {
  const start = text.trimStart();
  const form = forms.find(({ open }) => start.startsWith(open));
  const inside = begun || form !== undefined;
  const end = text.match(closing);
  // A thought that is closed was begun, by the template perhaps.
  if (!inside && !end) return { text, thought: false, closed: true };
  if (!end) return { text: "", thought: true, closed: false };
  const rest = withoutThought(text.slice(end.index! + end[0].length));
  const said = text.slice(text.length - start.length + (form?.open.length ?? 0), end.index);
  return { text: rest.text.trimStart(), thought: said.trim() !== "" || rest.thought, closed: rest.closed };
}
