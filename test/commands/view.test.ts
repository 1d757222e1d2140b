import { execFileSync, spawn, spawnSync } from "node:child_process";
import { appendFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, describe, expect, it } from "vitest";
import { itemsOf, ladder, started, wholeRun } from "../tui/recorded.mjs";

const cli = fileURLToPath(new URL("../../dist/cli.js", import.meta.url));
const folder = mkdtempSync(join(tmpdir(), "gguf-bench-onlooking-"));
const socket = `onlooking-${process.pid}`;
const found = spawnSync("tmux", ["-V"]).status === 0;

afterAll(() => {
  if (found) spawnSync("tmux", ["-L", socket, "kill-server"]);
  rmSync(folder, { recursive: true, force: true });
});

const T = 1_700_000_000_000;
const engine = { version: "1", library: "a", origin: "b" };
const provenance = {
  command: ["gguf-bench"],
  versions: {},
  machine: { cpu: "x", cpus: 2, memoryBytes: 1, os: "linux", arch: "x64" },
  engine,
  datasets: [],
};
const file = { files: [], sha256: "", tensorBytes: 1, contextLength: 1, vocabulary: 49152, layers: 1, quant: "Q" };
const named = { architecture: "llama", name: "", tokenizerSha256: "" };

/** A made-up run as the store writes it, line by line; `items` of a perplexity. */
function linesOf(items: Record<string, number> = itemsOf): string[] {
  let at = T;
  const first = started(at, ladder);
  const id = (name: string) => name.replace(/[^\w-]/g, "_");
  const events: object[] = [
    {
      ...first,
      provenance,
      variants: first.variants.map((one, i) => ({
        ...one,
        reference: i === 0,
        facts: { ...file, ...named, ...one.facts },
      })),
      jobs: first.jobs.map((one) => ({
        ...one,
        id: id(one.id),
        settings: one.kind === "choice" ? { limit: items.choice } : one.settings,
      })),
    },
  ];
  for (const [pause, event] of wholeRun(ladder, { items })) {
    at += pause;
    if (event.type === "progress") continue;
    const ofJob = event.job === undefined ? {} : { job: id(event.job) };
    const opened = event.type === "opened" ? { engine: { ...engine, loadSeconds: 0.3 } } : {};
    events.push({ ...event, ...ofJob, ...opened, ...(event.type === "samples" ? {} : { at }) });
  }
  events.push({ type: "finished", at, outcome: "complete" });
  return events.map((event) => `${JSON.stringify(event)}\n`);
}

function runFolder(name: string, lines: string[]): string {
  const run = join(folder, name);
  mkdirSync(join(run, "tokens"), { recursive: true });
  writeFileSync(join(run, "events.jsonl"), lines.join(""));
  return run;
}

const tmux = (...parts: string[]) =>
  execFileSync("tmux", ["-L", socket, "-f", "/dev/null", ...parts], { encoding: "utf8" });
const sleep = (milliseconds: number) => new Promise((resolve) => setTimeout(resolve, milliseconds));

function open(session: string, [columns, rows]: readonly [number, number], ...typed: string[]): void {
  const command = [
    "env -u CI -u NO_COLOR TERM=tmux-256color LANG=C.UTF-8 LC_ALL=C.UTF-8",
    `'${process.execPath}' '${cli}' ${typed.map((one) => `'${one}'`).join(" ")};`,
    "echo ended with $?; sleep 1000",
  ].join(" ");
  tmux("new-session", "-d", "-s", session, "-x", String(columns), "-y", String(rows), command);
}

/** Waits until the screen satisfies; gives the screen's lines. */
async function screen(session: string, satisfies: string | RegExp, what: string): Promise<string[]> {
  let text = "";
  for (let attempt = 0; attempt < 250; attempt++) {
    text = tmux("capture-pane", "-p", "-t", session).replace(/\n$/, "");
    if (typeof satisfies === "string" ? text.includes(satisfies) : satisfies.test(text)) return text.split("\n");
    await sleep(100);
  }
  throw new Error(`the terminal never showed ${what}:\n${text}`);
}

describe.skipIf(!found)("view and watch in a terminal (tmux)", { timeout: 90_000 }, () => {
  for (const size of [
    [80, 24],
    [120, 40],
  ] as const)
    it(`view at ${size.join("×")}: the matrix of a finished run, until q`, async () => {
      const run = runFolder(`finished-${size[0]}`, linesOf());
      const before = readFileSync(join(run, "events.jsonl"));
      const session = `view-${size[0]}`;
      open(session, size, "view", run);
      const lines = await screen(session, "finished", "the run");
      expect(lines.every((line) => [...line].length <= size[0])).toBe(true);
      expect(lines[0]).toMatch(/^smollm2 .*18\/18 jobs/);
      expect(lines.filter((line) => /^SmolLM2-135M-\S+ .*✓ +\d+\.\d{4}/.test(line))).toHaveLength(6);
      // Changes against the first, as a report tells them.
      if (size[0] > 80)
        expect(
          (await screen(session, / \(?[+−]\d\S* ?%/, "changes")).filter((line) =>
            /^SmolLM2-135M-Q\S+ .*✓ .* \(?[+−]\d\S* ?%/.test(line),
          ),
        ).toHaveLength(5);
      expect(lines[size[1] - 2]).toMatch(/^q end/);
      const press = (key: string) => tmux("send-keys", "-t", session, key);
      press("?");
      expect((await screen(session, "Esc back", "the keys")).join("\n")).toMatch(/Enter +one cell/);
      press("Escape");
      await screen(session, "? keys", "the matrix");
      press("Enter");
      const cell = (await screen(session, "last chunk: number 16 of the text, PPL", "a cell")).join("\n");
      expect(cell).toMatch(/SmolLM2-135M-F16: perplexity\n\n✓ done, 16\/16 chunks/);
      expect(cell).toMatch(/PPL +\d+\.\d{4} ± \d\.\d+ +95 % \d+\.\d+ to \d+\.\d+/);
      expect(cell).toMatch(/\n[▁-█]{16}\n/);
      press("Down");
      press("Right");
      await screen(session, "SmolLM2-135M-Q8_0: speed", "another cell");
      // The cursor is where the arrows led; Enter opens the row that it is moved to.
      press("Escape");
      await screen(session, /^SmolLM2-135M-Q8_0 +◂/m, "the cursor");
      for (const _ of [1, 2, 3]) press("Down");
      await screen(session, /^SmolLM2-135M-Q2_K +◂/m, "the cursor three rows below");
      expect((await screen(session, "◂", "one cursor")).join("\n").match(/◂/g)).toHaveLength(1);
      press("Enter");
      await screen(session, "SmolLM2-135M-Q2_K: speed", "the cell of that row");
      press("q");
      const after = await screen(session, "ended with 0", "the end");
      expect(after[0]).toBe("ended with 0");
      expect(readFileSync(join(run, "events.jsonl")).equals(before)).toBe(true);
    });

  /** The process of node in a session. */
  const processOf = (session: string) => {
    const shell = tmux("display", "-p", "-t", session, "#{pane_pid}").trim();
    return Number(execFileSync("ps", ["-o", "pid=", "--ppid", shell], { encoding: "utf8" }).trim().split("\n")[0]);
  };
  /** Seconds of a processor that it took so far: user and system. */
  const secondsOf = (pid: number) => {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    const [user, system] = stat
      .slice(stat.lastIndexOf(")") + 2)
      .split(" ")
      .slice(11, 13);
    return (Number(user) + Number(system)) / 100;
  };

  for (const command of ["view", "watch"])
    it.skipIf(process.platform !== "linux")(
      `${command}: 10,000 events take less than 150 MB, waiting less than 2 %`,
      async () => {
        // Of 6 variants: 16 chunks, 5 repetitions, and questions.
        const lines = linesOf({ ...itemsOf, choice: 1650 });
        expect(lines.length).toBeGreaterThan(10_000);
        open(`cost-${command}`, [120, 40], command, runFolder(`cost-${command}`, lines));
        await screen(`cost-${command}`, "finished", "the run");
        const pid = processOf(`cost-${command}`);
        await sleep(2000);
        const before = secondsOf(pid);
        const since = performance.now();
        await sleep(10_000);
        const share = (secondsOf(pid) - before) / ((performance.now() - since) / 1000);
        const peak = Number(/VmHWM:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))![1]) * 1024;
        expect(share).toBeLessThan(0.02);
        expect(peak).toBeLessThan(150e6);
      },
    );

  it.skipIf(process.platform !== "linux")(
    "run: the live view and all else that its process does take less than 2 % of a core while an engine measures",
    async () => {
      // Seven chunks a second. The first frames are dearer: their code is not compiled yet.
      const work = join(folder, "cost-run");
      mkdirSync(work);
      writeFileSync(join(work, "text.txt"), "A text of plain words, one after another. ".repeat(20_000));
      const models = { F16: "seed=1", Q4: "seed=1,damage=0.2" };
      const variants = Object.entries(models).map(([name, how], i) => {
        return `  ${name}: {model: "mock:${how},delay=0.5", reference: ${i === 0}}\n`;
      });
      writeFileSync(
        join(work, "slow.yaml"),
        `variants:\n${variants.join("")}measurements: {perplexity: {text: text.txt, context: 512}}\n`,
      );
      open("cost-run", [120, 40], "run", join(work, "slow.yaml"), "--out", join(work, "out"));
      await screen("cost-run", /▶ F16 perplexity/, "a running job");
      const pid = processOf("cost-run");
      await sleep(25_000);
      const before = secondsOf(pid);
      const since = performance.now();
      await sleep(15_000);
      const share = (secondsOf(pid) - before) / ((performance.now() - since) / 1000);
      await screen("cost-run", /▶ (F16|Q4) perplexity/, "that it still runs");
      tmux("send-keys", "-t", "cost-run", "q", "q");
      await screen("cost-run", "ended with 130", "the end");
      expect(share).toBeLessThan(0.02);
    },
  );

  it("watch: figures come as another process writes them, half a line is no event, and its end is told", async () => {
    const lines = linesOf();
    const half = Math.floor(lines.length / 3);
    const run = runFolder("written", lines.slice(0, half));
    const writer = spawn(process.execPath, ["-e", "setInterval(() => {}, 1000)"]);
    const stat = readFileSync(`/proc/${writer.pid}/stat`, "utf8");
    const lock = { pid: writer.pid, started: stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19] };
    writeFileSync(
      join(run, "lock"),
      JSON.stringify({ ...lock, host: execFileSync("hostname", { encoding: "utf8" }).trim() }),
    );
    try {
      open("watch", [80, 24], "watch", run);
      const early = await screen("watch", /▶ +\d|▶ SmolLM2/, "a running job");
      const done = Number(/(\d+)\/18 jobs/.exec(early[0]!)![1]);
      expect(done).toBeLessThan(9);
      const next = lines.slice(half, 2 * half).join("");
      appendFileSync(join(run, "events.jsonl"), next.slice(0, -9));
      await screen(
        "watch",
        new RegExp(`(?:${[...Array(17 - done).keys()].map((n) => n + done + 1).join("|")})/18 jobs`),
        "more jobs",
      );
      appendFileSync(join(run, "events.jsonl"), next.slice(-9));
      writer.kill("SIGKILL");
      await screen("watch", "the process that measured is gone", "that nobody measures");
      expect((await screen("watch", "stopped", "the state"))[1]).toContain("stopped");
      // The same command goes on.
      rmSync(join(run, "lock"));
      appendFileSync(join(run, "events.jsonl"), lines.slice(2 * half).join(""));
      await screen("watch", "18/18 jobs", "the end of the run");
      tmux("send-keys", "-t", "watch", "q");
      await screen("watch", "ended with 0", "the end");
    } finally {
      writer.kill("SIGKILL");
    }
  });
});

describe("view without a terminal, or a run", () => {
  const said = (...typed: string[]) => spawnSync(process.execPath, [cli, ...typed], { encoding: "utf8", cwd: folder });
  it("is one sentence", () => {
    const run = runFolder("alone", linesOf());
    for (const command of ["view", "watch"]) {
      const { status, stdout, stderr } = said(command, run);
      expect([status, stdout]).toEqual([1, ""]);
      expect(stderr).toContain(`${command} shows a run on a terminal, and here is none.`);
    }
  });
});
