import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { readBenchmark } from "../../dist/benchmark/index.js";
import { measurements } from "../../dist/measurements/index.js";
import { macroMean } from "../../dist/stats/macro.js";
import { bench, eventsOf, someText, temporaryFolder } from "../support.js";

const folder = temporaryFolder();
writeFileSync(join(folder, "prose.txt"), someText(6000, 1));
writeFileSync(join(folder, "code.md"), someText(9000, 2));

function file(name: string, measured: string): string {
  const path = join(folder, `${name}.yaml`);
  const variants = '  full: {model: "mock:seed=1", reference: true}\n  a: {model: "mock:seed=1,damage=0.3"}';
  writeFileSync(path, `variants:\n${variants}\nmeasurements:\n  ${measured}\n`);
  return path;
}

interface Figure {
  value: number;
  error: number;
  low: number;
  high: number;
  n: number;
  dataset: string;
}

async function figuresOf(name: string, measured: string, ...more: string[]): Promise<Map<string, Figure>> {
  const out = join(folder, name);
  expect(await bench(["run", file(name, measured), "--out", out, "--plain", ...more])).toMatchObject({ code: 0 });
  const rows = readFileSync(join(out, "table-long.csv"), "utf8").trim().split("\n").slice(1);
  return new Map(
    rows.map((row) => {
      const [variant, , measurement, dataset, metric, value, error, low, high, n] = row.split(",");
      const figure = { value, error, low, high, n };
      const numbers = Object.fromEntries(Object.entries(figure).map(([key, text]) => [key, Number(text)]));
      return [`${variant} ${measurement} ${metric}`, { ...numbers, dataset: dataset! } as unknown as Figure];
    }),
  );
}

describe("several texts", () => {
  it("are a measurement of each, and the mean over them with its interval", async () => {
    const figures = await figuresOf("two", "perplexity: {texts: [prose.txt, code.md], context: 64}");
    for (const variant of ["full", "a"])
      for (const metric of ["perplexity", "bits_per_byte"]) {
        const [prose, code, mean] = ["perplexity-prose", "perplexity-code", "perplexity"].map(
          (name) => figures.get(`${variant} ${name} ${metric}`)!,
        );
        expect(mean!.value).toBeCloseTo((prose!.value + code!.value) / 2, 10);
        expect(mean!.dataset).toBe("mean of 2 texts");
        expect(mean!.n).toBe(prose!.n + code!.n);
        const side = (of: (one: Figure) => number) => Math.hypot(of(prose!), of(code!)) / 2;
        expect(mean!.error).toBeCloseTo(
          side(({ error }) => error),
          10,
        );
        expect(mean!.value - mean!.low).toBeCloseTo(
          side(({ value, low }) => value - low),
          10,
        );
        expect(mean!.high - mean!.value).toBeCloseTo(
          side(({ value, high }) => high - value),
          10,
        );
      }
    expect(readFileSync(join(folder, "two", "table.md"), "utf8")).toContain("the mean over 2 sets of data");
  });

  it("a group of tasks: the mean weighs them as the group says, and is held against guessing", async () => {
    const written = (name: string, content: string) => {
      writeFileSync(join(folder, name), content);
      return join(folder, name);
    };
    const questions = (name: string, count: number) =>
      written(
        `${name}.jsonl`,
        Array.from({ length: count }, (_, i) => `{"q":"What is ${i}?","a":${i % 2}}\n`).join(""),
      );
    for (const [name, count, options] of [
      ["few", 6, '["x", "y"]'],
      ["many", 30, '["x", "y", "z"]'],
    ] as const) {
      const data = `dataset_path: json\ndataset_kwargs: { data_files: { test: ${questions(name, count)} } }\ntest_split: test\n`;
      const asked = `output_type: multiple_choice\ndoc_to_text: "{{q}}"\ndoc_to_choice: ${options}\ndoc_to_target: a\n`;
      written(`${name}.yaml`, `task: ${name}\n${data}${asked}metric_list: [{ metric: acc }]\n`);
    }
    for (const [size, share] of [
      ["true", 6 / 36],
      ["false", 1 / 2],
    ] as const) {
      const list = `aggregate_metric_list: [{ metric: acc, weight_by_size: ${size} }]`;
      const group = written(`by-${size}.yaml`, `group: all\ntask: [few, many]\n${list}\n`);
      const figures = await figuresOf(`group-${size}`, `all: { dataset: ${group} }`);
      const [few, many, mean] = ["all-few", "all-many", "all"].map((name) => figures.get(`a ${name} acc`)!);
      expect(mean!.value).toBeCloseTo(share * few!.value + (1 - share) * many!.value, 12);
      expect(mean!.error).toBeCloseTo(Math.hypot(share * few!.error, (1 - share) * many!.error), 12);
      expect(mean).toMatchObject({ n: 36, dataset: "mean of 2 tasks" });
      const chance = (100 * (share / 2 + (1 - share) / 3)).toFixed(0);
      const table = readFileSync(join(folder, `group-${size}`, "table.md"), "utf8");
      expect(table).toMatch(new RegExp(`all: .*guessing, which gives ${chance}`));
      expect(table).toContain(size === "true" ? "each counts by its questions" : "each counts alike");
    }
  });

  it("of a divergence too; the noise floor of the reference has no mean", async () => {
    const figures = await figuresOf("kld", "divergence: {texts: [prose.txt, code.md], context: 64, chunks: 8}");
    const [prose, code, mean] = ["divergence-prose", "divergence-code", "divergence"].map(
      (name) => figures.get(`a ${name} kld`)!.value,
    );
    expect(mean).toBeCloseTo((prose! + code!) / 2, 12);
    expect(figures.has("full divergence kld")).toBe(false);
  });

  it("are chosen by the name of their entry or by their own", async () => {
    const measured = "perplexity: {texts: [prose.txt, code.md], context: 64}";
    const kinds = (name: string) => {
      const started = eventsOf(join(folder, name)).find((event) => event.type === "started")!;
      return new Set(started.jobs.map(({ measurement }) => measurement));
    };
    await figuresOf("all", measured, "--only", "perplexity");
    expect(kinds("all")).toEqual(new Set(["perplexity-prose", "perplexity-code"]));
    await figuresOf("one", measured, "--only", "perplexity-code");
    expect(kinds("one")).toEqual(new Set(["perplexity-code"]));
  });

  it.each([
    ["perplexity: {texts: [prose.txt], context: 64}", /texts/],
    ["perplexity: {texts: [prose.txt, prose.md], context: 64}", /two measurements are named "perplexity-prose"/],
    ["perplexity: {text: prose.txt, texts: [prose.txt, code.md]}", /`text` and `texts` are both given/],
    ["perplexity: {context: 64}", /`text` is missing/],
    ["speed: {texts: [prose.txt, code.md]}", /`texts`/],
  ])("that make no sense are refused: %s", async (measured, message) => {
    await expect(readBenchmark(file("bad", measured), { measurements })).rejects.toThrow(message);
  });

  it("have no interval where one of them has none, and no figure where one is broken", () => {
    const one = { metric: "perplexity", value: 4, error: 1, low: 3, high: 6, n: 9, unit: "1", warnings: [] };
    expect(macroMean([one, one])).toMatchObject({ value: 4, low: 4 - Math.SQRT1_2, high: 4 + Math.SQRT2, n: 18 });
    expect(macroMean([one, { ...one, low: undefined }])).toMatchObject({ low: undefined, high: 4 + Math.SQRT2 });
    expect(macroMean([one, { ...one, broken: "no" }]).broken).toBe("no");
  });
});
