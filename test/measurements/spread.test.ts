import { cpSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { askedChunks, groupsOf } from "../../dist/backends/chunks.js";
import { findBackend } from "../../dist/backends/index.js";
import { readBenchmark } from "../../dist/benchmark/index.js";
import type { StoredSamples } from "../../dist/events.js";
import { measurements } from "../../dist/measurements/index.js";
import { readTokens } from "../../dist/store/index.js";
import { random } from "../draws.mjs";
import { bench, eventsOf, smollm2, someText, temporaryFolder, wikitext, writeRandomLlama } from "../support.js";

const folder = temporaryFolder();
const text = join(folder, "text.txt");
writeFileSync(text, someText(6000, 3));
const model = writeRandomLlama(folder, "toy");
const other = writeRandomLlama(folder, "other", { seed: 2 });
const quick = (models: string[], flags: string[], out: string) => [
  ...["run", ...models, "--text", text, "--context", "64", "--threads", "1", ...flags],
  ...["--out", join(folder, out), "--plain"],
];
const measuredBy = async (args: string[]) => {
  const { code, stderr } = await bench(args);
  expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
};

/** By job and item, what a run holds, without the note of how many chunks there are. */
function itemsOf(out: string): Map<string, Omit<StoredSamples, "of" | "type" | "job" | "tokens">> {
  const events = eventsOf(join(folder, out));
  const started = events.findLast((event) => event.type === "started")!;
  const names = new Map(started.jobs.map(({ id, variant, kind }) => [id, `${variant} ${kind}`]));
  return new Map(
    events.flatMap((event) => {
      if (event.type !== "samples" || event.item === "memory" || event.samples[0]?.metric === "peak_memory") return [];
      const { type: _, job, of: __, tokens: ___, ...rest } = event;
      return [[`${names.get(job)} ${event.item}`, rest]];
    }),
  );
}

describe("which chunks", () => {
  it("by the seed alone; 2^k of them are one in each of so many stretches, which no larger number leaves out", () => {
    for (const [of, seed] of [
      [200, 0],
      [128, 1],
      [17, 2],
    ] as const)
      for (let spread = 1; spread < of; spread++) {
        const chosen = askedChunks(of, { spread, seed });
        expect(chosen).toEqual([...new Set(chosen)].sort((a, b) => a - b));
        expect(chosen).toHaveLength(spread);
        const stretches = 2 ** Math.floor(Math.log2(spread));
        const held = Array.from({ length: stretches }, (_, i) => {
          const [from, to] = [Math.floor((i * of) / stretches), Math.ceil(((i + 1) * of) / stretches)];
          return chosen.filter((chunk) => from <= chunk && chunk < to).length;
        });
        expect(Math.min(...held)).toBeGreaterThan(0);
        if (spread === stretches && of % stretches === 0) expect(Math.max(...held)).toBe(1);
      }
    expect(askedChunks(655, { spread: 16 })).toEqual(askedChunks(655, { spread: 16, seed: 0 }));
    expect(askedChunks(655, { spread: 16, seed: 1 })).not.toEqual(askedChunks(655, { spread: 16 }));
  });

  it("more of them hold all that fewer hold", () => {
    for (const [of, seed] of [
      [300, 0],
      [64, 7],
      [3, 0],
    ] as const)
      for (let spread = 1; spread <= of; spread++) {
        const more = new Set(askedChunks(of, { spread: spread + 1, seed }));
        expect(askedChunks(of, { spread, seed }).every((chunk) => more.has(chunk))).toBe(true);
      }
  });

  it("all but one of a long text's chunks are soon drawn", () => {
    expect(new Set(askedChunks(20_000, { spread: 19_999 })).size).toBe(19_999);
  });

  it("each chunk of a stretch is as likely as the others", () => {
    const counts = new Array(10).fill(0);
    for (let seed = 0; seed < 5000; seed++) counts[askedChunks(40, { spread: 4, seed })[2]! - 20]++;
    // 500 each, with a standard deviation of 21.
    for (const count of counts) expect(Math.abs(count - 500)).toBeLessThan(90);
  });

  it("all of them, where no fewer are asked for; the first ones by `chunks`", () => {
    expect(askedChunks(5, { spread: 5 })).toEqual([0, 1, 2, 3, 4]);
    expect(askedChunks(5, { spread: 9 })).toEqual([0, 1, 2, 3, 4]);
    expect(askedChunks(5, { chunks: 3 })).toEqual([0, 1, 2]);
    expect(askedChunks(5, {})).toEqual([0, 1, 2, 3, 4]);
  });

  it("in batches as large as in a run over the whole text", () => {
    const next = random(1);
    for (let draw = 0; draw < 500; draw++) {
      const of = 2 + Math.floor(next() * 60);
      const together = 1 + Math.floor(next() * 9);
      const spread = 1 + Math.floor(next() * of);
      const whole = new Map(
        groupsOf(askedChunks(of, {}), of, together, {}).flatMap(({ chunks }) =>
          chunks.map((chunk) => [chunk, chunks.length] as const),
        ),
      );
      const asked = askedChunks(of, { spread, seed: draw });
      const groups = groupsOf(asked, of, together, { spread });
      const decoded = groups.flatMap(({ chunks }) => chunks);
      expect(new Set(decoded).size).toBe(decoded.length);
      expect(groups.flatMap((group) => group.asked)).toEqual(asked);
      let before = 0;
      for (const group of groups) {
        expect(group.before).toBe(before);
        before += group.asked.length;
        for (const chunk of group.asked) expect(group.chunks).toHaveLength(whole.get(chunk)!);
      }
      expect(decoded.length).toBeLessThan(asked.length + 2 * together);
    }
  });
});

describe("settings", () => {
  const read = (kind: string, said: object) => measurements[kind]!.settings.parse(said) as Record<string, unknown>;

  it("a draw has its seed, and what asks for none says nothing new", () => {
    for (const kind of ["perplexity", "divergence"]) {
      expect(read(kind, { spread: 4 })).toMatchObject({ spread: 4, seed: 0 });
      expect(read(kind, { spread: 4, seed: 7 })).toMatchObject({ spread: 4, seed: 7 });
      expect(Object.keys(read(kind, { chunks: 4 })).sort()).toEqual(
        kind === "divergence" ? ["chunks", "context", "floor"] : ["chunks", "context"],
      );
    }
  });

  it.each([
    ["perplexity: {text: text.txt, chunks: 4, spread: 4}", /`spread`: it excludes `chunks`/],
    ["divergence: {text: text.txt, chunks: 4, spread: 4}", /`spread`: it excludes `chunks`/],
    ["perplexity: {text: text.txt, seed: 1}", /`seed`: it is that of `spread`, which is missing/],
    ["perplexity: {text: text.txt, spread: 0}", /`spread`/],
  ])("that make no sense are refused in one sentence: %s", async (measured, message) => {
    const file = join(folder, "bad.yaml");
    writeFileSync(file, `variants:\n  a: {model: "mock:seed=1"}\nmeasurements:\n  ${measured}\n`);
    await expect(readBenchmark(file, { measurements })).rejects.toThrow(message);
  });

  it("flags too", async () => {
    const { code, stderr } = await bench(quick(["mock:seed=1"], ["--chunks", "3", "--spread", "3"], "both"));
    expect(code).toBe(1);
    expect(stderr).toContain("--spread: it excludes `chunks`");
    expect(stderr.trim().split("\n").length).toBeLessThan(3);
  });

  it("a program that reads a text from its beginning cannot", async () => {
    const { parts } = await findBackend("llama-tools");
    expect(parts).toContain("likelihood");
    expect(parts).not.toContain("passages");
  });
});

describe("measured in process", () => {
  // Of 53 chunks or so the last batch holds fewer than the others.
  it("equals the same chunks of a run over the whole text, digit for digit; perplexity comes out of divergence's decode", async () => {
    const measure = ["--measure", "perplexity,divergence"];
    await measuredBy(quick([model, other], measure, "whole"));
    await measuredBy(quick([model, other], [...measure, "--spread", "37"], "spread"));
    const [whole, spread] = [itemsOf("whole"), itemsOf("spread")];
    const chunks = [...whole.keys()].filter((key) => key.startsWith("toy perplexity ")).length;
    expect(chunks % 32).not.toBe(0);
    const asked = askedChunks(chunks, { spread: 37 });
    for (const job of ["toy perplexity", "other perplexity", "other divergence"])
      expect([...spread.keys()].filter((key) => key.startsWith(job))).toEqual(asked.map((chunk) => `${job} ${chunk}`));
    // The noise floor is on the first of the chunks that are drawn.
    expect([...spread.keys()].filter((key) => key.startsWith("toy divergence"))).toEqual(
      asked.slice(0, 4).map((chunk) => `toy divergence ${chunk}`),
    );
    for (const [key, item] of spread) if (whole.has(key)) expect([key, item]).toEqual([key, whole.get(key)]);
    const events = eventsOf(join(folder, "spread"));
    for (const event of events)
      if (event.type === "samples" && event.samples[0]?.metric !== "peak_memory") expect(event.of).toBe(chunks);
    expect(readFileSync(join(folder, "spread", "table.md"), "utf8")).toContain(
      `37 of ${chunks} chunks, drawn from all over the text`,
    );
    // Alone it has the digits that the comparison gives.
    await measuredBy(quick([model, other], ["--spread", "37"], "alone"));
    for (const [key, item] of itemsOf("alone")) expect(item).toEqual(spread.get(key));
  }, 120_000);

  it.skipIf(!smollm2 || !wikitext)(
    "equals the same chunks of a real model and text, to every token",
    async () => {
      const excerpt = join(folder, "excerpt.txt");
      writeFileSync(excerpt, readFileSync(wikitext!, "utf8").slice(20_000, 29_600));
      const asked = ["run", smollm2!, "--text", excerpt, "--context", "100", "--threads", "1", "--plain"];
      await measuredBy([...asked, "--out", join(folder, "real-whole")]);
      await measuredBy([...asked, "--spread", "5", "--out", join(folder, "real-spread")]);
      const nll = (out: string) => {
        const place = join(folder, out);
        return new Map(
          eventsOf(place).flatMap((event) =>
            event.type === "samples" && event.tokens
              ? [[event.item, readTokens(place, event.job, "nll", event.tokens.nll!)] as const]
              : [],
          ),
        );
      };
      const [whole, spread] = [nll("real-whole"), nll("real-spread")];
      expect(spread.size).toBe(5);
      expect(whole.size).toBeGreaterThan(20);
      for (const [chunk, costs] of spread) expect(costs).toEqual(whole.get(chunk));
    },
    300_000,
  );

  it("goes on with the same digits after a stop, whatever is done", async () => {
    await measuredBy(quick([model], ["--spread", "21"], "through"));
    cpSync(join(folder, "through"), join(folder, "resumed"), { recursive: true });
    const file = join(folder, "resumed", "events.jsonl");
    const lines = readFileSync(file, "utf8").split("\n");
    // As a kill leaves it: some chunks are there, the end is not.
    const cut = lines.findIndex((line) => line.includes('"samples"')) + 5;
    writeFileSync(file, `${lines.slice(0, cut).join("\n")}\n`);
    await measuredBy(quick([model], ["--spread", "21"], "resumed"));
    expect(new Map([...itemsOf("resumed")].sort())).toEqual(new Map([...itemsOf("through")].sort()));
    expect((await bench(["report", join(folder, "resumed")])).code).toBe(0);
  }, 120_000);

  it("with a stride too", async () => {
    const file = join(folder, "stride.yaml");
    const entry = (name: string, more: string) =>
      `  ${name}: {measurement: perplexity, text: text.txt, context: 64, stride: 32${more}}\n`;
    writeFileSync(
      file,
      `variants:\n  a: {model: toy.gguf, threads: 1}\nmeasurements:\n${entry("all", "")}${entry("some", ", spread: 7, seed: 5")}`,
    );
    await measuredBy(["run", file, "--out", join(folder, "stride"), "--plain"]);
    const events = eventsOf(join(folder, "stride"));
    const started = events.find((event) => event.type === "started")!;
    const of = (name: string) => {
      const { id } = started.jobs.find(({ measurement }) => measurement === name)!;
      return new Map(
        events.flatMap((event) =>
          event.type === "samples" && event.job === id && event.ids ? [[event.item, event.samples] as const] : [],
        ),
      );
    };
    const [all, some] = [of("all"), of("some")];
    expect([...some.keys()]).toEqual(askedChunks(all.size, { spread: 7, seed: 5 }).map(String));
    for (const [chunk, samples] of some) expect(samples).toEqual(all.get(chunk));
  }, 120_000);

  it("in turns, where models do not fit into memory together", async () => {
    const large = ["mock:seed=1,bytes=6e8", "mock:seed=1,bytes=6e8,damage=0.1"];
    const measure = ["--measure", "divergence", "--memory-limit", "1GB"];
    await measuredBy(quick(large, measure, "turns-whole"));
    await measuredBy(quick(large, [...measure, "--spread", "13"], "turns-spread"));
    const [whole, spread] = [itemsOf("turns-whole"), itemsOf("turns-spread")];
    expect(spread.size).toBe(17);
    for (const [key, item] of spread) if (whole.has(key)) expect(item).toEqual(whole.get(key));
  }, 120_000);

  it("from a stored reference; one holds the first chunks", async () => {
    const base = join(folder, "toy.kld");
    const record = ["reference", model, "--text", text, "--context", "64", "--threads", "1", "--out", base];
    const refused = await bench([...record, "--spread", "4"]);
    expect(refused).toMatchObject({ code: 1, stderr: expect.stringContaining("takes no --spread") });
    expect((await bench(record)).code).toBe(0);
    const stored = (out: string, ...more: string[]) =>
      measuredBy([
        ...["run", other, "--measure", "divergence", "--base", base, "--threads", "1", ...more],
        ...["--out", join(folder, out), "--plain"],
      ]);
    await stored("stored-whole");
    await stored("stored-spread", "--spread", "11");
    const [whole, spread] = [itemsOf("stored-whole"), itemsOf("stored-spread")];
    expect([...spread.keys()]).toEqual(
      askedChunks(whole.size, { spread: 11 }).map((chunk) => `other divergence ${chunk}`),
    );
    for (const [key, item] of spread) expect(item).toEqual(whole.get(key));
  }, 120_000);
});

describe("beside other parts of the text", () => {
  it("what both have is compared, with a note where that is little; nothing where they have nothing in common", async () => {
    const mock = (seed: number, out: string, ...flags: string[]) =>
      measuredBy(quick([`mock:seed=${seed}`], flags, out));
    await mock(1, "mock-spread", "--spread", "40");
    await mock(2, "mock-first", "--chunks", "90");
    await mock(2, "mock-few", "--chunks", "20");
    await mock(2, "mock-one", "--chunks", "1");
    const compared = async (a: string, b: string) => {
      const { stdout } = await bench(["compare", join(folder, a), join(folder, b), "--metric", "perplexity"]);
      return stdout.replace(/\s+/g, " ");
    };
    const chunks = askedChunks(
      Number(eventsOf(join(folder, "mock-spread")).find((event) => event.type === "samples")!.of),
      {
        spread: 40,
      },
    );
    const shared = (first: number) => chunks.filter((chunk) => chunk < first).length;
    expect(shared(90)).toBeGreaterThan(9);
    expect(shared(20)).toBeLessThan(10);
    expect(shared(1)).toBe(0);
    expect(await compared("mock-spread", "mock-first")).toContain(`${shared(90)} are compared`);
    const few = await compared("mock-spread", "mock-few");
    expect(few).toContain(`${shared(20)} are compared`);
    expect(few).toContain(
      "40 chunks from all over the text were measured for one, its first 20 chunks for the other; those in both are few.",
    );
    expect(await compared("mock-spread", "mock-one")).toContain("and no chunk is in both");
  }, 120_000);

  it("who draws more chunks than the baseline has is compared over all of the baseline's", async () => {
    const mock = (seed: number, spread: string) =>
      measuredBy(quick([`mock:seed=${seed}`], ["--spread", spread], `drawn-${spread}`));
    await mock(1, "16");
    await mock(2, "24");
    const [few, more] = [join(folder, "drawn-16"), join(folder, "drawn-24")];
    const left = "8 items are in one of the two alone and left out; 16 are compared";
    for (const pair of [
      [few, more],
      [more, few],
    ]) {
      const { stdout } = await bench(["compare", ...pair, "--metric", "perplexity"]);
      expect(stdout.replace(/\s+/g, " ")).toContain(left);
    }
    const { stdout } = await bench(["gate", more, "--baseline", few, "--rule", "perplexity: +0.5%"]);
    expect(stdout.replace(/\s+/g, " ")).toContain(left);
    expect(stdout).not.toContain("cannot tell");
  }, 120_000);

  it("a figure over the first chunks says that it speaks for the beginning, and which other it could be", async () => {
    await measuredBy(quick(["mock:seed=1"], ["--chunks", "12"], "first"));
    const table = readFileSync(join(folder, "first", "table.md"), "utf8");
    expect(table).toMatch(
      /the first 12 of \d+ chunks: they speak for the beginning of the text; spread: 12 speaks for all of it/,
    );
    await measuredBy(quick(["mock:seed=1"], ["--chunks", "100000"], "more"));
    expect(readFileSync(join(folder, "more", "table.md"), "utf8")).toMatch(/the text has \d+ chunks, not 100000/);
    await measuredBy(quick(["mock:seed=1"], [], "everything"));
    expect(readFileSync(join(folder, "everything", "table.md"), "utf8")).not.toMatch(/of \d+ chunks|the text has/);
  }, 60_000);
});
