import { describe, expect, it } from "vitest";
import type { Engine, Likelihood, Options } from "../../dist/backends/backend.js";
import { mock } from "../../dist/backends/mock.js";
import { dataKinds } from "../../dist/data/index.js";
import { selfTest } from "../../dist/executors/self-test.js";
import { random } from "../draws.mjs";

const open = (model: string): Promise<Engine> =>
  mock.open({ name: "m", model, backend: "mock", settings: mock.settingsFacts({}).digits });

/** Knows every answer, and is a nat surer of it than of the others. */
const knowing = (gap = 1): Options => ({
  chats: false,
  async *score(questions) {
    const { items } = await dataKinds.choice.resolve({ dataset: "self-test" }, { baseDir: "." });
    for (const { id, options } of questions) {
      const { gold } = items.find((item) => item.id === id)!;
      const score = (i: number) => ({ sum: i === gold ? -1 : -1 - gap, mean: -1, tokens: 1 });
      yield { id, options: options.map((_, i) => score(i)) };
    }
  },
});

describe("the self-test", () => {
  it("believes an engine that agrees with the same file in this process, however little it knows", async () => {
    const engine = await open("mock:seed=1");
    expect(await selfTest(engine, "options", await open("mock:seed=1"))).toBe(undefined);
    expect(await selfTest(engine, "likelihood", await open("mock:seed=1"))).toBe(undefined);
    // Differences of builds are smaller than those of models.
    expect(await selfTest(engine, "options", await open("mock:seed=1,damage=0.02"))).toBe(undefined);
  });

  it("refuses one that differs from the same file", async () => {
    const engine = await open("mock:seed=1");
    for (const other of ["mock:seed=2", "mock:seed=1,damage=1.5"]) {
      expect(await selfTest(engine, "options", await open(other))).toMatch(
        /^its log-probabilities of 20 known questions are \d+\.\d\d nats from those of the same file in this process$/,
      );
      expect(await selfTest(engine, "likelihood", await open(other))).toMatch(/ of a known text are \d\.\d\d nats/);
    }
  });

  it("refuses one that knows no more than chance, when there is no file to hold it against", async () => {
    const engine = await open("mock:seed=1");
    expect(await selfTest(engine, "options")).toMatch(
      /^it has \d of 20 known questions right, which is hardly more than guessing$/,
    );
    expect(await selfTest(engine, "likelihood")).toMatch(
      /^it finds a known text hardly likelier than its words in another order \(-?\d\.\d\d nats per token\)$/,
    );
    expect(await selfTest({ ...engine, options: knowing() }, "options")).toBe(undefined);
  });

  it("refuses one that draws log-probabilities at random, each time; and believes one that knows words", async () => {
    const engine = await open("mock:seed=1");
    const next = random(3);
    /** Mean costs of chunks of 31 tokens: drawn from 0 to 10 nats each, less a gain for the text in its own order. */
    const drawing = (gain: number): Likelihood => ({
      async *measure(text, { chunks = 24 }) {
        const ordered = text.includes("\n");
        for (let chunk = 0; chunk < chunks; chunk++) {
          const draws = Array.from({ length: 31 }, () => 10 * next());
          const mean = draws.reduce((a, b) => a + b) / 31 + (ordered ? 0 : gain);
          yield { chunk, mean, weight: 31 };
        }
      },
    });
    for (let i = 0; i < 50; i++)
      expect(await selfTest({ ...engine, likelihood: drawing(0) }, "likelihood")).toMatch(/hardly likelier/);
    expect(await selfTest({ ...engine, likelihood: drawing(2) }, "likelihood")).toBe(undefined);
  });

  it("refuses what are no log-probabilities, few answers, and failures", async () => {
    const engine = await open("mock:seed=1");
    const answering = (options: Options): Engine => ({ ...engine, options });
    expect(await selfTest(answering(knowing(-5)), "options")).toBe(
      "it gives log-probabilities that are none: above 0, or no numbers",
    );
    expect(await selfTest(answering(knowing(Number.NaN)), "options")).toBe(
      "it gives log-probabilities that are none: above 0, or no numbers",
    );
    const silent: Options = {
      chats: false,
      async *score(questions) {
        for (const { id } of questions) yield { id, options: [], unanswerable: "no option is among the top 20" };
      },
    };
    expect(await selfTest(answering(silent), "options")).toBe(
      "0 of 20 known questions could be asked: no option is among the top 20",
    );
    const broken: Options = {
      chats: false,
      // biome-ignore lint/correctness/useYield: it fails before the first answer
      async *score() {
        throw new Error("HTTP 500");
      },
    };
    expect(await selfTest(answering(broken), "options")).toBe("its self-test failed: HTTP 500");
  });

  it("has nothing to ask of parts that claim no probabilities", async () => {
    expect(await selfTest(await open("mock:seed=1"), "timing")).toBe(undefined);
  });
});
