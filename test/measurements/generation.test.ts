import { describe, expect, it } from "vitest";
import type { Answer, Generation, GenerationRequest, Prompt } from "../../dist/backends/backend.js";
import type { GenerationDataset, GenerationItem } from "../../dist/data/index.js";
import type { Measured } from "../../dist/events.js";
import { measurements } from "../../dist/measurements/index.js";
import { scoreRule } from "../../dist/scores/index.js";

const member = measurements.generation!;
const scores = [
  { by: "exact", extract: { first: "#### ([0-9]+)" } },
  { by: "exact", metric: "exact_match_flexible", extract: { last: "[0-9]+" } },
].map((rule) => scoreRule.parse(rule));

/** What it is asked, and answers that are given. */
async function measured(
  items: GenerationItem[],
  says: (prompt: Prompt) => Partial<Answer>,
  { chats = true, done = [] as string[], settings = {}, data = {} as Partial<GenerationDataset> } = {},
) {
  const asked: Prompt[] = [];
  let requested: GenerationRequest | undefined;
  const generation: Generation = {
    chats,
    truncates: true,
    penalizes: true,
    async *answer(prompts, request) {
      requested = request;
      for (const prompt of prompts) {
        if (request.done.has(prompt.id)) continue;
        asked.push(prompt);
        yield { ...{ id: prompt.id, text: "", finish: "end", promptTokens: 9, tokens: 3 }, ...says(prompt) };
      }
    },
  };
  if (!("measure" in member)) throw new Error("it is measured on one engine");
  const context = {
    ...{ engine: { generation }, settings: member.settings.parse(settings), done: new Set(done), progress() {} },
    data: { kind: "generation", name: "n", items, maxTokens: 50, stop: ["Q:"], scores, ...data },
  };
  const found: Measured[] = [];
  for await (const one of member.measure(context as never)) found.push(one);
  return { found, asked, request: requested! };
}

const item = (id: string, more: Partial<GenerationItem> = {}): GenerationItem => ({
  ...{ id, text: `Question ${id}`, answers: ["42"] },
  ...more,
});
const values = ({ samples }: Measured) => Object.fromEntries(samples.map(({ metric, value }) => [metric, value]));

describe("answers in words", () => {
  it("are scored by each rule, and what they are is kept", async () => {
    const { found, request } = await measured([item("0", { cluster: "sums" })], () => ({ text: "so\n#### 42" }));
    expect(values(found[0]!)).toEqual({ exact_match: 1, exact_match_flexible: 1 });
    expect(found[0]).toMatchObject({ item: "0", cluster: "sums" });
    expect(found[0]!.detail).toMatchObject({
      ...{ gold: ["42"], text: "so\n#### 42", finish: "end", promptTokens: 9, tokens: 3 },
      extracted: { exact_match: "42", exact_match_flexible: "42" },
      prompt: expect.stringMatching(/^[0-9a-f]{16}$/),
    });
    expect(request).toMatchObject({ maxTokens: 50, stop: ["Q:"], temperature: 0, show: "0" });
    const asked = { data: { truncate: 3584 }, settings: { maxTokens: 7, repetitionPenalty: 1.1 } };
    expect((await measured([item("0")], () => ({}), asked)).request).toMatchObject({
      ...{ maxTokens: 7, truncate: 3584, repetitionPenalty: 1.1 },
    });
    const shorter = { ...asked, settings: { truncate: 600 } };
    expect((await measured([item("0")], () => ({}), shorter)).request).toMatchObject({ maxTokens: 50, truncate: 600 });
  });

  it("without anything to score are wrong and counted; those cut off are counted and scored", async () => {
    const says: Record<string, Partial<Answer>> = {
      "0": { text: "I do not know" },
      "1": { text: "it is 42", finish: "length" },
      "2": { text: "#### 42 and", finish: "length" },
      "3": { unanswerable: "too long" },
    };
    const { found } = await measured(
      ["0", "1", "2", "3"].map((id) => item(id)),
      ({ id }) => says[id]!,
    );
    expect(found.map(values)).toEqual([
      { exact_match: 0, exact_match_flexible: 0, unparsed: 1 },
      { exact_match: 0, exact_match_flexible: 1, unparsed: 1, cut_off: 1 },
      { exact_match: 1, exact_match_flexible: 1, cut_off: 1 },
      { unanswerable: 1 },
    ]);
    expect(found[3]!.unanswerable).toBe("too long");
  });

  it("are scored without their thoughts", async () => {
    const says: Record<string, Partial<Answer>> = {
      "0": { text: "<think>#### 7 or 9?</think>\n#### 42" },
      "1": { text: "perhaps #### 42", thinks: true, finish: "length" },
      "2": { text: "<think>\n\n</think>\n\n#### 42" },
    };
    const { found } = await measured(
      ["0", "1", "2"].map((id) => item(id)),
      ({ id }) => says[id]!,
    );
    expect(found.map(values)).toEqual([
      { exact_match: 1, exact_match_flexible: 1, thoughts: 1 },
      { exact_match: 0, exact_match_flexible: 0, thoughts: 1, unparsed: 1, cut_off: 1 },
      { exact_match: 1, exact_match_flexible: 1 },
    ]);
  });

  it("without a key have no score, and are counted", async () => {
    const { found } = await measured([item("0", { answers: [] })], () => ({ text: "#### 42" }));
    expect(found[0]!.samples).toEqual([{ metric: "ungraded", value: 1, weight: 1 }]);
    expect(found[0]!.detail).toMatchObject({ text: "#### 42" });
  });

  it("are asked for as texts or as conversations", async () => {
    const said = [{ role: "user" as const, content: "Question 0" }];
    const both = item("0", { messages: said });
    const spoken: GenerationItem = { id: "0", messages: said, answers: ["42"] };
    const [text, messages] = [
      { id: "0", text: "Question 0" },
      { id: "0", messages: said },
    ];
    const askedAs = async (one: GenerationItem, template: string | undefined, chats: boolean) =>
      (await measured([one], () => ({}), { chats, settings: template ? { template } : {} })).asked[0];
    expect(await askedAs(item("0"), undefined, true)).toEqual(text);
    expect(await askedAs(item("0"), "model", true)).toEqual(messages);
    expect(await askedAs(item("0"), "model", false)).toEqual(text);
    expect(await askedAs(both, undefined, true)).toEqual(messages);
    expect(await askedAs(both, undefined, false)).toEqual(text);
    expect(await askedAs(both, "none", true)).toEqual(text);
    expect(await askedAs(spoken, undefined, true)).toEqual(messages);
    const { found, asked } = await measured([spoken], () => ({}), { settings: { template: "none" } });
    expect(asked).toEqual([]);
    expect(found[0]!.unanswerable).toMatch(/conversation/);
  });

  it("are of the first questions, and of those that are not done", async () => {
    const items = ["0", "1", "2", "3"].map((id) => item(id));
    const { found } = await measured(items, () => ({ text: "#### 1" }), { done: ["1"], settings: { limit: 3 } });
    expect(found.map((one) => one.item)).toEqual(["0", "2"]);
  });

  it("cost what their prompts and answers take", () => {
    const data = { items: [item("0"), item("1", { text: "长".repeat(9000) })], maxTokens: 50, truncate: 3584, scores };
    const cost = member.cost({}, data as never, { batch: 512, ubatch: 512, trained: 8192 });
    expect(cost.context).toBeGreaterThan(3584 + 50);
    expect(cost.context).toBeLessThan(3584 + 50 + 1000);
    expect(cost.parallel).toBe(4);
    expect(cost.generated).toBe(100);
    expect(member.metrics({}, data as never)).toEqual([
      "exact_match",
      "exact_match_flexible",
      "unparsed",
      "cut_off",
      "thoughts",
    ]);
  });

  it("draws are asked for at a temperature alone", () => {
    expect(member.settings.safeParse({ topK: 40 }).success).toBe(false);
    expect(member.settings.safeParse({ topK: 40, topP: 0.95, temperature: 0.2, seed: 42 }).success).toBe(true);
  });
});
