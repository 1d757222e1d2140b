import { readdirSync, readFileSync } from "node:fs";
import { builtinModules } from "node:module";
import { dirname, join, posix, relative, sep } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";

/** The floors of the house, top to bottom: an import goes down, never up or along. A name is a file of `src/` or a folder. */
const rows = [
  ["cli"],
  // The face and the table of contents: index re-exports what commands does.
  ["index"],
  ["commands"],
  ["tui", "run", "reports", "merge"],
  ["plan", "judge", "baseline", "items"],
  // A plan asks the executor where its jobs will be measured.
  ["executors"],
  // Each measurement's settings are checked where a benchmark file is read, so that a fault names its line.
  ["benchmark"],
  ["measurements", "stats", "store"],
  // What a run holds: statistics make series of it.
  ["replay"],
  ["events"],
  // What a task is stands in a job's record.
  ["data"],
  // A stored reference is data; the rows of a live one come from its engine.
  ["references"],
  ["backends"],
  // Conversations as text: backends render them by the model's own template.
  ["chat"],
  // Quantized variants are made where models come from, by libllama.
  ["models"],
  // Programs that are run end with their engine: what asks the kernel for that is bound there.
  ["programs"],
  ["llama"],
  // Arithmetic over rows of logits, whoever computed them.
  ["kernels"],
  // How a text that answers a question is scored: cards say by what.
  ["scores"],
  ["metrics", "yaml"],
  // What reports tell of a task without its data.
  ["task"],
  ["units", "machine", "expressions", "confined"],
  ["folders"],
  ["errors"],
  ["terminal"],
  // Not even a message is made without it.
  ["harmless"],
  // No error's sentence holds a secret.
  ["secrets", "definite", "digest", "clock", "share"],
];

/** Imports along a row, each with its reason. */
const along: Record<string, string> = {};

/** What measurements share, and what backends do that have the tokens in their hands, or ask a server. */
const shared = ["chunks.ts", "cost.ts", "recording.ts", "letters.ts", "answers.ts", "questions.ts"];
const aboutTokens = ["chunks.ts", "options.ts", "option-cut.ts", "option-batches.ts", "generation.ts", "concurrent.ts"];
const aboutLlamaCpp = ["llama-cpp.ts"];

/** What several commands share: options, changes that the live view shows, being stopped, downloads, where runs lie and how they end, what there is in a dataset. */
const aboutCommands = [
  "options.ts",
  "changes.ts",
  "versions.ts",
  "stop.ts",
  "downloads.ts",
  "outcome.ts",
  "columns.ts",
  "folder.ts",
  "describe.ts",
  "dataset.ts",
];

/** Families of interchangeable siblings: a member knows the contract and no other member. */
const families: Record<string, { contract: string; members: (file: string) => boolean }> = {
  commands: {
    contract: "command.ts",
    members: (file) => !["command.ts", "index.ts", ...aboutCommands].includes(file),
  },
  backends: {
    contract: "backend.ts",
    members: (file) => !["backend.ts", "index.ts", ...aboutTokens, ...aboutLlamaCpp].includes(file),
  },
  measurements: {
    contract: "measurement.ts",
    members: (file) => !["measurement.ts", "index.ts", ...shared].includes(file),
  },
  data: {
    contract: "data.ts",
    members: (file) => !["data.ts", "index.ts", "cards.ts", "files.ts", "task", "foreign"].includes(file),
  },
  references: {
    contract: "reference.ts",
    members: (file) => ["base-file.ts", "compact.ts", "live.ts", "scratch.ts", "stored.ts"].includes(file),
  },
  executors: {
    contract: "executor.ts",
    members: (file) => !["executor.ts", "place.ts", "index.ts", "self-test.ts"].includes(file),
  },
  "models/hubs": { contract: "hub.ts", members: (file) => !["hub.ts", "index.ts"].includes(file) },
  scores: {
    contract: "score.ts",
    members: (file) => !["score.ts", "index.ts", "words.ts", "python.ts"].includes(file),
  },
  "reports/plots": {
    contract: "plot.ts",
    members: (file) =>
      !["plot.ts", "index.ts", "draw.ts", "palette.ts", "labels.ts", "figures.ts"].includes(file) &&
      !["frame.ts", "points.ts", "rows.ts", "lines.ts"].includes(file),
  },
  "reports/formats": {
    contract: "format.ts",
    members: (file) => !["format.ts", "index.ts", "figures.ts"].includes(file),
  },
  "stats/bases": { contract: "basis.ts", members: (file) => !["basis.ts", "index.ts"].includes(file) },
};

/** What a measurement knows of backends: their contract, how windows are cut from a text, how many answers are written at once. */
const contracts = ["backends/backend.ts", "backends/chunks.ts", "backends/generation.ts"];

/** Stages that outgrew one file: from outside they are entered by their index.ts alone. */
const stages = ["items", "judge", "plan", "run", "store"];

/** Parts of one member that stand in a file of their own. */
const partOf: Record<string, string> = {
  "executors/engine-process.ts": "executors/child.ts",
  "backends/mock-settings.ts": "backends/mock.ts",
};

/** Each outside package, and the one file that knows it: what replaces it then is one file's business. */
const outside: Record<string, string[]> = {
  "@huggingface/gguf": ["models/gguf.ts"],
  "@huggingface/jinja": ["chat/render-process.ts", "data/foreign/jinja/evaluate.ts"],
  cephes: ["stats/distributions.ts"],
  commander: ["cli.ts", "commands/options.ts"],
  "csv-parse": ["data/task/csv.ts"],
  "csv-stringify": ["reports/csv.ts"],
  fflate: ["data/fetch/zip.ts"],
  hyparquet: ["data/task/parquet.ts"],
  "hyparquet-compressors": ["data/task/parquet.ts"],
  "hyparquet-writer": ["reports/formats/parquet.ts"],
  ink: ["tui/app.tsx", "tui/live.tsx"],
  react: ["tui/app.tsx"],
  ollama: ["backends/ollama/server.ts"],
  // Backends that ask a server: as many requests at a time as it takes, and again after a while.
  "p-limit": ["backends/ollama/server.ts", "backends/openai/fleet.ts"],
  "p-retry": ["backends/ollama/server.ts", "backends/openai/client.ts"],
  // Pictures: marks over axes, and the little of a browser's document that they are made in.
  "@observablehq/plot": ["reports/plots/draw.ts"],
  linkedom: ["reports/plots/draw.ts"],
  "jieba-wasm": ["scores/words.ts"],
  koffi: ["llama/library.ts", "llama/quantize.ts"],
  "node-llama-cpp": ["llama/location.ts", "commands/doctor.ts"],
  "string-width": ["reports/names.ts"],
  yaml: ["yaml.ts"],
  // A queue of work for other machines, and the Redis that it lies in; whoever measures on one machine needs neither.
  bullmq: ["executors/queue/redis.ts"],
  ioredis: ["executors/queue/redis.ts"],
  // The language in which settings, cards and benchmark files are described; each describes its own.
  zod: [
    "run/schedule.ts",
    "benchmark/*.ts",
    "data/*.ts",
    "data/fetch/index.ts",
    // What measurements wrote down for the eye alone is checked when it is shown.
    "items/*.ts",
    "data/task/*.ts",
    "data/choice/card.ts",
    "chat/settings.ts",
    "data/foreign/*.ts",
    "events.ts",
    // What comes out of a queue was put there by anyone.
    "executors/queue/*.ts",
    "expressions.ts",
    "yaml.ts",
    "scores/*.ts",
    "measurements/*.ts",
    "backends/*.ts",
    "backends/llama/settings.ts",
    "backends/openai/*.ts",
    "backends/ollama/*.ts",
    // What servers and other programs say is checked before it is believed.
    "models/hubs/*.ts",
    "models/ollama-store.ts",
    "backends/llama-tools/*.ts",
    // Figures that others published are a file that anyone may write.
    "reports/card/published.ts",
  ],
};

interface Import {
  from: string;
  to: string;
}

const src = fileURLToPath(new URL("../src", import.meta.url));

function sources(): Map<string, string> {
  const names = readdirSync(src, { recursive: true, encoding: "utf8" }).filter((name) => /\.tsx?$/.test(name));
  return new Map(names.map((name) => [name.split(sep).join("/"), readFileSync(join(src, name), "utf8")]));
}

/** Every `from "…"`, `import "…"`, `import("…")` and `require.resolve("…")` of a source; comments are passed over. */
function specifiers(source: string): string[] {
  const code = source.replace(/\/\*[\s\S]*?\*\//g, "").replace(/^\s*\/\/.*$/gm, "");
  const pattern =
    /^(?:import|export)\b[^"';]*?\bfrom\s*"([^"]+)"|^import\s*"([^"]+)"|\bimport\(\s*"([^"]+)"|\brequire(?:\.resolve)?\(\s*"([^"]+)"/gm;
  return [...code.matchAll(pattern)].map((match) => match.slice(1).find((part) => part !== undefined)!);
}

function readImports(files: Map<string, string>) {
  const inside: Import[] = [];
  const packages: Import[] = [];
  for (const [from, source] of files)
    for (const specifier of specifiers(source)) {
      if (specifier.startsWith(".")) {
        const target = posix.normalize(posix.join(dirname(from), specifier)).replace(/\.js$/, "");
        const to = [`${target}.ts`, `${target}.tsx`].find((name) => files.has(name));
        if (to) inside.push({ from, to });
        else if (!/\.(json|wasm)$/.test(specifier)) throw new Error(`${from} imports ${specifier}, which is not there`);
      } else if (!specifier.startsWith("node:") && !builtinModules.includes(specifier))
        packages.push({ from, to: specifier.match(/^(@[^/]+\/)?[^/]+/)![0] });
    }
  return { inside, packages };
}

const unit = (file: string) => file.split("/")[0]!.replace(/\.tsx?$/, "");
const floor = (file: string) => rows.findIndex((row) => row.includes(unit(file)));

/** A member is a file of its family's folder, or a folder there. */
const memberOf = (file: string) => file.split("/").slice(0, 2).join("/");

/** All that breaks the house's rules, a sentence each. */
function violations(files: Map<string, string>): string[] {
  const { inside, packages } = readImports(files);
  const found: string[] = [];
  for (const file of files.keys()) if (floor(file) < 0) found.push(`${file} stands on no floor`);
  for (const { from, to } of inside) {
    if (unit(from) === unit(to)) {
      // A family inside a room: its members may use the rest of the room.
      const inner = families[posix.dirname(from)];
      if (inner && posix.dirname(to) !== posix.dirname(from)) continue;
      const family = inner ?? families[unit(from)];
      const named = inner ? (file: string) => file : memberOf;
      const [member, other] = [from, to].map((file) => partOf[file] ?? named(file));
      const isMember = (file: string) => family?.members(posix.basename(named(file)));
      if (member !== other && isMember(from) && isMember(to)) found.push(`${from} imports another member, ${to}`);
      if (posix.basename(from) === family?.contract) found.push(`the contract ${from} imports ${to}`);
      continue;
    }
    if (stages.includes(unit(to)) && posix.basename(to) !== "index.ts")
      found.push(`${from} goes past the door, to ${to}`);
    const allowed = along[`${unit(from)} -> ${to}`];
    if (floor(to) <= floor(from) && !allowed) found.push(`${from} imports ${to}, which does not stand below it`);
    if (unit(from) === "measurements" && unit(to) === "backends" && !contracts.includes(to))
      found.push(`${from} imports ${to}: a measurement knows the contract of backends alone`);
  }
  for (const { from, to } of packages) {
    const places = outside[to];
    const fits = (place: string) => new RegExp(`^${place.replace(/\./g, "\\.").replace("*", "[^/]*")}$`).test(from);
    if (!places) found.push(`${from} imports ${to}, which no file is known to need`);
    else if (!places.some(fits)) found.push(`${from} imports ${to}, which is named in ${places.join(", ")}`);
  }
  return found;
}

describe("the floors of the house", () => {
  const files = sources();

  it("hold: imports go down, members know no members, each outside dependency has its place", () => {
    expect(violations(files)).toEqual([]);
  });

  it("every exception is still needed", () => {
    const { inside, packages } = readImports(files);
    for (const exception of Object.keys(along))
      expect(inside.map(({ from, to }) => `${unit(from)} -> ${to}`)).toContain(exception);
    const named = new Set(packages.map(({ to }) => to));
    // node-llama-cpp is found on disk and asked to build, never imported.
    named.add("node-llama-cpp");
    expect(Object.keys(outside).filter((name) => !named.has(name))).toEqual([]);
  });

  it("package.json lists what is imported, and nothing else", () => {
    const own = JSON.parse(readFileSync(join(src, "../package.json"), "utf8"));
    const listed = Object.keys({ ...own.dependencies, ...own.peerDependencies });
    // Builds of llama.cpp are found on disk.
    const imported = listed.filter((name) => !name.startsWith("@node-llama-cpp/"));
    expect(imported.sort()).toEqual(Object.keys(outside).sort());
  });

  it("see each kind of fault", () => {
    const faults: [file: string, source: string, said: RegExp][] = [
      ["backends/mock.ts", 'import type { Store } from "../store/index.js";', /does not stand below/],
      ["store/index.ts", 'import { summarize } from "../stats/summary.js";', /does not stand below/],
      ["errors.ts", 'const later = () => import("./run/index.js");', /does not stand below/],
      ["commands/run.ts", 'export * from "../cli.js";', /does not stand below/],
      ["run/index.ts", 'import { writeReports } from "../reports/index.js";', /does not stand below/],
      ["backends/ollama.ts", 'import { mockLaw } from "./mock.js";', /another member/],
      ["commands/report.ts", 'import { runCommand } from "./run.js";', /another member/],
      ["measurements/speed.ts", 'import { llama } from "../backends/llama/index.js";', /contract of backends alone/],
      ["stats/bases/t.ts", 'import { share } from "./share.js";', /another member/],
      ["reports/csv.ts", 'import { mark } from "../judge/words.js";', /past the door/],
      ["run/index.ts", 'import koffi from "koffi";', /named in llama/],
      ["plan/index.ts", 'import lodash from "lodash/fp";', /no file is known to need/],
      ["telemetry.ts", "", /on no floor/],
    ];
    for (const [file, source, said] of faults) {
      const before = violations(files);
      const after = violations(new Map([...files, [file, `${files.get(file) ?? ""}\n${source}\n`]]));
      expect(after.length, `${file}: ${source}`).toBeGreaterThan(before.length);
      expect(after.join("\n")).toMatch(said);
    }
  });

  it("one name stands for one type", () => {
    const places = new Map<string, string[]>();
    const declared =
      /^(?:export )?(?:declare )?(?:abstract )?(?:interface|class|type) (\w+)(?=\b[^"\n]*[={<]| extends)/gm;
    for (const [file, source] of files)
      for (const [, name] of source.matchAll(declared)) places.set(name!, [...(places.get(name!) ?? []), file]);
    expect(places.size).toBeGreaterThan(100);
    expect([...places].filter(([, found]) => found.length > 1)).toEqual([]);
  });

  it("only the command line itself names the process's own streams", () => {
    // terminal.ts watches for a stdout that is lost; everything else writes to the streams it is given.
    const found = [...files].filter(
      ([file, source]) => /(?<![#.\w])process\.std(out|err)/.test(source) && !["cli.ts", "terminal.ts"].includes(file),
    );
    expect(found.map(([file]) => file)).toEqual([]);
  });

  it("one fold: replay alone says what events say together; run tells them, the store checks them, merge joins them, the live view shows them as they come", () => {
    const speak = [...files].filter(([, source]) => /"(job-done|job-failed|job-started)"/.test(source));
    expect(speak.map(([file]) => file).sort()).toEqual(
      [
        ...["events.ts", "replay/index.ts", "run/job-run.ts", "store/consistency.ts", "tui/plain.ts", "tui/state.ts"],
        // Events of several folders become those of one; what they say together is read from that one.
        ...["merge/gathered.ts", "merge/index.ts"],
      ].sort(),
    );
    for (const [file, source] of files)
      if (!["store", "merge"].includes(unit(file)))
        expect(source.match(/(?<!replay\()\breadEvents\(/g) ?? [], `${file} folds a run's events`).toEqual([]);
  });

  it("test/ mirrors src/: no test imports a source directly", () => {
    const tests = fileURLToPath(new URL(".", import.meta.url));
    for (const name of readdirSync(tests, { recursive: true, encoding: "utf8" })) {
      if (!/\.tsx?$/.test(name)) continue;
      const found = specifiers(readFileSync(join(tests, name), "utf8")).filter((one) => /\/src\//.test(one));
      expect(found, relative(tests, name)).toEqual([]);
    }
  });
});
