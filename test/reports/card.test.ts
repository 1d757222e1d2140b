import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { PassThrough } from "node:stream";
import { pathToFileURL } from "node:url";
import { beforeAll, describe, expect, test } from "vitest";
import { commands, exitCodes, type ReportCommand } from "../../dist/index.js";
import { replay } from "../../dist/replay/index.js";
import { cardOf, type ModelCard, readPublished } from "../../dist/reports/card/index.js";
import { findFormat, formats } from "../../dist/reports/formats/index.js";
import { type Facts, factsFrom } from "../../dist/reports/index.js";
import { eventsOf, type Made } from "../judge/ladders.js";
import { root } from "../repository.js";
import { bench, someText, temporaryFolder } from "../support.js";
import { events as hostile } from "./fixture.js";

const python = process.env.PYTHON ?? "python3";
const has = (modules: string) => spawnSync(python, ["-c", `import ${modules}`]).status === 0;
const chromium = ["chromium", "chromium-browser", "google-chrome"].find(
  (name) => spawnSync(name, ["--version"]).status === 0,
);
const published = join(root, "benchmarks/chinese-llama-3/published.json");

const folder = temporaryFolder();
const run = join(folder, "run");

/** Reads in Python what `script` prints as JSON; `args` are its sys.argv[1:]. */
function readIn(script: string, ...args: string[]) {
  const { status, stdout, stderr } = spawnSync(python, ["-c", script, ...args], { encoding: "utf8" });
  expect(stderr).toBe("");
  expect(status).toBe(0);
  return JSON.parse(stdout);
}

/** What the command says, by its own options. */
async function reported(asked: Partial<ReportCommand>): Promise<string> {
  let said = "";
  const stdout = new PassThrough({ encoding: "utf8" }).on("data", (text: string) => (said += text));
  expect(await commands.report({ run, ...asked }, { stdout, stderr: stdout, env: {} })).toBe(exitCodes.allMeasured);
  return said;
}

const factsOf = (events: Parameters<typeof replay>[0]): Facts => factsFrom(replay(events), folder);
const drawnAs = async (name: string, facts: Facts, card: ModelCard, events: Parameters<typeof replay>[0]) =>
  String(
    (
      await findFormat(name).render({
        run: replay(events),
        facts,
        card,
        variants: card.rows.map(({ variant }) => variant),
      })
    ).content,
  );

/** A ladder with all that a card tells. */
const ladder: Made[] = [
  { name: "small-F16", reference: true, bytes: 270e6, bpw: 16, quant: "F16", cost: 0, speed: 30 },
  { name: "small-Q8_0", bytes: 145e6, bpw: 8.5, quant: "Q8_0", cost: 0.0005, kld: 0.0005, speed: 50 },
  { name: "small-Q4_K_M", bytes: 105e6, bpw: 4.9, quant: "Q4_K_M", cost: 0.05, kld: 0.05, flips: [1, 2], speed: 70 },
  { name: "small-Q2_K", bytes: 88e6, bpw: 3.2, quant: "Q2_K", cost: 0.5, kld: 0.4, flips: [2, 30], speed: 60 },
];
const kinds = ["perplexity", "divergence", "hellaswag", "speed"] as const;

beforeAll(async () => {
  writeFileSync(join(folder, "text.txt"), someText(6000));
  writeFileSync(
    join(folder, "run.yaml"),
    `variants:
  whole: {model: "mock:seed=1", reference: true}
  part: {model: "mock:seed=1,damage=0.2"}
measurements:
  perplexity: {text: text.txt, context: 128, chunks: 8}
  divergence: {text: text.txt, context: 128, chunks: 8}
  speed: {prompt: 32, generate: 8, repetitions: 3}
`,
  );
  const { code, stderr } = await bench(["run", join(folder, "run.yaml"), "--out", run, "--plain"]);
  expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
}, 60_000);

describe("the card", () => {
  const facts = factsOf(eventsOf(ladder, { kinds }));

  test("has the columns of a model card, the change beside its figure, and one line of where it comes from", () => {
    const card = cardOf(facts);
    expect(card.columns.map(({ head }) => head)).toEqual([
      ...[
        "variant",
        "size MB",
        "BPW",
        "PPL ↓",
        "Δ %",
        "KLD nat ↓",
        "same top % ↑",
        "hellaswag acc % ↑",
        "tg128 tok/s ↑",
      ],
    ]);
    const [whole, , part] = card.rows.map(({ cells }) => cells.map(({ text }) => text));
    expect(whole![4]).toBe("");
    expect(part![4]).toMatch(/^\+5\.\d$/);
    expect(card.rows[1]!.cells[4]!.text).toMatch(/^[+−±]0\.\d+ [≈?]$/);
    expect(card.command).toContain("gguf-bench");
    expect(card.provenance.join(" ")).toMatch(/perplexity: wikitext-2/);
  });

  test("takes the columns that are named, by the names of rules, and sorts the best first", () => {
    const card = cardOf(facts, { columns: ["size", "ppl", "KLD", "delta", "tg", "hellaswag"], sort: "ppl" });
    expect(card.columns.map(({ name }) => name)).toEqual([
      ...["variant", "size", "perplexity", "kld", "perplexity.change", "tg128", "acc"],
    ]);
    expect(cardOf(facts, { sort: "size" }).rows.map(({ variant }) => variant)[0]).toBe("small-Q2_K");
    expect(cardOf(facts, { sort: "tg" }).rows.map(({ variant }) => variant)[0]).toBe("small-Q4_K_M");
    expect(cardOf(facts, { variants: ["small-Q2_K"] }).rows).toHaveLength(1);
  });

  test("asks what was meant", () => {
    expect(() => cardOf(facts, { columns: ["sise"] })).toThrow(
      expect.objectContaining({ hint: expect.stringContaining("Did you mean `size`?") }),
    );
    expect(() => cardOf(facts, { columns: ["ppll"] })).toThrow(
      expect.objectContaining({ hint: expect.stringContaining("Did you mean `ppl`?") }),
    );
    expect(() => cardOf(facts, { sort: "pl" })).toThrow(/--sort pl/);
    expect(() => cardOf(facts, { variants: ["small-Q4"] })).toThrow(/no variant of that name/);
    expect(() => findFormat("jsn")).toThrow(expect.objectContaining({ hint: expect.stringContaining("`json`") }));
  });

  test("tells no broken, failed, unfinished or foreign figure as one, and says why in a word", () => {
    const bad: Made[] = [
      ...ladder.slice(0, 2),
      { name: "failed", cost: 0.1, end: "failed" },
      { name: "stopped", cost: 0.1, end: "unfinished" },
      { name: "nan", cost: 0.1, end: "not a number" },
      { name: "guessing", cost: 0.1, end: "guessing" },
    ];
    const card = cardOf(factsOf(eventsOf(bad, { kinds: ["perplexity"] })));
    const at = card.columns.findIndex(({ name }) => name === "perplexity");
    const cells = Object.fromEntries(card.rows.map(({ variant, cells }) => [variant, cells[at]!]));
    for (const name of ["failed", "stopped", "nan", "guessing"]) {
      expect(cells[name]!.value, name).toBeUndefined();
      expect(cells[name]!.text, name).toMatch(/^(failed|unfinished|broken|)$/);
    }
    for (const name of ["failed", "stopped", "nan", "guessing"])
      expect(card.notes.join("\n"), name).toMatch(new RegExp(`${name}: perplexity (failed|unfinished|broken)`));
    const foreign = cardOf(
      factsOf(eventsOf([ladder[0]!, { ...ladder[2]!, tokenizer: "other" }], { kinds: ["perplexity"] })),
    );
    expect(foreign.columns.map(({ name }) => name)).not.toContain("perplexity");
    expect(foreign.columns.map(({ name }) => name)).toContain("bits_per_byte");
    expect(foreign.notes.join("\n")).toMatch(
      /small-Q4_K_M: other tokenizer than that of small-F16: compare bits\/byte/,
    );
  });

  test("a task at chance has its column of words, and numbers of a spreadsheet stay numbers", async () => {
    const events = eventsOf(ladder, { kinds, questions: 40, spread: 4 }).map((event) =>
      event.type === "started"
        ? { ...event, jobs: event.jobs.map((job) => ({ ...job, task: { chance: 0.5 } })) }
        : event,
    );
    const facts = factsOf(events);
    const card = cardOf(facts);
    const at = card.columns.findIndex(({ name }) => name === "acc");
    expect(card.rows[0]!.cells[at]).toEqual({ text: "not above chance", marks: " °" });
    expect(card.notes.join()).toContain("° hellaswag: not shown to be better than guessing, which gives 50 %");
    expect(card.provenance.join()).toContain("hellaswag: hellaswag");
    expect(await drawnAs("md", facts, card, events)).toMatch(/\| +hellaswag acc %\s↑ \|/);
    expect(await drawnAs("html", facts, card, events)).toContain("not above chance °");
    const [head, ...rows] = (await drawnAs("csv", facts, card, events)).replace("\ufeff", "").trim().split("\n");
    const names = head!.split(",");
    expect(names).toEqual(expect.arrayContaining(["PPL", "PPL error", "Δ %", "Δ % note", "hellaswag acc % note"]));
    const fields = rows.map((row) => row.match(/("[^"]*"|[^,]*)(,|$)/g)!.map((one) => one.replace(/,$/, "")));
    for (const own of fields)
      for (const [i, name] of names.entries())
        if (i > 0 && name !== "quant" && !name.endsWith("note")) expect(own[i], name).toMatch(/^(-?[\d.]+(e-\d+)?)?$/);
    expect(fields[1]![names.indexOf("Δ % note")]).toMatch(/^(likely|not decided|too little to matter)$/);
    expect(fields[0]![names.indexOf("hellaswag acc % note")]).toContain("not above chance; hellaswag: not shown");
  });

  test("beside a reference that is not above chance it is said that the others do not differ from it", () => {
    const chanced = (flips: [number, number]) => {
      const variants = [ladder[0]!, { ...ladder[1]!, flips }];
      const events = eventsOf(variants, { kinds: ["perplexity", "hellaswag"], questions: 60 }).map((event) =>
        event.type === "started"
          ? { ...event, jobs: event.jobs.map((job) => ({ ...job, task: { chance: 0.4 } })) }
          : event,
      );
      const card = cardOf(factsOf(events));
      const at = card.columns.findIndex(({ name }) => name === "acc");
      return { texts: card.rows.map(({ cells }) => cells[at]!.text), notes: card.notes.join("\n") };
    };
    const said = "no figure is shown to differ from that of small-F16, which is not above chance.";
    const few = chanced([3, 0]);
    expect(few.texts).toEqual(["not above chance", "55.0"]);
    expect(few.notes).toContain(`hellaswag acc: ${said}`);
    expect(chanced([0, 0]).notes).not.toContain(said);
  });

  test("a speed that scatters by half of it is a word, and all of some answers have the end of their interval", async () => {
    let timed = 0;
    const events = eventsOf(ladder.slice(0, 2), { kinds: ["perplexity", "hellaswag", "speed"], questions: 40 }).map(
      (event) => {
        if (event.type !== "samples") return event;
        const samples = event.samples.map((one) => {
          if (one.metric === "tg128" && event.job.startsWith("small-Q8_0"))
            return { ...one, value: [10, 200, 900][timed++ % 3]! };
          return one.metric.startsWith("acc") ? { ...one, value: 1 } : one;
        });
        return { ...event, samples };
      },
    );
    const facts = factsOf(events);
    const card = cardOf(facts);
    const at = (wanted: string) => card.columns.findIndex(({ name }) => name === wanted);
    expect(card.rows.map(({ cells }) => cells[at("tg128")]!.text)).toEqual([expect.stringMatching(/^\d/), "unsteady"]);
    expect(card.notes.join()).toContain("‡ the repetitions scatter by half of the speed or more");
    expect(card.rows[0]!.cells[at("acc")]).toMatchObject({ text: "100", end: "≥ 91", value: 1 });
    expect(await drawnAs("md", facts, card, events)).toMatch(/\|\s+100\s\(≥\s91\) \|/);
    expect(await drawnAs("csv", facts, card, events)).toMatch(/,100,95 % interval: ≥ 91,/);
    expect(JSON.parse(await drawnAs("json", facts, card, events))).toBeTruthy();
  });

  test("a file that could not be opened has its name among the files', and one word", () => {
    const events = eventsOf(ladder, { kinds: ["perplexity"] }).map((event) =>
      event.type === "started"
        ? {
            ...event,
            variants: event.variants.map(({ facts: _, ...variant }, i) =>
              i === 1
                ? { ...variant, model: "/m/gone.gguf", failure: { code: "model-missing", message: "no model" } }
                : { ...variant, facts: { ..._!, files: [`/m/file-${i}.gguf`] } },
            ),
            jobs: event.jobs.filter(({ variant }) => variant !== ladder[1]!.name),
          }
        : event,
    );
    const card = cardOf(factsOf(events as typeof hostile));
    expect(card.columns[0]!.head).toBe("file");
    expect(card.files).toBeUndefined();
    expect(card.rows[1]!.cells.map(({ text }) => text).filter(Boolean)).toEqual(["gone", "failed"]);
    expect(card.legend[0]).toContain("≈ is too little to matter (less than PPL 0.5 %)");
  });

  test("no reference: no changes, and no word of them", () => {
    const alone = cardOf(factsOf(eventsOf([{ ...ladder[2]!, reference: false }], { kinds: ["perplexity"] })));
    expect(alone.columns.map(({ head }) => head).join()).not.toContain("Δ");
    expect(alone.legend).toEqual([]);
    const two = ladder.slice(2).map((one) => ({ ...one, reference: false }));
    expect(cardOf(factsOf(eventsOf(two, { kinds: ["perplexity"] }))).notes).toContain(
      "No variant is the reference, so that no change is told.",
    );
  });

  test("what comes from outside stays inert in every form", async () => {
    const facts = factsOf(hostile);
    const card = cardOf(facts);
    const text = await drawnAs("md", facts, card, hostile);
    expect(text).not.toContain("<img");
    const tables = text.split("\n\n").filter((part) => part.startsWith("| "));
    expect(tables.length).toBeGreaterThan(0);
    for (const rows of tables.map((part) => part.split("\n")))
      for (const line of rows) expect(line.split(/(?<!\\)\|/).length).toBe(rows[0]!.split("|").length);
    expect(await drawnAs("html", facts, card, hostile)).not.toContain("<img");
    expect(await drawnAs("csv", facts, card, hostile)).toContain("'=1+1");
    expect(JSON.parse(await drawnAs("json", facts, card, hostile)).rows).toHaveLength(5);
  });

  test("nor does a file's name reach the terminal as it is", async () => {
    const events = hostile.map((event) =>
      event.type === "started"
        ? {
            ...event,
            variants: event.variants.slice(0, 2).map((variant) => ({
              ...variant,
              facts: { ...variant.facts!, files: [`/m/long-\u001b[2J\n\`name\`-<b>-${variant.name}.gguf`] },
            })),
            jobs: event.jobs.filter(({ variant }) => variant === "F16" || variant === "Q2_K"),
          }
        : event,
    );
    const facts = factsOf(events);
    const card = cardOf(facts);
    expect(card.files).toContain("name");
    for (const format of ["md", "html", "csv", "json"])
      expect(await drawnAs(format, facts, card, events), format).not.toMatch(/[\u0000-\u0009\u000b-\u001f]/);
    expect((await drawnAs("md", facts, card, events)).split("\n").filter((line) => line.startsWith("Files:"))).toEqual([
      expect.stringMatching(/^Files: ``.*``\./),
    ]);
  });

  test("the help names every format", async () => {
    const { stdout } = await bench(["report", "--help"]);
    for (const { name } of formats) expect(stdout).toContain(name);
  });
});

describe.skipIf(!chromium || !has("cmarkgfm"))(
  "rendered as GitHub does (skipped without Chromium and Python's cmarkgfm)",
  () => {
    const style = `body{margin:0;font:16px/1.5 "Segoe UI","Noto Sans",Helvetica,Arial,sans-serif}
      table{display:block;width:max-content;max-width:100%;overflow:auto;border-spacing:0;border-collapse:collapse}
      th,td{padding:6px 13px;border:1px solid #d1d9e0} th{font-weight:600}`;

    /** How far each table reaches beyond the page, in pixels. */
    function overflow(markdown: string, width: number): number[] {
      const html = readIn(
        "import cmarkgfm, json, sys; print(json.dumps(cmarkgfm.github_flavored_markdown_to_html(sys.argv[1])))",
        markdown,
      );
      const page = join(folder, `card-${width}.html`);
      writeFileSync(
        page,
        `<!doctype html><meta charset="utf-8"><style>${style}</style><div style="width:${width}px">${html}</div><script>document.title=JSON.stringify([...document.querySelectorAll("table")].map((t)=>t.scrollWidth-t.clientWidth))</script>`,
      );
      const { stdout } = spawnSync(
        chromium!,
        ["--headless", "--no-sandbox", "--disable-gpu", "--dump-dom", pathToFileURL(page).href],
        { encoding: "utf8", timeout: 60_000 },
      );
      return JSON.parse(stdout.match(/<title>(.*?)<\/title>/)![1]!);
    }

    test.each([720, 900])(
      "all columns are visible at %d px",
      async (width) => {
        const events = eventsOf(ladder, { kinds });
        const facts = factsOf(events);
        const text = await drawnAs("md", facts, cardOf(facts), events);
        for (const markdown of [
          text,
          await reported({ card: true }),
          await drawnAs("md", factsOf(hostile), cardOf(factsOf(hostile)), hostile),
        ]) {
          const found = overflow(markdown, width);
          expect(found.length).toBeGreaterThan(0);
          expect(found).toEqual(found.map(() => 0));
        }
      },
      120_000,
    );
  },
);

describe("forms for other programs", () => {
  test("github-action-benchmark: a list of name, unit and value for each way of better", async () => {
    for (const [name, own] of [
      ["customSmallerIsBetter", /perplexity$/],
      ["customBiggerIsBetter", /tg8$/],
    ] as const) {
      const entries: { name: string; unit: string; value: number; range?: string }[] = JSON.parse(
        await reported({ format: name }),
      );
      expect(entries.some((entry) => own.test(entry.name))).toBe(true);
      for (const entry of entries) {
        expect(entry).toMatchObject({ name: expect.any(String), unit: expect.any(String), value: expect.any(Number) });
        expect(Object.keys(entry).filter((key) => !["name", "unit", "value", "range", "extra"].includes(key))).toEqual(
          [],
        );
      }
      expect(new Set(entries.map((entry) => entry.name)).size).toBe(entries.length);
    }
  });

  test("Bencher: numbers by benchmark and measure, the value within its interval", async () => {
    const record: Record<string, Record<string, Record<string, number>>> = JSON.parse(
      await reported({ format: "bencher" }),
    );
    expect(Object.keys(record)).toEqual(["whole", "part"]);
    for (const measures of Object.values(record))
      for (const [measure, metric] of Object.entries(measures)) {
        expect(measure.length).toBeLessThanOrEqual(64);
        expect(metric).toEqual({
          value: expect.any(Number),
          ...("lower_value" in metric ? { lower_value: expect.any(Number), upper_value: expect.any(Number) } : {}),
        });
        if ("lower_value" in metric) {
          expect(metric.lower_value!).toBeLessThanOrEqual(metric.value!);
          expect(metric.upper_value!).toBeGreaterThanOrEqual(metric.value!);
        }
      }
  });

  test("eval-results: whole tasks that the Hub counts as benchmarks, of one model", async () => {
    await expect(reported({ format: "eval-results" })).rejects.toThrow("one model, and this run has several");
    await expect(reported({ format: "eval-results", variants: ["whole"] })).rejects.toThrow(
      "no figure that the Hub counts as the result of a benchmark",
    );
    const yaml = await drawnAs("eval-results", gsm8k(), cardOf(gsm8k(), { variants: ["small-F16"] }), gsm8kEvents());
    expect(yaml).toContain("id: openai/gsm8k");
    await expect(
      drawnAs("eval-results", gsm8k(50), cardOf(gsm8k(50), { variants: ["small-F16"] }), gsm8kEvents(50)),
    ).rejects.toThrow(expect.objectContaining({ hint: expect.stringContaining("a part of the task was asked") }));
  });

  test("a format that is no text wants a file, and options of the card mean nothing to others", async () => {
    await expect(reported({ format: "parquet" })).rejects.toThrow(
      expect.objectContaining({ hint: expect.stringContaining("--out FILE") }),
    );
    await expect(reported({ format: "bencher", columns: ["size"] })).rejects.toThrow("--columns means nothing");
  });
});

/** A run of GSM8K by its shipped card's name. */
function gsm8kEvents(limit?: number) {
  return eventsOf([ladder[0]!], { kinds: ["hellaswag"] }).map((event) =>
    event.type === "started"
      ? {
          ...event,
          jobs: event.jobs.map((job) => ({
            ...job,
            dataset: "gsm8k",
            settings: limit === undefined ? {} : { limit },
            task: { split: "test", shots: 5 },
          })),
        }
      : event,
  );
}
const gsm8k = (limit?: number) => factsOf(gsm8kEvents(limit));

describe.skipIf(!has("huggingface_hub, yaml"))("huggingface_hub reads its metadata (skipped without it)", () => {
  test("model-index: every figure, and the same after a round trip", async () => {
    writeFileSync(join(folder, "README.md"), `---\n${await reported({ format: "model-index" })}---\n\n# Model\n`);
    const { results, again, name } = readIn(
      `
import json, sys
from huggingface_hub import ModelCard
card = ModelCard.load(sys.argv[1])
rows = lambda data: sorted([r.dataset_name, r.metric_type, r.metric_name, r.metric_value] for r in data.eval_results)
print(json.dumps({"name": card.data.model_name, "results": rows(card.data), "again": rows(ModelCard(str(card)).data)}))`,
      join(folder, "README.md"),
    );
    expect(name).toBe("run");
    expect(again).toEqual(results);
    expect(results.every((row: unknown[]) => typeof row[3] === "number")).toBe(true);
    const value = (metric: string, named: string) =>
      results.find((row: string[]) => row[1] === metric && row[2]!.endsWith(named))?.[3];
    const rows = readFileSync(join(run, "table-long.csv"), "utf8").split("\n");
    const own = (variant: string, metric: string) =>
      Number(rows.find((row) => row.startsWith(`${variant},`) && row.split(",")[4] === metric)?.split(",")[5]);
    for (const variant of ["whole", "part"]) expect(value("perplexity", variant)).toBe(own(variant, "perplexity"));
    expect(value("kld", "part")).toBe(own("part", "kld"));
  });

  test(".eval_results: dataset, task, value, date", async () => {
    const yaml = await drawnAs("eval-results", gsm8k(), cardOf(gsm8k(), { variants: ["small-F16"] }), gsm8kEvents());
    writeFileSync(join(folder, "gsm8k.yaml"), yaml);
    const [entry] = readIn(
      `
import json, sys, yaml, dataclasses
from huggingface_hub import parse_eval_result_entries, eval_result_entries_to_yaml
entries = parse_eval_result_entries(yaml.safe_load(open(sys.argv[1])))
assert parse_eval_result_entries(eval_result_entries_to_yaml(entries)) == entries
print(json.dumps([dataclasses.asdict(entry) for entry in entries]))`,
      join(folder, "gsm8k.yaml"),
    );
    expect(entry).toMatchObject({
      dataset_id: "openai/gsm8k",
      task_id: "gsm8k",
      date: expect.stringMatching(/^\d{4}-/),
    });
    expect(entry.value).toBeGreaterThan(1);
    expect(entry.notes).toContain("5-shot");
  });
});

describe.skipIf(!has("pandas, pyarrow, duckdb"))("DuckDB and pandas read Parquet (skipped without them)", () => {
  test("the long table has its types, and not a bit is lost; the samples are those of the events", async () => {
    for (const format of ["parquet", "parquet-samples"])
      await reported({ format, out: join(folder, `${format}.parquet`) });
    const out = readIn(
      `
import json, sys, pandas, duckdb
long, samples, csv = sys.argv[1:]
table = pandas.read_parquet(long); text = pandas.read_csv(csv, keep_default_na=False, na_values={c: [""] for c in ("value", "error", "low", "high")})
columns = list(text.columns)
same = all((table[c].isna() & text[c].isna() | (table[c] == text[c])).all() for c in columns)
types = dict(zip(*[map(str, x) for x in (lambda r: (r.columns, r.types))(duckdb.sql(f"select * from '{long}'"))]))
mean = duckdb.sql(f"select exp(sum(value * weight) / sum(weight)) from '{samples}' where variant = 'whole' and measurement = 'perplexity' and metric = 'perplexity'").fetchall()[0][0]
ppl = table[(table.variant == "whole") & (table.measurement == "perplexity") & (table.metric == "perplexity")].value.iloc[0]
print(json.dumps({"same": bool(same), "columns": columns == list(table.columns), "types": types, "mean": mean, "ppl": float(ppl)}))`,
      ...[join(folder, "parquet.parquet"), join(folder, "parquet-samples.parquet"), join(run, "table-long.csv")],
    );
    expect(out).toMatchObject({ same: true, columns: true });
    expect(out.types).toMatchObject({
      variant: "VARCHAR",
      value: "DOUBLE",
      low: "DOUBLE",
      n: "INTEGER",
      unit: "VARCHAR",
    });
    expect(out.mean).toBeCloseTo(out.ppl, 9);
  });
});

describe("measured beside published", () => {
  const quantization = async () => {
    const made = ladder.map((one) => ({
      ...one,
      cost: { "small-F16": 0, "small-Q8_0": 0.0009, "small-Q4_K_M": 0.0348, "small-Q2_K": 0.2 }[one.name]!,
    }));
    const facts = factsOf(eventsOf(made, { kinds: ["perplexity", "speed"] }));
    return cardOf(facts, { published: await readPublished(published) }).published;
  };

  test("of a stand-in changes are compared, and marked where the interval excludes them", async () => {
    const [table, ...others] = await quantization();
    expect(others).toEqual([]);
    expect(table!.heads).toEqual(["size GiB", "BPW", "PPL (Δ)", "tg ms/token (Δ)"]);
    const row = (name: string) => table!.rows.find((one) => one.name === name)!;
    expect(row("small-F16").published).toEqual(["14.97", "16.00", "5.130", "44.03"]);
    // ln(5.312 / 5.130) = 0.0349: as published; Q2_K's 131 % is not what was made here.
    expect(row("small-Q4_K_M").published[2]).toBe("5.312 (+3.5 %)");
    expect(row("small-Q2_K").published[2]).toBe("11.859 (+131 %) ≠");
    expect(row("small-Q2_K").published[0]).toBe("2.96");
    expect(table!.notes.join(" ")).toContain("not the published model");
    expect(table!.notes.join(" ")).not.toMatch(/error|mistake/i);
  });

  test("a quantization of another model, or one of several, stands beside none; what nobody measured is named", async () => {
    const rows = ["F16", "Q8_0", "Q6_K"].map((name, i) => ({ name, quant: name, figures: { ppl: 2 + i / 100 } }));
    const columns = { ppl: { head: "PPL", metric: "perplexity", unit: "1", digits: 3, compare: "change" } };
    const others = {
      source: { title: "My card", url: "https://example.org/card" },
      tables: { q: { title: "Quant", conditions: "a book", reference: "F16", columns, rows } },
    };
    writeFileSync(join(folder, "others.json"), JSON.stringify(others));
    const made: Made[] = [
      { name: "new-F16", quant: "F16", reference: true, cost: 0 },
      { name: "new-Q8_0", quant: "Q8_0", cost: 0.001 },
      { name: "old-F16", quant: "F16", cost: 0.07 },
    ];
    const beside = async (variants: Made[], wishes: { variants?: string[] } = {}) => {
      const facts = factsOf(eventsOf(variants, { kinds: ["perplexity"] }));
      return cardOf(facts, { ...wishes, published: await readPublished(join(folder, "others.json")) }).published;
    };
    const [table] = await beside(made);
    expect(table!.title).toBe("Quant: measured, and as published (My card)");
    expect(table!.rows.map(({ name }) => name)).toEqual(["new-F16", "new-Q8_0"]);
    expect(table!.notes).toEqual(
      expect.arrayContaining(["Not beside F16: old-F16, of another model.", "Published, and not measured here: Q6_K."]),
    );
    // Without a reference nothing says which of the two is meant, but the user.
    const apart = made.map((one) => ({ ...one, reference: false }));
    const value = { ...others.tables.q, columns: { ppl: { ...columns.ppl, compare: "value" } } };
    writeFileSync(join(folder, "others.json"), JSON.stringify({ ...others, tables: { q: value } }));
    const [unknown] = await beside(apart);
    expect(unknown!.rows.map(({ name }) => name)).toEqual(["new-Q8_0"]);
    expect(unknown!.notes).toContain("Which is meant by F16, new-F16, old-F16, is not known: --variant NAME says it.");
    const [said] = await beside(apart, { variants: ["old-F16"] });
    expect(said!.rows.map(({ name }) => name)).toEqual(["old-F16"]);
  });

  test("all columns of a run can be asked for, and a wrong name says how", () => {
    const facts = factsOf(eventsOf(ladder, { kinds: ["perplexity"] }));
    expect(cardOf(facts, { columns: ["all"] }).columns.map(({ name }) => name)).toContain("bits_per_byte");
    expect(() => cardOf(facts, { columns: ["nope"] })).toThrow(
      expect.objectContaining({ hint: expect.stringContaining("--columns all shows every one") }),
    );
  });

  test("of the same model and task the figures themselves", async () => {
    const events = (right: number) =>
      eventsOf([{ name: "llama-3-chinese-8b-instruct-v3", cost: 0, flips: [right, 0] }], {
        kinds: ["hellaswag"],
        questions: 400,
      }).map((event) =>
        event.type === "started"
          ? {
              ...event,
              jobs: event.jobs.map((job) => ({ ...job, dataset: "ceval", task: { split: "val", shots: 0 } })),
            }
          : event,
      );
    const [table] = cardOf(factsOf(events(0)), { published: await readPublished(published) }).published;
    expect(table!.heads).toEqual(["val 0-shot %"]);
    expect(table!.rows[0]!.name).toBe("llama-3-chinese-8b-instruct-v3");
    expect(table!.rows[0]!.published[0]).toMatch(/^55\.2( ≠)?$/);
  });

  test("the shipped file is well formed, its rows are matched by the longest name", async () => {
    const { tables } = await readPublished(published);
    expect(Object.keys(tables)).toEqual([
      "quantization",
      "ceval",
      "cmmlu",
      "mmlu",
      "longbench",
      "open-llm-leaderboard",
    ]);
  });

  test("a benchmark file names its own: a run reads it before it measures, and cards take it", async () => {
    const own = join(folder, "own");
    mkdirSync(own);
    writeFileSync(join(own, "text.txt"), someText(3000));
    const columns = { ppl: { head: "PPL", metric: "perplexity", unit: "1", digits: 2, compare: "value" } };
    const table = {
      title: "Others",
      conditions: "as stated",
      columns,
      rows: [{ name: "alpha", figures: { ppl: 2.5 } }],
    };
    const source = { title: "A page", url: "https://example.org" };
    writeFileSync(join(own, "theirs.json"), JSON.stringify({ source, tables: { others: table } }));
    const file = (name: string) =>
      `published: ${name}\nvariants: {alpha: {model: "mock:seed=1"}}\nmeasurements: {perplexity: {text: text.txt, context: 64}}\n`;
    writeFileSync(join(own, "b.yaml"), file("theirs.json"));
    writeFileSync(join(own, "absent.yaml"), file("absent.json"));
    const absent = await bench(["run", join(own, "absent.yaml"), "--out", join(own, "x"), "--plain"]);
    expect([absent.code, absent.stderr]).toEqual([
      1,
      expect.stringMatching(/absent\.yaml:1:\d+: there is no file .*absent\.json/i),
    ]);
    const out = join(own, "run");
    expect((await bench(["run", join(own, "b.yaml"), "--out", out, "--plain"])).code).toBe(0);
    expect((await bench(["report", out, "--card"])).stdout).toMatch(/Others[\s\S]*alpha[\s\S]*2\.5/);
    rmSync(join(own, "theirs.json"));
    const { code, stdout, stderr } = await bench(["report", out, "--card"]);
    expect([code, stdout.includes("Others")]).toEqual([0, false]);
    expect(stderr).toMatch(/the figures that its benchmark names are not here: .*theirs\.json\. --published FILE/i);
  });

  test("report --all makes the tables of every run anew, those of a damaged one not, and says so", async () => {
    const cwd = join(folder, "all");
    mkdirSync(cwd);
    const runs = ["a", "b", "damaged"].map((name) => join(cwd, "reports", name));
    for (const [seed, out] of runs.entries())
      await bench(["run", `mock:seed=${seed}`, "--measure", "speed", "--repetitions", "1", "--out", out, "--plain"]);
    for (const out of runs) rmSync(join(out, "table.md"));
    writeFileSync(join(runs[2]!, "events.jsonl"), "no event\n");
    const { code, stdout } = await bench(["report", "--all"], { cwd });
    expect(code).toBe(exitCodes.someFailed);
    expect(stdout).toMatch(/^reports\/a: made anew\.\nreports\/b: made anew\.\nreports\/damaged: .+\n$/);
    expect(runs.map((out) => existsSync(join(out, "table.md")))).toEqual([true, true, false]);
    expect((await bench(["report", "--all", "--card"], { cwd })).stderr).toContain("--all is about every run");
  });

  test("a faulty file is one sentence with its line", async () => {
    const write = (value: unknown) => {
      const path = join(folder, "published.json");
      writeFileSync(path, JSON.stringify(value, null, 1));
      return path;
    };
    const good = JSON.parse(readFileSync(published, "utf8"));
    const { quantization } = good.tables;
    const faults: [unknown, RegExp][] = [
      [{ ...good, sauce: 1 }, /published\.json:\d+:\d+: there is no key/],
      [{ ...good, tables: { q: { ...quantization, reference: "F32" } } }, /has no row "F32"/],
      [
        { ...good, tables: { q: { ...quantization, rows: [{ name: "F16", figures: { pl: 1 } }] } } },
        /has no column "pl"/,
      ],
      [{ ...good, source: { ...good.source, url: "javascript:alert(1)" } }, /url/i],
    ];
    for (const [value, said] of faults) await expect(readPublished(write(value))).rejects.toThrow(said);
    await expect(readPublished(join(folder, "absent.json"))).rejects.toThrow("There is no file");
  });
});
