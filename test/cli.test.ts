import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { measurements } from "../dist/measurements/index.js";
import { tinyGguf } from "./models/tiny-gguf.js";
import { bench, someQuestions, someText, temporaryFolder, verdicts, writeRandomLlama } from "./support.js";

const folder = temporaryFolder();
writeFileSync(join(folder, "text.txt"), someText(9000));
writeFileSync(join(folder, "questions.txt"), someQuestions(20));
const matrix = join(folder, "matrix.yaml");
writeFileSync(
  matrix,
  `
variants:
  a: {model: "mock:seed=1", reference: true}
  b: {model: "mock:seed=1,damage=0.2"}
measurements:
  perplexity: {text: text.txt, context: 64}
  hellaswag: {file: questions.txt}
`,
);

/** Every file that a process loads through the module loader, as lines on stderr. */
const spy = (() => {
  const hooks = `export async function load(url, context, next) {
    if (url.startsWith("file:")) (await import("node:fs")).writeSync(2, "loaded " + url + "\\n");
    return next(url, context);
  }`;
  const register = `import { register } from "node:module"; register(${JSON.stringify(`data:text/javascript,${encodeURIComponent(hooks)}`)});`;
  return ["--import", `data:text/javascript,${encodeURIComponent(register)}`];
})();

describe("--help", () => {
  it("loads the parser of arguments, the list of commands and the units of sizes, nothing else", async () => {
    for (const args of [["--help"], ["run", "--help"], ["report", "--help"]]) {
      const { code, stdout, stderr } = await bench(args, { nodeArgs: spy });
      expect(code).toBe(0);
      expect(stdout).toMatch(/^Usage: gguf-bench/);
      const loaded = stderr.split("\n").filter(Boolean);
      expect(loaded.some((line) => line.endsWith("/dist/cli.js"))).toBe(true);
      const heavy = loaded.filter(
        (line) =>
          !/\/dist\/(cli|commands\/(index|options)|definite|harmless|terminal|units)\.js$|\/node_modules\/commander\//.test(
            line,
          ),
      );
      expect(heavy).toEqual([]);
    }
  });

  it("the spy sees what other commands load", async () => {
    const { stderr } = await bench(["run", matrix, "--dry-run"], { nodeArgs: spy });
    for (const name of ["zod", "yaml", "commands/run.js"]) expect(stderr).toContain(name);
    // A plan needs no screen and no downloader.
    for (const name of ["ink", "react", "node-llama-cpp"]) expect(stderr).not.toContain(`node_modules/${name}/`);
  });

  it("names the exit codes, the commands and examples", async () => {
    const { stdout } = await bench(["--help"]);
    for (const text of ["run", "report", "list", "doctor", "Examples:", "130", "cannot tell"])
      expect(stdout).toContain(text);
    expect((await bench(["--version"])).stdout).toMatch(/^\d+\.\d+\.\d+\n$/);
  });
});

describe("what people type", () => {
  it("help COMMAND is COMMAND --help; the version has three letters", async () => {
    const same = async (args: string[], other: string[]) => {
      const [first, second] = [await bench(args), await bench(other)];
      expect(first).toEqual(second);
      expect(first.code).toBe(0);
    };
    await same(["help", "run"], ["run", "--help"]);
    await same(["help"], ["--help"]);
    const stray = await bench(["help", "runn"]);
    expect(stray).toMatchObject({ code: 1, stderr: expect.stringContaining("Did you mean run?") });
    await same(["-v"], ["--version"]);
    await same(["-V"], ["--version"]);
  });

  it("the help of run names every measurement, and every option its default", async () => {
    const help = (await bench(["run", "--help"], { env: { COLUMNS: "400" } })).stdout;
    for (const name of Object.keys(measurements)) if (name !== "choice") expect(help).toContain(name);
    for (const command of ["run", "reference", "quantize"]) {
      const { stdout } = await bench([command, "--help"]);
      const options = stdout
        .slice(stdout.indexOf("Options:"))
        .split(/\n {2}(?=-)/)
        .slice(1);
      for (const option of options) {
        // What must be given, what may be repeated, and switches have no default.
        const free = !/^\S+(, \S+)? </.test(option) || /repeatable/.test(option.replace(/\s+/g, " "));
        const needed = /^--(types|base|text)\b|the file; it is there/.test(option);
        expect([option, free || needed || /\bdefault\b/.test(option)]).toEqual([option, true]);
      }
    }
  });

  it("models without a flag, and the letters of llama.cpp's tools", async () => {
    const here = join(folder, "typed");
    mkdirSync(here);
    const text = join(folder, "text.txt");
    for (const [seed, name] of ["a", "b"].entries()) writeRandomLlama(here, name, { seed: seed + 1 });
    const flags = ["--text", text, "-c", "128", "--chunks", "2", "-t", "1"];
    const plan = async (...args: string[]) => {
      const { stdout } = await bench(["run", ...args, ...flags, "--dry-run"], { cwd: here });
      return stdout.replace(/engines may use .*/, "");
    };
    const expected = await plan("--model", "a.gguf", "--model", "b.gguf");
    expect(expected).toMatch(/^reference: a \(the first of 2 with the most bits per weight/);
    expect(expected).toMatch(/2 jobs/);
    for (const args of [
      ["a.gguf", "b.gguf"],
      ["-m", "a.gguf", "b.gguf"],
      ["--model", "a.gguf", "b.gguf"],
      ["."],
      ["*.gguf"],
    ])
      expect(await plan(...args)).toBe(expected);
    const said = await bench(["run", "a.gguf", "b.gguf", ...flags, "-o", "out", "--reference", "b"], { cwd: here });
    expect({ code: said.code, stderr: said.stderr }).toEqual({ code: 0, stderr: "" });
    expect(said.stdout).toMatch(/^reference: b\n/);
    const started = JSON.parse(readFileSync(join(here, "out", "events.jsonl"), "utf8").split("\n")[0]!);
    expect(started.variants.map(({ reference }: { reference: boolean }) => reference)).toEqual([false, true]);
    const { code, stderr } = await bench(["compare", "out:a", "out:b", "--metric", "ppl"], { cwd: here });
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    const unknown = await bench(["compare", "out:a", "out:b", "--metric", "perplexty"], { cwd: here });
    expect({ code: unknown.code, stdout: unknown.stdout }).toEqual({ code: 1, stdout: "" });
    expect(unknown.stderr).toMatch(/no?\w* side has a metric of that name\.\n {2}Did you mean `perplexity`\?/);
  });
});

describe("what the user can mend is one sentence and a remedy, exit code 1", () => {
  const empty = join(folder, "empty");
  mkdirSync(empty);
  const write = (name: string, text: string) => {
    writeFileSync(join(folder, name), text);
    return join(folder, name);
  };
  const faults: Record<string, string[]> = {
    "no model": ["run"],
    "no such file": ["run", join(folder, "absent.yaml")],
    "no YAML": ["run", write("bad.yaml", "variants: [")],
    "a wrong key": [
      "run",
      write("key.yaml", "variants: {a: {model: mock:seed=1, thread: 1}}\nmeasurements: {speed: {}}"),
    ],
    "no measurements": ["run", write("none.yaml", "variants: {a: {model: mock:seed=1}}\nmeasurements: {}")],
    "an unknown backend": [
      "run",
      write("be.yaml", "variants: {a: {model: x, backend: nemo}}\nmeasurements: {speed: {}}"),
    ],
    "no text": ["run", "--model", "mock:seed=1"],
    "an unknown text": ["run", "--model", "mock:seed=1", "--text", "absent"],
    "an unknown measurement": ["run", "--model", "mock:seed=1", "--measure", "beauty"],
    "an idle flag": ["run", "--model", "mock:seed=1", "--measure", "speed", "--chunks", "3"],
    "nothing left": ["run", matrix, "--only", "a", "--exclude", "a"],
    "a slip in --only": ["run", matrix, "--only", "perplexty"],
    "a slip in --exclude": ["run", matrix, "--exclude", "speeed"],
    "a slip in --reference": ["run", matrix, "--reference", "aa"],
    "a flag beside a file": ["run", matrix, "--chunks", "3"],
    "a model beside a file": ["run", matrix, "--model", "mock:seed=1"],
    "two files": ["run", matrix, matrix],
    "an argument too many": ["run", matrix, "extra"],
    "a text as the argument": ["run", join(folder, "text.txt")],
    "questions without a card": ["run", "--model", "mock:seed=1", "--measure", "quiz.csv"],
    "an empty folder": ["run", empty, "--measure", "speed"],
    "a slip in --types": ["quantize", "m-F16.gguf", "--types", "Q8_0,Q4_K_N"],
    "a model without a name": ["run", "--model", "", "--measure", "speed"],
    "an argument without a name": ["run", "", "--measure", "speed"],
    "a reference without a name": ["run", matrix, "--reference", ""],
    "no run": ["report", empty],
    "no run folder": ["report", join(folder, "absent")],
  };
  for (const [what, args] of Object.entries(faults))
    it(what, async () => {
      const { code, stdout, stderr } = await bench(args, { cwd: empty });
      expect({ code, stdout }).toEqual({ code: 1, stdout: "" });
      expect(stderr).toMatch(/^gguf-bench: [^\n]+[.!?)]\n( {2}[A-Z"`][^\n]+\n)?$/);
      expect(stderr).not.toMatch(/\n\s+at /);
      expect(readdirSync(empty)).toEqual([]);
    });

  it("flags that do not parse", async () => {
    for (const args of [
      ["run", "--chunks", "many"],
      ["run", "--beauty"],
      ["ruin"],
      ["gate"],
      ["run", "--memory-limit", "much"],
      ["choose", "--max-size", "100"],
      ["run", "--measure", ""],
      ["run", "--measure", "speed,,perplexity"],
      ["quantize", "m.gguf", "--types", ""],
      ["reference", "m.gguf", "--text", "t", "--out", "o", "--form", "compct"],
    ]) {
      const { code, stdout, stderr } = await bench(args);
      expect({ code, stdout }).toEqual({ code: 1, stdout: "" });
      expect(stderr).toMatch(/^error: .*\n/);
      expect(stderr).not.toMatch(/\n\s+at /);
    }
  });

  it("a model that is not there is a failed cell; nothing measured is exit code 1", async () => {
    const out = join(folder, "nothing");
    const said = await bench(["run", "--model", join(folder, "absent.gguf"), "--measure", "speed", "--out", out]);
    expect({ code: said.code, stderr: said.stderr }).toEqual({ code: 1, stderr: "" });
    expect(said.stdout).toMatch(/absent\.gguf/);
  });
});

describe("a run without a file", () => {
  it("names a variant by its file, takes settings from flags, and has a folder of its own", async () => {
    const model = writeRandomLlama(folder, "tiny-Q4_K_M");
    const args = [
      "run",
      "--model",
      model,
      "--text",
      join(folder, "text.txt"),
      "--context",
      "128",
      "--chunks",
      "3",
      "--threads",
      "1",
    ];
    const first = await bench(args, { cwd: folder });
    expect({ code: first.code, stderr: first.stderr }).toEqual({ code: 0, stderr: "" });
    expect(first.stdout).toMatch(/tiny-Q4_K_M +perplexity|tiny-Q4_K_M perplexity: PPL/);
    const [name] = readdirSync(join(folder, "reports"));
    expect(name).toMatch(/^\d{4}-\d\d-\d\d-\d{4}-tiny-Q4_K_M-perplexity-[0-9a-f]{8}$/);
    // The same question has the same folder: there is nothing left to do.
    const second = await bench(args, { cwd: folder });
    expect(second.code).toBe(0);
    expect(second.stdout).not.toMatch(/: started/);
    expect(readdirSync(join(folder, "reports"))).toEqual([name]);
  });

  it("a damaged weight is a failed cell with a sentence, not a figure", async () => {
    const model = writeRandomLlama(folder, "damaged");
    const bytes = readFileSync(model);
    // Not-a-numbers in the last tensor, a layer's ffn_down.
    bytes.fill(0xff, bytes.length - 4096, bytes.length - 2048);
    writeFileSync(model, bytes);
    const out = join(folder, "damaged-run");
    const asked = ["--text", join(folder, "text.txt"), "--context", "128", "--chunks", "3", "--threads", "1"];
    const said = await bench(["run", "--model", model, ...asked, "--out", out]);
    expect(said.code).toBe(1);
    expect(said.stdout).toMatch(/log-probabilities are no numbers/);
  });
});

describe("--json", () => {
  it("prints events as JSON lines and nothing else", async () => {
    const { code, stdout, stderr } = await bench(["run", matrix, "--json", "--out", join(folder, "json")]);
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    const events = stdout
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line));
    expect(events[0].type).toBe("started");
    expect(events.at(-1)).toMatchObject({ type: "finished", outcome: "complete" });
    expect(events.filter((event) => event.type === "job-done")).toHaveLength(4);
    expect(events.find((event) => event.type === "samples").samples[0].value).toBeGreaterThan(0);
    const stored = readFileSync(join(folder, "json", "events.jsonl"), "utf8")
      .trimEnd()
      .split("\n");
    expect(events.filter((event) => event.type !== "progress")).toHaveLength(stored.length);
    expect(verdicts(stored.map((line) => JSON.parse(line)))["b hellaswag"]).toBe("done");
  });
});

describe("report", () => {
  it("makes the same bytes as the run, and the same again", async () => {
    const out = join(folder, "reported");
    expect((await bench(["run", matrix, "--out", out, "--plain"])).code).toBe(0);
    const files = () =>
      readdirSync(out)
        .filter((name) => statSync(join(out, name)).isFile())
        .map((name) => [name, readFileSync(join(out, name), "utf8")]);
    const before = files();
    expect(before.map(([name]) => name)).toEqual(
      expect.arrayContaining(["run.json", "table-long.csv", "table.csv", "table.md"]),
    );
    for (let again = 0; again < 2; again++) {
      const { code, stderr, stdout } = await bench(["report", out]);
      expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
      expect(stdout).toContain("Tables:");
      expect(files()).toEqual(before);
    }
  });

  it("reads a run that was cut off, torn line and all", async () => {
    const out = join(folder, "torn");
    await bench(["run", matrix, "--out", out, "--plain"]);
    const events = readFileSync(join(out, "events.jsonl"), "utf8");
    writeFileSync(join(out, "events.jsonl"), events.slice(0, Math.floor(events.length * 0.6)));
    const { code } = await bench(["report", out]);
    expect(code).toBe(0);
    expect(readFileSync(join(out, "table.md"), "utf8")).toMatch(/unfinished|cut off|not finished/i);
  });
});

describe("--dry-run", () => {
  it("prints the plan and makes nothing", async () => {
    const out = join(folder, "dry");
    const { code, stdout } = await bench(["run", matrix, "--dry-run", "--out", out]);
    expect(code).toBe(0);
    expect(stdout).toMatch(/4 jobs/);
    expect(readdirSync(folder)).not.toContain("dry");
  });
});

describe("--dry-run of files that cannot be measured", () => {
  const embedding = () => {
    const path = join(folder, "embedding.gguf");
    writeFileSync(path, tinyGguf({ metadata: { "general.architecture": "bert" } }));
    return path;
  };
  const text = () => {
    const path = join(folder, "some.txt");
    writeFileSync(path, someText(4000));
    return path;
  };

  it("ends as the run would: with 1 where nothing is left, with 2 where something is", async () => {
    const lone = await bench(["run", "--model", embedding(), "--text", text(), "--dry-run"]);
    expect(lone.code).toBe(1);
    expect(lone.stdout).toContain("is an embedding model (bert): it gives no next-token probabilities.");
    const model = writeRandomLlama(folder, "plain");
    const both = await bench(["run", "--model", embedding(), "--model", model, "--text", text(), "--dry-run"]);
    expect(both.code).toBe(2);
    const long = await bench(["run", "--model", model, "--text", text(), "--context", "4096", "--dry-run"]);
    expect(long.code).toBe(1);
    expect(long.stdout).toContain("a context of 4096 tokens is asked for; the model was trained for 2048");
  });

  it("the same sentence from run, reference and quantize", async () => {
    const said = "is an embedding model (bert): it gives no next-token probabilities.";
    const run = await bench(["run", "--model", embedding(), "--text", text(), "--plain", "--out", join(folder, "e")]);
    expect(run.code).toBe(1);
    expect(run.stdout.replace(/\s+/g, " ")).toContain(said);
    const reference = await bench(["reference", embedding(), "--text", text(), "--out", join(folder, "e.kld")]);
    expect(reference).toMatchObject({ code: 1 });
    expect(reference.stderr).toContain(said);
    const path = join(folder, "vocabulary.gguf");
    writeFileSync(path, tinyGguf({ tensors: [] }));
    const quantize = await bench(["quantize", path, "--types", "Q8_0"]);
    expect(quantize).toMatchObject({ code: 1 });
    expect(quantize.stderr).toContain("holds no weights, a vocabulary only: it cannot be quantized.");
  });

  it("what is quantized already is not quantized again, and leaves no folder behind", async () => {
    for (const [type, name, bytes] of [
      [2, "Q4_0", 1152],
      [8, "Q8_0", 2176],
      [14, "Q6_K", 1680],
    ] as const) {
      const path = join(folder, `done-${name}.gguf`);
      const norm = { name: "output_norm.weight", shape: [64], type: 0, bytes: 256 };
      const weights = { name: "token_embd.weight", shape: [256, 8], type, bytes };
      writeFileSync(path, tinyGguf({ tensors: [norm, weights] }));
      const out = join(folder, "requantized");
      const { code, stdout, stderr } = await bench(["quantize", path, "--types", "Q2_K", "--out", out]);
      expect({ code, stdout }).toEqual({ code: 1, stdout: "" });
      expect(stderr).toContain(`is quantized already (most of its weights are ${name}).\n  Give the F16, BF16 or F32`);
      expect(existsSync(out)).toBe(false);
    }
  });
});

describe("list", () => {
  it("says what there is", async () => {
    const { code, stdout, stderr } = await bench(["list"], { cwd: folder });
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    for (const text of ["Runs", "Benchmark files", "Datasets", "Backends", "mock", "wikitext-2"])
      expect(stdout).toContain(text);
  });

  it("says what there is to choose from in a dataset, and how much of it is here", async () => {
    const cards = join(folder, "cards");
    mkdirSync(join(cards, "sums", "val"), { recursive: true });
    const card = (changes: string) =>
      writeFileSync(
        join(cards, "sums", "card.yaml"),
        `name: sums\nkind: choice\ntitle: Sums\nsource: https://example.org\nlicence: MIT\nformat: csv
splits: {val: "val/{subject}.csv", test: "test/{subject}.csv"}\nsplit: val
subjects: {algebra: {title: 代数, groups: [Exact]}, logic: {groups: [Exact, Old]}, moon: {}}
options: [A, B]\nanswer: answer\nprompt: "{q}"\nstyle: bare\nstyles: {bare: {}, talk: {chat: true}}\n${changes}`,
      );
    card("");
    for (const [name, count] of [
      ["algebra", 3],
      ["logic", 2],
    ] as const)
      writeFileSync(join(cards, "sums", "val", `${name}.csv`), `q,A,B,answer\n${`${name},x,y,A\n`.repeat(count)}`);
    const { code, stdout, stderr } = await bench(["list", "sums", "--data-dir", cards]);
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    expect(stdout).toMatch(/^sums: Sums\n/);
    expect(stdout).toMatch(/Splits \(--split\)\n {2}val {3}5 {9}by default\n {2}test {2}not here\n/);
    expect(stdout).toMatch(/Styles \(--style\)\n {2}bare {2}by default\n {2}talk\n/);
    expect(stdout).toMatch(/ {2}Exact {2}5 {4}2 subjects\n {2}Old {4}2 {4}1 subject\n/);
    expect(stdout).toMatch(/ {2}algebra {2}3 {4}代数 · Exact\n {2}logic {4}2 {4}Exact, Old\n {2}moon {5}0\n/);
    // By its folder, too; and where no data are here, what is known without them.
    expect((await bench(["list", join(cards, "sums")])).stdout).toBe(stdout);
    const absent = (await bench(["list", "ceval"], { env: { GGUF_BENCH_CACHE: join(folder, "no-cache") } })).stdout;
    expect(absent).toMatch(/^ {2}data {5}not here: `gguf-bench fetch ceval` gets them$/m);
    expect(absent).toMatch(/^ {2}accountant +注册会计师 · Other$/m);
    const { code: failed, stderr: sentence } = await bench(["list", "cevall"]);
    expect({ failed, sentence }).toMatchObject({
      failed: 1,
      sentence: expect.stringContaining("Did you mean `ceval`?"),
    });
    // Where a subject is not known, that command is named.
    const wrong = ["run", "-m", "mock:seed=1", "--measure", "sums", "--subjects", "algebr", "--data-dir", cards];
    const refused = await bench([...wrong, "--dry-run"], { cwd: folder });
    expect(refused.stderr).toContain("`gguf-bench list sums` tells all of them.");
    const titled = await bench([...wrong.with(6, "代数"), "--dry-run"], { cwd: folder });
    expect(titled.code, titled.stderr).toBe(0);
  });
});
