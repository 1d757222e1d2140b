import { z } from "zod";
import { BenchError } from "../../errors.js";
import type { SpeedTest, Timing } from "../backend.js";
import type { ToolModel } from "./model.js";

/** What is read of llama-bench's JSON: one test, its repetitions in nanoseconds. */
const benchForm = z
  .array(z.object({ n_prompt: z.int(), n_gen: z.int(), samples_ns: z.array(z.number().positive()).length(1) }))
  .length(1);

/** Prompts and generation, timed by llama-bench: one repetition each time, after its own warm-up, so that variants take turns. */
export class ToolTiming implements Timing {
  constructor(private readonly model: ToolModel) {}

  /** The program loads the model and warms up each time. */
  async prepare(): Promise<void> {}

  async time({ prompt, generate, depth }: SpeedTest): Promise<number> {
    const args = ["-p", `${prompt}`, "-n", `${generate}`, "-r", "1", "-o", "json"];
    // Builds before the middle of 2025 know no depth.
    if (depth > 0) args.push("-d", `${depth}`);
    const printed: string[] = [];
    for await (const { from, text } of this.model.run("bench", args)) if (from === "stdout") printed.push(text);
    const read = benchForm.safeParse(parsed(printed.join("\n")));
    const [test] = read.data ?? [];
    if (!test || test.n_prompt !== prompt || test.n_gen !== generate)
      throw new BenchError("program-failed", "llama-bench did not print the test that was asked for as JSON");
    return test.samples_ns[0]! / 1e9;
  }
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
