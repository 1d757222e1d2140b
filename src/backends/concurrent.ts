import type { Answer, GenerationRequest, Prompt } from "./backend.js";

/** A prompt without an answer. */
export const unasked = (id: string, unanswerable: string): Answer => ({
  ...{ id, text: "", finish: "length", promptTokens: 0, tokens: 0 },
  unanswerable,
});

/**
 * Why a server that tells no tokens, and has no agreed way of penalizing repetition, cannot be asked a prompt, a phrase: its middle might
 * have to go (no text has more tokens than bytes, and BOS), or a penalty would be left out without a word.
 */
export function beyondServer(
  prompt: Prompt,
  { truncate, repetitionPenalty = 1 }: GenerationRequest,
): string | undefined {
  if (repetitionPenalty !== 1) return "the server may leave out the penalty on repetition without a word";
  const text = "text" in prompt ? prompt.text : (prompt.messages.at(-1)?.content ?? "");
  return truncate === undefined || Buffer.byteLength(text) < truncate
    ? undefined
    : `its middle would have to go beyond ${truncate} tokens, and the server does not tell them`;
}

/** Results of work on all items, `most` of them at a time, as they come. The first failure ends it. */
export async function* concurrently<Item, Result>(
  items: Iterable<Item>,
  most: number,
  work: (item: Item) => Promise<Result>,
): AsyncGenerator<Result> {
  const running = new Map<number, Promise<{ key: number; result: Result }>>();
  let started = 0;
  const next = items[Symbol.iterator]();
  for (;;) {
    while (running.size < most) {
      const { done, value } = next.next();
      if (done) break;
      const key = started++;
      const one = work(value).then((result) => ({ key, result }));
      // Of several that fail, the first is told, by the race below.
      one.catch(() => {});
      running.set(key, one);
    }
    if (running.size === 0) return;
    const { key, result } = await Promise.race(running.values());
    running.delete(key);
    yield result;
  }
}

/**
 * Answers to all prompts that are not done, `most` asked at a time, with progress told as each comes. `alive` says that a long
 * answer is still being written.
 */
export async function* answersTo(
  prompts: readonly Prompt[],
  { done, progress }: GenerationRequest,
  most: number,
  ask: (prompt: Prompt, alive: () => void) => Promise<Answer>,
): AsyncGenerator<Answer> {
  const asked = prompts.filter(({ id }) => !done.has(id));
  let through = prompts.length - asked.length;
  const told = () => progress(through);
  told();
  for await (const answer of concurrently(asked, most, (prompt) => ask(prompt, told))) {
    through++;
    told();
    yield answer;
  }
}
