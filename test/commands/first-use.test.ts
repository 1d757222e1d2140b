import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { bench, eventsOf, someText, temporaryFolder } from "../support.js";

// What a new user types, in a folder of their own.
const cwd = temporaryFolder();
writeFileSync(join(cwd, "book.txt"), someText(3000));
const head = "question,A,B,C,D,answer\n";
const rows = ['"2 + 2, is?",3,4,5,6,B', "The sky is?,blue,red,green,pink,A", "Cats?,bark,meow,fly,swim,B"];
const here = (...args: string[]) => bench(args, { cwd });
const runs = () => (existsSync(join(cwd, "reports")) ? readdirSync(join(cwd, "reports")).sort() : []);
const asked = ["--text", "book.txt", "--context", "64", "--plain"];

describe("a run without a file", () => {
  it("is named by the day and what is measured; the same command goes on in its folder", async () => {
    expect((await here("run", "mock:seed=1", "mock:seed=2", ...asked)).code).toBe(0);
    const [name] = runs();
    expect(readFileSync(join(cwd, "reports", name!, "table.md"), "utf8")).toMatch(/^# seed=1 \+1 perplexity\n/);
    expect(name).toMatch(/^\d{4}-\d\d-\d\d-\d{4}-seed-1\+1-perplexity-[0-9a-f]{8}$/);
    const again = await here("run", "mock:seed=1", "mock:seed=2", ...asked);
    expect(again.stdout).not.toContain(": started");
    // Also on another day, and in a folder that an earlier version named.
    for (const old of [name!.replace(/^\d{4}/, "2001"), `quick-${name!.slice(-8)}`]) {
      renameSync(join(cwd, "reports", runs()[0]!), join(cwd, "reports", old));
      expect((await here("run", "mock:seed=1", "mock:seed=2", ...asked)).stdout).not.toContain(": started");
      expect(runs()).toEqual([old]);
    }
    await here("run", "mock:seed=1", "mock:seed=3", ...asked);
    expect(runs()).toHaveLength(2);
  });

  it("in which nothing was measured leaves no folder, unless that was named", async () => {
    const before = runs();
    const failed = await here("run", "mock:broken=1", ...asked);
    expect(failed).toMatchObject({ code: 1, stdout: expect.stringContaining("cannot be loaded") });
    expect((await here("run", "nothing.gguf", ...asked)).code).toBe(1);
    expect(runs()).toEqual(before);
    await here("run", "mock:broken=1", ...asked, "--out", "mine");
    expect(existsSync(join(cwd, "mine", "table.md"))).toBe(true);
    // What lies there besides stays.
    const file = join(cwd, "own.yaml");
    writeFileSync(file, 'name: own\nvariants: {a: {model: "mock:broken=1"}}\nmeasurements: {speed: }\n');
    mkdirSync(join(cwd, "reports/own"));
    writeFileSync(join(cwd, "reports/own/notes.txt"), "mine");
    await here("run", file, "--plain");
    expect(readFileSync(join(cwd, "reports/own/notes.txt"), "utf8")).toBe("mine");
  });
});

describe("report, items and list", () => {
  it("without a run take the latest, and say which", async () => {
    await here("run", "mock:seed=5", ...asked, "--out", "reports/latest");
    const { code, stdout, stderr } = await here("report");
    expect({ code, stderr }).toEqual({ code: 0, stderr: "reports/latest, the latest run:\n" });
    expect(stdout).toContain("seed=5");
    const none = await bench(["report"], { cwd: temporaryFolder() });
    expect(none).toMatchObject({ code: 1, stderr: expect.stringContaining("there is no run in reports/") });
  });

  it("list tells the variants and the state of each run", async () => {
    const { stdout } = await here("list");
    expect(stdout).toMatch(/seed-1\S+ +\d{4}-\d\d-\d\d \d\d:\d\d +complete +seed=1, seed=3: perplexity\n/);
    expect(stdout).toMatch(/\n {2}demo +What does each quantization of the demo models cost, .*\?\n/);
  });
});

describe("a name that is not there", () => {
  it("is asked about; the end of a variant's name is enough where one alone has it", async () => {
    writeFileSync(
      join(cwd, "two.yaml"),
      'variants: {small-Q4_K_M: {model: "mock:seed=1", reference: true}, small-Q2_K: {model: "mock:seed=1,damage=0.3"}}\n' +
        "measurements: {perplexity: {text: book.txt, context: 64}}\n",
    );
    expect((await here("run", "two.yaml", "--plain")).code).toBe(0);
    mkdirSync(join(cwd, "ladder8"));
    const two = await here("compare", "Q4_K_M", "Q2_K");
    expect(two.stdout).toContain("reports/two:small-Q4_K_M → reports/two:small-Q2_K");
    for (const [meant, ...typed] of [
      ["small-Q4_K_M", "compare", "Q4_KM", "Q2_K"],
      ["small-Q2_K", "compare", "reports/two:small-Q4_K_M", "reports/two:small-Q2K"],
      ["reports/two", "compare", "reports/twoo", "reports/latest"],
      ["reports/two", "choose", "twoo"],
      ["reports/two", "report", "reports/twoo"],
      ["reports/two", "gate", "reports/twoo", "--rule", "perplexity: 9"],
      ["ladder8", "run", "ladder9", "--text", "book.txt"],
    ] as const) {
      const { code, stderr } = await here(...typed);
      expect([code, stderr], typed.join(" ")).toEqual([1, expect.stringContaining(`Did you mean \`${meant}\`?`)]);
    }
  });
});

describe("benchmarks that come with the program", () => {
  it("run by name from anywhere", async () => {
    for (const name of ["demo", "demo.yaml", "benchmarks/demo.yaml"]) {
      const { code, stdout } = await here("run", name, "--dry-run", "--only", "v2-F16/speed");
      expect({ code, stdout }).toEqual({ code: 0, stdout: expect.stringContaining("v2-F16") });
    }
    expect((await here("run", "dmo", "--dry-run")).stderr).toContain("Did you mean `demo`?");
  });

  it("a file of that name comes first", async () => {
    writeFileSync(join(cwd, "demo.yaml"), 'variants: {a: {model: "mock:seed=1"}}\nmeasurements: {speed: }\n');
    const { stdout } = await here("run", "demo.yaml", "--dry-run");
    expect(stdout).not.toContain("v2-F16");
  });
});

describe("--measure questions.csv", () => {
  const table = (name: string, text: string) => writeFileSync(join(cwd, name), text);

  it("asks the questions of a file whose columns say what they are", async () => {
    table("quiz.csv", `${head}${rows.join("\n")}\n`);
    expect((await here("run", "mock:seed=1", "--measure", "quiz.csv", "--plain", "--out", "quiz")).code).toBe(0);
    const samples = eventsOf(join(cwd, "quiz")).flatMap((event) =>
      event.type === "samples" && event.gold !== undefined ? [event.gold] : [],
    );
    expect(samples).toEqual([1, 0, 1]);
    const { stdout } = await here("items", "quiz", "--prompt");
    expect(stdout).toContain("2 + 2, is?\nA. 3\nB. 4\nC. 5\nD. 6\nAnswer:".split("\n")[0]);
  });

  it("whatever the order and the case of their names; the same in a benchmark file", async () => {
    table("mixed.tsv", "id\tAnswer\tQuestion\ta\tb\tc\n1\tb\t二加二？\t三\t四\t五\n2\ta\t天空？\t蓝\t红\t绿\n");
    const file = join(cwd, "mixed.yaml");
    writeFileSync(file, 'variants: {a: {model: "mock:seed=1"}}\nmeasurements: {own: {dataset: mixed.tsv}}\n');
    expect((await here("run", file, "--plain", "--out", "mixed")).code).toBe(0);
    const events = eventsOf(join(cwd, "mixed"));
    expect(events.flatMap((event) => (event.type === "samples" ? (event.gold ?? []) : []))).toEqual([1, 0]);
    const first = events.find((event) => event.type === "samples")!;
    expect(JSON.stringify(first.detail)).toContain("答案：");
  });

  it("says which column is missing, or that there is no such file", async () => {
    table("headless.csv", `${rows.join("\n")}\n`);
    const headless = await here("run", "mock:seed=1", "--measure", "headless.csv");
    expect(headless).toMatchObject({
      code: 1,
      stderr: expect.stringContaining("has no column question, A, B, answer"),
    });
    const none = await here("run", "mock:seed=1", "--measure", "none.csv");
    expect(none).toMatchObject({ code: 1, stderr: expect.stringContaining("there is no file none.csv of questions") });
    expect((await here("run", "quiz.csv")).stderr).toContain("--measure quiz.csv");
  });
});
