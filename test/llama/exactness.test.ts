import { execFile } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { describe, expect, it } from "vitest";
import { readTokens } from "../../dist/store/index.js";
import {
  bench,
  eventsOf,
  llamaPerplexity,
  smollm2,
  someText,
  temporaryFolder,
  wikitext,
  writeRandomLlama,
} from "../support.js";

// llama-perplexity on the very libraries that the package ships: whatever differs then is ours.
const folder = temporaryFolder();
const random = writeRandomLlama(folder, "random");
const text = join(folder, "text.txt");
// A final line feed, which llama-perplexity takes away.
writeFileSync(text, `${someText(9000)}\n`);
// Enough for 2,600 tokens; the whole takes longer to tokenize than these to decode.
const excerpt = join(folder, "excerpt.txt");
if (wikitext)
  writeFileSync(
    excerpt,
    readFileSync(wikitext)
      .subarray(0, 16_384)
      .toString()
      .replace(/\ufffd$/, ""),
  );

interface Printed {
  /** The perplexity after each chunk, four decimals. */
  running: string[];
  final: string;
  error: string;
}

async function theirs(
  model: string,
  file: string,
  context: number,
  chunks: number,
  ...more: string[]
): Promise<Printed> {
  const flags = ["-m", model, "-f", file, "-c", String(context), "--chunks", String(chunks), "-t", "1", ...more];
  for (let tries = 1; ; tries++) {
    const { stdout, stderr } = await promisify(execFile)(llamaPerplexity!, flags, { maxBuffer: 1 << 26 });
    const said = stdout + stderr;
    const match = said.match(/Final estimate: PPL = (\S+) \+\/- (\S+)/);
    // It logs from a thread of its own, and on a busy machine may end before its last line is out.
    const whole = more.length > 0 ? said.includes(`[${chunks}]`) : match;
    if (!whole && tries < 8) continue;
    const running = [...said.matchAll(/\[\d+\](\d+\.\d{4})/g)].map(([, value]) => value!);
    return { running, final: match?.[1] ?? "", error: match?.[2] ?? "" };
  }
}

/** The perplexity after each chunk of a run, four decimals. */
function runningOf(out: string): string[] {
  let [sum, weight] = [0, 0];
  const running: string[] = [];
  for (const event of eventsOf(out))
    for (const sample of event.type === "samples" ? event.samples : [])
      if (sample.metric === "perplexity") {
        sum += sample.value * sample.weight;
        weight += sample.weight;
        running.push(Math.exp(sum / weight).toFixed(4));
      }
  return running;
}

async function ours(out: string, model: string, file: string, context: number, chunks: number): Promise<Printed> {
  const asked = ["--text", file, "--context", String(context), "--chunks", String(chunks), "--threads", "1"];
  const { code, stderr } = await bench(["run", "--model", model, ...asked, "--out", out, "--plain"]);
  expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
  const running = runningOf(out);
  const rows = readFileSync(join(out, "table-long.csv"), "utf8").split("\n");
  const [value, error] = rows
    .map((row) => row.split(",").slice(4))
    .find(([metric]) => metric === "perplexity")!
    .slice(1);
  return { running, final: Number(value).toFixed(4), error: Number(error).toFixed(5) };
}

const shapes: [context: number, chunks: number][] = [
  [512, 2],
  [1024, 2],
  // Three windows side by side.
  [640, 3],
];
// A real model takes its time: all shapes where the peers are asked for by name, else one.
const thorough = process.env.BENCH_PEERS !== undefined;

describe.skipIf(!llamaPerplexity)(
  `equal to llama-perplexity to the printed digit${llamaPerplexity ? "" : " (not on this machine)"}`,
  () => {
    for (const [context, chunks] of [...shapes, [640, 4], [96, 25], [100, 7], [2048, 1], [8, 300]] as const)
      it(`random weights, ${chunks} × ${context}`, async () => {
        const out = join(folder, `random-${context}-${chunks}`);
        const [got, want] = [
          await ours(out, random, text, context, chunks),
          await theirs(random, text, context, chunks),
        ];
        // Some 330 ± 10: the seventh digit is printed, more than the single precision of an exp holds.
        expect(got.running.length).toBe(want.running.length);
        const pairs = [...got.running.keys()].map((i) => [got.running[i]!, want.running[i]!] as const);
        for (const [a, b] of [...pairs, [got.final, want.final] as const, [got.error, want.error] as const])
          expect(Math.abs(Number(a) / Number(b) - 1), `${a} and ${b}`).toBeLessThan(2e-6);
      });

    it("random weights, every token with a stride", async () => {
      const yaml = join(folder, "stride.yaml");
      const asked = "{text: text.txt, context: 512, stride: 256, chunks: 9}";
      writeFileSync(
        yaml,
        `variants: {a: {model: random.gguf, threads: 1, batch: 384}}\nmeasurements: {perplexity: ${asked}}\n`,
      );
      const out = join(folder, "stride");
      expect(await bench(["run", yaml, "--plain", "--out", out])).toMatchObject({ code: 0, stderr: "" });
      // It adds half a stride to its context: 384 + 128.
      const want = await theirs(random, text, 384, 9, "-b", "384", "--ppl-stride", "256");
      const got = runningOf(out);
      expect(got).toHaveLength(9);
      for (const [i, value] of got.entries())
        expect(Math.abs(Number(value) / Number(want.running[i]) - 1)).toBeLessThan(2e-6);
    });

    for (const [context, chunks] of thorough ? shapes : shapes.slice(0, 1))
      it.skipIf(!smollm2 || !wikitext)(
        `SmolLM2 Q4_1 on WikiText-2, ${chunks} × ${context}`,
        { timeout: 600_000 },
        async () => {
          const out = join(folder, `smollm2-${context}`);
          expect(await ours(out, smollm2!, excerpt, context, chunks)).toEqual(
            await theirs(smollm2!, excerpt, context, chunks),
          );
        },
      );
  },
);

describe("special tokens that a text spells out", () => {
  const measured = async (name: string, content: string, more: string) => {
    writeFileSync(join(folder, `${name}.txt`), content);
    writeFileSync(
      join(folder, `${name}.yaml`),
      `variants: {a: {model: random.gguf, threads: 1}}\nmeasurements: {perplexity: {text: ${name}.txt, context: 64${more}}}\n`,
    );
    const out = join(folder, name);
    expect(await bench(["run", join(folder, `${name}.yaml`), "--plain", "--out", out])).toMatchObject({ code: 0 });
    return runningOf(out);
  };

  it("are text, or read as such where that is asked for", async () => {
    const spelt = Array.from({ length: 40 }, (_, i) => `<s>turn ${i} of them`).join("");
    const [plain, parsed] = [await measured("spelt", spelt, ""), await measured("parsed", spelt, ", special: parse")];
    expect(parsed.length).toBeLessThan(plain.length);
    expect(parsed.length).toBeGreaterThan(2);
    // Where none is spelt out, both are the same.
    const bare = spelt.replaceAll("<s>", " ");
    expect(await measured("bare", bare, ", special: parse")).toEqual(await measured("same", bare, ""));
  });
});

describe("what is kept of every token", () => {
  it("gives the samples: their mean, their square, their number", async () => {
    const out = join(folder, "kept");
    await ours(out, random, text, 128, 20);
    const samples = eventsOf(out).filter((event) => event.type === "samples" && event.tokens !== undefined);
    expect(samples).toHaveLength(20);
    for (const event of samples) {
      if (event.type !== "samples") continue;
      const nll = readTokens(out, event.job, "nll", event.tokens!.nll!);
      expect(nll).toHaveLength(63);
      const [sample] = event.samples;
      expect(sample!.value).toBe(nll.reduce((sum, value) => sum + value, 0) / nll.length);
      expect(sample!.square).toBeCloseTo(nll.reduce((sum, value) => sum + value * value, 0) / nll.length, 12);
    }
  });

  it("more windows side by side than a micro-batch has tokens", async () => {
    const yaml = join(folder, "narrow.yaml");
    writeFileSync(
      yaml,
      "variants: {a: {model: random.gguf, threads: 1, ubatch: 32}}\nmeasurements: {perplexity: {text: text.txt, context: 8, chunks: 300}}\n",
    );
    const out = join(folder, "narrow");
    expect(await bench(["run", yaml, "--plain", "--out", out])).toMatchObject({ code: 0, stderr: "" });
    expect(eventsOf(out).filter((event) => event.type === "samples" && event.tokens)).toHaveLength(300);
  });

  it("threads do not change a bit of it", async () => {
    const args = ["--text", text, "--context", "256", "--chunks", "12", "--plain"];
    const [one, two] = [join(folder, "one"), join(folder, "two")];
    await bench(["run", "--model", random, ...args, "--threads", "1", "--out", one]);
    await bench(["run", "--model", random, ...args, "--threads", "2", "--out", two]);
    const values = (out: string) =>
      eventsOf(out).flatMap((event) => (event.type === "samples" && event.tokens ? event.samples : []));
    expect(values(one)).toHaveLength(36);
    expect(values(two)).toEqual(values(one));
  });
});
