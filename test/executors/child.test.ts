import { describe, expect, it } from "vitest";
import { childExecutor, type Executor, type MeasureReply, type OpenedEngine } from "../../dist/executors/index.js";
import { someText } from "../support.js";

const text = someText(9000);
const request = {
  kind: "perplexity",
  settings: { context: 64 },
  dataset: { kind: "text", name: "t", path: "t", sha256: "", bytes: 1, text } as const,
  done: [],
};

async function withEngine<T>(
  model: string,
  use: (engine: OpenedEngine, executor: Executor) => Promise<T>,
  timeout = 20,
) {
  const executor = childExecutor();
  try {
    const spec = { name: "v", model, backend: "mock", settings: {} };
    return await use(await executor.open(spec, { timeout }), executor);
  } finally {
    await executor.close();
  }
}

async function replies(engine: OpenedEngine, more: object = {}): Promise<MeasureReply[]> {
  const all: MeasureReply[] = [];
  for await (const reply of engine.measure({ ...request, ...more })) all.push(reply);
  return all;
}

const items = (all: MeasureReply[]) => all.flatMap((reply) => (reply.type === "measured" ? [reply.item] : []));

describe("an engine in a process of its own", () => {
  it("measures as it is asked, values whole, and says when it is complete", async () => {
    await withEngine("mock:seed=1", async (engine) => {
      expect(engine.facts).toMatchObject({ version: "mock 1", vocabulary: 257 });
      const all = await replies(engine);
      expect(all.at(-1)).toMatchObject({ type: "complete" });
      const [first] = all.filter((reply) => reply.type === "measured");
      expect(first!.type === "measured" && first!.tokens!.nll).toBeInstanceOf(Float64Array);
      const only = await replies(engine, { done: items(all).slice(1) });
      expect(items(only)).toEqual(["0"]);
      await engine.close();
      expect(engine.alive).toBe(false);
    });
  });

  it("stops after the item at hand, without a word of completion", async () => {
    await withEngine("mock:seed=1,delay=0.2", async (engine, executor) => {
      const all: MeasureReply[] = [];
      for await (const reply of engine.measure(request)) {
        all.push(reply);
        if (reply.type === "measured") executor.stop();
      }
      expect(items(all).length).toBeGreaterThan(0);
      expect(all.some((reply) => reply.type === "complete")).toBe(false);
    });
  });

  it("a crash is an error that names signal and deed; what came before it is not lost", async () => {
    await withEngine("mock:seed=1,crash=2", async (engine) => {
      const all: MeasureReply[] = [];
      const broken = (async () => {
        for await (const reply of engine.measure(request)) all.push(reply);
      })();
      await expect(broken).rejects.toMatchObject({
        code: "engine-crashed",
        message: "the engine of v crashed (SIGSEGV) while measuring perplexity.",
      });
      expect(items(all)).toHaveLength(32);
      expect(engine.alive).toBe(false);
    });
  });

  it("silence is an error after the timeout, and the engine is not alive from then on", async () => {
    await withEngine(
      "mock:seed=1,hang=1",
      async (engine) => {
        await expect(replies(engine)).rejects.toMatchObject({
          code: "timeout",
          message: expect.stringMatching(/for 10 s/),
        });
        expect(engine.alive).toBe(false);
      },
      // The engine's process must have started by then, on a busy machine, too.
      10,
    );
  });

  it("a model that cannot be loaded is the engine's own sentence", async () => {
    const attempt = withEngine("mock:broken=1", async () => {});
    await expect(attempt).rejects.toMatchObject({ code: "load-failed", message: "mock:broken=1 cannot be loaded." });
  });

  it("an error of one measurement leaves the engine for the next", async () => {
    await withEngine("mock:seed=1", async (engine) => {
      const short = replies(engine, { dataset: { ...request.dataset, text: "short" } });
      await expect(short).rejects.toMatchObject({ code: "text-too-short" });
      expect(engine.alive).toBe(true);
      expect(items(await replies(engine)).length).toBeGreaterThan(100);
    });
  });

  it("closing the executor ends engines that hang", async () => {
    const executor = childExecutor();
    const spec = { name: "v", model: "mock:hang=1", backend: "mock", settings: {} };
    const engine = await executor.open(spec, { timeout: 60 });
    const measured = replies(engine).catch((error) => error);
    await executor.close();
    expect(await measured).toMatchObject({ code: "stopped" });
  });
});
