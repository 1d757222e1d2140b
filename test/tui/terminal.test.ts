import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, describe, expect, it } from "vitest";

const found = spawnSync("tmux", ["-V"]).status === 0;
const script = fileURLToPath(new URL("show.mjs", import.meta.url));
const folder = mkdtempSync(join(tmpdir(), "gguf-bench-view-"));
const socket = `view-${process.pid}`;

const tmux = (...parts: string[]) =>
  execFileSync("tmux", ["-L", socket, "-f", "/dev/null", ...parts], { encoding: "utf8" });
const sleep = (milliseconds: number) => new Promise((resolve) => setTimeout(resolve, milliseconds));

afterAll(() => {
  if (found) spawnSync("tmux", ["-L", socket, "kill-server"]);
  rmSync(folder, { recursive: true, force: true });
});

/** Waits until the screen satisfies; gives the screen's lines. */
async function screen(session: string, satisfies: (lines: string[]) => boolean, what: string): Promise<string[]> {
  let lines: string[] = [];
  for (let attempt = 0; attempt < 150; attempt++) {
    lines = tmux("capture-pane", "-p", "-t", session).replace(/\n$/, "").split("\n");
    if (satisfies(lines)) return lines;
    await sleep(100);
  }
  throw new Error(`the terminal never showed ${what}:\n${lines.join("\n")}`);
}

function start(session: string, columns: number, rows: number, ...settings: string[]): string {
  const report = join(folder, `${session}.json`);
  const command = [
    "echo before the view;",
    "env -u CI -u NO_COLOR TERM=tmux-256color LANG=C.UTF-8 LC_ALL=C.UTF-8",
    `'${process.execPath}' '${script}' ${settings.join(" ")} 2>'${report}';`,
    "echo after the view; sleep 1000",
  ].join(" ");
  tmux("new-session", "-d", "-s", session, "-x", String(columns), "-y", String(rows), command);
  return report;
}

const has = (text: string | RegExp) => (lines: string[]) =>
  typeof text === "string" ? lines.join("\n").includes(text) : text.test(lines.join("\n"));
const fits = (lines: string[], columns: number) => lines.every((line) => [...line].length <= columns);

describe.skipIf(!found)("in a real terminal (tmux)", { timeout: 60_000 }, () => {
  for (const [columns, rows] of [
    [80, 24],
    [200, 60],
  ] as const)
    it(`${columns}×${rows}: fills in, stops on q, gives the terminal back`, async () => {
      const session = `size-${columns}`;
      const report = start(session, columns, rows, "0.6");
      const early = await screen(session, has(/▶ +\d+\.\d{4} ±\d/), "a running value with its error");
      expect(fits(early, columns)).toBe(true);
      expect(early.join("\n")).toContain("another process uses 38 %");
      expect(early.join("\n")).toContain("broken.gguf ends after 41 of 272 tensors");
      expect(has("bits/byte")(early)).toBe(columns === 200);

      await screen(session, has(/✓ +\d+\.\d{4}/), "a finished value");
      tmux("send-keys", "-t", session, "q");
      const stopping = await screen(session, has("The same command continues."), "how to go on");
      expect(fits(stopping, columns)).toBe(true);
      expect(stopping[rows - 2]).toContain("q stop now");

      const after = await screen(session, has("after the view"), "the end");
      expect(after[0]).toBe("before the view");
      expect(after[1]).toBe("after the view");
      expect(JSON.parse(readFileSync(report, "utf8"))).toMatchObject({ stopping: "graceful" });
    });

  it("gives the terminal back on a signal, and shows a crash on it", async () => {
    start("signal", 80, 24, "1");
    await screen("signal", has(/▶ +\d/), "a running value");
    const node = execFileSync("ps", [
      "-o",
      "pid=",
      "--ppid",
      tmux("display", "-p", "-t", "signal", "#{pane_pid}").trim(),
    ]);
    process.kill(Number(String(node).trim().split("\n")[0]), "SIGTERM");
    const ended = await screen("signal", has("after the view"), "the end");
    expect(ended[0]).toBe("before the view");

    const report = start("crash", 80, 24, "1", "6", "crash");
    const crashed = await screen("crash", has("after the view"), "the end");
    expect(crashed[0]).toBe("before the view");
    expect(readFileSync(report, "utf8")).toContain("a fault of the program");
  });

  it("follows a resize both ways and scrolls", async () => {
    const report = start("resize", 200, 60, "1", "30");
    await screen("resize", has(/模型-0\d.*▶ +\d/), "a running value");
    tmux("resize-window", "-t", "resize", "-x", "80", "-y", "24");
    const small = await screen("resize", has("rows (1 to "), "clipped rows");
    expect(fits(small, 80)).toBe(true);
    expect(small.filter((line) => line.startsWith("variant ")).length).toBe(1);
    expect(small.filter((line) => /^模型-\d\d/.test(line)).length).toBeGreaterThan(8);
    tmux("send-keys", "-t", "resize", "G");
    await screen("resize", has("模型-30"), "the last row");
    tmux("send-keys", "-t", "resize", "g", "j", "j", "Down");
    await screen("resize", has(/模型-04\S* ◂/), "the cursor three rows down");
    tmux("send-keys", "-t", "resize", "-N", "12", "j");
    await screen("resize", has(/模型-16\S* ◂/), "scrolled rows");
    tmux("send-keys", "-t", "resize", "f");
    await screen("resize", (lines) => !has("f follow")(lines), "the running row");
    tmux("resize-window", "-t", "resize", "-x", "200", "-y", "60");
    const large = await screen("resize", has("bits/byte"), "more columns");
    expect(large.filter((line) => line.startsWith("variant ")).length).toBe(1);
    expect(large.filter((line) => /^模型-\d\d/.test(line)).length).toBe(30);

    tmux("send-keys", "-t", "resize", "q");
    await screen("resize", has("q stop now"), "the graceful stop");
    tmux("send-keys", "-t", "resize", "C-c");
    await screen("resize", has("after the view"), "the end");
    expect(JSON.parse(readFileSync(report, "utf8"))).toMatchObject({ stopping: "now" });
  });

  it("arrows turn to other columns at every press, and a wider window needs none of it", async () => {
    start("arrows", 80, 24, "1", "6");
    await screen("arrows", has(/✓ +\d+\.\d{4}/), "a finished value");
    const heads = (lines: string[]) => lines.find((line) => line.startsWith("variant ")) ?? "";
    const seen = [heads(await screen("arrows", has("columns ("), "hidden columns"))];
    const press = async (key: string, differs: string) => {
      tmux("send-keys", "-t", "arrows", key);
      return heads(await screen("arrows", (lines) => heads(lines) !== differs, `other columns after ${key}`));
    };
    for (let count = 0; count < 4; count++) seen.push(await press("Right", seen.at(-1)!));
    expect(seen[1]).toContain("size");
    for (const before of seen.slice(0, -1).reverse()) expect(await press("Left", seen.pop()!)).toBe(before);
    await press("Right", seen[0]!);
    tmux("resize-window", "-t", "arrows", "-x", "250", "-y", "30");
    const wide = await screen("arrows", has("peak memory"), "all columns");
    expect(wide.join("\n")).not.toContain("columns (");
    for (const name of ["size", "PPL", "bits/char", "tg128", "acc_norm"]) expect(heads(wide)).toContain(name);
    tmux("send-keys", "-t", "arrows", "C-c", "C-c");
    await screen("arrows", has("after the view"), "the end");
  });
});
