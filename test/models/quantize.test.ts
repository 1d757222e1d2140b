import { spawnSync } from "node:child_process";
import {
  copyFileSync,
  existsSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { homedir } from "node:os";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";
import { gguf } from "@huggingface/gguf";
import { beforeAll, describe, expect, it } from "vitest";
import { withoutKeeping } from "../../dist/models/cache.js";
import { readPart } from "../../dist/models/gguf.js";
import { readCoverage } from "../../dist/models/importance.js";
import { locateVariant, prepareVariant } from "../../dist/models/preparation.js";
import { random } from "../draws.mjs";
import { bench, eventsOf, temporaryFolder } from "../support.js";
import { tinyGguf } from "./tiny-gguf.js";

const root = fileURLToPath(new URL("../..", import.meta.url));
const demo = (name: string) => join(root, "datasets/demo", name);
const model = demo("demo-v2-F16.gguf");
const folder = temporaryFolder();
const peers = process.env.BENCH_PEERS ?? join(homedir(), ".cache", "bench-peers");
const llamaQuantize = join(peers, "bin", "llama-quantize");

interface Entry {
  name: string;
  calls?: number;
  values: number[];
}

/** The form of llama-imatrix before July 2025. */
function oldMatrix(entries: Entry[], trailer?: { chunks: number; dataset?: string }, count = entries.length): Buffer {
  const int = (value: number) => {
    const bytes = Buffer.alloc(4);
    bytes.writeInt32LE(value);
    return bytes;
  };
  const text = (value: string) => Buffer.concat([int(Buffer.byteLength(value)), Buffer.from(value)]);
  return Buffer.concat([
    int(count),
    ...entries.flatMap(({ name, calls = 7, values }) => [
      text(name),
      int(calls),
      int(values.length),
      Buffer.from(Float32Array.from(values).buffer),
    ]),
    ...(trailer ? [int(trailer.chunks), ...(trailer.dataset === undefined ? [] : [text(trailer.dataset)])] : []),
  ]);
}

let entries: Entry[];

beforeAll(async () => {
  const { tensorInfos } = await gguf(model, { allowLocalFile: true });
  const next = random(5);
  entries = tensorInfos
    .filter(({ name, shape }) => /^blk\..*\.weight$/.test(name) && shape.length === 2)
    .map(({ name, shape }) => ({
      name,
      values: Array.from({ length: Number(shape[0]) }, () => 7 * next() ** 4 + 1e-3),
    }));
  expect(entries.length).toBeGreaterThan(10);
});

async function quantize(matrix: string, type = "Q2_K", out = join(folder, "out", basename(matrix))) {
  const said = await bench(["quantize", model, "--types", type, "--imatrix", matrix, "--out", out]);
  return { ...said, out, files: existsSync(out) ? readdirSync(out) : [] };
}

function written(name: string, bytes: Buffer): string {
  writeFileSync(join(folder, name), bytes);
  return join(folder, name);
}

describe("an importance matrix of before GGUF", () => {
  const forms: Record<string, () => Buffer> = {
    "with chunks and text": () => oldMatrix(entries, { chunks: 12, dataset: "calibration.txt" }),
    "with chunks alone": () => oldMatrix(entries, { chunks: 3 }),
    "without a trailer": () => oldMatrix(entries),
    "never divided by its calls": () => oldMatrix(entries.map((entry) => ({ ...entry, calls: 0 }))),
    "without some tensors, as for the output": () => oldMatrix(entries.slice(3), { chunks: 1 }),
  };
  for (const [form, make] of Object.entries(forms))
    it.skipIf(!existsSync(llamaQuantize))(
      `weighs as in llama-quantize, byte for byte: ${form} (skipped without it)`,
      async () => {
        const matrix = written(`${form.replaceAll(/\W/g, "-")}.dat`, make());
        const own = await quantize(matrix);
        const part = /^demo-v2-Q2_K-im\.gguf: its importance matrix covers (\d+) of (\d+) weight matrices; [^\n]*\.\n$/;
        const [, covered, of] = own.stderr.match(part) ?? [];
        const expected = form.startsWith("without some")
          ? [entries.length - 3, entries.length]
          : [undefined, undefined];
        expect([covered, of]).toEqual(expected.map((count) => count?.toString()));
        if (covered === undefined) expect(own.stderr).toBe("");
        expect({ code: own.code, files: own.files }).toEqual({
          code: 0,
          files: ["demo-v2-Q2_K-im.gguf"],
        });
        const theirs = join(folder, "theirs.gguf");
        // The matrix's name stands in the file, without its folder.
        const peer = spawnSync(llamaQuantize, ["--imatrix", basename(matrix), model, theirs, "Q2_K"], {
          cwd: folder,
          env: { ...process.env, LD_LIBRARY_PATH: join(peers, "lib") },
        });
        expect(peer.status).toBe(0);
        expect(readFileSync(join(own.out, own.files[0]!)).equals(readFileSync(theirs))).toBe(true);
      },
    );

  it("makes another file than no matrix", async () => {
    const own = await quantize(written("other.dat", oldMatrix(entries)), "Q2_K");
    const plain = await bench(["quantize", model, "--types", "Q2_K", "--out", join(folder, "plain")]);
    expect(plain.code).toBe(0);
    expect(
      readFileSync(join(own.out, own.files[0]!)).equals(readFileSync(join(folder, "plain", "demo-v2-Q2_K.gguf"))),
    ).toBe(false);
  });
});

describe("a matrix that says nothing, or nonsense, is refused in one sentence, and no file is left", () => {
  const first = (change: (entry: Entry) => Partial<Entry>) => () =>
    oldMatrix(entries.map((entry, i) => (i === 4 ? { ...entry, ...change(entry) } : entry)));
  const one = (value: number) => first(({ values }) => ({ values: values.with(9, value) }));
  const ggufMatrix = () => readFileSync(demo("demo-v2.imatrix.gguf"));
  const cases: Record<string, [() => Buffer, RegExp]> = {
    "not a number": [one(Number.NaN), /has NaN at blk\./],
    "an infinity": [one(Infinity), /has Infinity at blk\./],
    "a negative sum": [one(-1), /has a negative sum of squares at blk\./],
    zeros: [first(({ values }) => ({ values: values.map(() => 0) })), /nothing but zeros at blk\./],
    "all zeros": [() => oldMatrix(entries.map((entry) => ({ ...entry, values: entry.values.map(() => 0) }))), /zeros/],
    "another width": [
      first(({ values }) => ({ values: [...values, 1] })),
      /is of another model than demo-v2-F16\.gguf: it has \d+ values for blk\.\S+, which has \d+ columns/,
    ],
    "the embedding alone": [
      () => oldMatrix([{ name: "token_embd.weight", values: entries[0]!.values }]),
      /covers none of the \d+ weight matrices of demo-v2-F16\.gguf/,
    ],
    "another model": [
      () => oldMatrix(entries.map((e) => ({ ...e, name: e.name.replace("blk.", "blk.9") }))),
      /another model/,
    ],
    "cut in the values": [() => oldMatrix(entries).subarray(0, 1000), /is cut off/],
    "cut in a name": [() => oldMatrix(entries).subarray(0, 12), /is cut off/],
    "more entries than there are": [() => oldMatrix(entries, undefined, entries.length + 1), /is cut off/],
    "an entry of 2³⁰ values": [() => oldMatrix([{ name: "blk.0.attn_q.weight", values: [] }]), /damaged in entry 1/],
    "no entries": [() => oldMatrix([]), /neither GGUF nor the older/],
    "2³⁰ entries": [() => oldMatrix([], undefined, 2 ** 30), /neither GGUF nor the older/],
    empty: [() => Buffer.alloc(0), /is empty/],
    "a text": [() => Buffer.from("what is this file\n".repeat(100)), /neither GGUF nor the older/],
    "three bytes": [() => Buffer.from("abc"), /neither GGUF nor the older/],
    "zeros for a file": [() => Buffer.alloc(5000), /neither GGUF nor the older/],
    "a cut GGUF": [() => ggufMatrix().subarray(0, 6000), /is cut off|neither GGUF/],
    "a GGUF cut in its head": [() => ggufMatrix().subarray(0, 60), /neither GGUF nor the older|cut off/],
    "a GGUF of not-a-numbers": [() => ggufMatrix().fill(0xff, ggufMatrix().length - 64), /NaN/],
    "a model": [() => readFileSync(model), /holds no sums of squares/],
    "a GGUF of zeros from its middle on": [() => ggufMatrix().fill(0, 20_000), /zeros|never reached/],
  };
  for (const [name, [make, said]] of Object.entries(cases))
    it(name, async () => {
      const { code, stdout, stderr, files } = await quantize(written(`${name.replaceAll(/[^\w]/g, "-")}.bad`, make()));
      expect({ code, stdout, files }).toEqual({ code: 1, stdout: "", files: [] });
      expect(stderr).toMatch(said);
      expect(stderr).toMatch(/^gguf-bench: [^\n]+\.\n( {2}[A-Z][^\n]+\.\n)?$/);
    });

  it("a file that is not there, and a folder", async () => {
    for (const matrix of [join(folder, "absent.dat"), folder]) {
      const { code, stderr, files } = await quantize(matrix, "Q2_K", join(folder, "none", "at", "all"));
      expect({ code, files }).toEqual({ code: 1, files: [] });
      expect(stderr).toMatch(/^gguf-bench: the importance matrix .* cannot be read/);
    }
    expect(existsSync(join(folder, "none"))).toBe(false);
  });

  it("is one failed variant of a run", async () => {
    const bad = written("bad-in-run.dat", one(Number.NaN)());
    copyFileSync(bad, join(folder, "nan.dat"));
    writeFileSync(
      join(folder, "run.yaml"),
      `variants:\n  good: {model: ${model}, quantize: Q4_0}\n  bad: {model: ${model}, quantize: Q2_K, imatrix: ${bad}}\nmeasurements: {speed: {prompt: 8, generate: 0, repetitions: 1}}\n`,
    );
    const said = await bench(["run", join(folder, "run.yaml"), "--out", join(folder, "run")], {
      env: { GGUF_BENCH_CACHE: join(folder, "cache") },
    });
    expect({ code: said.code, stderr: said.stderr }).toEqual({ code: 2, stderr: "" });
    expect(said.stdout).toMatch(/bad .*NaN at blk\./s);
  });
});

describe("a matrix that covers some of the model", () => {
  const covering = (kept: Entry[], name: string) => written(name, oldMatrix(kept, { chunks: 1 }));
  const layersOf = (kept: Entry[]) => new Set(kept.map(({ name }) => name.split(".")[1])).size;

  it("is said in the plan, in the record and in the tables", async () => {
    const matrix = covering(entries.slice(2), "part.dat");
    const file = join(folder, "part.yaml");
    writeFileSync(
      file,
      `variants: {small: {model: ${model}, quantize: Q2_K, imatrix: ${matrix}}}\nmeasurements: {perplexity: {text: demo-en, chunks: 2}}\n`,
    );
    const env = { GGUF_BENCH_CACHE: join(folder, "part-cache") };
    const note = `its importance matrix covers ${entries.length - 2} of ${entries.length} weight matrices; the others are quantized as without one: ${entries[0]!.name}, ${entries[1]!.name}`;
    const out = join(folder, "part-run");
    const before = await bench(["run", file, "--dry-run"], { env });
    expect(before.stdout).toContain(`small: ${note}\n`);
    const { code, stdout } = await bench(["run", file, "--plain", "--out", out], { env });
    expect(code).toBe(0);
    expect(stdout).toContain(`warning: small: ${note}\n`);
    expect(stdout.replaceAll(/\s+/g, " ").split(note).length).toBeGreaterThan(2);
    expect(readFileSync(join(out, "table.md"), "utf8")).toContain(entries[1]!.name);
    // The plan names the model's facts once the quantization is made.
    const plans = eventsOf(out).flatMap((event) => ("variants" in event ? event.variants : []));
    const facts = plans.at(-1)?.facts;
    expect(facts?.notes).toEqual([note]);
    expect(facts?.imatrix?.covers).toEqual({ matrices: entries.length - 2, of: entries.length });
    const after = await bench(["run", file, "--dry-run"], { env });
    expect(after.stdout).toContain(`small: ${note}\n`);
  });

  it("names a few of many", async () => {
    const { code, stderr } = await quantize(covering(entries.slice(-1), "one.dat"));
    expect(code).toBe(0);
    expect(stderr).toMatch(/covers 1 of \d+ weight matrices; [^\n]{20,120} …\.\n$/);
    expect(layersOf(entries)).toBeGreaterThan(1);
  });

  it("a GGUF matrix of llama-imatrix is counted from its header", async () => {
    const whole = await readPart(demo("demo-v2.imatrix.gguf"));
    const sums = whole.tensors.filter(({ name }) => name.endsWith(".in_sum2"));
    expect(await readCoverage(whole.path, model)).toMatchObject({ covered: entries.length, of: entries.length });
    const cut = written("cut.imatrix.gguf", tinyGguf({ tensors: sums.slice(1).map((one) => ({ ...one, type: 0 })) }));
    expect(await readCoverage(cut, model)).toEqual({
      covered: entries.length - 1,
      of: entries.length,
      missing: [sums[0]!.name.replace(".in_sum2", "")],
    });
    const wide = sums.map((one) => ({ ...one, shape: [one.shape[0]! * 2, 1], bytes: one.bytes * 2, type: 0 }));
    const other = written("wide.imatrix.gguf", tinyGguf({ tensors: wide }));
    await expect(readCoverage(other, model)).rejects.toThrow(/is of another model than/);
  });

  it("experts count as one matrix, and what is never quantized counts as none", async () => {
    const tensor = (name: string, ...shape: number[]) => ({
      name,
      shape,
      type: 1,
      bytes: 2 * shape.reduce((a, b) => a * b),
    });
    const layer = [
      tensor("blk.0.attn_q.weight", 64, 64),
      tensor("blk.0.attn_norm.weight", 64),
      tensor("blk.0.ffn_gate_inp.weight", 64, 4),
      tensor("blk.0.ffn_up_exps.weight", 64, 32, 4),
      tensor("blk.0.ffn_down_exps.weight", 32, 64, 4),
    ];
    const experts = written("experts.gguf", tinyGguf({ tensors: [tensor("token_embd.weight", 64, 32), ...layer] }));
    const sums = (name: string, ...shape: number[]) => ({
      ...tensor(`${name}.in_sum2`, ...shape),
      type: 0,
      bytes: 4 * 64 * 4,
    });
    const tensors = [sums("blk.0.attn_q.weight", 64, 1), sums("blk.0.ffn_up_exps.weight", 64, 4)];
    const matrix = written("experts.imatrix.gguf", tinyGguf({ tensors }));
    const missing = ["blk.0.ffn_down_exps.weight"];
    expect(await readCoverage(matrix, experts)).toEqual({ covered: 2, of: 3, missing });
  });
});

describe("names and sources", () => {
  it("-im stands where a matrix weighs", async () => {
    const { code, files } = await quantize(demo("demo-v2.imatrix.gguf"), "F16,Q8_0,Q4_0", join(folder, "names"));
    expect(code).toBe(0);
    expect(files.sort()).toEqual(["demo-v2-F16.gguf", "demo-v2-Q4_0-im.gguf", "demo-v2-Q8_0.gguf"]);
  });

  it("what is quantized already is refused, or taken where that is asked for", async () => {
    const source = join(folder, "names", "demo-v2-Q8_0.gguf");
    const out = join(folder, "again");
    const no = await bench(["quantize", source, "--types", "Q4_0", "--out", out]);
    expect(no.code).toBe(1);
    expect(no.stderr).toMatch(
      /^gguf-bench: .*demo-v2-Q8_0\.gguf is quantized already \(most of its weights are Q8_0\)\.\n {2}Give the F16/,
    );
    expect(existsSync(out)).toBe(false);
    const yes = await bench(["quantize", source, "--types", "Q4_0", "--out", out, "--allow-requantize"]);
    expect({ code: yes.code, stderr: yes.stderr }).toEqual({ code: 0, stderr: "" });
    expect(readdirSync(out)).toEqual(["demo-v2-Q8_0-Q4_0.gguf"]);
  });

  for (const place of ["/proc/x", "/dev/null/x", join(model, "x"), "/sys/kernel/x"])
    it.skipIf(process.platform !== "linux")(`no folder can be made at ${place.slice(-20)}`, async () => {
      for (const args of [
        ["quantize", model, "--types", "Q4_0", "--out", place],
        ["run", "--model", "mock:seed=1", "--measure", "speed", "--out", place],
      ]) {
        const { code, stdout, stderr } = await bench(args, { timeout: 20_000 });
        expect({ code, stdout }).toEqual({ code: 1, stdout: "" });
        expect(stderr).toMatch(
          /^gguf-bench: the folder .* cannot be made: .*\.\n {2}Name another (one|folder) with --out\.\n$/,
        );
      }
    });
});

describe("a quantization in the cache is used while it is as it was made", () => {
  const folders = { baseDir: root };
  const source = { model, quantize: { type: "Q4_0" } };
  /** Its path, made when it is not there, and what was said. */
  async function made() {
    const notes: string[] = [];
    await prepareVariant(source, { ...folders, warning: (message: string) => notes.push(message) });
    const found = await locateVariant(source, folders);
    if (found.state !== "ready") throw new Error("it was not made");
    return { path: found.model, notes };
  }

  beforeAll(() => {
    process.env.GGUF_BENCH_CACHE = join(folder, "kept");
  });

  const middle = (path: string) => Math.floor(statSync(path).size / 2);
  const damages: Record<string, (path: string) => void> = {
    "bytes in its middle": (path) => writeFileSync(path, readFileSync(path).fill(7, middle(path), middle(path) + 32)),
    "its last byte, at the same time stamp": (path) => {
      const { atime, mtime } = statSync(path);
      const bytes = readFileSync(path);
      bytes[bytes.length - 1]! ^= 0xff;
      writeFileSync(path, bytes);
      utimesSync(path, atime, mtime);
    },
    "a cut": (path) => truncateSync(path, middle(path)),
    "another model in its place": (path) => copyFileSync(model, path),
    "no bytes at all": (path) => writeFileSync(path, ""),
  };
  for (const [what, damage] of Object.entries(damages))
    it(`else it is made anew, and that is said: ${what}`, async () => {
      const { path } = await made();
      const sound = readFileSync(path);
      expect(await made()).toEqual({ path, notes: [] });
      damage(path);
      const missing = [{ kind: "quantize", type: "Q4_0", damaged: true }];
      // A dry run says so, and changes nothing.
      expect(await withoutKeeping(() => locateVariant(source, folders))).toMatchObject({ state: "missing", missing });
      expect(await made()).toEqual({ path, notes: ["its Q4_0 file in the cache is damaged and is made anew"] });
      expect(readFileSync(path).equals(sound)).toBe(true);
      expect(await made()).toEqual({ path, notes: [] });
      const left = readdirSync(join(path, "..")).filter((name) => !name.startsWith("."));
      expect(left.sort()).toEqual([basename(path), `${basename(path)}.sha256`]);
    });

  it("one whose making was cut off between file and digest is made anew, without alarm", async () => {
    const { path } = await made();
    rmSync(`${path}.sha256`);
    expect(await made()).toEqual({ path, notes: [] });
    expect(existsSync(`${path}.sha256`)).toBe(true);
  });

  it("the digest beside it is what sha256sum checks", async () => {
    const { path } = await made();
    const { status, error } = spawnSync("sha256sum", ["-c", `${basename(path)}.sha256`], { cwd: join(path, "..") });
    if (!error) expect(status).toBe(0);
  });

  it("a run measures the file that was made anew, and says why", async () => {
    const { path } = await made();
    damages["bytes in its middle"]!(path);
    const file = join(folder, "damaged.yaml");
    writeFileSync(
      file,
      `variants: {small: {model: ${model}, quantize: Q4_0}}\nmeasurements: {perplexity: {text: demo-en, chunks: 2}}\n`,
    );
    const dry = await bench(["run", file, "--dry-run"]);
    expect(dry.stdout).toMatch(/^small +to quantize anew /m);
    const { code, stdout } = await bench(["run", file, "--plain", "--out", join(folder, "damaged-run")]);
    expect(code).toBe(0);
    expect(stdout).toMatch(/^warning: small: its Q4_0 file in the cache is damaged and is made anew$/m);
    expect((await made()).notes).toEqual([]);
  });
});
