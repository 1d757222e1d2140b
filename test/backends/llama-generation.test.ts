import { afterAll, expect, it } from "vitest";
import type { Answer, Engine, GenerationRequest, Prompt } from "../../dist/backends/backend.js";
import { findBackend } from "../../dist/backends/index.js";
import { BenchError } from "../../dist/errors.js";
import { someText, temporaryFolder, writeRandomLlama } from "../support.js";

const folder = temporaryFolder();
const engines: Engine[] = [];
afterAll(async () => {
  for (const engine of engines) await engine.close();
});

const textValue = (text: string) => {
  const head = Buffer.alloc(12);
  head.writeUInt32LE(8, 0);
  head.writeBigUInt64LE(BigInt(Buffer.byteLength(text)), 4);
  return Buffer.concat([head, Buffer.from(text)]);
};
const no = Buffer.from([7, 0, 0, 0, 0]);

/** A model with this chat template, whose vocabulary is bytes and `<s>`. */
async function withTemplate(name: string, template: string | undefined, more: Record<string, Buffer> = {}) {
  const metadata = { ...(template === undefined ? {} : { "tokenizer.chat_template": textValue(template) }), ...more };
  const model = writeRandomLlama(folder, name, { metadata });
  const backend = await findBackend("llama");
  const engine = await backend.open({ name, model, backend: "llama", settings: { threads: 1 } });
  engines.push(engine);
  return engine;
}

async function asked(engine: Engine, ...prompts: Prompt[]) {
  return written(engine, prompts, {});
}

async function written(engine: Engine, prompts: Prompt[], said: Partial<GenerationRequest>) {
  const answers: Answer[] = [];
  const request = { done: new Set<string>(), maxTokens: 2, stop: [], temperature: 0, seed: 1, progress() {} };
  for await (const one of engine.generation!.answer(prompts, { ...request, ...said })) answers.push(one);
  return answers.sort((a, b) => Number(a.id) - Number(b.id));
}

const says = (content: string): Prompt => ({ id: "0", messages: [{ role: "user", content }] });
const plain = "{{ messages[0].content }}";

it("BOS stands once, whether the template writes it, the vocabulary adds it, or both", async () => {
  const count = async (engine: Engine) => (await asked(engine, says("ab")))[0]!.promptTokens;
  expect(await count(await withTemplate("both", `{{ bos_token }}${plain}`))).toBe(3);
  expect(await count(await withTemplate("added", plain))).toBe(3);
  const without = { "tokenizer.ggml.add_bos_token": no };
  expect(await count(await withTemplate("written", `{{ bos_token }}${plain}`, without))).toBe(3);
  expect(await count(await withTemplate("none", plain, without))).toBe(2);
});

it("special tokens are parsed in a conversation, and in no other text", async () => {
  const engine = await withTemplate("special", `${plain}{{ eos_token }}`);
  const [conversation] = await asked(engine, says("ab"));
  expect(conversation!.promptTokens).toBe(4);
  const [text] = await asked(engine, { id: "0", text: "ab<s>" });
  expect(text!.promptTokens).toBe(6);
});

it("a text and the conversation of the same tokens are answered alike", async () => {
  const engine = await withTemplate("alike", plain);
  const [conversation, text] = [
    await asked(engine, says("The cat")),
    await asked(engine, { id: "0", text: "The cat" }),
  ];
  expect(conversation).toEqual(text);
});

it("without a template there are no conversations; one that fails ends the job with a sentence", async () => {
  const without = await withTemplate("without", undefined);
  expect(without.generation!.chats).toBe(false);
  expect(await asked(without, says("ab"))).toMatchObject([
    { unanswerable: "the model has no chat template", text: "" },
  ]);
  const failing = await withTemplate("failing", "{{ raise_exception('no users') }}");
  expect(failing.generation!.chats).toBe(true);
  await expect(asked(failing, says("ab"))).rejects.toBeInstanceOf(BenchError);
  await expect(asked(failing, says("ab"))).rejects.toThrow(/the chat template of .*failing\.gguf fails: no users/);
});

const shapes: [what: string, options: Parameters<typeof writeRandomLlama>[2], settings: Record<string, unknown>][] = [
  ["a sliding window", { window: 16 }, {}],
  ["micro-batches of 3 tokens", {}, { ubatch: 3 }],
  ["no flash attention", {}, { flashAttention: "off" }],
  ["prompts so long that few are written at once", { context: 16_384 }, {}],
];
it.each(shapes)("answers depend on no neighbour: %s", async (what, options, settings) => {
  const model = writeRandomLlama(folder, what, options);
  const backend = await findBackend("llama");
  const engine = await backend.open({ name: "v", model, backend: "llama", settings: { threads: 1, ...settings } });
  engines.push(engine);
  const long = what.startsWith("prompts") ? 4500 : 0;
  const prompts = Array.from({ length: 21 }, (_, i) => ({
    ...{ id: String(i), text: someText(10 + 7 * ((5 * i) % 21) + (i === 7 ? long : 0), i + 1) },
  }));
  for (const temperature of long > 0 ? [0] : [0, 1]) {
    const all = await written(engine, prompts, { temperature, maxTokens: 12 });
    expect(new Set(all.map(({ text }) => text)).size).toBeGreaterThan(6);
    for (const left of [["0"], ["3", "8"], ["1", "2", "5", "6", "7", "9", "10", "11"]]) {
      const done = new Set(prompts.flatMap(({ id }) => (left.includes(id) ? [] : id)));
      const rest = await written(engine, prompts, { temperature, maxTokens: 12, done });
      expect(rest).toEqual(all.filter(({ id }) => !done.has(id)));
    }
  }
});
