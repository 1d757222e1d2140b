import type { Windows } from "../backends/backend.js";
import { chunked, throughGroup } from "../backends/chunks.js";
import type { TextDataset } from "../data/index.js";
import { type ReferencePlan, type ReferenceWriter, scoredFrom } from "../references/reference.js";
import type { ChunkSettings } from "./chunks.js";

/** Tokens and rows that a stored reference holds: those that perplexity is measured on. Rows are written as they come. */
export async function recordReference(
  engine: Windows,
  {
    text,
    settings,
    create,
    progress,
  }: {
    text: TextDataset;
    settings: ChunkSettings;
    create(plan: Pick<ReferencePlan, "context" | "vocabulary" | "tokens">): ReferenceWriter;
    progress(done: number, total: number): void;
  },
): Promise<void> {
  const { context } = settings;
  const { count, groups } = chunked(engine, text.text, settings);
  const tokens = new Int32Array(count * context);
  for (const { chunks, windows } of groups)
    for (const [i, chunk] of chunks.entries()) tokens.set(windows[i]!, chunk * context);
  const writer = create({ context, vocabulary: engine.vocabulary, tokens });
  progress(0, count);
  for (const group of groups) {
    const { chunks, windows } = group;
    let decoded = 0;
    await engine.visit(
      { context, windows, scoreFrom: scoredFrom(context) },
      ({ window, row, logits, token }) => writer.add(chunks[window]!, row, logits, token),
      (more) => {
        decoded += more;
        progress(throughGroup(group, decoded, context), count);
      },
    );
    progress(chunks.at(-1)! + 1, count);
  }
  writer.finish();
}
