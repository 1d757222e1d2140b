import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { firstBad } from "../../dist/commands/bisect.js";
import { chooseLibrary } from "../../dist/llama/location.js";
import { isDamageable, otherBuild, otherPrefix } from "../llama/damaged-build.js";
import { root } from "../repository.js";
import { bench, eventsOf, native, type Outcome, start, temporaryFolder, until } from "../support.js";

const folder = temporaryFolder();

describe("the search", () => {
  const searched = async (count: number, change: number, silent: ReadonlySet<number>) => {
    const asked: number[] = [];
    const found = await firstBad({ good: 0, bad: count - 1 }, async (place) => {
      asked.push(place);
      return silent.has(place) ? "skipped" : place < change ? "good" : "bad";
    });
    return { found, asked };
  };

  it("finds the first bad one of any number, asking no more than a binary search", async () => {
    for (let count = 2; count <= 40; count++)
      for (let change = 1; change < count; change++) {
        const { found, asked } = await searched(count, change, new Set());
        expect(found).toEqual({ good: change - 1, bad: change, skipped: [] });
        expect(asked.length).toBeLessThanOrEqual(Math.ceil(Math.log2(count - 1)));
      }
  });

  it("passes over those that cannot be told, whichever they are, and says where they leave a doubt", async () => {
    for (let count = 3; count <= 8; count++)
      for (let change = 1; change < count; change++)
        for (let bits = 0; bits < 2 ** (count - 2); bits++) {
          const silent = new Set(
            Array.from({ length: count - 2 }, (_, i) => i + 1).filter((place) => bits & (1 << (place - 1))),
          );
          const { found, asked } = await searched(count, change, silent);
          expect(new Set(asked).size).toBe(asked.length);
          expect(found.good).toBeLessThan(change);
          expect(found.bad).toBeGreaterThanOrEqual(change);
          expect(silent.has(found.good) || silent.has(found.bad)).toBe(false);
          expect(found.skipped).toEqual(
            Array.from({ length: found.bad - found.good - 1 }, (_, i) => found.good + 1 + i),
          );
          for (const place of found.skipped) expect(silent.has(place)).toBe(true);
        }
  });
});

const model = join(root, "datasets/demo/demo-v2-F16.gguf");
const env = { GGUF_BENCH_CACHE: join(folder, "cache") };
const what = ["--model", model, "--text", "demo-en", "--context", "256", "--chunks", "16", "--threads", "1"];
const bisect = (builds: string[], ...more: string[]) =>
  bench(["bisect", "--builds", ...builds, "--rule", "perplexity: +1%", ...what, ...more], { env, cwd: folder });
const measured = ({ stderr }: Outcome) => stderr.match(/ perplexity: started/g)?.length ?? 0;

const { directory: shipped } = chooseLibrary("cpu");
const kinds: { kind: string; here: boolean; make(to: string, factor: number): void }[] = [
  {
    kind: "libllama in process",
    here: process.platform === "linux" && isDamageable(shipped),
    make: (to, factor) => otherBuild(shipped, to, { factor, mark: to }),
  },
  {
    kind: "llama.cpp's programs",
    here: native !== undefined && isDamageable(native.libraries),
    make: (to, factor) => otherPrefix(join(native!.libraries, ".."), to, { factor, mark: to }),
  },
];

for (const [k, { kind, here, make }] of kinds.entries())
  describe.skipIf(!here)(
    `five builds, of which the third and later are damaged: ${kind}${here ? "" : " (not on this machine)"}`,
    () => {
      const builds = [1, 2, 3, 4, 5].map((number) => `kind${k}/b${number}`);
      const out = (name: string) => ["--out", join(folder, `${name}${k}`)];
      beforeAll(() => {
        for (const [i, build] of builds.entries()) make(join(folder, build), i < 2 ? 1 : 1.4);
      });

      it("finds it in two measurements after the ends, and measures nothing twice", { timeout: 60_000 }, async () => {
        const said = await bisect(builds, ...out("whole"));
        expect(said.code, said.stdout + said.stderr).toBe(3);
        expect(said.stdout).toMatch(
          /^kind\d\/b1: good: PPL: the same model, engine and figures: nothing can have changed\./m,
        );
        expect(said.stdout).toMatch(
          /^First bad build: kind\d\/b3: PPL rose by [\d.]+ % \(95 % CI .*\): beyond the 1 % allowed \(p [<=] 0\.\d+\)\./m,
        );
        expect(said.stdout).toMatch(/^Last good build: kind\d\/b2: PPL /m);
        expect(said.stdout).toMatch(/^4 builds of 5 measured; figures: /m);
        expect(measured(said)).toBe(4);
        const again = await bisect(builds, ...out("whole"));
        expect(again.code).toBe(3);
        expect(measured(again)).toBe(0);
        expect(again.stdout).toMatch(/^First bad build: kind\d\/b3: PPL rose/m);
        expect(again.stdout).toMatch(/^0 builds of 5 measured, and 4 before/m);
        const { variants } = eventsOf(join(folder, `whole${k}`)).findLast((event) => event.type === "started")!;
        expect(variants.map(({ name }) => name).sort()).toEqual([1, 2, 3, 5].map((number) => `kind${k}/b${number}`));
      });

      it("in three measurements in all where the ends are told", { timeout: 60_000 }, async () => {
        const said = await bisect(builds, "--good", builds[0]!, "--bad", builds[4]!, ...out("told"));
        expect(said.code, said.stdout + said.stderr).toBe(3);
        expect(said.stdout).toMatch(/^First bad build: kind\d\/b3: PPL rose/m);
        expect(measured(said)).toBe(3);
      });

      it("goes on after a kill", { timeout: 60_000 }, async () => {
        const args = ["bisect", "--builds", ...builds, "--rule", "perplexity: +1%", ...what, ...out("killed")];
        const first = start(args, { env, cwd: folder });
        await until("two builds are measured", () => (first.output.stdout.match(/: (good|bad): /g)?.length ?? 0) >= 2);
        first.child.kill("SIGKILL");
        await first.ended;
        const said = await bisect(builds, ...out("killed"));
        expect(said.code, said.stdout + said.stderr).toBe(3);
        expect(said.stdout).toMatch(/^First bad build: kind\d\/b3: PPL rose/m);
        expect(measured(said)).toBeLessThanOrEqual(2);
      });

      it("one that cannot be measured is passed over, and said where it leaves a doubt", {
        timeout: 60_000,
      }, async () => {
        mkdirSync(join(folder, `empty${k}`), { recursive: true });
        const four = [builds[0]!, `empty${k}`, builds[2]!, builds[3]!];
        const said = await bisect(four, ...out("doubt"));
        expect(said.code, said.stdout + said.stderr).toBe(4);
        expect(said.stderr.match(/empty\d perplexity: failed/g)).toHaveLength(1);
        expect(said.stdout).toMatch(/^empty\d: skipped: there is (no libllama|neither llama-perplexity)/m);
        expect(said.stdout).toMatch(/^The first bad build is one of empty\d, kind\d\/b3/m);
      });

      it("none of those that are alike breaks the rule", { timeout: 60_000 }, async () => {
        const said = await bisect(builds.slice(0, 2), ...out("alike"));
        expect(said.code, said.stdout + said.stderr).toBe(0);
        expect(said.stdout).toMatch(/^No build breaks a rule/m);
      });
    },
  );

describe.skipIf(!native)(`builds of the same bytes${native ? "" : " (no programs on this machine)"}`, () => {
  it("share a failure, which names each one's own folder", { timeout: 60_000 }, async () => {
    const builds = ["alike/b1", "alike/b2", "alike/b3"];
    for (const build of builds) {
      mkdirSync(join(folder, build), { recursive: true });
      const elsewhere = join(native!.libraries, "../bin/llama-perplexity");
      const program = `#!/bin/sh\nexec '${elsewhere}' "$@"\n`;
      writeFileSync(join(folder, build, "llama-perplexity"), program, { mode: 0o755 });
    }
    const { code, stdout, stderr } = await bisect(builds, "--out", join(folder, "alike-out"));
    expect(code, stdout + stderr).toBe(4);
    for (const build of builds.slice(0, 2)) {
      const said = stdout.split("\n").find((line) => line.startsWith(`${build}: skipped: `));
      expect(said).toContain(`${join(folder, build)}/llama-perplexity computes with a library elsewhere`);
    }
  });
});

describe("what makes no sense is refused with a sentence", () => {
  it.each([
    [["--builds", "b1"], /a search needs two builds at least/],
    [["--builds", "b1", "b2", "b1/"], /b1 is named twice/],
    [["--builds", "b1", "b2", "--good", "b3"], /--good b3 is none of the builds/],
    [["--builds", "b1", "b2", "--good", "b2", "--bad", "b1"], /the good build must come before the bad one/],
    [["--builds", "b1", "b2", "--backend", "mock"], /cannot be measured by the backend mock/],
    [["--builds", "b1", "b2", "--measure", "speed"], /the rule "perplexity: \+1%" asks of what is not measured/],
  ])("%j", async (args, said) => {
    const text = args.includes("speed") ? [] : ["--text", "demo-en"];
    const { code, stderr } = await bench(["bisect", "--rule", "perplexity: +1%", "--model", model, ...text, ...args], {
      env,
      cwd: folder,
    });
    expect(stderr).toMatch(said);
    expect(code).toBe(1);
    rmSync(join(folder, "reports"), { recursive: true, force: true });
  });
});
