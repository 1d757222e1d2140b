import type { OllamaServer } from "./server.js";

/**
 * What the server answers to each, in their order, as many at once as its settings allow. When one fails, or no more are wanted,
 * those that wait are not asked.
 */
export async function* asked<Question, Answer>(
  server: OllamaServer,
  questions: readonly Question[],
  ask: (question: Question) => Promise<Answer>,
): AsyncGenerator<Answer> {
  const answers = questions.map((question) => server.limit(() => ask(question)));
  // An answer that nobody waits for any more may fail.
  for (const answer of answers) answer.catch(() => {});
  try {
    for (const answer of answers) yield await answer;
  } finally {
    server.limit.clearQueue();
  }
}
