import { createHash } from "node:crypto";
import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { createServer, type IncomingMessage, type RequestListener, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { join, relative } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { bench, eventsOf, someText, start, temporaryFolder, until, verdicts, writeRandomLlama } from "./support.js";

// Whole commands whose models are fetched from servers of this machine, well-behaved and not.
const folder = temporaryFolder();
writeFileSync(join(folder, "t.txt"), someText(4000));
const local = writeRandomLlama(folder, "local", { seed: 1 });
const first = readFileSync(writeRandomLlama(folder, "first", { seed: 2 }));
const second = readFileSync(writeRandomLlama(folder, "second", { seed: 3 }));
const measured = ["--text", join(folder, "t.txt"), "--context", "32", "--chunks", "2", "--threads", "1", "--plain"];

const servers: ReturnType<typeof createServer>[] = [];
afterAll(() => {
  for (const server of servers) server.close().closeAllConnections();
});

interface Asked {
  method: string;
  url: string;
  authorization: string | undefined;
  range: string | undefined;
}

async function serve(listener: RequestListener, host = "127.0.0.1"): Promise<{ at: string; asked: Asked[] }> {
  const asked: Asked[] = [];
  const server = createServer((request, response) => {
    const { authorization, range } = request.headers;
    asked.push({ method: request.method!, url: request.url!, authorization, range });
    listener(request, response);
  });
  servers.push(server);
  await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening));
  return { at: `http://${host}:${(server.address() as AddressInfo).port}`, asked };
}

function send(request: IncomingMessage, response: ServerResponse, body: Buffer): void {
  const from = Number(request.headers.range?.match(/^bytes=(\d+)-$/)?.[1] ?? 0);
  response.writeHead(from > 0 ? 206 : 200, {
    etag: `"${createHash("sha256").update(body).digest("hex").slice(0, 8)}"`,
    "content-length": body.length - from,
    ...(from > 0 ? { "content-range": `bytes ${from}-${body.length - 1}/${body.length}` } : {}),
  });
  response.end(request.method === "HEAD" ? undefined : body.subarray(from));
}

let count = 0;
/** A cache and a run folder of its own. */
function place(env: Record<string, string> = {}) {
  const own = join(folder, `${count++}`);
  const cache = join(own, "cache");
  const options = {
    cwd: folder,
    env: {
      GGUF_BENCH_CACHE: cache,
      HF_HOME: join(own, "no-login"),
      HF_TOKEN: "",
      HF_ENDPOINT: "",
      MODEL_ENDPOINT: "",
      ...env,
    },
  };
  return { cache, out: join(own, "run"), options };
}

/** Every file below a folder, its path and its content as one text. */
function everything(root: string): string {
  const names = existsSync(root) ? readdirSync(root, { recursive: true, encoding: "utf8" }) : [];
  const contents = names.map((name) => join(root, name)).filter((path) => statSync(path).isFile());
  return [...names, ...contents.map((path) => readFileSync(path, "latin1"))].join("\n");
}

const figure = (out: string, variant: string) => {
  const events = eventsOf(out);
  const plan = events.findLast((event) => event.type === "started" || event.type === "planned")!;
  const job = plan.jobs.find((one) => one.variant === variant)!.id;
  return events
    .flatMap((event) => (event.type === "samples" && event.job === job ? event.samples : []))
    .find(({ metric }) => metric === "perplexity")?.value;
};

describe("models that are fetched", () => {
  it("are measured each under its own name, when addresses end alike", async () => {
    const { at } = await serve((request, response) =>
      send(request, response, request.url!.startsWith("/v1") ? first : second),
    );
    const { out, options } = place();
    const models = [`${at}/v1/m.gguf`, `${at}/v2/m.gguf`, join(folder, "first.gguf"), join(folder, "second.gguf")];
    const run = await bench(
      ["run", ...models.flatMap((model) => ["--model", model]), ...measured, "--out", out],
      options,
    );
    expect(run.code, run.stderr).toBe(0);
    expect(run.stdout).toMatch(/^fetching m\.gguf: .* of \S+ [kM]B/m);
    expect(figure(out, "v1/m")).toBe(figure(out, "first"));
    expect(figure(out, "v2/m")).toBe(figure(out, "second"));
    expect(figure(out, "v1/m")).not.toBe(figure(out, "v2/m"));
  }, 60_000);

  it("cost no more than their own cell where their servers fail, and the process ends", async () => {
    const { at } = await serve((request, response) => {
      if (request.url === "/missing.gguf") return void response.writeHead(404).end();
      if (request.url === "/page.gguf") return void response.writeHead(200).end("<!doctype html>");
      if (request.url === "/gated.gguf") return void response.writeHead(401).end();
      response.writeHead(500).end();
    });
    const { out, options, cache } = place();
    const names = ["missing", "page", "gated", "fails"];
    const models = [local, ...names.map((name) => `${at}/${name}.gguf`), "http://127.0.0.1:1/closed.gguf"];
    const started = Date.now();
    const run = await bench(
      ["run", ...models.flatMap((model) => ["--model", model]), ...measured, "--out", out],
      options,
    );
    expect(run.code).toBe(2);
    expect(run.stderr).not.toMatch(/\n {4}at |Error/);
    const said = verdicts(eventsOf(out));
    expect(said["local perplexity"]).toBe("done");
    expect(said["missing perplexity"]).toContain("no such file (404)");
    expect(said["page perplexity"]).toContain("a web page");
    expect(said["gated perplexity"]).toContain("no access (401)");
    expect(said["fails perplexity"]).toContain("fails (500)");
    expect(said["closed perplexity"]).toContain("cannot be reached");
    // Five tries, with pauses between them, and not one socket that keeps the process.
    expect(Date.now() - started).toBeLessThan(45_000);
    expect(everything(cache)).not.toContain("doctype");
  }, 90_000);

  it("show a token to its host alone, and leave it and passwords nowhere", async () => {
    const planted = "hf_PLANTEDTOKEN";
    const cdn = await serve((request, response) => send(request, response, first), "localhost");
    const hub = await serve((request, response) => {
      if (request.url!.startsWith("/o/r/")) {
        if (request.headers.authorization !== `Bearer ${planted}`) return void response.writeHead(401).end();
        return void response.writeHead(302, { location: `${cdn.at}/blob?X-Amz-Signature=PLANTEDSIGNATURE` }).end();
      }
      if (request.url!.startsWith("/fails")) return void response.writeHead(403).end();
      send(request, response, second);
    });
    const { out, options, cache } = place({ HF_ENDPOINT: hub.at, HF_TOKEN: planted });
    const secret = hub.at.replace("//", "//PLANTEDUSER:PLANTEDPASSWORD@");
    const models = [
      "hf:o/r/m.gguf",
      `${secret}/n.gguf?token=PLANTEDQUERY`,
      `${secret}/n.gguf?token=PLANTEDOTHER`,
      `${secret}/fails.gguf?sig=PLANTEDQUERY`,
    ];
    const args = ["run", ...models.flatMap((model) => ["--model", model]), ...measured, "--out", out];
    const run = await bench(args, options);
    const json = await bench([...args.filter((arg) => arg !== "--plain"), "--json"], options);
    const report = await bench(["report", out], options);
    const dry = await bench([...args, "--dry-run"], options);
    expect([run.code, json.code, report.code]).toEqual([2, 2, 0]);
    expect(figure(out, "m")).toBeDefined();
    expect(hub.asked.some(({ authorization }) => authorization === `Bearer ${planted}`)).toBe(true);
    expect(cdn.asked.length).toBeGreaterThan(0);
    expect(cdn.asked.filter(({ authorization }) => authorization)).toEqual([]);
    const left = everything(out);
    expect(left).toContain("m.gguf");
    const shown = [run, json, report, dry].flatMap(({ stdout, stderr }) => [stdout, stderr]).join("\n");
    const basic = Buffer.from("PLANTEDUSER:PLANTEDPASSWORD").toString("base64");
    for (const text of [left, shown, everything(cache)]) {
      expect(text).not.toMatch(/PLANTED/);
      expect(text).not.toContain(basic);
    }
  }, 90_000);

  it("are not fetched by a dry run, which says how much would be", async () => {
    const { at, asked } = await serve((request, response) => send(request, response, first));
    const { options, cache } = place();
    const dry = await bench(["run", "--model", local, "--model", `${at}/m.gguf`, ...measured, "--dry-run"], options);
    expect(dry.stdout).toMatch(/^m +\S+ [kM]B to fetch +\?$[\s\S]*^to fetch: m\.gguf, \S+ [kM]B$/m);
    expect(asked.map(({ method }) => method)).toEqual(["HEAD"]);
    expect(everything(cache)).toBe("");
  });
});

it("processes that fetch one file at once all measure it", async () => {
  const { at, asked } = await serve((request, response) => send(request, response, first));
  const { options, cache } = place();
  const outs = [1, 2, 3].map((number) => join(cache, `../run-${number}`));
  const runs = outs.map((out) => bench(["run", "--model", `${at}/m.gguf`, ...measured, "--out", out], options));
  for (const { code, stdout, stderr } of await Promise.all(runs)) expect(code, stdout + stderr).toBe(0);
  expect(new Set(outs.map((out) => figure(out, "m"))).size).toBe(1);
  expect(asked.filter(({ method }) => method === "GET").length).toBeLessThanOrEqual(3);
  expect(everything(join(cache, "models"))).not.toContain(".part");
}, 60_000);

it("importance matrices and adapters are fetched, too, and their addresses shown without secrets", async () => {
  const { at } = await serve((request, response) => {
    if (request.url!.startsWith("/base")) return send(request, response, first);
    send(request, response, Buffer.from("<html>Sign in</html>"));
  });
  const { options, out } = place();
  const file = join(folder, "urls.yaml");
  writeFileSync(
    file,
    `variants:
  adapted: {model: ${at}/base.gguf, lora: "${at}/adapter.gguf?token=PLANTED"}
  made: {model: ${at}/base.gguf, quantize: Q8_0, imatrix: "${at}/matrix.gguf?token=PLANTED"}
measurements: {perplexity: {text: ${join(folder, "t.txt")}, context: 32, chunks: 2}}
`,
  );
  const run = await bench(["run", file, "--plain", "--out", out], options);
  expect(run.code).toBe(1);
  const said = verdicts(eventsOf(out));
  expect(said["adapted perplexity"]).toMatch(/adapter\.gguf\?… could not be fetched: .*a web page/);
  expect(said["made perplexity"]).toMatch(/matrix\.gguf\?… could not be fetched: .*a web page/);
  expect(everything(out) + run.stdout + run.stderr).not.toContain("PLANTED");
}, 60_000);

describe("a download on its way", () => {
  it("goes on beside what is measured already, and nothing is timed meanwhile", async () => {
    let release = () => {};
    const released = new Promise<void>((resolve) => {
      release = resolve;
    });
    const { at } = await serve(async (request, response) => {
      if (request.method === "HEAD") return send(request, response, first);
      response.writeHead(200, { "content-length": first.length });
      response.write(first.subarray(0, 1000));
      await released;
      response.end(first.subarray(1000));
    });
    const { options, out } = place();
    const file = join(folder, "beside.yaml");
    writeFileSync(
      file,
      `defaults: {threads: 1}
variants:
  far: {model: ${at}/far.gguf}
  made: {model: ${at}/far.gguf, quantize: Q8_0}
  here: {model: local.gguf}
measurements:
  perplexity: {text: t.txt, context: 32, chunks: 2}
  other: {measurement: perplexity, text: t.txt, context: 64, chunks: 2}
  divergence: {text: t.txt, context: 32, chunks: 2}
  speed: {prompt: 4, generate: 0, repetitions: 2}
`,
    );
    const { ended } = start(["run", file, "--plain", "--reference", "here", "--out", out], options);
    const planned = () => eventsOf(out).findLast((event) => event.type === "started" || event.type === "planned");
    const done = () => {
      const { jobs = [] } = planned() ?? {};
      const ids = new Set(eventsOf(out).flatMap((event) => (event.type === "job-done" ? [event.job] : [])));
      return jobs.flatMap(({ id, variant, measurement }) => (ids.has(id) ? [`${variant} ${measurement}`] : []));
    };
    await until("what needs no download is measured", () => existsSync(out) && done().length > 0);
    await new Promise((resolve) => setTimeout(resolve, 1500));
    // Divergence is of all, and its decode feeds perplexity; speed is timed when nothing else runs.
    expect(done()).toEqual(["here other"]);
    release();
    const { code, stderr, stdout } = await ended;
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    expect(stdout).toMatch(/^fetching far\.gguf/m);
    expect(stdout).toMatch(/^quantizing far-Q8_0\.gguf/m);
    const { variants, jobs } = planned()!;
    expect(variants.map(({ facts }) => facts?.quant)).toEqual(["F32", "Q8_0", "F32"]);
    expect(done().toSorted()).toEqual(jobs.map(({ variant, measurement }) => `${variant} ${measurement}`).toSorted());
    // Both that are fetched, and the one that is made of it.
    expect(eventsOf(out).filter(({ type }) => type === "planned")).toHaveLength(3);
    const table = readFileSync(join(out, "table.md"), "utf8");
    const again = await bench(["run", file, "--plain", "--reference", "here", "--out", out], options);
    expect(again.stdout).not.toMatch(/started|fetching|quantizing/);
    const cells = (text: string) => text.split("\n").filter((line) => line.startsWith("|"));
    expect(cells(readFileSync(join(out, "table.md"), "utf8"))).toEqual(cells(table));
  }, 120_000);
});

describe.each([
  ["SIGINT", 130],
  ["SIGTERM", 130],
  ["SIGKILL", null],
] as const)("a download that %s ends", (signal, code) => {
  it("is gone on with by the same command", async () => {
    let stuck = true;
    const half = Math.floor(first.length / 2);
    const { at, asked } = await serve((request, response) => {
      if (!stuck) return send(request, response, first);
      response.writeHead(200, { "content-length": first.length, etag: '"1"' });
      response.write(first.subarray(0, half));
    });
    const { out, options, cache } = place();
    const args = ["run", "--model", `${at}/m.gguf`, ...measured, "--out", out];
    const { child, ended, output } = start(args, options);
    const part = () => readdirSync(cache, { recursive: true, encoding: "utf8" }).find((name) => name.endsWith(".part"));
    await until(
      "half of it came",
      () => existsSync(cache) && part() !== undefined && statSync(join(cache, part()!)).size === half,
    );
    const asking = Date.now();
    child.kill(signal);
    const outcome = await ended;
    expect(outcome.code).toBe(code);
    expect(Date.now() - asking).toBeLessThan(3000);
    if (code === 130) expect(outcome.stdout).toContain("stopped; the same command continues");
    expect(output.stdout).toMatch(/fetching m\.gguf/);
    stuck = false;
    asked.length = 0;
    const again = await bench(args, options);
    // The validator of the stuck answer is not that of the file, so a server that minds it sends all.
    expect(again.code, again.stderr).toBe(0);
    expect(asked.find(({ method }) => method === "GET")!.range).toBe(`bytes=${half}-`);
    expect(part()).toBeUndefined();
    expect(relative(cache, out)).toBeTruthy();
  }, 60_000);
});
