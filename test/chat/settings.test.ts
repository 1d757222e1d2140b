// biome-ignore-all lint/suspicious/noTemplateCurlyInString: ${…} is the placeholder of benchmark files
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { backendNames, findBackend } from "../../dist/backends/index.js";
import { quickBenchmark, readBenchmark } from "../../dist/benchmark/index.js";
import { templateKwargs } from "../../dist/commands/options.js";
import { measurements } from "../../dist/measurements/index.js";
import { temporaryFolder } from "../support.js";

const folder = temporaryFolder();

function variants(yaml: string) {
  const file = join(folder, "b.yaml");
  writeFileSync(file, `variants:\n${yaml}measurements: {speed: {}}\n`);
  return readBenchmark(file, { measurements }).then(({ variants }) => variants);
}

it("the template's variables are an axis by which variants differ, whatever they run on", async () => {
  const all = await variants(
    `  "q-\${thinking}": {model: a.gguf, matrix: {thinking: [true, false]}, templateKwargs: {enable_thinking: "\${thinking}"}}
  ollama: {model: "ollama:q", templateKwargs: {enable_thinking: false}, conversationDay: 2025-01-31}
  server: {model: "openai:http://h:1/v1", templateKwargs: {reasoning_effort: low}}
`,
  );
  expect(all.map(({ name, settings }) => [name, settings])).toEqual([
    ["q-true", { templateKwargs: { enable_thinking: true } }],
    ["q-false", { templateKwargs: { enable_thinking: false } }],
    ["ollama", { templateKwargs: { enable_thinking: false }, conversationDay: "2025-01-31" }],
    ["server", { templateKwargs: { reasoning_effort: "low" } }],
  ]);
});

it("the template's variables are a flag, too", async () => {
  const flag = ["enable_thinking=false", "reasoning_effort=low", "budget=1024", "note=a=b"];
  const said = flag.reduce<ReturnType<typeof templateKwargs>>((before, one) => templateKwargs(one, before), {});
  expect(said).toEqual({ enable_thinking: false, reasoning_effort: "low", budget: 1024, note: "a=b" });
  expect(() => templateKwargs("thinking")).toThrow("NAME=VALUE is expected");
  expect(() => templateKwargs("a-b=1")).toThrow("NAME=VALUE is expected");
  const model = join(folder, "a.gguf");
  const quick = (kwargs: object) =>
    quickBenchmark({ measurements, models: [model], measures: ["speed"], flags: { templateKwargs: kwargs } });
  expect((await quick(said)).variants[0]!.settings).toEqual({ templateKwargs: said });
  await expect(quick({ messages: "a" })).rejects.toThrow(/`messages` belongs to the conversation itself/);
});

it("they and the day decide digits, and not what is loaded", async () => {
  for (const name of ["llama", "openai", "ollama"]) {
    expect(backendNames).toContain(name);
    const { settingsFacts } = await findBackend(name);
    const [plain, thinking, dated] = [
      {},
      { templateKwargs: { enable_thinking: false } },
      { conversationDay: "2025-01-31" },
    ].map((own) => settingsFacts(own));
    expect(thinking!.digits).toEqual({ ...plain!.digits, templateKwargs: { enable_thinking: false } });
    expect(dated!.digits).toEqual({ ...plain!.digits, conversationDay: "2025-01-31" });
    expect(thinking!.load).toEqual(plain!.load);
  }
});

it.each([
  ["templateKwargs: {messages: a}", /`messages` belongs to the conversation itself/],
  ["templateKwargs: {a-b: 1}", /`a-b` is no variable of a template/],
  ["templateKwargs: {a: [1]}", /`a` must be text or a number or true or false/],
  ["conversationDay: tomorrow", /no day: write YYYY-MM-DD/],
  ["conversationDay: 2025-02-30", /no day: write YYYY-MM-DD/],
])("%s is refused", async (said, why) => {
  const error = await variants(`  q: {model: a.gguf, ${said}}\n`).catch((error) => error);
  expect(error.code).toBe("config");
  expect(error.message).toMatch(why);
  expect(error.message.length).toBeLessThan(200);
});
