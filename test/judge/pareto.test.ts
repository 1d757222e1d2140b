import { expect, test } from "vitest";
import { beatenIn } from "../../dist/judge/pareto.js";
import { replay } from "../../dist/replay/index.js";
import { seriesFrom } from "../../dist/stats/series.js";
import { random } from "../draws.mjs";
import { eventsOf } from "./ladders.js";

/** Files that cost the same on average, each chunk otherwise: no file beats another. */
function alike(seed: number, files: number): string[] {
  const next = random(seed);
  // Lognormal scatter, which no simulation of the comparison itself was made for.
  const normal = () => Math.sqrt(-2 * Math.log(1 - next())) * Math.cos(2 * Math.PI * next());
  const names = Array.from({ length: files }, (_, i) => `f${i}`);
  const events = eventsOf(
    names.map((name) => ({ name, bytes: 1e8 })),
    { kinds: ["perplexity"], chunks: 24 },
  );
  const series = seriesFrom(
    replay(
      events.map((event) =>
        event.type === "samples"
          ? {
              ...event,
              samples: event.samples.map((one) => ({ ...one, value: one.value! + 0.03 * Math.exp(0.7 * normal()) })),
            }
          : event,
      ),
    ),
  );
  const mean = (name: string) => {
    const values = series.find(({ variant }) => variant.name === name)!.observations.get("perplexity")!;
    return values.reduce((sum, { value }) => sum + value, 0) / values.length;
  };
  // As the report asks: each file against those with a lower perplexity.
  const pairs = names.flatMap((a) => names.flatMap((b): [string, string][] => (mean(b) < mean(a) ? [[a, b]] : [])));
  return beatenIn(series, pairs).map(([loser]) => loser);
}

test("where no file is better, one is called beaten in at most 1 of 20 reports", () => {
  const draws = 1000;
  const wrong = Array.from({ length: draws }, (_, i) => alike(i + 1, 5)).filter((losers) => losers.length > 0).length;
  // Two standard errors of the simulation above 5 %.
  expect(wrong / draws).toBeLessThan(0.05 + 2 * Math.sqrt((0.05 * 0.95) / draws));
}, 120_000);
