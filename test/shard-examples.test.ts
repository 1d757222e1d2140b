// The examples of shards in docs/examples: their form, and the commands that they hold, run as processes of this machine.

import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { parse } from "yaml";
import { z } from "zod";
import { examples, pathIn, readExample, version } from "./docs-examples.js";
import { finish } from "./repository.js";
import { bench, qualityRows, someQuestions, someText, temporaryFolder } from "./support.js";

const has = (program: string) => spawnSync("sh", ["-c", `command -v ${program}`]).status === 0;
const folder = temporaryFolder();
const { env, program } = pathIn(folder);

/** A folder with a benchmark file of two mocks, as a user would have it. */
function work(): string {
  const at = mkdtempSync(join(folder, "work-"));
  writeFileSync(join(at, "text.txt"), someText(3000));
  writeFileSync(join(at, "questions.txt"), someQuestions(24));
  writeFileSync(
    join(at, "b.yaml"),
    `variants:
  a: {model: "mock:seed=1", reference: true}
  b: {model: "mock:seed=1,damage=0.4"}
measurements:
  perplexity: {text: text.txt, context: 64}
  divergence: {text: text.txt, context: 64}
  hellaswag: {file: questions.txt}
`,
  );
  return at;
}

/** The rows of the same file, measured in one go. */
async function undivided(): Promise<string[]> {
  const at = work();
  const out = join(at, "whole");
  expect(await bench(["run", join(at, "b.yaml"), "--out", out, "--plain"], { env })).toMatchObject({ code: 0 });
  return qualityRows(out);
}

describe("shards", () => {
  it.each(["parallel.sh", "ssh.sh", "shards.slurm"])("%s is sound bash", (name) => {
    expect(spawnSync("bash", ["-n", join(examples, name)], { encoding: "utf8" })).toMatchObject({
      status: 0,
      stderr: "",
    });
    expect(readExample(name)).toMatch(/^#!\/(usr\/bin\/env |bin\/)bash\n/);
    expect(readExample(name)).toContain("\nset -euo pipefail\n");
  });

  it.skipIf(!has("parallel"))("by GNU parallel have the figures of one run", { timeout: 600_000 }, async () => {
    const at = work();
    const said = await finish("bash", [join(examples, "parallel.sh"), "b.yaml", "4"], { cwd: at, env });
    expect(said.code, said.output).toBe(0);
    for (const part of ["1", "2", "3", "4"])
      expect(existsSync(join(at, "reports/shards", part, "events.jsonl"))).toBe(true);
    expect(qualityRows(join(at, "reports/shards/all"))).toEqual(await undivided());
  });

  it("by ssh have the figures of one run", { timeout: 600_000 }, async () => {
    // Each host is a folder here.
    program("ssh", 'cd "$1" && exec sh -c "$2"');
    const [at, one, two] = [work(), work(), work()];
    const said = await finish("bash", [join(examples, "ssh.sh"), "b.yaml", "reports/shards", one, two], {
      cwd: at,
      env,
    });
    expect(said.code, said.output).toBe(0);
    expect(qualityRows(join(at, "reports/shards/all"))).toEqual(await undivided());
  });

  it("by Slurm: options that sbatch knows, and a task that is a shard", { timeout: 600_000 }, async () => {
    const [, ...lines] = readExample("shards.slurm").split("\n");
    const options = lines.flatMap((line) => line.match(/^#SBATCH (.*)$/)?.[1] ?? []);
    const forms: Record<string, RegExp> = {
      "job-name": /^[\w-]+$/,
      array: /^1-\d+$/,
      ntasks: /^1$/,
      "cpus-per-task": /^\d+$/,
      mem: /^\d+[MG]$/,
      time: /^(\d+-)?\d\d:\d\d:\d\d$/,
      signal: /^B:TERM@\d+$/,
      "open-mode": /^(append|truncate)$/,
      output: /^[\w-]*%A-%a\.log$/,
    };
    for (const option of options) {
      const [, name = "", value] = option.match(/^--([\w-]+)(?:=(\S+))?$/) ?? [];
      if (name === "requeue") expect(value).toBeUndefined();
      else expect(value, option).toMatch(forms[name]!);
    }
    expect(options).toHaveLength(Object.keys(forms).length + 1);
    // sbatch stops looking for options at the first command.
    const script = lines.findLastIndex((line) => line.startsWith("#SBATCH"));
    expect(lines.slice(0, script).filter((line) => line !== "" && !line.startsWith("#"))).toEqual([]);

    const at = work();
    for (const task of ["1", "2", "3"]) {
      const slurm = { SLURM_ARRAY_TASK_ID: task, SLURM_ARRAY_TASK_COUNT: "3" };
      const script = [join(examples, "shards.slurm"), "b.yaml"];
      const said = await finish("bash", script, { cwd: at, env: { ...env, ...slurm } });
      expect(said.code, said.output).toBe(0);
    }
    const merge = readExample("shards.slurm").match(/--wrap '(gguf-bench merge [^']*)'/)![1]!;
    expect(await finish("bash", ["-c", merge], { cwd: at, env })).toMatchObject({ code: 0 });
    expect(qualityRows(join(at, "reports/shards/all"))).toEqual(await undivided());
  });

  /** What the API's reference says of the fields that are used: https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/job-v1/. */
  const quantity = z.string().regex(/^\d+(\.\d+)?(m|[KMGT]i?)?$/);
  const amounts = z.strictObject({ cpu: quantity, memory: quantity });
  const rule = z.union([
    z.strictObject({
      action: z.enum(["FailJob", "FailIndex", "Ignore", "Count"]),
      onExitCodes: z.strictObject({
        containerName: z.string(),
        operator: z.enum(["In", "NotIn"]),
        values: z.array(z.int().min(1).max(255)).min(1),
      }),
    }),
    z.strictObject({
      action: z.enum(["FailJob", "FailIndex", "Ignore", "Count"]),
      onPodConditions: z.array(z.strictObject({ type: z.string(), status: z.enum(["True", "False"]).optional() })),
    }),
  ]);
  const container = z.strictObject({
    name: z.string().regex(/^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/),
    image: z.string(),
    command: z.array(z.string()),
    // A value that is no string is refused by the API.
    env: z.array(z.strictObject({ name: z.string().regex(/^[A-Z_]+$/), value: z.string() })),
    resources: z.strictObject({ requests: amounts, limits: amounts }),
    securityContext: z.strictObject({
      allowPrivilegeEscalation: z.literal(false),
      capabilities: z.strictObject({ drop: z.array(z.string()) }),
    }),
    volumeMounts: z.array(z.strictObject({ name: z.string(), mountPath: z.string().startsWith("/") })),
  });
  const indexedJob = z.strictObject({
    apiVersion: z.literal("batch/v1"),
    kind: z.literal("Job"),
    metadata: z.strictObject({ name: z.string().regex(/^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/) }),
    spec: z.strictObject({
      completionMode: z.literal("Indexed"),
      completions: z.int().min(1),
      parallelism: z.int().min(1),
      backoffLimitPerIndex: z.int().min(0),
      maxFailedIndexes: z.int().min(0),
      podFailurePolicy: z.strictObject({ rules: z.array(rule) }),
      template: z.strictObject({
        spec: z.strictObject({
          // Both policies of failures need pods that are not started again in place.
          restartPolicy: z.literal("Never"),
          terminationGracePeriodSeconds: z.int().min(1),
          securityContext: z.strictObject({
            runAsNonRoot: z.literal(true),
            runAsUser: z.int().min(1),
            runAsGroup: z.int().min(1),
            fsGroup: z.int().min(1),
          }),
          containers: z.tuple([container]),
          volumes: z.array(
            z.strictObject({ name: z.string(), persistentVolumeClaim: z.strictObject({ claimName: z.string() }) }),
          ),
        }),
      }),
    }),
  });

  it("by Kubernetes: a Job of the API's form, whose pods are shards", { timeout: 600_000 }, async () => {
    const { spec } = indexedJob.parse(parse(readExample("kubernetes.yaml")));
    const { containers, volumes } = spec.template.spec;
    const [{ name, image, command, env: said, volumeMounts }] = containers;
    expect(image).toBe(`gguf-bench:${version}`);
    expect(volumeMounts.map((mount) => mount.name)).toEqual(volumes.map((volume) => volume.name));
    for (const one of spec.podFailurePolicy.rules)
      if ("onExitCodes" in one) expect(one.onExitCodes.containerName).toBe(name);
    const value = Object.fromEntries(said.map((one) => [one.name, one.value]));
    expect(Number(value.SHARDS)).toBe(spec.completions);

    const at = work();
    const own = { ...value, SHARDS: "3", FILE: "b.yaml", REPORTS: "reports", GGUF_BENCH_CACHE: join(folder, "cache") };
    for (const index of ["0", "1", "2"]) {
      const pod = { ...env, ...own, JOB_COMPLETION_INDEX: index };
      const done = await finish(command[0]!, command.slice(1), { cwd: at, env: pod });
      expect(done.code, done.output).toBe(0);
    }
    const merge = readExample("kubernetes.yaml").match(/^# {3}(gguf-bench merge .*?) +#/m)![1]!;
    expect(await finish("bash", ["-c", merge], { cwd: at, env })).toMatchObject({ code: 0 });
    expect(qualityRows(join(at, "reports/all"))).toEqual(await undivided());
  });
});
