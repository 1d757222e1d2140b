import type { ChildProcess } from "node:child_process";
import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { expect } from "vitest";
import { allTokens } from "../dist/store/index.js";
import { random } from "./draws.mjs";
import { childrenOf, eventsOf, qualityRows, start } from "./support.js";

/** Strikes a run. False where there was nothing to strike: no engine yet, say. `chance`: a number below 1 for a choice among several. */
export type Blow = (main: ChildProcess, chance: number) => boolean;

/** Sends a signal. False where nobody is there any more. */
export function strike(pid: number | undefined, signal: NodeJS.Signals): boolean {
  try {
    return pid !== undefined && process.kill(pid, signal);
  } catch {
    return false;
  }
}

const toGroup =
  (signal: NodeJS.Signals): Blow =>
  ({ pid }) =>
    strike(-pid!, signal);

export const enginesOf = ({ pid }: ChildProcess): number[] => childrenOf(pid!);

/** By what they strike and how. Whoever measures elsewhere has more to strike: see `survives`. */
export const blows = {
  "main process killed": (main) => main.kill("SIGKILL"),
  "engine killed": (main, chance) => {
    const engines = enginesOf(main);
    return strike(engines[Math.floor(chance * engines.length)], "SIGKILL");
  },
  "main process terminated": (main) => main.kill("SIGTERM"),
  "Ctrl-C": toGroup("SIGINT"),
  "terminal gone": toGroup("SIGHUP"),
  "Ctrl-Z and fg": (main, chance) => {
    setTimeout(() => toGroup("SIGCONT")(main, chance), 100);
    return toGroup("SIGSTOP")(main, chance);
  },
} satisfies Record<string, Blow>;

/** All that a run folder holds of the quality: rows of the tables and per-token values. */
function quality(out: string) {
  const files = readdirSync(join(out, "tokens")).sort();
  const wide = readFileSync(join(out, "table.csv"), "utf8")
    .trimEnd()
    .split("\n")
    .map((row) => row.split(","));
  const kept = wide[0]!.map((name) => !/^(pp|tg)\d|^load_time|peak_memory|^disturbed$/.test(name));
  return {
    long: qualityRows(out),
    wide: wide.map((row) => row.filter((_, i) => kept[i]).join(",")),
    // Workers say theirs in any order.
    tokens: eventsOf(out)
      .flatMap((event) =>
        event.type === "samples"
          ? Object.entries(allTokens(out, event)).map(
              ([name, { buffer }]) => `${event.job} ${event.item} ${name} ${Buffer.from(buffer).toString("base64")}`,
            )
          : [],
      )
      .sort(),
    bytes: files.map((name) => `${name} ${statSync(join(out, "tokens", name)).size}`),
    items: eventsOf(out).flatMap((event) =>
      event.type === "samples" && event.item !== "peak_memory" ? [`${event.job} ${event.item}`] : [],
    ),
  };
}

export interface Campaign {
  /** Where the run's folders go. */
  folder: string;
  name: string;
  file: string;
  /** How many interruptions there are, all campaigns together. */
  strikes: number;
  seed: number;
  blows?: Record<string, Blow>;
  /** Each campaign has a cache of its own, in which nothing is fetched or quantized yet. */
  fresh?: boolean;
  /** Further arguments. */
  more?: string[];
  /** Waits until those who measure elsewhere are there. */
  ready?(): Promise<void>;
  /** What a run may say that was struck before it had begun. */
  excuses?: RegExp;
}

/**
 * Runs a file undisturbed, and then again and again with an interruption at any moment, the same command after each, until it is
 * through: the tables must be those of the undisturbed run, and no item be measured twice.
 */
export async function survives(asked: Campaign): Promise<void> {
  const { folder, name, file, strikes, seed, fresh = false, more = [], ready = async () => {} } = asked;
  const ways = Object.entries(asked.blows ?? blows);
  const options = (out: string) => ({
    detached: true,
    ...(fresh ? { env: { GGUF_BENCH_CACHE: `${out}-cache` } } : {}),
  });
  const command = (out: string) => ["run", file, "--plain", "--out", out, ...more];
  const reference = join(folder, `${name}-whole`);
  await ready();
  const began = Date.now();
  const whole = await start(command(reference), options(reference)).ended;
  expect({ code: whole.code, stderr: whole.stderr }).toEqual({ code: 0, stderr: "" });
  const wall = Date.now() - began;
  const expected = quality(reference);
  expect(new Set(expected.items).size).toBe(expected.items.length);

  const next = random(seed);
  const struck = new Map<string, number>();
  const count = () => [...struck.values()].reduce((sum, one) => sum + one, 0);
  let inside = 0;
  let campaigns = 0;
  const tell = () => {
    const told = [...struck].map(([what, times]) => `${times} × ${what}`).join(", ");
    process.stdout.write(
      `${name}: ${count()} interruptions (${told}), ${inside} of them after new samples; ${campaigns} runs, all tables equal\n`,
    );
  };
  for (; count() < strikes; campaigns++) {
    const out = join(folder, `${name}-${campaigns}`);
    for (;;) {
      const before = eventsOf(out).filter((event) => event.type === "samples").length;
      await ready();
      const { child, ended } = start(command(out), options(out));
      let hit = false;
      let last = "";
      let timer: NodeJS.Timeout | undefined;
      // The moment is the clock's, not the program's. A run that survives a blow is struck again.
      const aim = () => {
        if (count() >= strikes || child.exitCode !== null) return;
        const [moment, way, chance] = [next() * wall, Math.floor(next() * ways.length), next()];
        const [what, blow] = ways[way]!;
        timer = setTimeout(() => {
          if (child.exitCode === null && blow(child, chance)) {
            hit = true;
            last = what;
            struck.set(what, (struck.get(what) ?? 0) + 1);
          }
          aim();
        }, moment);
      };
      aim();
      const { code, signal, stderr } = await ended;
      clearTimeout(timer);
      if (hit && eventsOf(out).filter((event) => event.type === "samples").length > before) inside++;
      if (code === 0) break;
      // Ended by the signal, stopped as asked, or with cells that failed with their engine.
      const failed = eventsOf(out).flatMap((event) => (event.type === "job-failed" ? [JSON.stringify(event)] : []));
      const told = [`ended with ${signal ?? code} without being struck`, stderr, ...failed.slice(-5)].join("\n");
      expect(hit, told).toBe(true);
      if (signal !== null) continue;
      expect([1, 2, 130]).toContain(code);
      // While the plan was made, there were no lines yet that would say so.
      const said = stderr.replace(asked.excuses ?? "", "");
      expect(said, last).toMatch(/^(Stopped; the same command goes on where it ended\.\n)?$/);
    }
    const got = quality(out);
    expect(got.long).toEqual(expected.long);
    expect(got.wide).toEqual(expected.wide);
    expect(got.bytes).toEqual(expected.bytes);
    expect(got.tokens.length).toBe(expected.tokens.length);
    expect(got.tokens.every((file, i) => file === expected.tokens[i])).toBe(true);
    // Every item once: nothing lost, nothing measured twice, but for rounds of timings that were cut: they are timed anew as a whole. A
    // variant whose engine was killed at its turn is timed in a session of its own.
    const isTimed = (item: string) => / (pp|tg)\d/.test(item);
    const items = got.items.map((item) => item.replace(/ session \d+\//, " "));
    const once = items.filter((item, i) => !isTimed(item) || items.indexOf(item) === i);
    expect(once.sort()).toEqual([...expected.items].sort());
    // A long count is told as it goes.
    if (strikes > 100 && campaigns % 10 === 9) tell();
  }
  tell();
  expect(inside).toBeGreaterThan(0);
}
