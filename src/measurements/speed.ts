import os from "node:os";
import { z } from "zod";
import type { SpeedTest, Timing } from "../backends/backend.js";
import type { Measured } from "../events.js";
import { ownCpuSeconds } from "../machine.js";
import type { Measurement } from "./measurement.js";

/** Tokens, or several numbers of them: a test for each. */
const tokens = (usual: number, described: string) => {
  const one = z.int().min(0).max(1_048_576);
  const several = z
    .array(one)
    .min(1)
    .refine((all) => new Set(all).size === all.length, "the same number stands twice.");
  return z
    .union([one, several])
    .default(usual)
    .meta({ description: described, examples: [usual, [usual, 4096]] });
};

const settings = z
  .strictObject({
    prompt: tokens(512, "Tokens of the prompt test, `pp`; a list: a test of each; 0: leave it out."),
    generate: tokens(128, "Tokens of the generation test, `tg`; a list: a test of each; 0: leave it out."),
    repetitions: z.int().min(1).max(10_000).default(5).describe("How often each test is timed, after a warm-up."),
    depth: tokens(0, "Tokens already in the KV cache when the timing starts; a list: all tests at each depth."),
  })
  .refine(({ prompt, generate }) => [prompt, generate].flat().some((count) => count > 0), {
    path: ["prompt"],
    message: "with `generate: 0` nothing is timed.",
  });
type SpeedSettings = z.infer<typeof settings>;

/**
 * Tokens per second as llama-bench defines them, at each of the depths: `pp` one prompt of random tokens, `tg` tokens decoded one by one, each in
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
  // A warm-up besides the repetitions, each after the cached tokens.
  cost(settings) {
    const times = settings.repetitions + 1;
    const all = tests(settings).map(({ test }) => test);
    return {
      prompt: all.reduce((sum, { prompt, depth }) => sum + times * prompt + settings.repetitions * depth, 0),
      generated: all.reduce((sum, { generate }) => sum + times * generate, 0),
      waits: (settings.repetitions * all.length * calm) / 1000,
      context: Math.max(...all.map(({ prompt, generate, depth }) => prompt + generate + depth)),
      parallel: 1,
      rows: 1,
    };
  },

  beyond: (settings, context) => beyond(settings, context),

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
        yield await timed(item, metric, test, timing);
      }
  },
};

const itemsOf = (settings: SpeedSettings) =>
  Array.from({ length: settings.repetitions }, (_, repetition) =>
    tests(settings).map(({ metric }) => `${metric}/${repetition}`),
  ).flat();

function tests({ prompt, generate, depth }: SpeedSettings): { metric: string; test: SpeedTest }[] {
  return [depth].flat().flatMap((depth) => {
    const at = depth > 0 ? `@d${depth}` : "";
    const one = (name: string, test: { prompt: number; generate: number }) => {
      const count = test.prompt + test.generate;
      return count > 0 ? [{ metric: `${name}${count}${at}`, test: { ...test, depth } }] : [];
    };
    return [
      ...[prompt].flat().flatMap((count) => one("pp", { prompt: count, generate: 0 })),
      ...[generate].flat().flatMap((count) => one("tg", { prompt: 0, generate: count })),
    ];
  });
}

/** `depth 99999`, `prompt 8192`, where no test with that number fits; else the tests that do not fit, where others do. */
function beyond(settings: SpeedSettings, context: number): string[] {
  const all = tests(settings);
  const fits = ({ prompt, generate, depth }: SpeedTest) => prompt + generate + depth <= context;
  const tooLong = all.filter(({ test }) => !fits(test));
  if (tooLong.length === all.length) return [];
  const numbers = (["depth", "prompt", "generate"] as const).flatMap((key) =>
    [settings[key]].flat().flatMap((count) => {
      const of = tooLong.filter(({ test }) => test[key] === count);
      return count > 0 && of.length > 0 && !all.some(({ test }) => test[key] === count && fits(test))
        ? [`${key} ${count}`]
        : [];
    }),
  );
  return numbers.length > 0 ? numbers : tooLong.map(({ metric }) => metric);
}

async function timed(item: string, metric: string, test: SpeedTest, timing: Timing): Promise<Measured> {
  const before = busy(timing);
  const seconds = await timing.time(test);
  const after = busy(timing);
  const others = after.all - before.all - (after.own - before.own) - blur;
  const foreign = Math.round(Math.max(0, others / (after.at - before.at)) * 100) / 100;
  return {
    item,
    samples: [{ metric, value: (test.prompt + test.generate) / seconds, weight: 1 }],
    // A process that is not seen, or another than before, leaves open what the rest used.
    ...(Number.isNaN(foreign) || after.own < before.own ? {} : { foreign }),
    detail: { seconds },
  };
}

/** Milliseconds before each timing. */
const calm = 50;
/** Until the parent has written down and drawn what was said last: that work is not to be timed. */
const settled = () => new Promise((resolve) => setTimeout(resolve, calm));

/**
 * CPU seconds by which a difference of two readings may be wrong. Each core counts in ticks of 10 ms, so over n cores the error
 * has a standard deviation of √(n/6) ticks; this is five of them. A repetition of milliseconds is below the clock.
 */
const blur = 0.02 * Math.sqrt(os.cpus().length);

/** CPU seconds used so far by the whole machine and by this engine, NaN where it is not seen, and the time. */
function busy(timing: Timing): { all: number; own: number; at: number } {
  let all = 0;
  for (const { times } of os.cpus()) all += times.user + times.nice + times.sys + times.irq;
  const outside = timing.cpuSeconds ? (timing.cpuSeconds() ?? Number.NaN) : 0;
  return { all: all / 1000, own: ownCpuSeconds() + outside, at: performance.now() / 1000 };
}
