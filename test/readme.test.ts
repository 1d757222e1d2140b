// Every command block of README.md, CONTRIBUTING.md and docs/ is run in a copy of the repository, as a newcomer would; those of docker, which the
// tests do not have, are blocks of text, and test/examples.test.ts runs what they would start.

import { existsSync, readdirSync, readFileSync } from "node:fs";
import { copyFile, mkdir, writeFile } from "node:fs/promises";
import { delimiter, join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { copyRepository, type Finished, finish, root, userEnvironment } from "./repository.js";
import { someQuestions, temporaryFolder } from "./support.js";

interface Block {
  file: string;
  language: string;
  /** The file that it is, for those that cannot say so in a comment. */
  name: string | undefined;
  line: number;
  text: string;
}

function blocksOf(file: string): Block[] {
  const source = readFileSync(join(root, file), "utf8");
  return [...source.matchAll(/^```(\S*)(?: (\S+))?\n([\s\S]*?)^```$/gm)].map((match) => ({
    file,
    language: match[1]!,
    name: match[2],
    line: source.slice(0, match.index).split("\n").length,
    text: match[3]!.trimEnd(),
  }));
}

const pages = readdirSync(join(root, "docs")).filter((name) => name.endsWith(".md"));
const documents = ["README.md", "CONTRIBUTING.md", ...pages.map((name) => `docs/${name}`)];
const blocks = documents.flatMap(blocksOf);
const commands = blocks.filter(({ language }) => ["sh", "bash", "console", "shell"].includes(language));

const search = commands.find(({ text }) => text.includes("bisect"))!.text;
const offered = commands.find(({ text }) => text.startsWith("gguf-bench models hf:"))!.text.split("\n");
const family = commands.find(({ text }) => text.startsWith("MODEL="))!.text;

/** Commands that are not run as they stand, each with its reason and with what is run in its place. */
const instead: Record<string, { because: string; run: string; says: RegExp }> = {
  "npm ci && npm start": {
    because: "the dependencies are there already; that they can be installed is seen without installing them",
    run: "npm ci --dry-run --offline --ignore-scripts && npm start",
    says: /building \(the first time[\s\S]*96 measured of 96 jobs[\s\S]*Tables: reports\/demo\/table\.md/,
  },
  "npm test": {
    because: "these tests would run themselves for ever; that the tests are found is enough",
    run: "npm run build --silent && npx vitest list --filesOnly",
    says: /test\/readme\.test\.ts/,
  },
  "gguf-bench doctor --build": {
    because: "a build takes minutes",
    run: "gguf-bench doctor --help",
    says: /--build +build llama\.cpp from/,
  },
  [search]: {
    because: "builds of llama.cpp are not part of the repository; folders without one are passed over",
    run: `mkdir b1 b2 b3 b4 b5 && { ${search} || echo "exit code $?"; }`,
    says: /b1: skipped: there is no libllama in [\s\S]*exit code 4/,
  },
  [offered[0]!]: {
    because: "a hub would be asked",
    run: `HF_ENDPOINT=http://127.0.0.1:1 ${offered[0]} 2>&1 || true`,
    says: /^gguf-bench: hf:hfl\/llama-3-chinese-8b-instruct-v2-gguf could not be fetched: its server cannot be reached/,
  },
  [offered[1]!]: {
    because: "it downloads 5 GB",
    run: `HF_ENDPOINT=http://127.0.0.1:1 ${offered[1]} 2>&1 || true`,
    says: /q4_k-im\.gguf could not be fetched: its server cannot be reached/,
  },
  [family]: {
    because: "it downloads files of 5 GB; without its texts it says where they belong",
    run: `${family} 2>&1 || true`,
    says: /The data of wikitext-2 are not here[\s\S]*put it at .*data\/wikitext-2\/wiki\.test\.raw/,
  },
  "gguf-bench run tasks.yaml --data-dir data --dry-run": {
    because: "the published questions are not part of the repository; it says how to get them",
    run: "gguf-bench run tasks.yaml --data-dir data --dry-run 2>&1 || true",
    says: /The data of ceval are not here[\s\S]*gguf-bench fetch ceval/,
  },
  "gguf-bench run servers.yaml --dry-run": {
    because: "it fails, for no server listens there",
    run: "gguf-bench run servers.yaml --dry-run || true",
    says: /demo-facts-en[\s\S]*inside [\s\S]*running [\s\S]*started /,
  },
  "npm audit signatures": {
    because: "it asks the registry about every package",
    run: "npm audit signatures --help",
    says: /npm audit \[fix\|signatures\]/,
  },
  "bash .ci/run": {
    because: "it runs these tests",
    run: "bash -n .ci/run && grep -c 'npm test' .ci/run",
    says: /^1$/m,
  },
  "npm run bench:peers": {
    because: "it refuses a machine that does anything else",
    run: "npm run bench:peers -- --help",
    says: /interleaved pairs/,
  },
};

const folder = temporaryFolder();
const clone = join(folder, "clone");
const prefix = join(folder, "prefix");

function shell(script: string): Promise<Finished> {
  return finish("bash", ["-euo", "pipefail", "-c", script], {
    cwd: clone,
    env: userEnvironment({
      CI: "true",
      // `npm link` writes here, and what it links is found here.
      npm_config_prefix: prefix,
      PATH: `${join(prefix, "bin")}${delimiter}${process.env.PATH}`,
    }),
  });
}

beforeAll(async () => {
  await copyRepository(clone);
  const built = await shell("npm run build --silent");
  expect(built.code, built.output).toBe(0);
  // The reader's own files, by the names that the documents give them: a demo model and its text, and a few questions.
  const model = join(clone, "datasets/demo/demo-v2-F16.gguf");
  for (const name of ["models/model-F16.gguf", "model-Q8_0.gguf", "model-Q4_K_M.gguf"]) {
    await mkdir(join(clone, name, ".."), { recursive: true });
    await copyFile(model, join(clone, name));
  }
  await copyFile(join(clone, "datasets/demo-en/heldout-en.txt"), join(clone, "book.txt"));
  const questions = ["question,A,B,C,D,answer", "2 + 2 is,3,4,5,6,B", "The sky is,blue,red,green,pink,A"];
  await writeFile(join(clone, "questions.csv"), `${questions.join("\n")}\n`);
  await mkdir(join(clone, "data/hellaswag"), { recursive: true });
  await writeFile(join(clone, "data/hellaswag/hellaswag_val_full.txt"), someQuestions(24));
  // Files that the documents show, under the name in their first line.
  for (const { language, text, name = text.match(/^# (\S+\.yaml)$/m)?.[1] } of blocks) {
    if (!["yaml", "csv"].includes(language) || !name) continue;
    await mkdir(join(clone, name, ".."), { recursive: true });
    await writeFile(join(clone, name), `${text}\n`);
  }
}, 300_000);

describe("the documents", () => {
  it("have the two commands first", () => {
    expect(commands[0]).toMatchObject({ file: "README.md", text: "npm ci && npm start" });
    expect(commands[1]).toMatchObject({ file: "README.md", text: "npm test" });
  });

  it("have no block of an unknown language", () => {
    const known = ["sh", "yaml", "csv", "text"];
    expect(blocks.filter(({ language }) => !known.includes(language))).toEqual([]);
  });

  it("replace no command that is no longer there", () => {
    const lines = commands.flatMap(({ text }) => text.split("\n"));
    expect(Object.keys(instead).filter((command) => !lines.includes(command))).toEqual([]);
  });

  it("link to files that are there", () => {
    for (const file of documents)
      for (const [, target] of readFileSync(join(root, file), "utf8").matchAll(/\]\((?!https?:|#)([^)#]+)[^)]*\)/g))
        expect(existsSync(join(root, file, "..", target!)), `${file}: ${target}`).toBe(true);
  });
});

describe("command blocks", () => {
  for (const { file, line, text } of commands)
    for (const command of text.split("\n")) {
      const other = instead[command];
      const title = other ? `${command}   (in its place: ${other.run}; ${other.because})` : command;
      it(`${file}:${line} ${title}`, { timeout: 600_000 }, async () => {
        const { code, output } = await shell(other?.run ?? command);
        expect(code, output).toBe(0);
        if (other) expect(output).toMatch(other.says);
      });
    }
});

describe("what the README says of the demo", () => {
  // The first command above has measured it.
  const figures = () => {
    const [head, ...rows] = readFileSync(join(clone, "reports/demo/table-long.csv"), "utf8")
      .trim()
      .split("\n")
      .map((row) => row.split(","));
    const cell = (row: string[], column: string) => row[head!.indexOf(column)]!;
    return (variant: string, measurement: string, metric: string) => {
      const found = rows.find(
        (row) =>
          cell(row, "variant") === variant &&
          cell(row, "measurement") === measurement &&
          cell(row, "metric") === metric,
      );
      return Number(cell(found!, "value"));
    };
  };

  it("PPL rises down the ladder, and steeply at Q2_K", () => {
    const value = figures();
    for (const version of ["v1", "v2"])
      for (const text of ["prose-en", "prose-zh"]) {
        const ladder = ["F16", "Q8_0", "Q4_K_M", "Q3_K_M", "Q2_K"].map((quant) =>
          value(`${version}-${quant}`, text, "perplexity"),
        );
        expect(ladder).toEqual([...ladder].sort((a, b) => a - b));
        const loss = ladder.map((ppl) => Math.log(ppl / ladder[0]!));
        expect(loss[4]).toBeGreaterThan(4 * loss[3]!);
      }
  });

  it("the importance matrix takes back most of what Q2_K loses", () => {
    const value = figures();
    for (const version of ["v1", "v2"])
      for (const text of ["prose-en", "prose-zh"]) {
        const [whole, plain, helped] = ["F16", "Q2_K", "Q2_K-im"].map((quant) =>
          Math.log(value(`${version}-${quant}`, text, "perplexity")),
        );
        expect((plain! - helped!) / (plain! - whole!)).toBeGreaterThan(0.5);
      }
  });

  it("neither is chance: beyond the paired error, over the whole report", () => {
    const [head, ...rows] = readFileSync(join(clone, "reports/demo/comparisons.csv"), "utf8")
      .trim()
      .split("\n")
      .map((row) => row.split(","));
    const said = (a: string, b: string, measurement: string) =>
      rows.find(
        (row) =>
          row[head!.indexOf("a")] === a &&
          row[head!.indexOf("b")] === b &&
          row[head!.indexOf("measurement")] === measurement,
      )?.[head!.indexOf("verdict")];
    for (const version of ["v1", "v2"])
      for (const text of ["prose-en", "prose-zh"])
        expect(said(`${version}-Q2_K`, `${version}-Q2_K-im`, text), `${version} ${text}`).toBe("better");
    for (const task of ["facts-en", "facts-zh"]) expect(said("v1-F16", "v2-F16", task)).toBe("better");
  });

  it("v2 answers nearly all questions, v1 half to two thirds", () => {
    const value = figures();
    for (const task of ["facts-en", "facts-zh"]) {
      expect(value("v2-F16", task, "acc")).toBeGreaterThan(0.95);
      expect(value("v1-F16", task, "acc")).toBeGreaterThan(0.45);
      expect(value("v1-F16", task, "acc")).toBeLessThan(0.75);
    }
  });
});
