import { copyFileSync, readFileSync, renameSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { findBackend } from "../../dist/backends/index.js";
import { childExecutor } from "../../dist/executors/index.js";
import { randomAdapter } from "../models/random-llama.js";
import { here, someText, temporaryFolder, writeRandomLlama } from "../support.js";

const folder = temporaryFolder();
process.env.GGUF_BENCH_CACHE = join(folder, "cache");
const other = writeRandomLlama(folder, "other", { seed: 2 });
writeFileSync(join(folder, "other-adapter"), randomAdapter({ seed: 9 }));
const executor = childExecutor();
afterAll(() => executor.close());

let count = 0;
async function read(lora = false) {
  const name = `m${count++}`;
  const model = writeRandomLlama(folder, name);
  const adapter = join(folder, `${name}-adapter.gguf`);
  writeFileSync(adapter, randomAdapter());
  const backend = await findBackend("llama");
  const asked = { model, ...(lora ? { lora: [{ path: adapter, scale: 1 }] } : {}) };
  const found = await here(backend, asked, folder);
  const { state: _, weights: __, ...files } = found;
  return { adapter, spec: { name, backend: "llama", settings: { threads: 1 }, ...files } };
}

const request = {
  kind: "perplexity",
  settings: { context: 64 },
  dataset: { kind: "text", name: "t", path: "t", sha256: "", bytes: 1, text: someText(2000) } as const,
  done: [],
};

async function items(spec: Awaited<ReturnType<typeof read>>["spec"], meanwhile: () => void) {
  const engine = await executor.open(spec, { timeout: 60 });
  const measured: string[] = [];
  try {
    meanwhile();
    for await (const reply of engine.measure(request)) if (reply.type === "measured") measured.push(reply.item);
  } catch (error) {
    expect(measured).toEqual([]);
    throw error;
  } finally {
    await engine.close();
  }
  return measured.length;
}

const replaced = (from: string, to: string) => {
  copyFileSync(from, `${to}.new`);
  renameSync(`${to}.new`, to);
};
const flipped = (path: string) => {
  const bytes = readFileSync(path);
  bytes[bytes.length - 5]! ^= 0x55;
  writeFileSync(path, bytes);
};

describe("a file that changed after the plan had read it gives no figure", () => {
  const changes: Record<string, (model: string, adapter: string) => void> = {
    "another model under its name": (model) => replaced(other, model),
    "one byte, in place": (model) => flipped(model),
    gone: (model) => rmSync(model),
    "another adapter under its name": (_, adapter) => replaced(join(folder, "other-adapter"), adapter),
    "one byte of the adapter": (_, adapter) => flipped(adapter),
  };
  for (const [what, change] of Object.entries(changes)) {
    const said = what === "gone" ? /was moved or deleted after this run/ : /was replaced or changed after this run/;
    it(`before it is opened: ${what}`, async () => {
      const { spec, adapter } = await read(true);
      change(spec.model, adapter);
      await expect(executor.open(spec, { timeout: 60 })).rejects.toThrow(said);
    });
    it(`while it is open: ${what}`, async () => {
      const { spec, adapter } = await read(true);
      await expect(items(spec, () => change(spec.model, adapter))).rejects.toThrow(said);
    });
  }

  it("but the same bytes do, whatever the clock says of them", async () => {
    const { spec } = await read();
    const same = () => {
      replaced(spec.model, spec.model);
      utimesSync(spec.model, 1, 1);
    };
    expect(await items(spec, same)).toBeGreaterThan(1);
  });
});
