import { spawnSync } from "node:child_process";
import { existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { bench, cli, eventsOf, sleep, someText, start, temporaryFolder, until } from "./support.js";

// Readers and terminals that go away: what is measured is kept, the lock is removed, the same command goes on.
const folder = temporaryFolder();
writeFileSync(join(folder, "text.txt"), someText(9000));
const slow = join(folder, "slow.yaml");
writeFileSync(
  slow,
  `
variants:
  a: {model: "mock:seed=1,delay=0.1", reference: true}
  b: {model: "mock:seed=1,damage=0.2,delay=0.1"}
measurements:
  perplexity: {text: text.txt, context: 64}
`,
);

function expectStopped(out: string): void {
  expect(existsSync(join(out, "lock"))).toBe(false);
  expect(existsSync(join(out, "table.md"))).toBe(true);
  const events = eventsOf(out);
  expect(events.at(-1)).toMatchObject({ type: "finished", outcome: "stopped" });
}

describe("a reader that ends", () => {
  for (const [name, flags] of Object.entries({ lines: ["--plain"], json: ["--json"] }))
    it(`stops a run gracefully: ${name}`, async () => {
      const out = join(folder, `head-${name}`);
      const { child, ended } = start(["run", slow, ...flags, "--out", out]);
      child.stdout!.once("data", () => child.stdout!.destroy());
      const { code, stderr } = await ended;
      expect({ code, stderr }).toEqual({ code: 130, stderr: "" });
      expectStopped(out);
    });

  it("of the errors is no fault", async () => {
    const { child, ended } = start(["run", join(folder, "absent.yaml")]);
    child.stderr!.destroy();
    expect((await ended).code).toBe(1);
  });

  it("ends every other command quietly", async () => {
    for (const args of [["list"], ["--help"], ["report", join(folder, "head-lines")]]) {
      const { child, ended } = start(args);
      child.stdout!.destroy();
      const { code, stderr, signal } = await ended;
      expect({ args, code, stderr, signal }).toEqual({ args, code: 0, stderr: "", signal: null });
    }
  });
});

describe.skipIf(!existsSync("/dev/full"))("an output on a full disk (skipped without /dev/full)", () => {
  const onto = (args: string[]) =>
    spawnSync("sh", ["-c", 'exec "$0" "$@" > /dev/full', process.execPath, cli, ...args], {
      encoding: "utf8",
      cwd: folder,
    });
  it("is said in a sentence, and the run is stopped", () => {
    const out = join(folder, "full");
    const { status, stderr } = onto(["run", slow, "--out", out]);
    expect(status).toBe(130);
    expect(stderr).toMatch(/^gguf-bench: the output cannot be written: ENOSPC.*\n$/);
    expectStopped(out);
    const list = onto(["list"]);
    expect(list.status).toBe(1);
    expect(list.stderr).toMatch(/^gguf-bench: the output cannot be written: ENOSPC.*\n$/);
  });
});

/** Runs the program on a terminal of its own; each step waits for seconds, types, or closes the terminal. */
const onTerminal = `
import fcntl, os, pty, select, struct, sys, termios, time
steps, argv = sys.argv[1].split(","), sys.argv[2:]
pid, fd = pty.fork()
if pid == 0:
    os.environ["TERM"] = "xterm-256color"
    os.environ.pop("CI", None)
    os.execvp(argv[0], argv)
fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
seen, open_ = b"", True
def read(until, seconds):
    global seen, open_
    end = time.time() + seconds
    while open_ and until not in seen and time.time() < end:
        if select.select([fd], [], [], 0.05)[0]:
            try: seen += os.read(fd, 65536)
            except OSError: open_ = False
for step in steps:
    what, _, value = step.partition("=")
    if what == "see": read(value.encode(), 20)
    if what == "type": os.write(fd, bytes.fromhex(value))
    if what == "close":
        os.close(fd)
        open_ = False
end = time.time() + 30
while time.time() < end:
    done, status = os.waitpid(pid, os.WNOHANG)
    if done: break
    read(b"never", 0.1) if open_ else time.sleep(0.1)
else:
    os.kill(pid, 9)
    status = 9
print(-os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status))
# Left as it was found: cursor and first screen are back.
print(seen.count(b"\\x1b[?1049h") == seen.count(b"\\x1b[?1049l"))
`;
const python = process.env.PYTHON ?? "python3";
const found = spawnSync(python, ["-c", "import pty, termios"]).status === 0;

describe.skipIf(!found)("a terminal (skipped without Python's pty)", () => {
  const run = (steps: string, out: string, ...flags: string[]) => {
    const args = [process.execPath, cli, "run", slow, ...flags, "--out", out];
    const { stdout, stderr } = spawnSync(python, ["-c", onTerminal, steps, ...args], { encoding: "utf8", cwd: folder });
    expect(stderr).toBe("");
    const [code, restored] = stdout.trim().split("\n");
    return { code: Number(code), restored: restored === "True" };
  };

  for (const [name, typed] of Object.entries({ "one Ctrl-C": "03", "two Ctrl-C in one read": "0303", qq: "7171" }))
    it(`${name} stops the run`, () => {
      const out = join(folder, `typed-${typed}`);
      expect(run(`see=perplexity,type=${typed}`, out)).toEqual({ code: 130, restored: true });
      expectStopped(out);
    });

  for (const [name, flags] of Object.entries({ "the live view": [], lines: ["--plain"] }))
    it(`that is closed ends the run gracefully: ${name}`, () => {
      const out = join(folder, `closed-${flags.length}`);
      expect(run("see=perplexity,close", out, ...flags).code).toBe(130);
      expectStopped(out);
    });
});

describe.skipIf(process.platform !== "linux")("an engine (Linux)", () => {
  it("that is stopped ends with its parent, whichever backend it is of", async () => {
    const { child, ended } = start(["run", slow, "--plain", "--out", join(folder, "orphan")]);
    await until("a chunk", () => eventsOf(join(folder, "orphan")).some(({ type }) => type === "samples"));
    const children = spawnSync("ps", ["-o", "pid=", "--ppid", String(child.pid)], { encoding: "utf8" }).stdout;
    const engines = children.trim().split(/\s+/).map(Number);
    expect(engines.length).toBeGreaterThan(0);
    for (const engine of engines) process.kill(engine, "SIGSTOP");
    child.kill("SIGKILL");
    await ended;
    await sleep(200);
    const alive = engines.filter((engine) => {
      const state = spawnSync("ps", ["-o", "stat=", "-p", String(engine)], { encoding: "utf8" }).stdout.trim();
      return state !== "" && !state.startsWith("Z");
    });
    expect(alive).toEqual([]);
  });

  it("of the next run is not in the way", async () => {
    const { code } = await bench(["run", slow, "--plain", "--only", "a", "--out", join(folder, "orphan")]);
    expect(code).toBe(0);
  });
});
