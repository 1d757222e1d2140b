import os from "node:os";
import { z } from "zod";
import type { SpeedTest } from "../backends/backend.js";
import type { Measured } from "../events.js";
import type { Measurement } from "./measurement.js";

const settings = z
  .strictObject({
    prompt: z.int().min(0).max(1_048_576).default(512).describe("Tokens of the prompt test, `pp`; 0: leave it out."),
    generate: z
      .int()
      .min(0)
      .max(1_048_576)
      .default(128)
      .describe("Tokens of the generation test, `tg`; 0: leave it out."),
    repetitions: z.int().min(1).max(10_000).default(5).describe("How often each test is timed, after a warm-up."),
    depth: z.int().min(0).max(1_048_576).default(0).describe("Tokens already in the KV cache when the timing starts."),
  })
  .refine(({ prompt, generate }) => prompt + generate > 0, {
    path: ["prompt"],
    message: "with `generate: 0` nothing is timed.",
  });
type SpeedSettings = z.infer<typeof settings>;

/**
 * Tokens per second as llama-bench defines them: `pp` one prompt of random tokens, `tg` tokens decoded one by one, each in
 * a context of just that size, after a warm-up. Repetitions of the variants take turns, so that a drift of the machine
 * meets all of them. CPU time of other processes is kept with each sample as `foreign`, in cores. It is a lower bound: time
 * below the resolution of the CPU clock is not counted.
 */
export const speed: Measurement<SpeedSettings, "none", "timing"> = {
  name: "speed",
  rule: 1,
  settings,
  needs: () => ["timing"],
  data: "none",
  mode: { kind: "turns", items: (settings) => itemsOf(settings) },
  machineBound: true,
  metrics: (settings) => tests(settings).map(({ metric }) => metric),
  // A warm-up besides the repetitions.
  cost: ({ prompt, generate, depth, repetitions }) => ({
    prompt: (repetitions + 1) * prompt,
    generated: (repetitions + 1) * generate,
    context: Math.max(prompt, generate) + depth,
    parallel: 1,
    rows: 1,
  }),

  async *measure({ engine: { timing }, settings, done, only, progress }) {
    const items = itemsOf(settings);
    let prepared: string | undefined;
    for (const { metric, test } of tests(settings))
      for (let repetition = 0; repetition < settings.repetitions; repetition++) {
        const item = `${metric}/${repetition}`;
        if (done.has(item) || (only && !only.has(item))) continue;
        progress(items.indexOf(item), items.length, "timings");
        await settled();
        if (prepared !== metric) await timing.prepare(test);
        prepared = metric;
        yield await timed(item, metric, test, () => timing.time(test));
      }
  },
};

const itemsOf = (settings: SpeedSettings) =>
  Array.from({ length: settings.repetitions }, (_, repetition) =>
    tests(settings).map(({ metric }) => `${metric}/${repetition}`),
  ).flat();

function tests({ prompt, generate, depth }: SpeedSettings): { metric: string; test: SpeedTest }[] {
  const at = depth > 0 ? `@d${depth}` : "";
  return [
    ...(prompt > 0 ? [{ metric: `pp${prompt}${at}`, test: { prompt, generate: 0, depth } }] : []),
    ...(generate > 0 ? [{ metric: `tg${generate}${at}`, test: { prompt: 0, generate, depth } }] : []),
  ];
}

async function timed(item: string, metric: string, test: SpeedTest, run: () => Promise<number>): Promise<Measured> {
  const before = busy();
  const seconds = await run();
  const after = busy();
  const others = after.all - before.all - (after.own - before.own) - blur;
  const foreign = Math.max(0, others / (after.at - before.at));
  return {
    item,
    samples: [{ metric, value: (test.prompt + test.generate) / seconds, weight: 1 }],
    foreign: Math.round(foreign * 100) / 100,
    detail: { seconds },
  };
}

/** Until the parent has written down and drawn what was said last: that work is not to be timed. */
const settled = () => new Promise((resolve) => setTimeout(resolve, 50));

/**
 * CPU seconds by which a difference of two readings may be wrong. Each core counts in ticks of 10 ms, so over n cores the error
 * has a standard deviation of √(n/6) ticks; this is five of them. A repetition of milliseconds is below the clock.
 */
const blur = 0.02 * Math.sqrt(os.cpus().length);

/** CPU seconds used so far by the whole machine and by this process, and the time. */
function busy(): { all: number; own: number; at: number } {
  let all = 0;
  for (const { times } of os.cpus()) all += times.user + times.nice + times.sys + times.irq;
  const { user, system } = process.cpuUsage();
  return { all: all / 1000, own: (user + system) / 1e6, at: performance.now() / 1000 };
}
