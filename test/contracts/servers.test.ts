import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type {
  Answer,
  Backend,
  Engine,
  GenerationRequest,
  OptionScores,
  Settings,
} from "../../dist/backends/backend.js";
import { partNames } from "../../dist/backends/backend.js";
import { findBackend } from "../../dist/backends/index.js";
import { BenchError } from "../../dist/errors.js";
import { realServer } from "../backends/real-server.js";
import { freePort, hasOllama, OllamaHere } from "../ollama-server.js";
import { llamaServer, smollm2, temporaryFolder } from "../support.js";

const folder = temporaryFolder();

interface Served {
  model: string;
  unknown: string;
  settings: Settings;
  stop(): Promise<void>;
}

/** A real server of each backend that asks one; absent where this machine has none. */
const servers: { backend: string; start?: () => Promise<Served> }[] = [
  {
    backend: "ollama",
    ...(hasOllama && smollm2
      ? {
          async start() {
            const server = new OllamaHere(folder, await freePort());
            await server.start();
            await server.create("smol", `FROM ${smollm2}\n`);
            const settings = { url: server.url, threads: 1, contextLength: 1024 };
            return { model: "ollama:smol", unknown: "ollama:nosuch", settings, stop: () => server.kill() };
          },
        }
      : {}),
  },
  {
    backend: "openai",
    ...(llamaServer && smollm2
      ? {
          async start() {
            const { url, kill } = await realServer(smollm2!);
            return {
              ...{ model: `openai:${url}/v1`, unknown: `openai:${url}/v1#nosuch`, stop: kill },
              settings: { concurrency: 1 },
            };
          },
        }
      : {}),
  },
];

for (const { backend: name, start } of servers)
  describe.skipIf(!start)(`${name}${start ? "" : " (not on this machine)"}`, () => {
    let backend: Backend;
    let served: Served;
    let engine: Engine;

    beforeAll(async () => {
      backend = await findBackend(name);
      served = await start!();
      const { model, settings } = served;
      const found = await backend.locate({ model }, { baseDir: folder }, settings);
      if (found.state !== "ready") throw new Error(`${model} is to be made first`);
      const { facts, lora, parts = backend.parts } = found;
      engine = await backend.open({
        name: "v",
        backend: name,
        model: found.model,
        settings,
        lora,
        ...(facts ? { facts } : {}),
      });
      for (const part of Object.keys(partNames) as (keyof typeof partNames)[])
        expect(engine[part] !== undefined, part).toBe(parts.includes(part));
    }, 180_000);
    afterAll(async () => {
      await engine?.close();
      await served?.stop();
    });

    it("says which version it is, before any model is opened, and the same when it is open", async () => {
      const { model, settings } = served;
      const { origin, gpu, started: _, ...version } = await backend.version({ model, settings });
      for (const text of [version.version, version.library, origin]) expect(text).toMatch(/\S/);
      expect(typeof gpu).toBe("boolean");
      expect(engine.facts).toMatchObject(version);
      expect(structuredClone(engine.facts)).toEqual(engine.facts);
    });

    it("what it gives in process, another backend has", async () => {
      const { through } = backend;
      if (!through) return;
      const other = await findBackend(through.backend);
      for (const part of through.parts) expect(other.parts).toContain(part);
      expect(() => other.settingsFacts(through.settings(served.settings)!)).not.toThrow();
    });

    it("a model that it does not have is one sentence and a remedy", async () => {
      const { unknown: model, settings } = served;
      const error = await backend.locate({ model }, { baseDir: folder }, settings).catch((thrown: unknown) => thrown);
      expect(error).toBeInstanceOf(BenchError);
      expect((error as BenchError).hint).toMatch(/\S/);
    });

    it("times prompts and generation, at a depth too", async () => {
      for (const test of [
        { prompt: 16, generate: 0, depth: 0 },
        { prompt: 0, generate: 4, depth: 0 },
        { prompt: 8, generate: 0, depth: 16 },
        { prompt: 0, generate: 4, depth: 32 },
      ]) {
        await engine.timing!.prepare(test);
        expect(await engine.timing!.time(test)).toBeGreaterThan(0);
      }
    }, 120_000);

    it("scores letters: those that are left, the same whatever is done already", async () => {
      const questions = ["2 + 2 =", "3 + 3 ="].map((sum, i) => ({
        ...{ id: String(i), delimiter: " ", options: ["A", "B"] },
        context: `${sum} ?\nA. ${i + 4}\nB. ${i + 5}\nAnswer:`,
      }));
      const asked = async (done: string[]) => {
        const found: OptionScores[] = [];
        const progress: number[] = [];
        const request = { done: new Set(done), progress: (count: number) => progress.push(count) };
        for await (const one of engine.letters!.score(questions, request)) found.push(one);
        expect(progress.at(-1)).toBe(2);
        return found.sort((a, b) => Number(a.id) - Number(b.id));
      };
      const all = await asked([]);
      expect(all.map(({ id, unanswerable }) => [id, unanswerable])).toEqual([
        ["0", undefined],
        ["1", undefined],
      ]);
      for (const { options } of all) for (const { sum } of options) expect(sum).toBeLessThan(0);
      const [left, ...none] = await asked(["0"]);
      expect(none).toEqual([]);
      // What the server has in its cache shapes its batches.
      for (const [i, { sum }] of left!.options.entries()) expect(sum).toBeCloseTo(all[1]!.options[i]!.sum, 1);
    }, 60_000);

    it("answers: all that are left, counted, the same twice", async () => {
      const prompts = ["Once upon a time", "1, 2, 3, 4,"].map((text, i) => ({ id: String(i), text }));
      const asked = async (more: Partial<GenerationRequest>) => {
        const found: Answer[] = [];
        const request = { done: new Set<string>(), maxTokens: 8, stop: [], temperature: 0, seed: 1, progress() {} };
        for await (const one of engine.generation!.answer(prompts, { ...request, ...more })) found.push(one);
        return found.sort((a, b) => Number(a.id) - Number(b.id));
      };
      const all = await asked({});
      expect(all.map(({ id, finish, tokens }) => [id, finish, tokens])).toEqual([
        ["0", "length", 8],
        ["1", "length", 8],
      ]);
      for (const { promptTokens } of all) expect(promptTokens).toBeGreaterThan(2);
      expect(await asked({})).toEqual(all);
      expect(await asked({ done: new Set(["0"]) })).toEqual(all.slice(1));
      const [, cut] = await asked({ stop: [","] });
      expect(cut).toMatchObject({ finish: "stop", text: all[1]!.text.slice(0, all[1]!.text.indexOf(",")) });
    }, 60_000);

    it("a part that is left in the middle leaves the engine fit for the next", async () => {
      const prompts = Array.from({ length: 20 }, (_, i) => ({ id: String(i), text: `Number ${i}:` }));
      const request = { done: new Set<string>(), maxTokens: 4, stop: [], temperature: 0, seed: 1, progress() {} };
      for await (const _ of engine.generation!.answer(prompts, request)) break;
      let answers = 0;
      for await (const _ of engine.generation!.answer(prompts.slice(0, 2), request)) answers++;
      expect(answers).toBe(2);
    }, 60_000);
  });
