import { spawnSync } from "node:child_process";
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { delimiter, join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { parse } from "yaml";
import { cli, temporaryFolder } from "./support.js";

interface Step {
  name: string;
  id?: string;
  uses?: string;
  if?: string;
  shell?: string;
  run?: string;
  env?: Record<string, string>;
  with?: Record<string, string>;
}

const action = parse(readFileSync(fileURLToPath(new URL("../action.yml", import.meta.url)), "utf8")) as {
  name: string;
  description: string;
  inputs: Record<string, { description: string; default?: string; required?: boolean }>;
  outputs: Record<string, { description: string; value: string }>;
  runs: { using: string; steps: Step[] };
};
const { steps } = action.runs;
const folder = temporaryFolder();

describe("the form that GitHub asks of a composite action", () => {
  test("every step runs a script in a named shell, or uses a pinned action", () => {
    expect(action).toMatchObject({ name: expect.any(String), description: expect.any(String) });
    expect(action.runs.using).toBe("composite");
    for (const { name, run, shell, uses } of steps) {
      expect(name).toBeTruthy();
      if (run === undefined) expect(uses).toMatch(/^actions\/[\w-]+@v\d+$/);
      else expect([shell, uses]).toEqual(["bash", undefined]);
    }
  });

  test("inputs are described, used, and never pasted into a script", () => {
    const text = JSON.stringify(steps);
    for (const [name, { description, required, default: fallback }] of Object.entries(action.inputs)) {
      expect(description).toBeTruthy();
      expect(text).toContain(`\${{ inputs.${name} }}`);
      expect(required === true || typeof fallback === "string").toBe(true);
    }
    for (const [, name] of text.matchAll(/inputs\.([\w-]+)/g)) expect(Object.keys(action.inputs)).toContain(name);
    for (const { run } of steps) expect(run ?? "").not.toContain("${{");
    for (const { value } of Object.values(action.outputs)) {
      const [, id, output] = value.match(/^\$\{\{ steps\.([\w-]+)\.outputs\.([\w-]+) \}\}$/)!;
      expect(steps.find((step) => step.id === id)?.run).toContain(`echo "${output}=`);
    }
  });

  test("the report is kept whatever happened", () => {
    expect(steps.at(-1)).toMatchObject({ if: "always()", uses: expect.stringContaining("upload-artifact") });
  });

  test.each(steps.filter(({ run }) => run).map(({ name, run }) => [name, run!]))("%s is sound bash", (_, run) => {
    expect(spawnSync("bash", ["-n"], { input: run, encoding: "utf8" })).toMatchObject({ status: 0, stderr: "" });
  });
});

/** Runs the scripts as the runner does, in order, up to the first that fails; the installation is the build at hand. */
function runAction(inputs: Record<string, string>) {
  const work = mkdtempSync(join(folder, "job-"));
  const bin = join(work, "bin");
  mkdirSync(bin);
  writeFileSync(join(bin, "gguf-bench"), `#!/bin/sh\nexec "${process.execPath}" "${cli}" "$@"\n`);
  chmodSync(join(bin, "gguf-bench"), 0o755);
  writeFileSync(
    join(work, "text.txt"),
    Array.from({ length: 3000 }, (_, i) => `${(i * 7919) % 1000} words. `).join(""),
  );
  const files = { GITHUB_OUTPUT: join(work, "output"), GITHUB_STEP_SUMMARY: join(work, "summary") };
  for (const file of Object.values(files)) writeFileSync(file, "");
  const given = (text: string) =>
    text.replace(/\$\{\{ inputs\.([\w-]+) \}\}/g, (_, name) => inputs[name] ?? action.inputs[name]!.default ?? "");
  let code = 0;
  let stderr = "";
  for (const { name, run, env = {} } of steps) {
    if (!run || name === "Install" || code !== 0) continue;
    const outcome = spawnSync("bash", ["--noprofile", "--norc", "-eo", "pipefail", "-c", run], {
      cwd: work,
      encoding: "utf8",
      env: {
        ...process.env,
        ...files,
        ...Object.fromEntries(Object.entries(env).map(([key, value]) => [key, given(value)])),
        PATH: `${bin}${delimiter}${process.env.PATH}`,
      },
    });
    code = outcome.status ?? 1;
    stderr += outcome.stderr;
  }
  const read = (file: string) => (existsSync(file) ? readFileSync(file, "utf8") : "");
  return { code, stderr, work, output: read(files.GITHUB_OUTPUT), summary: read(files.GITHUB_STEP_SUMMARY) };
}

describe("its scripts, run here", () => {
  const benchmark = join(folder, "gate.yaml");
  writeFileSync(
    benchmark,
    `variants:\n  model: {model: "mock:seed=1"}\nmeasurements:\n  perplexity: {text: ${JSON.stringify(join(folder, "text.txt"))}, context: 256, chunks: 20}\n`,
  );
  writeFileSync(
    join(folder, "text.txt"),
    Array.from({ length: 3000 }, (_, i) => `${(i * 7919) % 1000} words. `).join(""),
  );

  test("a passed gate", () => {
    const { code, stderr, output, summary, work } = runAction({ benchmark, rules: "\nperplexity: 100000\n" });
    expect([code, stderr]).toEqual([0, ""]);
    expect(output).toBe("outcome=passed\njunit=gguf-bench-report/junit.xml\n");
    expect(summary).toMatch(/^## gguf-bench gate: passed\n/);
    expect(summary).toContain("| variant");
    expect(existsSync(join(work, "gguf-bench-report", "junit.xml"))).toBe(true);
  });

  test("a failed gate, and a rule that tries to be a command", () => {
    expect(runAction({ benchmark, rules: "perplexity: 2" }).code).toBe(3);
    const { code, work } = runAction({ benchmark, rules: '"; touch stolen; echo "' });
    expect(code).toBe(1);
    expect(existsSync(join(work, "stolen"))).toBe(false);
  });

  test("undecided fails unless it may pass", () => {
    // Nothing to compare with: undecided.
    const baseline = join(folder, "other.jsonl");
    const made = runAction({ benchmark, rules: "perplexity: 100000" });
    const report = join(made.work, "gguf-bench-report");
    const text = spawnSync(process.execPath, [cli, "baseline", report], { encoding: "utf8" }).stdout;
    writeFileSync(baseline, text.replaceAll(/"askedSha256":"\w+"/g, '"askedSha256":"other"'));
    const rules = "perplexity: +1%";
    expect(runAction({ benchmark, rules, baseline })).toMatchObject({ code: 4 });
    expect(runAction({ benchmark, rules, baseline, undecided: "pass" }).code).toBe(0);
  });
});
