// One run of a program: how long, how much CPU, how much memory, and how much of the machine others took meanwhile.
import { spawn } from "node:child_process";
import fs from "node:fs";
import os from "node:os";

/**
 * @typedef {object} Run
 * @property {number} wall seconds from start to end of the whole process
 * @property {number} user CPU seconds, of all processes of the tree
 * @property {number} system
 * @property {number} peak bytes: VmHWM summed over the processes of the tree, an upper bound of what they held together
 * @property {number} [pss] bytes, where asked for: the largest sum of proportional set sizes that was seen
 * @property {number} foreign cores that others took of the machine, stolen time of a virtual machine included
 * @property {number} code exit code
 * @property {string} stdout
 * @property {string} stderr
 */

/** Often enough to see a process before it ends; VmHWM keeps what happens between two looks. */
const lookEvery = 100;

/** The shell of the run at hand. @type {number | undefined} */
let running;

/** Ends the run at hand with all its processes; for when this one ends early. */
export function killRun() {
  if (running !== undefined) for (const pid of descendants(running)) process.kill(pid, "SIGKILL");
}

/**
 * @param {{command: string, args: string[], env?: NodeJS.ProcessEnv}} what
 * @param {{pss?: boolean}} [options]
 * @returns {Promise<Run>}
 */
export async function runProcess({ command, args, env = process.env }, { pss = false } = {}) {
  const before = busySeconds();
  const ownBefore = ownSeconds();
  const started = performance.now();
  // The shell's `times` has the CPU of everything it waited for, descendants included; Node has no such call.
  const child = spawn("sh", ["-c", '"$@"; code=$?; times >&3; exit $code', "sh", command, ...args], {
    stdio: ["ignore", "pipe", "pipe", "pipe"],
    env,
  });
  const [stdout, stderr, times] = [1, 2, 3].map((fd) => collect(child.stdio[fd]));
  const memory = new TreeMemory(/** @type {number} */ (child.pid), pss);
  running = child.pid;
  const looking = setInterval(() => memory.look(), lookEvery);
  const code = await new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (exit, signal) => resolve(exit ?? 128 + (os.constants.signals[signal] ?? 0)));
  });
  running = undefined;
  clearInterval(looking);
  const wall = (performance.now() - started) / 1000;
  const { user, system } = childTimes(times());
  const others = busySeconds() - before - (user + system) - (ownSeconds() - ownBefore);
  return {
    wall,
    user,
    system,
    peak: memory.peak,
    ...(pss ? { pss: memory.pss } : {}),
    foreign: Math.max(0, others / wall),
    code,
    stdout: stdout(),
    stderr: stderr(),
  };
}

/** Cores that others take of the machine now. @param {number} milliseconds */
export async function foreignLoad(milliseconds) {
  const [before, ownBefore, started] = [busySeconds(), ownSeconds(), performance.now()];
  await new Promise((resolve) => setTimeout(resolve, milliseconds));
  const seconds = (performance.now() - started) / 1000;
  return Math.max(0, (busySeconds() - before - (ownSeconds() - ownBefore)) / seconds);
}

function collect(stream) {
  const parts = [];
  stream.on("data", (part) => parts.push(part));
  return () => Buffer.concat(parts).toString("utf8");
}

/** The second line of `times`, such as `0m9.81s 0m0.30s`: of the children that were waited for. */
function childTimes(said) {
  const [user = 0, system = 0] = [...(said.split("\n")[1] ?? "").matchAll(/(\d+)m([\d.,]+)s/g)].map(
    ([, minutes, seconds]) => Number(minutes) * 60 + Number(seconds.replace(",", ".")),
  );
  return { user, system };
}

/** CPU seconds that the whole machine has been busy. os.cpus() leaves out what a hypervisor stole, which slows us as well. */
function busySeconds() {
  try {
    const [user, nice, system, , , irq, softirq, steal] = fs
      .readFileSync("/proc/stat", "utf8")
      .split("\n", 1)[0]
      .split(/\s+/)
      .slice(1)
      .map(Number);
    return (user + nice + system + irq + softirq + steal) / 100;
  } catch {
    let all = 0;
    for (const { times } of os.cpus()) all += times.user + times.nice + times.sys + times.irq;
    return all / 1000;
  }
}

function ownSeconds() {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1e6;
}

/** What the descendants of a process hold. Linux alone; elsewhere it stays 0 and the table says nothing of memory. */
class TreeMemory {
  #root;
  #wantsPss;
  /** @type {Map<number, number>} */
  #highest = new Map();
  pss = 0;

  /** @param {number} root not counted itself: it is the shell */
  constructor(root, wantsPss) {
    this.#root = root;
    this.#wantsPss = wantsPss;
  }

  look() {
    let together = 0;
    for (const pid of descendants(this.#root)) {
      // A process may set its own mark back, so the largest that was seen counts.
      const mark = kilobytes(`/proc/${pid}/status`, "VmHWM");
      this.#highest.set(pid, Math.max(this.#highest.get(pid) ?? 0, mark));
      if (this.#wantsPss) together += kilobytes(`/proc/${pid}/smaps_rollup`, "Pss");
    }
    this.pss = Math.max(this.pss, together * 1024);
  }

  get peak() {
    let sum = 0;
    for (const mark of this.#highest.values()) sum += mark * 1024;
    return sum;
  }
}

/** @returns {number[]} */
function descendants(pid) {
  try {
    const children = fs
      .readdirSync(`/proc/${pid}/task`)
      .flatMap((thread) => fs.readFileSync(`/proc/${pid}/task/${thread}/children`, "utf8").trim().split(" "))
      .filter(Boolean)
      .map(Number);
    return children.flatMap((child) => [child, ...descendants(child)]);
  } catch {
    return []; // gone meanwhile
  }
}

function kilobytes(file, key) {
  try {
    return Number(fs.readFileSync(file, "utf8").match(new RegExp(`^${key}:\\s+(\\d+) kB`, "m"))?.[1] ?? 0);
  } catch {
    return 0;
  }
}
