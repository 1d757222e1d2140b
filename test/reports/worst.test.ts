import { readFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { page } from "../../dist/reports/html/index.js";
import { markdown } from "../../dist/reports/markdown.js";
import { temporaryFolder } from "../support.js";
import { ladderRun } from "./ladder-run.js";

describe("the worst tokens in their text", () => {
  const folder = temporaryFolder();
  let facts: Awaited<ReturnType<typeof ladderRun>>["facts"];
  beforeAll(async () => {
    ({ facts } = await ladderRun(folder));
  });
  const others = () => facts.divergences.filter(({ job }) => job.against !== job.variant);

  test("each stands where the tokens' values say, and the text has it there", () => {
    const text = readFileSync(join(folder, "text.txt"), "utf8");
    expect(others()).toHaveLength(7);
    for (const { where, job } of others()) {
      const told = where!.worst.filter((one) => one.text);
      // On the mock all positions are alike: the first three of the first chunk.
      expect(told.length).toBeGreaterThanOrEqual(3);
      // The most distant one of all is the most distant one of its chunk.
      expect(where!.worst[0]!.text).toBeDefined();
      for (const { item, place, distance, text: words } of told) {
        const { before, token, distance: same } = words!;
        expect(same / distance).toBeCloseTo(1, 4);
        expect([...before].length).toBe(40);
        // One byte a token, BOS at the very beginning: chunks of 256, scored from their middle on.
        const at = Number(item) * 256 + 128 + place;
        expect(text.slice(at - 40, at + 1), job.variant).toBe(before + token);
      }
    }
  });

  test("table.md and the page tell them, whatever the text holds, without obeying it", async () => {
    const said = () => [markdown(facts), page(facts, [])] as const;
    for (const told of said()) expect(told).toContain("the reference says");
    const { text } = others()[1]!.where!.worst[0]!;
    Object.assign(text!, { before: "<img src=x onerror=alert(1)>\n| a |", token: " </td>\u202e", variant: "@all `x`" });
    const [table, html] = said();
    expect(table).toContain("&lt;img src=x onerror=alert(1)&gt;↵\\| a \\|");
    expect(html).toContain("&lt;img src=x onerror=alert(1)&gt;↵| a |");
    expect(html).toContain("␣&lt;/td&gt;\ufffd");
    for (const one of [table, html]) expect(one).not.toMatch(/<img|\u202e/);
    expect(table).toContain("@<!-- -->all \\`x\\`");
  });
});
