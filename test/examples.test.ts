// The example of a queue in docs/examples: its form, and the commands that it holds, run as processes of this machine.

import { execFileSync, spawnSync } from "node:child_process";
import { cpSync, existsSync, mkdirSync, readFileSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { parse } from "yaml";
import { z } from "zod";
import { examples, pathIn, readExample, version } from "./docs-examples.js";
import { hasRedis, RedisHere } from "./redis.js";
import { root } from "./repository.js";
import { bench, eventsOf, qualityRows, type Started, sleep, start, temporaryFolder, until } from "./support.js";

const folder = temporaryFolder();
const { env } = pathIn(folder);

describe("a queue by docker compose", () => {
  /** What the compose specification says of the keys that are used. */
  const service = z.strictObject({
    image: z.string().regex(/^[\w.-]+:\d+\.\d+\.\d+(-\w+)?$/),
    build: z.strictObject({ context: z.string(), dockerfile: z.string() }).optional(),
    command: z.array(z.string()),
    environment: z.record(z.string(), z.string()),
    ports: z.array(z.string().regex(/^127\.0\.0\.1:\d+:\d+$/)).optional(),
    user: z.string().optional(),
    volumes: z.array(z.string()),
    healthcheck: z
      .strictObject({ test: z.array(z.string()), interval: z.string().regex(/^\d+s$/), retries: z.int() })
      .optional(),
    depends_on: z
      .record(z.string(), z.strictObject({ condition: z.literal("service_healthy"), required: z.boolean().optional() }))
      .optional(),
    deploy: z.strictObject({ replicas: z.int().min(1) }).optional(),
    init: z.boolean().optional(),
    read_only: z.boolean().optional(),
    tmpfs: z.array(z.string()).optional(),
    cap_drop: z.array(z.string()).optional(),
    security_opt: z.array(z.string()).optional(),
    stop_grace_period: z
      .string()
      .regex(/^\d+s$/)
      .optional(),
    restart: z.enum(["no", "always", "on-failure", "unless-stopped"]),
  });
  const { services, volumes } = z
    .strictObject({
      name: z.string(),
      services: z.strictObject({ redis: service, worker: service }),
      volumes: z.record(z.string(), z.null()),
    })
    .parse(parse(readExample("compose.yaml")));

  /** Variables as compose fills them in: `${A:-default}`, `${A:?message}`, and `$$` for a dollar. */
  const filled = (text: string, variables: Record<string, string>) =>
    text.replace(/\$\$|\$\{(\w+):(?:-([^}]*)|\?[^}]*)\}/g, (whole, name: string, other?: string) =>
      whole === "$$" ? "$" : (variables[name] ?? other ?? expect.fail(`${name} is not set`)),
    );

  it("is two workers that wait for a Redis, without rights, and volumes that are there", () => {
    expect(services.worker).toMatchObject({ image: `gguf-bench:${version}`, deploy: { replicas: 2 }, read_only: true });
    expect(services.worker.depends_on).toHaveProperty("redis");
    expect(services.redis.healthcheck).toBeDefined();
    const used = [services.redis, services.worker].flatMap((one) => one.volumes.map((volume) => volume.split(":")[0]!));
    expect(Object.keys(volumes).sort()).toEqual(used.filter((name) => /^\w+$/.test(name)).sort());
    expect(existsSync(join(examples, services.worker.build!.context, services.worker.build!.dockerfile))).toBe(true);
  });

  it("is made of an image that is pinned and runs as nobody special", () => {
    const lines = readExample("Dockerfile")
      .replace(/\\\n/g, " ")
      .split("\n")
      .filter((line) => line !== "" && !line.startsWith("#"));
    const known = /^(FROM|WORKDIR|COPY|RUN|ENV|USER|CMD) \S/;
    expect(lines.filter((line) => !known.test(line))).toEqual([]);
    const bases = lines.filter((line) => line.startsWith("FROM ")).map((line) => line.split(" ")[1]!);
    for (const base of bases) expect(base).toMatch(/^node:\d+\.\d+\.\d+-bookworm-slim$/);
    expect(new Set(bases).size).toBe(1);
    expect(lines.findLast((line) => line.startsWith("USER "))).toBe("USER node");
    expect(JSON.parse(lines.findLast((line) => line.startsWith("CMD "))!.slice(4))[0]).toBe("gguf-bench");
    // The client of the queue is that which is tested here.
    const lock = JSON.parse(readFileSync(join(root, "package-lock.json"), "utf8")).packages;
    for (const name of ["bullmq", "ioredis"])
      expect(readExample("Dockerfile")).toContain(` ${name}@${lock[`node_modules/${name}`].version}`);
    for (const line of lines.filter((one) => one.startsWith("RUN ")))
      expect(spawnSync("bash", ["-n"], { input: line.slice(4), encoding: "utf8" })).toMatchObject({ status: 0 });
  });

  it("is made of an image whose commands run", { timeout: 600_000 }, () => {
    const [, ...stage] = readExample("Dockerfile")
      .replace(/\\\n/g, " ")
      .split(/^FROM .*$/m)[1]!
      .split("\n");
    const inside = (path: string) => join(folder, "image", path);
    const moved = (text: string) => text.replace(/(?<=^|\s)\/(?=[a-z])/g, `${inside("/")}`);
    const copied = execFileSync("git", ["ls-files", "-coz", "--exclude-standard"], { cwd: root, encoding: "utf8" })
      .split("\0")
      .filter(Boolean);
    let at = inside("/");
    for (const [instruction, rest] of stage.map((line) => moved(line).split(/ (.*)/))) {
      if (instruction === "WORKDIR") at = rest!;
      mkdirSync(at, { recursive: true });
      const files = rest === ". ." ? copied : (rest?.split(" ").slice(0, -1) ?? []);
      if (instruction === "COPY") for (const file of files) cpSync(join(root, file), join(at, file));
      if (instruction !== "RUN") continue;
      // What a clean install gives is here already.
      if (rest === "npm ci --ignore-scripts") {
        symlinkSync(join(root, "node_modules"), join(at, "node_modules"));
        continue;
      }
      const { status, stdout, stderr } = spawnSync("sh", ["-ec", rest!], { cwd: at, encoding: "utf8" });
      expect(status, `${rest}: ${stdout}${stderr}`).toBe(0);
      expect(stderr).not.toMatch(/npm warn/i);
    }
    const [, target] = /ln -s (\S+) \/usr\/local\/bin\/gguf-bench/.exec(readExample("Dockerfile"))!;
    expect(execFileSync(moved(target!), ["--version"], { encoding: "utf8" })).toContain(version);
  });

  const running: Started[] = [];
  const redis = new RedisHere("a planted password");
  afterAll(async () => {
    for (const { child } of running) child.kill("SIGKILL");
    await Promise.all(running.map(({ ended }) => ended));
    await redis.kill();
  });

  it.skipIf(!hasRedis)("measures the demo by the commands of its workers", { timeout: 600_000 }, async () => {
    // The password on standard input is what its command does, too.
    const [shell, option, script] = services.redis.command;
    expect([shell, option]).toEqual(["sh", "-c"]);
    expect(filled(script!, {})).toBe(
      'echo "requirepass $GGUF_BENCH_QUEUE_PASSWORD" | exec redis-server - --appendonly yes',
    );
    await redis.start();
    const { port } = new URL(redis.url);
    const password = { GGUF_BENCH_QUEUE_PASSWORD: redis.password };
    // The demo's models come with the program.
    const variables = { ...password, QUEUE: `redis://127.0.0.1:${port}`, MODELS: join(folder, "models") };
    mkdirSync(variables.MODELS);
    const [called, ...args] = services.worker.command.map((word) => filled(word, variables));
    expect(called).toBe("gguf-bench");
    // The container sees the folder of the models under another name.
    const models = args.map((word) => (word === "/models" ? variables.MODELS : word));
    const replicas = Array.from({ length: services.worker.deploy!.replicas }, (_, i) => `replica-${i + 1}`);
    for (const name of replicas)
      running.push(
        start([...models, "--name", name], { env: { ...env, ...password, GGUF_BENCH_CACHE: join(folder, "cache") } }),
      );
    for (const { output } of running) await until("a worker waits", () => output.stdout.includes("waits for work"), 60);
    const asked = ["run", "demo", "--only", "v2-F16", "--only", "v2-Q4_K_M", "--exclude", "speed", "--plain"];
    const [there, here] = [join(folder, "there"), join(folder, "here")];
    const queued = await bench([...asked, "--queue", variables.QUEUE, "--out", there], {
      env: { ...env, ...password },
    });
    expect(queued.code, queued.stdout + queued.stderr).toBe(0);
    expect(await bench([...asked, "--out", here], { env })).toMatchObject({ code: 0 });
    expect(qualityRows(there)).toEqual(qualityRows(here));
    await sleep(100);
    for (const { output } of running) expect(output.stdout).toMatch(/takes /);
    expect(JSON.stringify(eventsOf(there)) + running.map(({ output }) => output.stdout + output.stderr)).not.toContain(
      redis.password,
    );
  });
});
