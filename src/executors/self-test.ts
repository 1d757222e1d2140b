import type { ChunkLikelihood, Engine, Likelihood, OptionScores, Options, Part } from "../backends/backend.js";
import { dataKinds } from "../data/index.js";

/**
 * Whether to believe the log-probabilities of an engine that computes elsewhere. Servers are known that ignore what they are
 * asked (`echo`) and answer with log-probabilities of something else: the figures then look like those of a model that
 * guesses.
 *
 * The parts are asked what is known: by `beside`, an engine of the same file in this process, to the size of differences
 * between builds; without one, patterns that every language model continues far better than by chance. Gives the reason not
 * to believe a part, a sentence without its end.
 */
export async function selfTest(engine: Engine, part: Part, beside?: Engine): Promise<string | undefined> {
  const test = Object.hasOwn(tests, part) ? tests[part as keyof typeof tests] : undefined;
  if (!test) return undefined;
  try {
    return await test(engine, beside);
  } catch (error) {
    return `its self-test failed: ${error instanceof Error ? error.message : String(error)}`;
  }
}

const tests = {
  options: (engine: Engine, beside?: Engine) => ofOptions(engine.options!, beside?.options),
  letters: (engine: Engine, beside?: Engine) => ofOptions(engine.letters!, beside?.options),
  likelihood: (engine: Engine, beside?: Engine) => ofLikelihood(engine.likelihood!, beside?.likelihood),
  passages: (engine: Engine, beside?: Engine) => ofLikelihood(engine.passages!, beside?.passages),
} satisfies Partial<Record<Part, unknown>>;

/** Builds differ in the last digits of a log-probability; quantized kernels by some hundredths of a nat. */
const mostApart = 0.2;
/** Of 20 questions with four options; guessing gets so many right once in 1,000 times. */
const fewestRight = 12;

async function ofOptions(claimed: Options, inside: Options | undefined): Promise<string | undefined> {
  const { items, delimiter } = await dataKinds.choice.resolve({ dataset: "self-test" }, { baseDir: process.cwd() });
  const questions = items.map((item) => ({ ...item, delimiter }));
  const [own, known] = [await scoresOf(claimed, questions), inside && (await scoresOf(inside, questions))];
  const scored = items.flatMap(({ id, gold }) => {
    const score = own.get(id);
    return score && score.unanswerable === undefined ? [{ id, gold, sums: score.options.map(({ sum }) => sum) }] : [];
  });
  if (scored.length < items.length / 2)
    return `${scored.length} of ${items.length} known questions could be asked${reasonIn(own)}`;
  if (scored.some(({ sums }) => sums.some((sum) => !(sum <= 1e-6))))
    return "it gives log-probabilities that are none: above 0, or no numbers";
  if (known) {
    const apart = scored.flatMap(({ id, sums }) =>
      sums.map((sum, i) => Math.abs(sum - (known.get(id)?.options[i]?.sum ?? Number.NaN))),
    );
    const typical = median(apart);
    if (typical <= mostApart) return undefined;
    return `its log-probabilities of ${scored.length} known questions are ${nats(typical)} from those of the same file in this process`;
  }
  const right = scored.filter(({ sums, gold }) => sums.indexOf(Math.max(...sums)) === gold).length;
  if (right >= (fewestRight * scored.length) / items.length) return undefined;
  return `it has ${right} of ${scored.length} known questions right, which is hardly more than guessing`;
}

async function scoresOf(part: Options, questions: Parameters<Options["score"]>[0]): Promise<Map<string, OptionScores>> {
  const scores = new Map<string, OptionScores>();
  for await (const one of part.score(questions, { done: new Set(), progress: () => {} })) scores.set(one.id, one);
  return scores;
}

function reasonIn(scores: Map<string, OptionScores>): string {
  for (const { unanswerable } of scores.values()) if (unanswerable !== undefined) return `: ${unanswerable}`;
  return "";
}

/** Tokens of a chunk: several windows of a short text, on every vocabulary. */
const context = 64;
/** Chunks that show whether two engines agree; and, more, whether one of them knows words, for chance varies from chunk to chunk. */
const [fewChunks, manyChunks] = [4, 24];
/** How much likelier, in nats per token, a text is than its words in another order, for every model that knows words. */
const leastGain = 0.3;
/** Standard errors by which the gain is above what drawing at random gives: once in 700 times. */
const leastErrors = 3;

async function ofLikelihood(claimed: Likelihood, inside: Likelihood | undefined): Promise<string | undefined> {
  const text = await knownText();
  const own = await meansOf(claimed, text, inside ? fewChunks : manyChunks);
  if (own.some((mean) => !(mean >= 0))) return "it gives log-probabilities that are none: above 0, or no numbers";
  if (inside) {
    const known = await meansOf(inside, text, fewChunks);
    const typical = median(own.map((mean, i) => Math.abs(mean - (known[i] ?? Number.NaN))));
    if (typical <= mostApart / 2) return undefined;
    return `its mean log-probabilities of a known text are ${nats(typical)} per token from those of the same file in this process`;
  }
  const shuffled = await meansOf(claimed, otherOrder(text), manyChunks);
  const gain = mean(shuffled) - mean(own);
  const error = Math.sqrt(variance(shuffled) / shuffled.length + variance(own) / own.length);
  if (gain >= Math.max(leastGain, leastErrors * error)) return undefined;
  return `it finds a known text hardly likelier than its words in another order (${nats(gain)} per token)`;
}

async function meansOf(part: Likelihood, text: string, chunks: number): Promise<number[]> {
  const found: ChunkLikelihood[] = [];
  const request = { context, chunks, done: new Set<string>(), progress: () => {} };
  for await (const one of part.measure(text, request)) found.push(one);
  return found.sort((a, b) => a.chunk - b.chunk).map(({ mean }) => mean);
}

async function knownText(): Promise<string> {
  const { text } = await dataKinds.text.resolve({ text: "demo-en" }, { baseDir: process.cwd() });
  return text.slice(0, 8000);
}

/** The words, dealt out in turns to seven heaps that are then laid end to end. */
function otherOrder(text: string): string {
  const words = text.split(/\s+/);
  return words
    .map((word, i) => ({ word, heap: (i * 5) % 7 }))
    .sort((a, b) => a.heap - b.heap)
    .map(({ word }) => word)
    .join(" ");
}

const mean = (values: number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;

function variance(values: number[]): number {
  const middle = mean(values);
  return values.reduce((sum, value) => sum + (value - middle) ** 2, 0) / (values.length - 1);
}

function median(values: number[]): number {
  if (values.some(Number.isNaN) || values.length === 0) return Number.POSITIVE_INFINITY;
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)]!;
}

const nats = (value: number) => `${value.toFixed(2)} nats`;
