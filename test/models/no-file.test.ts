import { execFileSync } from "node:child_process";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { llamaSettingsFacts } from "../../dist/backends/llama/settings.js";
import { missingCard } from "../../dist/llama/location.js";
import { namedModels } from "../../dist/models/folder.js";
import { temporaryFolder } from "../support.js";

const folder = temporaryFolder();

describe("what is no file", () => {
  it("is said, and nobody waits for it", async () => {
    const pipe = join(folder, "pipe.gguf");
    execFileSync("mkfifo", [pipe]);
    expect((await namedModels([pipe])).models).toEqual([pipe]);
    const empty = join(folder, "empty.gguf");
    mkdirSync(empty);
    expect((await namedModels([pipe, empty])).models).toEqual([pipe, empty]);
    await expect(namedModels([empty])).rejects.toThrow(/holds no \.gguf file/);
  });
  it.each(["cuda", "vulkan", "metal"])("a card that is not there is not possible: %s", (gpu) => {
    if (missingCard(gpu as "cuda") === undefined) return;
    expect(llamaSettingsFacts({ gpu }).impossible).toMatch(`gpu: ${gpu} is asked for`);
  });
});
