// biome-ignore-all lint/suspicious/noTemplateCurlyInString: ${…} is the placeholder of benchmark files
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve, sep } from "node:path";
import { Command } from "commander";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Benchmark, benchmarkSchema, flagsOf, quickBenchmark, readBenchmark } from "../../dist/benchmark/index.js";
import { commands } from "../../dist/commands/index.js";
import { dataKinds } from "../../dist/data/index.js";
import { BenchError, describeError } from "../../dist/errors.js";
import { measurementOn, measurements } from "../../dist/measurements/index.js";

let dir: string;

beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), "gguf-bench-test-"));
});

afterAll(() => rmSync(dir, { recursive: true }));

const env = { HOME_OF_MODELS: "/env", COUNT: "3" };

function read(yaml: string): Promise<Benchmark> {
  writeFileSync(join(dir, "b.yaml"), yaml);
  return readBenchmark(join(dir, "b.yaml"), { measurements, modelsDir: "/models", dataDir: "/data", env });
}

const some = "measurements: {speed: {}}\n";

async function variants(yaml: string) {
  return (await read(`${some}variants:\n${yaml}`)).variants;
}

/** Message without the folder, and hint. */
async function failure(attempt: Promise<unknown>): Promise<{ message: string; hint: string | undefined }> {
  const error = await attempt.then(
    () => undefined,
    (error) => error,
  );
  expect(error).toBeInstanceOf(BenchError);
  expect(error.code).toBe("config");
  return { message: error.message.replace(`${dir}/`, ""), hint: error.hint };
}

describe("a benchmark file", () => {
  test("is read with its defaults", async () => {
    const benchmark = await read(`
defaults: {threads: 2}
memoryLimit: 1.5 GiB
scratchLimit: 2 GB
variants:
  F16: {model: a.gguf, reference: true, threads: 4}
  Q4: {model: b.gguf, lora: [l.gguf, {path: m.gguf, scale: 0.5}], tags: {version: 2}, flashAttention: off}
measurements:
  perplexity: {text: some.txt, chunks: 16}
  chinese: {measurement: perplexity, text: zh-wiki, context: 1024}
  speed:
  hellaswag: {limit: 200, file: few.txt}
`);
    expect(benchmark).toEqual({
      name: "b",
      baseDir: dir,
      dataDir: "/data",
      modelsDir: "/models",
      timeout: 600,
      memoryLimit: 1.5 * 2 ** 30,
      scratchLimit: 2e9,
      variants: [
        {
          name: "F16",
          model: "a.gguf",
          backend: "llama",
          reference: true,
          lora: [],
          tags: {},
          settings: { threads: 4 },
        },
        {
          name: "Q4",
          model: "b.gguf",
          backend: "llama",
          reference: false,
          lora: [
            { path: "l.gguf", scale: 1 },
            { path: "m.gguf", scale: 0.5 },
          ],
          tags: { version: "2" },
          settings: { threads: 2, flashAttention: "off" },
        },
      ],
      measurements: [
        {
          name: "perplexity",
          kind: "perplexity",
          on: "text",
          data: { text: "some.txt" },
          settings: { context: 512, chunks: 16 },
        },
        { name: "chinese", kind: "perplexity", on: "text", data: { text: "zh-wiki" }, settings: { context: 1024 } },
        {
          name: "speed",
          kind: "speed",
          on: "none",
          data: {},
          settings: { prompt: 512, generate: 128, repetitions: 5, depth: 0 },
        },
        {
          name: "hellaswag",
          kind: "choice",
          on: "choice",
          data: { dataset: "hellaswag", file: "few.txt" },
          settings: { limit: 200 },
        },
      ],
    });
  });

  test("may use merge keys and aliases; a fault in what is merged is found", async () => {
    const read = await variants("  a: &a {model: a.gguf, threads: 2}\n  b:\n    <<: *a\n    model: b.gguf\n");
    expect(read[1]).toMatchObject({ model: "b.gguf", settings: { threads: 2 } });
    const { message } = await failure(variants("  a: {model: a.gguf}\n  b:\n    <<: {thread: 2}\n    model: b.gguf\n"));
    expect(message).toMatch(/^b\.yaml:[45]:\d+: there is no key `thread` here/);
  });
});

describe("the matrix", () => {
  test("makes one variant per combination; values fill name, model, tags and settings", async () => {
    const made = await variants(`
  m-\${quant}:
    matrix: {quant: [F16, Q8_0], threads: [1, 2], exclude: [{quant: Q8_0, threads: 2}]}
    model: \${models}/m-\${quant}.gguf
    batch: \${COUNT}
    tags: {file: "\${quant}.gguf"}
`);
    expect(made.map(({ name, model, settings, tags }) => [name, model, settings, tags])).toEqual([
      [
        "m-F16-threads=1",
        "/models/m-F16.gguf",
        { threads: 1, batch: 3 },
        { quant: "F16", threads: "1", file: "F16.gguf" },
      ],
      [
        "m-F16-threads=2",
        "/models/m-F16.gguf",
        { threads: 2, batch: 3 },
        { quant: "F16", threads: "2", file: "F16.gguf" },
      ],
      [
        "m-Q8_0-threads=1",
        "/models/m-Q8_0.gguf",
        { threads: 1, batch: 3 },
        { quant: "Q8_0", threads: "1", file: "Q8_0.gguf" },
      ],
    ]);
  });

  test("a value that is nothing but a placeholder keeps its type", async () => {
    const made = await variants("  a:\n    matrix: {t: [1, 2]}\n    model: a.gguf\n    threads: ${t}\n");
    expect(made.map(({ name, settings }) => [name, settings.threads])).toEqual([
      ["a-t=1", 1],
      ["a-t=2", 2],
    ]);
    const tagged = await variants('  a:\n    matrix: {v: ["1.10"]}\n    model: a\n    tags: {version: "${v}"}\n');
    expect(tagged[0]).toMatchObject({ name: "a-1.10", tags: { version: "1.10" } });
  });

  test("of ten thousand variants is made, of more refused before it is made", async () => {
    const axis = (count: number) => `[${Array.from({ length: count }, (_, i) => i)}]`;
    const matrix = (a: number, b: number) =>
      `  v:\n    matrix: {a: ${axis(a)}, b: ${axis(b)}}\n    model: \${a}-\${b}\n`;
    expect(await variants(matrix(100, 100))).toHaveLength(10_000);
    expect((await failure(variants(matrix(5_000, 5_000)))).message).toBe(
      "b.yaml:2:1: the matrix makes 25000000 variants, more than 10000.",
    );
  });

  test.each([
    ["matrix: {q: [1]}\n    model: a", "b.yaml:4:14: the axis `q` is used nowhere but in the name."],
    [
      "matrix: {threads: [1]}\n    model: a\n    threads: 2",
      "b.yaml:4:14: the axis `threads` is used nowhere but in the name.",
    ],
    ["matrix: {models: [1]}\n    model: ${models}", "b.yaml:4:14: an axis cannot be named `models`."],
    ["matrix: {q: 1}\n    model: ${q}", "b.yaml:4:17: `q` must be a list, not 1."],
    ["matrix: {q: [1, 1]}\n    model: m${q}", "b.yaml:4:21: the axis `q` has 1 twice."],
    ["matrix: {q: [1], exclude: [{q: 1}]}\n    model: ${q}", "b.yaml:3:3: there are no variants."],
    ["matrix: {q: [1], exclude: [{p: 1}]}\n    model: ${q}", "b.yaml:4:33: there is no axis `p`."],
    ["matrix: {q: [1, 2]}\n    model: m${q}\n    reference: true", 'b.yaml:3:3: "v-q=2" is a second reference.'],
  ])("that makes no sense (%#)", async (body, message) => {
    expect((await failure(variants(`  v:\n    ${body}\n`))).message).toBe(message);
  });
});

describe("several faults of one file", () => {
  const faulty = `
tiemout: 5
timeout: soon
variants:
  a: {modle: x.gguf, reference: true}
  b: {model: y.gguf, threads: many, matrix: {gpuLayers: [1, 2]}}
  c: {model: z.gguf, matrix: {quant: []}}
  d: {model: z.gguf, imatrix: m.gguf}
measurements:
  perplexty: {text: wikitext-2}
  speed: {prompt: -1, generte: 5}
`;
  const told = async (yaml: string) => {
    const error = await read(yaml).then(
      () => undefined,
      (error) => error as BenchError,
    );
    return [error!, ...error!.others].map(({ message }) => message.replace(`${dir}/b.yaml:`, ""));
  };

  test("are told at once, each at its place, in the order of the file, once for all combinations of a matrix", async () => {
    expect(await told(faulty)).toEqual([
      "2:1: there is no key `tiemout` here.",
      expect.stringMatching(/^3:10: `timeout` must be a number/),
      // Not that `model` is missing, too.
      "5:7: there is no key `modle` here.",
      expect.stringMatching(/^6:31: `threads` must be a whole number/),
      expect.stringMatching(/^7:38: `quant` must be a list of at least 1 item/),
      "8:22: an importance matrix without a type to quantize to.",
      expect.stringMatching(/^10:3: there is no measurement and no dataset of questions named "perplexty"/),
      expect.stringMatching(/^11:19: `prompt` must be a whole number/),
      "11:23: there is no key `generte` here.",
    ]);
  });

  test("ten are shown, with their remedies, and how many more there are", async () => {
    const many = Array.from({ length: 13 }, (_, i) => `  v${i}: {model: m.gguf, thread: ${i}}`).join("\n");
    const error = await read(`${some}variants:\n${many}\n`).catch((error) => error);
    const shown = describeError(error).replaceAll(`${dir}/`, "").split("\n");
    expect(shown[0]).toBe("gguf-bench: b.yaml:3:23: there is no key `thread` here.");
    expect(shown[1]).toMatch(/^ {2}Did you mean `threads`\? Known: /);
    expect(shown[2]).toBe("b.yaml:4:23: there is no key `thread` here.");
    expect(shown.slice(-2)).toEqual(["and 3 more.", ""]);
    expect(shown).toHaveLength(22);
  });

  test("one is as it was", async () => {
    expect(await told(`${some}variants: {a: {modle: m.gguf}}\n`)).toEqual(["2:16: there is no key `modle` here."]);
  });
});

describe("did you mean", () => {
  test("of texts, questions and variants", async () => {
    const text = dataKinds.text.resolve({ text: "wikitext2" }, { baseDir: dir });
    await expect(text).rejects.toMatchObject({ hint: expect.stringContaining("Did you mean `wikitext-2`?") });
    const questions = dataKinds.choice.resolve({ dataset: "hellswag" }, { baseDir: dir });
    await expect(questions).rejects.toMatchObject({ hint: expect.stringContaining("Did you mean `hellaswag`?") });
  });

  test.each([
    ["modle: m", "model"],
    ["mdoel: m", "model"],
    ["model: m\n    qunatize: Q4_K_M", "quantize"],
    ["model: m\n    refernce: true", "reference"],
    ["model: m\n    thraeds: 2", "threads"],
  ])("%s", async (body, meant) => {
    expect((await failure(variants(`  v:\n    ${body}\n`))).hint).toMatch(`Did you mean \`${meant}\`?`);
  });
});

describe("settings", () => {
  test("belong to a backend: those of another are refused in a variant and passed over in `defaults`", async () => {
    const fault = await failure(variants("  a: {model: 'mock:seed=1', gpuLayers: 3}\n"));
    expect(fault.message).toBe("b.yaml:3:29: there is no key `gpuLayers` here.");
    expect(fault.hint).toBe("`gpuLayers` is a setting of llama and llama-tools and ollama; this variant runs on mock.");
    const unknown = await failure(variants("  a: {model: x, backend: lama}\n"));
    expect(unknown.message).toBe('b.yaml:3:26: there is no backend "lama".');
    expect(unknown.hint).toContain("Did you mean `llama`?");
    const both = "defaults: {gpuLayers: 3, threads: 2}\nvariants: {a: {model: 'mock:seed=1'}, b: {model: b}}\n";
    expect((await read(some + both)).variants.map(({ settings }) => settings)).toEqual([
      { threads: 2 },
      { gpuLayers: 3, threads: 2 },
    ]);
  });

  test.each([
    ["url: http://user:planted@host/v1", "`url`: an address takes no user, password or query.", /`keyEnv` names/],
    [
      "url: [http://a:1, http://host/v1?api_key=planted]",
      "item 2: an address takes no user, password or query.",
      /`keyEnv`/,
    ],
    [
      "url: 127.0.0.1:8080",
      "`url`: the address of a server begins with http:// or https://.",
      /rite http:\/\/127\.0\.0\.1:8080\.$/,
    ],
    [
      "server: {command: s --api-key planted}",
      '`command` must be a list, not "s --api-key …".',
      /Program and arguments/,
    ],
    [
      "server: {command: [s, --port, '{port}'], keyEnv: X}",
      "there is no key `keyEnv` here.",
      /^`keyEnv` stands beside `server`, not in it\.$/,
    ],
  ])("of a server: %s", async (setting, message, hint) => {
    const fault = await failure(variants(`  a: {model: m, backend: openai, ${setting}}\n`));
    expect(fault.message.replace(/^\S+ /, "")).toBe(message);
    expect(fault.hint).toMatch(hint);
    expect(`${fault.message} ${fault.hint}`).not.toContain("planted");
  });
});

test.each([
  ["topK: 3", "`topK`: at a temperature of 0 nothing is drawn."],
  ["temperature: 0, seed: 3", "`seed`: at a temperature of 0 nothing is drawn."],
])("draws without a temperature are told at the key that is there: %s", async (said, message) => {
  const entry = `{dataset: gsm8k, ${said}}`;
  const fault = await failure(read(`variants: {a: {model: "mock:seed=1"}}\nmeasurements: {x: ${entry}}\n`));
  expect(fault.message.replace(/^\S+ /, "")).toBe(message);
  expect(fault.hint).toContain("Add a `temperature` above 0");
});

describe("a reference of its own", () => {
  test("names a variant that there is", async () => {
    const body = (name: string) => `  F16: {model: m}\n  a:\n    model: n\n    reference: ${name}\n`;
    expect((await variants(body("F16")))[1]).toMatchObject({ reference: false, against: "F16" });
    const fault = await failure(variants(body("F61")));
    expect(fault.message).toBe('b.yaml:6:16: there is no variant "F61" to compare with.');
    expect(fault.hint).toMatch(/^Did you mean `F16`\?/);
    const axes = "  F16: {model: m}\n  ${q}:\n    matrix: {q: [a, b]}\n    model: ${q}\n    reference: F${q}\n";
    expect((await failure(variants(axes))).message).toContain('there is no variant "Fa" to compare with.');
  });
});

describe("placeholders", () => {
  test("axes, then the folders, then the environment; $${x} stands for itself", async () => {
    const yaml = "  v:\n    matrix: {HOME_OF_MODELS: [axis]}\n    model: ${HOME_OF_MODELS}/${models}/${data}/$${x}\n";
    expect((await variants(yaml))[0]!.model).toBe("axis//models//data/${x}");
    expect((await variants("  v:\n    model: ${HOME_OF_MODELS}/a.gguf\n"))[0]!.model).toBe("/env/a.gguf");
  });

  test("that are not set name the line and the remedy", async () => {
    const twice = "  v:\n    model: ${NOWHERE}/a.gguf\n  w:\n    model: ${NOWHERE}/b.gguf\n";
    const unset = await failure(variants(twice));
    expect(unset.message).toBe("b.yaml:4:12: ${NOWHERE} is not set in the environment.");
    // Once, however often it is asked for.
    await expect(variants(twice)).rejects.toMatchObject({ others: [] });
    writeFileSync(join(dir, "b.yaml"), `${some}variants:\n  v:\n    model: \${models}/a.gguf\n`);
    const nowhere = await failure(readBenchmark(join(dir, "b.yaml"), { measurements, env }));
    expect(nowhere).toEqual({
      message: "b.yaml:4:12: ${models} is not known.",
      hint: "Say where that is: --models-dir DIR.",
    });
  });

  test("the models' folder is meant from the working directory, not from the file's folder", async () => {
    writeFileSync(join(dir, "b.yaml"), `${some}variants:\n  v:\n    model: \${models}/a.gguf\n`);
    const benchmark = await readBenchmark(join(dir, "b.yaml"), { measurements, modelsDir: "ladder" });
    expect(benchmark.variants[0]!.model).toBe(resolve("ladder/a.gguf"));
  });
});

const variant = "variants: {a: {model: a.gguf}}\n";

// Each: the file, the message, and a part of the hint.
test.each([
  ["", "b.yaml:1:1: the file must be a map (lines of `key: value`), not empty.", "`variants:` and `measurements:`"],
  ["- a", "b.yaml:1:1: the file must be a map (lines of `key: value`), not a list.", "`variants:`"],
  ["a: b: c", "b.yaml:1:4: Nested mappings are not allowed in compact mappings.", "colons"],
  [`${variant}measurements:\n\tspeed:`, "b.yaml:3:1: Tabs are not allowed as indentation.", "indentation"],
  [some, "b.yaml:1:1: `variants` is missing.", "a name, then `model:`"],
  [`${some}variants: {}`, "b.yaml:2:11: there are no variants.", "Q4_K_M"],
  [
    `${some}variants: {a: x.gguf}`,
    '`a` must be a map (lines of `key: value`), not "x.gguf".',
    "NAME: {model: FILE.gguf}",
  ],
  [`${some}variants: {a: {}}`, "b.yaml:2:12: `model` is missing.", "For example `model: "],
  [`${some}variants: {a: {modl: x}}`, "b.yaml:2:16: there is no key `modl` here.", "Did you mean `model`?"],
  [
    `${some}variants:\n  a:\n    model: x\n    gpu-layers: 3`,
    "b.yaml:5:5: there is no key `gpu-layers` here.",
    "Did you mean `gpuLayers`?",
  ],
  [
    `${some}variants: {a: {model: x, threads: two}}`,
    'b.yaml:2:35: `threads` must be a whole number from 1 to 1024, not "two".',
    "For example `threads: 4`.",
  ],
  [
    `${some}variants: {a: {model: x, cacheTypeK: q4}}`,
    '`cacheTypeK` must be one of f16, f32, bf16, q8_0, q5_1, q5_0, q4_1, q4_0, iq4_nl, not "q4".',
    "f16",
  ],
  [`${some}variants: {a: {model: x, context: 8}}`, "there is no key `context` here.", "belongs to a measurement"],
  [`${some}variants: {a: {model: x, lora: {pat: y}}}`, "there is no key `pat` here.", "Did you mean `path`?"],
  [`${some}variants: {a: {model: \${models}/x}}`, "b.yaml:2:", "needs quotation marks"],
  [`${some}variants: {a: {model: x}, a: {model: y}}`, "b.yaml:2:27: Map keys must be unique.", "Rename or remove"],
  [`${some}variants: {" a": {model: x}}`, '" a" cannot be a name.', "without blanks around it"],
  [`${variant}measurements: {}`, "b.yaml:2:15: nothing is measured.", "perplexity: {text: wikitext-2}"],
  [`${variant}measurements: {perplexity: }`, "b.yaml:2:16: `text` is missing.", "For example `text: demo-en`."],
  [
    `${variant}measurements: {perplexity: {text: a, chunk: 4}}`,
    "there is no key `chunk` here.",
    "Did you mean `chunks`?",
  ],
  [
    `${variant}measurements: {perplexity: {text: a, chunks: 0}}`,
    "b.yaml:2:46: `chunks` must be a whole number from 1 to 1000000000, not 0.",
    "The first so many chunks",
  ],
  [
    `${variant}measurements: {perplexity: {text: a, threads: 4}}`,
    "there is no key `threads` here.",
    "is an engine setting",
  ],
  [
    `${variant}measurements: {perplexty: {text: a}}`,
    'no dataset of questions named "perplexty".',
    "Did you mean `perplexity`?",
  ],
  [
    `${variant}measurements: {wikitext-2: {}}`,
    '"wikitext-2" is a text, not a measurement.',
    "perplexity: {text: wikitext-2}",
  ],
  [
    `${variant}measurements: {hellaswag: {template: none}}`,
    "`template`: it needs `by: generation`.",
    "Say `by: generation` too, or leave `template` out.",
  ],
  [
    `${variant}measurements: {hellaswag: {by: letter, seed: 1}}`,
    "`seed`: it needs `by: generation`.",
    "Say `by: generation` too, or leave `seed` out.",
  ],
  [`${variant}measurements: {choice: {}}`, "`dataset` is missing", "hellaswag"],
  [
    `${variant}measurements: {x: {measurement: foo}}`,
    'b.yaml:2:33: there is no measurement "foo".',
    "Known: perplexity, divergence, speed, choice",
  ],
  [
    `${variant}measurements: {letters: {limit: 8}}`,
    'no dataset of questions named "letters".',
    "An entry of another name says `measurement: perplexity` or `dataset: ",
  ],
  [
    `${variant}measurements: {letters: {measurement: demo-facts-en, limit: 8}}`,
    'there is no measurement "demo-facts-en".',
    "`letters: {dataset: demo-facts-en}`",
  ],
  [
    `${variant}measurements: {x: {measurement: wikitext-2}}`,
    'there is no measurement "wikitext-2".',
    "`x: {measurement: perplexity, text: wikitext-2}`",
  ],
  [
    `${variant}${some}memoryLimit: lots`,
    'b.yaml:3:14: `memoryLimit` must be a whole number above 0 or text of the form shown, not "lots".',
    "4 GB",
  ],
  [
    `${variant}${some}timeout: 0`,
    "b.yaml:3:10: `timeout` must be a number above 0 and of at most 2000000, not 0.",
    "600",
  ],
  [`${variant}${some}nam: x`, "b.yaml:3:1: there is no key `nam` here.", "Did you mean `name`?"],
])("a fault names the place and the remedy (%#)", async (yaml, message, hint) => {
  const error = await failure(read(yaml));
  expect(error.message).toContain(message);
  expect(error.hint).toContain(hint);
});

test.each([
  // Numbers that are none, or beyond what anything holds.
  [`${variant}${some}timeout: .inf`, "`timeout` must be a number above 0 and of at most 2000000, not Infinity."],
  [`${variant}${some}timeout: .nan`, "of at most 2000000, not NaN."],
  [`${variant}${some}timeout: 3000000`, "of at most 2000000, not 3000000."],
  [`${variant}${some}timeout: 1e308`, "of at most 2000000, not 1e+308."],
  [`${variant}${some}timeout: "10"`, '`timeout` must be a number above 0 and of at most 2000000, not "10".'],
  [`${variant}${some}memoryLimit: 0 GB`, "`memoryLimit`: no amount of memory."],
  [`${variant}${some}scratchLimit: "9999999999999999999 TB"`, "`scratchLimit`: no amount of memory."],
  [`${some}variants: {a: {model: x, threads: 1e21}}`, "`threads` must be a whole number from 1 to 1024, not 1e+21."],
  [`${some}variants: {a: {model: x, threads: 0o7777}}`, "from 1 to 1024, not 4095."],
  [`${some}variants: {a: {model: x, threads: -0}}`, "from 1 to 1024, not 0."],
  [`${some}variants: {a: {model: x, threads: 2020-01-01}}`, 'from 1 to 1024, not "2020-01-01".'],
  [
    `${some}variants: {a: {model: x, batch: 1000000000}}`,
    "`batch` must be a whole number from 1 to 1048576, not 1000000000.",
  ],
  [`${some}variants: {a: {model: x, gpuLayers: 4294967296}}`, "`gpuLayers` must be a whole number from -1 to 100000"],
  [
    `${some}variants: {a: {model: x, lora: {path: y, scale: 1e39}}}`,
    "`scale` must be a number from -1000 to 1000, not 1e+39.",
  ],
  [
    `${variant}measurements: {speed: {repetitions: 1e9}}`,
    "`repetitions` must be a whole number from 1 to 10000, not 1000000000.",
  ],
  [`${variant}measurements: {speed: {depth: 1e15}}`, "`depth` must be a whole number from 0 to 1048576"],
  [`${variant}measurements: {speed: {prompt: 0, generate: 0}}`, "`prompt`: with `generate: 0` nothing is timed."],
  [
    `${variant}measurements: {perplexity: {text: a, chunks: .inf}}`,
    "`chunks` must be a whole number from 1 to 1000000000, not Infinity.",
  ],
  [`${variant}measurements: {perplexity: {text: 5}}`, "`text` must be text, not 5."],
  // Lists that are empty, or hold what they cannot.
  [
    `${some}variants: {a: {model: "\${q}", matrix: {q: []}}}`,
    "`q` must be a list of at least 1 item, not an empty list.",
  ],
  [
    `${some}variants: {a: {model: "\${q}", matrix: {q: [null]}}}`,
    "item 1 must be text or a number or true or false, not empty.",
  ],
  [
    `${some}variants: {a: {model: "\${q}", matrix: {q: [1, [2]]}}}`,
    "item 2 must be text or a number or true or false, not a list.",
  ],
  [`${some}variants: {a: {model: x, lora: [7]}}`, "item 1 must be text or a map (lines of `key: value`), not 7."],
  [`${some}variants: {a: {model: ""}}`, '`model` must be text that is not empty or a list, not "".'],
  // Names of what every object has.
  [`${some}variants: {a: {model: "\${constructor}"}}`, "${constructor} is not set in the environment."],
  [`${some}variants: {a: {model: "x-\${__proto__}"}}`, "${__proto__} is not set in the environment."],
  [`${some}variants: {a: {model: "x-\${hasOwnProperty}"}}`, "${hasOwnProperty} is not set in the environment."],
  [`${some}variants: {a: {model: "\${__proto__}", matrix: {__proto__: [1]}}}`, "`__proto__` cannot be a key."],
  [`${some}variants: {a: {model: x, tags: {__proto__: b}}}`, "`__proto__` cannot be a key."],
  [`${some}variants: {a: {model: x, constructor: 1}}`, "there is no key `constructor` here."],
  [`${variant}measurements: {perplexity: {text: a, toString: 1}}`, "there is no key `toString` here."],
  [`${variant}measurements: {valueOf: {}}`, 'no dataset of questions named "valueOf".'],
  [`${variant}measurements: {x: {measurement: constructor}}`, 'there is no measurement "constructor".'],
  // Data without an end, or that are no data.
  [`${some}variants: &v {a: *v}`, "an alias (*name) holds itself."],
  [`${some}variants: {a: &a {model: x, tags: {b: *a}}}`, "an alias (*name) holds itself."],
  [`${"[".repeat(60)}${"]".repeat(60)}`, "this is nested too deeply"],
  [`${"{a: ".repeat(3000)}1${"}".repeat(3000)}`, "nested too deeply"],
  [`${some}variants: {a: {model: !!binary aGVsbG8=}}`, "this is neither text nor a number, list or map."],
  [`${some}variants: {a: {model: !!set {x, y}}}`, "this is neither text nor a number, list or map."],
  [`${some}variants: {[a, b]: {model: x}}`, "a key must be text."],
  [`${some}---\nvariants: {a: {model: x}}`, "a second document begins here"],
  // Names that look like others or lead elsewhere.
  [`${some}variants: {"a\\u200b": {model: x}}`, "cannot be a name."],
  [`${some}variants: {"a\\u202eb": {model: x}}`, "cannot be a name."],
  [`${variant}measurements: {"p\\x9b": {measurement: speed}}`, "cannot be a name."],
  [`${some}variants: {"${"n".repeat(300)}": {model: x}}`, "this name is too long."],
  [`${variant}${some}name: ../x`, "this cannot be the name of a run"],
  [`${some}variants: {a: {model: x, reference: nope}}`, 'there is no variant "nope" to compare with.'],
])("what no setting holds is one sentence with its place (%#)", async (yaml, message) => {
  const error = await failure(read(yaml));
  expect(error.message).toContain(message);
  expect(error.message).toMatch(/^b\.yaml:\d+:\d+: /);
  expect(error.message.length).toBeLessThan(250);
});

test.each([
  ["UTF-16, little-endian", Buffer.from(`\ufeff${some}${variant}`, "utf16le")],
  ["UTF-16 without a mark", Buffer.from(`${some}${variant}`, "utf16le")],
  [
    "GBK",
    Buffer.concat([Buffer.from("name: "), Buffer.from([0xc4, 0xa3, 0xd0, 0xcd]), Buffer.from(`\n${some}${variant}`)]),
  ],
  ["Latin-1", Buffer.from(`name: caf\u00e9\n${some}${variant}`, "latin1")],
  ["no text", Buffer.from([0, 1, 2, 3])],
])("another encoding than UTF-8 is said: %s", async (_, bytes) => {
  const error = await failure(read(bytes as never));
  expect(error.message).toMatch(/^b\.yaml is (not UTF-8 text|UTF-16, or no text at all)\.$/);
  expect(error.hint).toBe("Save it as UTF-8.");
});

test("a mark of UTF-8 and old line ends are read", async () => {
  const yaml = `\ufeff${some}${variant}`.replaceAll("\n", "\r");
  expect((await read(yaml)).variants).toHaveLength(1);
});

describe("a hostile file costs little", () => {
  const soon = async (yaml: string, message: RegExp) => {
    const started = Date.now();
    expect((await failure(read(yaml))).message).toMatch(message);
    expect(Date.now() - started).toBeLessThan(15_000);
  };

  test("aliases that unfold to billions", () => {
    const level = (name: string, of: string) => `${name}: &${name} [${Array(9).fill(`*${of}`)}]\n`;
    const levels = ["b", "c", "d", "e", "f", "g"].map((name, index) => level(name, "abcdef"[index]!));
    return soon(`a: &a [1, 2, 3]\n${levels.join("")}`, /unfold to too much/);
  });

  test("deep nesting", () => soon("[".repeat(100_000), /nested too deeply/));

  test("size", () => soon(`# ${"x".repeat(300_000)}`, /has 300002 bytes; a file of settings has at most 250000/));
});

test("no such file", async () => {
  const missing = readBenchmark(join(dir, "none.yaml"), { measurements });
  expect((await failure(missing)).message).toBe("There is no file none.yaml.");
});

describe("flags instead of a file", () => {
  test("make the same benchmark", async () => {
    const benchmark = await quickBenchmark({
      measurements,
      models: ["x/a.gguf", "hf:owner/repo:Q4_K_M"],
      measures: ["perplexity", "speed", "hellaswag"],
      flags: { text: "some.txt", context: 256, chunks: 4, prompt: 64, limit: 10, threads: 2 },
    });
    expect(benchmark.variants.map(({ name, settings }) => [name, settings])).toEqual([
      ["a", { threads: 2 }],
      ["repo:Q4_K_M", { threads: 2 }],
    ]);
    expect(benchmark.measurements).toEqual([
      {
        name: "perplexity",
        kind: "perplexity",
        on: "text",
        data: { text: "some.txt" },
        settings: { context: 256, chunks: 4 },
      },
      {
        name: "speed",
        kind: "speed",
        on: "none",
        data: {},
        settings: { prompt: 64, generate: 128, repetitions: 5, depth: 0 },
      },
      {
        name: "hellaswag",
        kind: "choice",
        on: "choice",
        data: { dataset: "hellaswag" },
        settings: { limit: 10, context: 256 },
      },
    ]);
    expect(benchmark.baseDir).toBe(process.cwd());
  });

  test("name a server's model as the server does, or by the server's address", async () => {
    const models = [
      "openai:http://127.0.0.1:8080/v1",
      "openai:http://127.0.0.1:8081",
      "openai:https://host/v1#Qwen/Qwen3-8B",
      "openai:http://one/v1#small",
      "openai:http://two/v1/#",
    ];
    const { variants } = await quickBenchmark({ measurements, models, measures: ["speed"], flags: {} });
    expect(variants.map(({ name }) => name)).toEqual(["127.0.0.1:8080", "127.0.0.1:8081", "Qwen3-8B", "small", "two"]);
    expect(new Set(variants.map(({ backend }) => backend))).toEqual(new Set(["openai"]));
  });

  test("are read as a file is: what they say in its form is the same benchmark", async () => {
    const {
      variants,
      measurements: measured,
      timeout,
    } = await quickBenchmark({
      measurements,
      models: ["x/a.gguf", "mock:seed=1"],
      measures: ["ppl", "speed", "demo-facts-en"],
      flags: { text: "${HOME}/$${x}.txt", chunks: 4, repetitions: 2, limit: 7, threads: 2, cacheTypeK: "q8_0" },
    });
    const file = await read(`
defaults: {threads: 2, cacheTypeK: q8_0}
variants: {a: {model: x/a.gguf}, "seed=1": {model: "mock:seed=1"}}
measurements:
  perplexity: {text: "$\${HOME}/$$\${x}.txt", chunks: 4}
  speed: {repetitions: 2}
  demo-facts-en: {limit: 7}
`);
    expect({ variants, measurements: measured, timeout }).toEqual({
      variants: file.variants,
      measurements: file.measurements,
      timeout: file.timeout,
    });
    expect(variants[1]!.settings).toEqual({ threads: 2 });
    expect(measured[0]!.data).toEqual({ text: "${HOME}/$${x}.txt" });
  });

  test("of the command line are keys of a file, or about the run as a whole", () => {
    const { options } = commands.run.line(new Command());
    const named = options.map((option) => option.attributeName());
    const flags = Object.keys(flagsOf(Object.fromEntries(named.map((name) => [name, 1])), measurements));
    expect(flags.sort()).toEqual([
      "base",
      "chunks",
      "context",
      "generate",
      "library",
      "limit",
      "prompt",
      "repetitions",
      "shots",
      "split",
      "spread",
      "style",
      "subjects",
      "system",
      "templateKwargs",
      "text",
      "threads",
    ]);
  });

  test("name variants by file, by folder where files are named alike", async () => {
    const models = ["v1/m/a.gguf", "v2/m/a.gguf", "b.gguf", "https://x.org/c.gguf"];
    const { variants } = await quickBenchmark({ measurements, models, measures: ["speed"] });
    expect(variants.map(({ name }) => name)).toEqual(["v1/m/a", "v2/m/a", "b", "c"]);
  });

  test("speak of flags in their hints, too", async () => {
    const hint = async (measures: string[]) =>
      (await failure(quickBenchmark({ measurements, models: ["a"], measures }))).hint;
    expect(await hint(["perplexity"])).toBe(
      "For example `--text demo-en`. A dataset's name, or the path of any UTF-8 text.",
    );
    expect(await hint(["demo-en"])).toBe("For example `--measure perplexity --text demo-en`.");
    expect(await hint(["cevall"])).toMatch(/`ceval`.* For example `--measure perplexity` or `--measure [\w-]+`\.$/);
    expect(await hint(["choice"])).toMatch(/^For example `--measure [\w-]+`\. Known: /);
    const dataDir = join(dir, "unnamed");
    mkdirSync(join(dataDir, "bare"), { recursive: true });
    mkdirSync(join(dataDir, "folder"));
    writeFileSync(join(dataDir, "folder", "card.yaml"), "name: other\nkind: choice\n");
    const unnamed = (name: string) =>
      failure(quickBenchmark({ measurements, models: ["a"], measures: [name], dataDir }));
    expect((await unnamed("bare")).message).toMatch(/: the folder \S+bare has no card\.yaml\.$/);
    expect((await unnamed("folder")).message).toMatch(/: the dataset in \S+folder has another name .*: other\.$/);
    expect((await unnamed("folder")).hint).toBe("For example `--measure other`.");
    expect(await hint(["none.yaml"])).toBe(`Paths start at ${process.cwd()}.`);
  });

  test.each(["divergence", "stored-divergence"])(
    "%s from a file is the same measurement as from a model",
    async (name) => {
      const flags = { base: "f.kld", chunks: 3 };
      const { measurements: read } = await quickBenchmark({ measurements, models: ["a"], measures: [name], flags });
      const settings = { chunks: 3 };
      expect(read).toEqual([
        { name: "divergence", kind: "divergence", on: "reference", data: { base: "f.kld" }, settings },
      ]);
      expect(measurementOn("divergence", "reference").mode.kind).toBe("alone");
      expect(measurementOn("divergence", "text").mode.kind).toBe("together");
      expect(measurementOn("perplexity", "reference")).toBe(measurements.perplexity);
    },
  );

  test("make names that tables can hold of files that are called otherwise", async () => {
    const models = ["x/ a .gguf", "x/b\u001b[2J.gguf", "x/ .gguf"];
    const { variants } = await quickBenchmark({ measurements, models, measures: ["speed"] });
    expect(variants.map(({ name }) => name)).toEqual(["a", "b\ufffd[2J", "model"]);
    expect(variants.map(({ model }) => model)).toEqual(models);
  });

  test("name a split model by its stem, whichever part is given", async () => {
    const models = ["m-00002-of-00003.gguf", "https://x.org/n-00001-of-00002.gguf"];
    const { variants } = await quickBenchmark({ measurements, models, measures: ["speed"] });
    expect(variants.map(({ name }) => name)).toEqual(["m", "n"]);
  });

  test("put nothing secret of an address into a name, and tell addresses apart all the same", async () => {
    const models = ["https://u:pw@x.org/c.gguf?token=A", "https://x.org/c.gguf?token=B", "https://v:pw@x.org/d.gguf"];
    const names = (await quickBenchmark({ measurements, models, measures: ["speed"] })).variants.map(
      ({ name }) => name,
    );
    expect(names).toEqual([expect.stringMatching(/^c-[0-9a-f]{6}$/), expect.stringMatching(/^c-/), "d"]);
    expect(names[0]).not.toBe(names[1]);
  });

  test("a file's variants, too: axes that hold addresses", async () => {
    const { variants } = await read(
      "variants: {m: {model: '${from}', matrix: {from: ['https://u:pw@h/m.gguf?token=1']}}}\nmeasurements: {speed: }\n",
    );
    expect(JSON.stringify(variants.map(({ name, tags }) => [name, tags]))).not.toMatch(/pw|token/);
  });

  test("a folder stands for its models, a split model for one, and a name for what people mean by it", async () => {
    mkdirSync(join(dir, "folder"));
    for (const name of ["b-00001-of-00002.gguf", "b-00002-of-00002.gguf", "a.gguf"])
      writeFileSync(join(dir, "folder", name), "GGUF");
    const benchmark = await quickBenchmark({
      measurements,
      models: [join(dir, "folder")],
      measures: ["ppl", "perplexity"],
      flags: { text: "t" },
    });
    expect(benchmark.variants.map(({ name }) => name)).toEqual(["a", "b"]);
    expect(benchmark.measurements.map(({ name }) => name)).toEqual(["perplexity"]);
    const twice = quickBenchmark({ measurements, models: ["x/../c.gguf", "./c.gguf"], measures: ["speed"] });
    expect((await failure(twice)).message).toBe("--model ./c.gguf is given twice.");
  });

  test.each([
    [{ models: [] }, "Nothing to measure: no model is given."],
    [{ models: ["a"] }, "--measure perplexity needs --text."],
    [{ models: ["a"], measures: ["divergence"] }, "--measure divergence needs --text."],
    [
      { models: ["a"], measures: ["divergence"], flags: { text: "t", base: "f.kld" } },
      "--text has no meaning for divergence.",
    ],
    [
      { models: ["a"], measures: ["choice"] },
      "--measure choice: `dataset` is missing: it names a set of questions with options.",
    ],
    [{ models: ["a", "a"], flags: { text: "t" } }, "--model a is given twice."],
    [
      { models: ["a"], flags: { text: "t", chunks: 1.5 } },
      "--chunks must be a whole number from 1 to 1000000000, not 1.5.",
    ],
    [{ models: ["a"], flags: { text: "t", threads: 0 } }, "--threads must be a whole number from 1 to 1024, not 0."],
    [
      { models: ["a"], flags: { text: "t", gpu: "rocm" } },
      '--gpu must be one of auto, cpu, cuda, vulkan, metal, not "rocm".',
    ],
    [{ models: ["a"], measures: ["speed"], flags: { text: "t" } }, "--text has no meaning for speed."],
    [{ models: ["a"], flags: { text: "t", chunk: 4 } }, "There is no flag --chunk."],
    [{ models: ["a"], measures: ["wikitext-2"] }, '--measure wikitext-2: "wikitext-2" is a text, not a measurement.'],
    [
      { models: ["a"], measures: ["sped"] },
      '--measure sped: there is no measurement and no dataset of questions named "sped".',
    ],
  ])("that make no sense (%#)", async (options, message) => {
    expect((await failure(quickBenchmark({ measurements, ...options }))).message).toBe(message);
  });
});

test("a flag that none of the measurements takes: one that does", async () => {
  const { hint } = await failure(
    quickBenchmark({ measurements, models: ["a"], measures: ["speed"], flags: { text: "t" } }),
  );
  expect(hint).toBe("Leave --text out, or ask for both: --measure perplexity, too.");
});

describe("the files in benchmarks/", () => {
  const all = readdirSync("benchmarks", { recursive: true, encoding: "utf8" });
  const files = all.filter((name) => name.endsWith(".yaml"));

  test.each(files)("%s is valid and names its schema", async (name) => {
    const path = join("benchmarks", name);
    const schema = `${"../".repeat(name.split(sep).length - 1) || "./"}schema.json`;
    expect(readFileSync(path, "utf8").split("\n")[0]).toBe(`# yaml-language-server: $schema=${schema}`);
    // What the files' own comments say to set.
    const own = ["MODEL", "IMATRIX", "V1", "V2", "FULL", "MERGED", "BASE", "LORA"];
    const env = {
      ...Object.fromEntries(own.map((variable) => [variable, "m.gguf"])),
      TASK: "demo-facts-en",
      TEXT: "demo-en",
      OLD: "b1",
      NEW: "b2",
    };
    await readBenchmark(path, { measurements, modelsDir: "/models", dataDir: "/data", env });
  });

  test("smollm2.yaml is the ladder", async () => {
    const { variants } = await readBenchmark("benchmarks/smollm2.yaml", { measurements, modelsDir: "/m" });
    const quants = "F16 Q8_0 Q6_K Q5_K_M Q4_K_M Q4_0 Q3_K_M Q2_K Q4_K_M-im Q3_K_M-im Q2_K-im IQ4_XS-im".split(" ");
    expect(variants.map(({ name, model }) => [name, model])).toEqual(quants.map((q) => [q, `/m/smollm2-${q}.gguf`]));
    expect(variants.filter(({ reference }) => reference).map(({ name }) => name)).toEqual(["F16"]);
  });

  // `npx vitest run test/benchmark/benchmark.test.ts -u` writes it anew.
  test("schema.json is up to date", async () => {
    const schema = `${JSON.stringify(benchmarkSchema(measurements), null, 2)}\n`;
    await expect(schema).toMatchFileSnapshot("../../benchmarks/schema.json");
  });
});
