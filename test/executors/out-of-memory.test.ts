import { mkdirSync, readFileSync, rmdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { eventsOf, smollm2, someText, start, temporaryFolder, verdicts } from "../support.js";

// Memory that runs out all the same: what was planned did not know of what else would want it.
const folder = temporaryFolder();

/** A group of processes that may take so much, where this system and user can make one. */
function limitedTo(bytes: number): string | undefined {
  for (const [root, limit] of [
    ["/sys/fs/cgroup/memory", "memory.limit_in_bytes"],
    ["/sys/fs/cgroup", "memory.max"],
  ] as const) {
    const group = join(root, `gguf-bench-test-${process.pid}`);
    try {
      mkdirSync(group);
      writeFileSync(join(group, limit), String(bytes));
      return group;
    } catch {
      try {
        rmdirSync(group);
      } catch {
        // It was never there.
      }
    }
  }
  return undefined;
}

const group = process.platform === "linux" && smollm2 ? limitedTo(1e9) : undefined;
afterAll(() => {
  if (group) rmdirSync(group);
});

describe(`an engine that the kernel ends for want of memory${group ? "" : " (needs root, cgroups and the model)"}`, () => {
  it.skipIf(!group)("is one failed cell; the others are measured", { timeout: 300_000 }, async () => {
    writeFileSync(join(folder, "text.txt"), someText(60_000));
    const file = join(folder, "large.yaml");
    // Rows of logits of 4 windows of 4096 tokens take 1.6 GB; the limit is told to nobody.
    writeFileSync(
      file,
      `
memoryLimit: 100GB
defaults: {threads: 1}
variants:
  model: {model: ${JSON.stringify(smollm2)}}
measurements:
  small: {measurement: perplexity, text: text.txt, context: 128, chunks: 4}
  large: {measurement: perplexity, text: text.txt, context: 4096}
  after: {measurement: perplexity, text: text.txt, context: 256, chunks: 2}
`,
    );
    writeFileSync(file, readFileSync(file, "utf8").replace("{model: ", "{batch: 16384, ubatch: 16384, model: "));
    const out = join(folder, "large");
    const { child, ended } = start(["run", file, "--plain", "--out", out]);
    writeFileSync(join(group!, "cgroup.procs"), String(child.pid));
    const { code, signal, stderr } = await ended;
    expect({ code, signal, stderr }).toEqual({ code: 2, signal: null, stderr: "" });
    const said = verdicts(eventsOf(out));
    expect(said).toMatchObject({ "model small": "done", "model after": "done" });
    expect(said["model large"]).toMatch(
      /^the engine of model was killed \(SIGKILL\) while measuring perplexity.*, most likely for want of memory\.$/,
    );
  });
});
