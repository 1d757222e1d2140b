import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, readFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import stringWidth from "string-width";
import { describe, expect, test } from "vitest";
import type { StoredEvent } from "../../dist/events.js";
import { replay } from "../../dist/replay/index.js";
import { longCsv, wideCsv } from "../../dist/reports/csv.js";
import { factsFrom, writeReports } from "../../dist/reports/index.js";
import { markdown } from "../../dist/reports/markdown.js";
import { runJson } from "../../dist/reports/run-json.js";
import { tableFrom } from "../../dist/reports/table.js";
import { text } from "../../dist/reports/text.js";
import { events } from "./fixture.js";

const facts = factsFrom(replay(events), "");
const { table } = facts;
const golden = (name: string) => new URL(`../golden/reports/${name}`, import.meta.url).pathname;
const python = process.env.PYTHON ?? "python3";
const readers = spawnSync(python, ["-c", "import pandas, duckdb"]).status === 0;

describe("golden files", () => {
  test.each([
    ["table.md", () => markdown(facts)],
    ["table.csv", () => wideCsv(table)],
    ["table-long.csv", () => longCsv(table)],
    ["run.json", () => runJson(table)],
    ["table-80.txt", () => text(facts)],
    ["table-200.txt", () => text(facts, { width: 200 })],
  ])("%s", async (name, render) => {
    await expect(render()).toMatchFileSnapshot(golden(name));
  });
});

describe("the grid", () => {
  const cell = (variant: string, column: string, of = table) =>
    of.rows.find((row) => row.variant.name === variant)?.cells[of.columns.findIndex(({ name }) => name === column)];

  test("a job that failed and was done later is measured", () => {
    expect(cell("Q2_K", "perplexity-zh.perplexity")).toMatchObject({ state: "measured", summary: { n: 1 } });
  });

  test("failed, impossible and unfinished cells say so", () => {
    expect(cell("Q2_K", "acc")).toMatchObject({ state: "failed", failure: { code: "engine-died" } });
    expect(cell("=1+1", "pp512")).toMatchObject({ state: "failed", failure: { code: "model-missing" } });
    expect(cell("<img src=x onerror=alert(1)>|", "acc")).toMatchObject({ state: "impossible" });
    expect(cell("模型-very-long-name-that-goes-on-and-on-and-on", "bits_per_byte")).toEqual({
      state: "unfinished",
      n: 2,
    });
  });

  test("a retry that is under way hides the failure before it", () => {
    const retry: StoredEvent[] = [...events, { type: "job-started", at: 0, job: "hellaswag/Q2_K", done: 0 }];
    expect(cell("Q2_K", "acc", tableFrom(replay(retry)))).toEqual({ state: "unfinished", n: 0 });
  });

  /** F16's first questions of HellaSwag as they are where they could not be asked. */
  const unasked = (count: number): StoredEvent[] =>
    events.map((event) =>
      event.type === "samples" && event.job === "hellaswag/F16" && Number(event.item) < count
        ? {
            ...event,
            samples: [{ metric: "unanswerable", value: 1, weight: 1 }],
            unanswerable: "it needs 640 tokens of 512",
          }
        : event,
    );

  test.each([
    [1, 4 / 7],
    [3, 3 / 5],
    [7, 0],
  ])("%d questions that could not be asked are counted, said everywhere and in no accuracy", (count, share) => {
    const found = factsFrom(replay(unasked(count)), "");
    const of = found.table;
    expect(cell("F16", "unanswerable", of)).toMatchObject({ state: "measured", summary: { value: count } });
    const note = `NOT THE WHOLE TASK: ${count} of 8 questions could not be asked (the first: it needs 640 tokens of 512); the figure is over the others alone`;
    for (const name of ["acc", "acc_norm"]) expect(cell("F16", name, of)).toMatchObject({ notes: [{ text: note }] });
    const accuracy = cell("F16", "acc", of);
    expect(accuracy?.state === "measured" && accuracy.summary).toMatchObject({ n: 8 - count, value: share });
    expect(markdown(found)).toContain(`${count} of 8 questions could not be asked`);
    expect(text(found).replace(/\s+/g, " ")).toContain(`${count} of 8 questions could not be asked`);
    expect(wideCsv(of)).toContain(`hellaswag questions not asked: ${count}`);
    expect(longCsv(of)).toContain(`F16,llama,hellaswag,hellaswag,unanswerable,${count},,,,${count},1`);
  });

  test("a task of which no question could be asked has no accuracy", () => {
    const found = factsFrom(replay(unasked(8)), "");
    const of = found.table;
    const reason = "no question could be asked: it needs 640 tokens of 512";
    expect(cell("F16", "acc", of)).toEqual({ state: "impossible", reason });
    expect(wideCsv(of)).toContain(reason);
    expect(markdown(found)).toContain(reason);
  });

  test("a variant of which all questions were asked shows 0 beside one of which some were not; else there is no column", () => {
    const twin = { type: "job-done", at: 0, job: "hellaswag/Q2_K", items: 0, seconds: 1 } as StoredEvent;
    const of = tableFrom(replay([...unasked(2), twin]));
    expect(cell("Q2_K", "unanswerable", of)).toMatchObject({ state: "measured", summary: { value: 0 } });
    expect(table.columns.map(({ name }) => name)).not.toContain("unanswerable");
  });

  test("up to one in a hundred is a footnote alone", () => {
    const many = Array.from({ length: 200 }, (_, i): StoredEvent => {
      const samples =
        i < 2 ? [{ metric: "unanswerable", value: 1, weight: 1 }] : [{ metric: "acc", value: 1, weight: 1 }];
      const facts = i < 2 ? { unanswerable: "it needs 640 tokens of 512" } : {};
      return { type: "samples", job: "hellaswag/F16", item: String(i), samples, ...facts };
    });
    expect(cell("F16", "acc", tableFrom(replay([...events, ...many])))).toMatchObject({
      notes: [
        {
          text: "2 of 200 questions could not be asked (the first: it needs 640 tokens of 512); the figure is over the others",
        },
      ],
    });
  });

  test("jobs that the last plan does not hold are left out", () => {
    const last = events.findLast((event) => event.type === "started")!;
    const narrow: StoredEvent = {
      ...last,
      variants: last.variants.slice(0, 1),
      jobs: last.jobs.filter(({ variant, measurement }) => variant === "F16" && measurement === "speed"),
    };
    const { columns, rows } = tableFrom(replay([...events, narrow]));
    expect(rows).toHaveLength(1);
    expect(new Set(columns.map(({ measurement }) => measurement))).toEqual(new Set(["model", "speed"]));
  });

  test("variants that share a job share its samples", () => {
    const last = events.findLast((event) => event.type === "started")!;
    const twin = { ...last.variants[0]!, name: "twin" };
    const jobs = last.jobs.filter(({ variant }) => variant === "F16").map((job) => ({ ...job, variant: "twin" }));
    const both: StoredEvent = { ...last, variants: [...last.variants, twin], jobs: [...last.jobs, ...jobs] };
    const of = tableFrom(replay([...events, both]));
    expect(cell("twin", "acc", of)).toEqual(cell("F16", "acc", of));
    expect(cell("twin", "acc", of)).toMatchObject({ state: "measured" });
  });

  test("the order in which items came changes no byte", () => {
    const samples = events.filter((event) => event.type === "samples");
    const others = events.filter((event) => event.type !== "samples");
    expect(longCsv(tableFrom(replay([...samples.toReversed(), ...others])))).toBe(longCsv(table));
  });

  test("an empty list is refused with a remedy", () => {
    expect(() => tableFrom(replay([]))).toThrowError(expect.objectContaining({ code: "nothing-run" }));
  });
});

describe("what comes from outside stays inert", () => {
  test("no HTML and no further cells in Markdown", () => {
    const lines = markdown(facts).split("\n");
    expect(lines.filter((line) => line.includes("<img"))).toEqual([]);
    const rows = lines.filter((line) => line.startsWith("| "));
    const cells = (line: string) => line.split(/(?<!\\)\|/).length;
    expect(new Set(rows.slice(0, 7).map(cells)).size).toBe(1);
  });

  test("no control characters reach a terminal or a table", () => {
    const [first, ...rest] = events;
    const escaped = { ...first, variants: [{ ...table.rows[0]!.variant, name: "a\u001b[2Jb\u0007" }] } as StoredEvent;
    for (const render of [text, markdown])
      expect(render(factsFrom(replay([escaped, ...rest.filter((event) => event.type !== "started")]), ""))).not.toMatch(
        /[\u0000-\u0009\u000b-\u001f]/,
      );
  });

  test("a spreadsheet is told of letters that are not ASCII, and of nothing else", () => {
    const mark = "\ufeff";
    expect(wideCsv(table).startsWith(mark)).toBe(true);
    const plain = { ...table, rows: table.rows.slice(0, 2) };
    expect(wideCsv(plain)).toMatch(/^variant,/);
    expect(longCsv(table)).toMatch(/^variant,/);
  });

  test("a spreadsheet computes nothing", () => {
    expect(wideCsv(table)).toContain("\n'=1+1,");
  });
});

test("a terminal of 80 columns shows the change of every measurement in one block, a wide one the figures with it", () => {
  for (const width of [80, 120, 200])
    for (const line of text(facts, { width }).split("\n")) expect(stringWidth(line)).toBeLessThanOrEqual(width);
  const [block] = text(facts).split("\n\n");
  for (const head of ["size MB", "perplexity", "perplexity-zh", "tg128 ↑", "acc % ↑"]) expect(block).toContain(head);
  expect(text(facts, { width: 50 })).toMatch(/^\d+ more columns?: table\.md$/m);
  for (const head of ["BPW", "pp512 ↑", "27.1 ± 2.6"]) expect(text(facts, { width: 200 })).toContain(head);
});

test("writes whole files, the same bytes for the same events", async () => {
  const [a, b] = [mkdtempSync(join(tmpdir(), "reports-")), mkdtempSync(join(tmpdir(), "reports-"))];
  const paths = await writeReports(a, factsFrom(replay(events), a));
  await writeReports(b, factsFrom(replay(events.values()), b));
  await writeReports(b, factsFrom(replay(events), b));
  expect(readdirSync(a).sort()).toEqual([
    "comparisons.csv",
    "plots",
    "report.html",
    "run.json",
    "table-long.csv",
    "table.csv",
    "table.md",
    "tasks.csv",
  ]);
  for (const path of paths) {
    expect(existsSync(path)).toBe(true);
    expect(readFileSync(path)).toEqual(readFileSync(path.replace(a, b)));
  }
});

test("run.json needs no clock but the events'", () => {
  const record = JSON.parse(runJson(table));
  expect(record.sessions).toEqual([
    expect.objectContaining({ at: "2026-01-02T03:04:05.000Z", outcome: "cut off" }),
    expect.objectContaining({ outcome: "stopped" }),
  ]);
  expect(record.variants[0]).toMatchObject({ name: "F16", facts: { quant: "F16" }, opened: { threads: 2 } });
});

describe.skipIf(!readers)("pandas and DuckDB read both tables without options (skipped without them)", () => {
  test("numbers are numbers, text is text, and not a bit is lost", async () => {
    const folder = mkdtempSync(join(tmpdir(), "reports-"));
    await writeReports(folder, factsFrom(replay(events), folder));
    const script = `
import json, sys, pandas, duckdb
out = {}
for name in ("table.csv", "table-long.csv"):
    path = sys.argv[1] + "/" + name
    frame = pandas.read_csv(path)
    relation = duckdb.sql(f"select * from '{path}'")
    out[name] = {
        "pandas": {c: t.kind for c, t in frame.dtypes.items() if hasattr(t, "kind")},
        "duckdb": dict(zip(relation.columns, map(str, relation.types))),
        "first": [frame.columns[0], relation.columns[0]],
        "rows": [len(frame), len(relation.fetchall())],
    }
long = sys.argv[1] + "/table-long.csv"
frame = pandas.read_csv(long)
pick = (frame.variant == "F16") & (frame.measurement == "perplexity") & (frame.metric == "perplexity")
out["value"] = [float(frame[pick].value.iloc[0]),
  duckdb.sql(f"select value from '{long}' where variant = 'F16' and measurement = 'perplexity' and metric = 'perplexity'").fetchall()[0][0]]
print(json.dumps(out))`;
    const run = spawnSync(python, ["-c", script, folder], { encoding: "utf8" });
    expect(run.stderr).toBe("");
    const out = JSON.parse(run.stdout);
    for (const column of ["value", "error", "low", "high", "n"]) {
      expect(out["table-long.csv"].pandas[column]).toMatch(/[fi]/);
      expect(out["table-long.csv"].duckdb[column]).toMatch(/DOUBLE|BIGINT/);
    }
    for (const column of ["size MB", "bpw", "pp512 tok/s", "pp512 error tok/s", "acc %", "peak_memory MB"]) {
      expect(out["table.csv"].pandas[column]).toMatch(/[fi]/);
      expect(out["table.csv"].duckdb[column]).toMatch(/DOUBLE|BIGINT/);
    }
    for (const { first } of [out["table.csv"], out["table-long.csv"]]) expect(first).toEqual(["variant", "variant"]);
    expect(out["table.csv"].duckdb.status).toBe("VARCHAR");
    expect(out["table.csv"].rows).toEqual([5, 5]);
    const index = table.columns.findIndex(({ name }) => name === "perplexity.perplexity");
    const cell = table.rows[0]!.cells[index];
    const value = cell?.state === "measured" ? cell.summary.value : undefined;
    expect(out.value).toEqual([value, value]);
  });
});
