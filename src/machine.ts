import fs from "node:fs";
import os from "node:os";

/** Where figures come from. */
export interface Machine {
  cpu: string;
  /** Logical processors that this process may use. */
  cpus: number;
  memoryBytes: number;
  os: string;
  arch: string;
  gpus: string[];
  /** Its name, where another machine than that of the run measures. */
  host?: string;
}

export function thisMachine(): Machine {
  return {
    cpu: os.cpus()[0]?.model.trim() ?? "unknown",
    cpus: usableProcessors(),
    memoryBytes: os.totalmem(),
    os: `${os.type()} ${os.release()}`,
    arch: process.arch,
    gpus: graphicsCards(),
  };
}

/** Names of NVIDIA's cards, vendor and device number of others; none where the system does not tell. */
export function graphicsCards(): string[] {
  const read = (folder: string, tell: (path: string) => string | undefined) => {
    try {
      return fs
        .readdirSync(folder)
        .sort()
        .flatMap((entry) => tell(`${folder}/${entry}`) ?? []);
    } catch {
      return [];
    }
  };
  const line = (path: string) => fs.readFileSync(path, "utf8").trim();
  const nvidia = read("/proc/driver/nvidia/gpus", (card) => line(`${card}/information`).match(/^Model:\s*(.+)$/m)?.[1]);
  const others = read("/sys/class/drm", (card) => {
    if (!/card\d+$/.test(card)) return undefined;
    const vendor = line(`${card}/device/vendor`);
    // NVIDIA's are named above.
    return vendor === "0x10de" ? undefined : `${vendor}:${line(`${card}/device/device`)}`;
  });
  return [...nvidia, ...others];
}

/** Memory that can be had without swapping: free and reclaimable, less if a control group says so. */
export function freeMemory(): number {
  const constrained = process.constrainedMemory();
  const group = constrained > 0 && constrained < os.totalmem() ? constrained - groupUsage() : Infinity;
  return Math.min(availableMemory(), group);
}

/** libuv's figure for containers leaves out what the kernel can reclaim; MemAvailable does not. */
function availableMemory(): number {
  try {
    const match = fs.readFileSync("/proc/meminfo", "utf8").match(/^MemAvailable:\s+(\d+) kB/m);
    if (match) return Number(match[1]) * 1024;
  } catch {
    // Not Linux.
  }
  return os.freemem();
}

function groupUsage(): number {
  try {
    return Number(fs.readFileSync("/sys/fs/cgroup/memory.current", "utf8"));
  } catch {
    return 0;
  }
}

/**
 * Linux: when memory runs out, this process and those that it starts are ended before others. Whoever started it goes on, with one
 * cell that failed.
 */
export function giveWayForMemory(): void {
  try {
    fs.writeFileSync("/proc/self/oom_score_adj", "500");
  } catch {
    // Another system.
  }
}

/** Largest resident set of this process since the last call, in bytes; outside Linux since its start. */
export function takeHighWaterMark(): number {
  return takeMarkOf("self") ?? process.resourceUsage().maxRSS * 1024;
}

/** Undefined where the system does not tell, or there is no such process. */
function takeMarkOf(id: string): number | undefined {
  try {
    const [, kilobytes] = fs.readFileSync(`/proc/${id}/status`, "utf8").match(/^VmHWM:\s+(\d+) kB/m) ?? [];
    // "5" sets the high-water mark back to what is resident now, so that each measurement has its own.
    fs.writeFileSync(`/proc/${id}/clear_refs`, "5");
    return kilobytes === undefined ? undefined : Number(kilobytes) * 1024;
  } catch {
    return undefined; // Not Linux, or gone.
  }
}

/** Sum of the largest resident sets of a group's processes since the last call, in bytes, where the system tells. */
export function takeGroupPeak(group: number): number | undefined {
  const peaks = processesOf(group).flatMap((id) => takeMarkOf(id) ?? []);
  return peaks.length > 0 ? peaks.reduce((sum, peak) => sum + peak) : undefined;
}

/** CPU seconds that the processes of a group have used so far, where the system tells. */
export function groupSeconds(group: number): number | undefined {
  const used = processesOf(group).flatMap((id) => secondsOf(id) ?? []);
  return used.length > 0 ? used.reduce((sum, seconds) => sum + seconds) : undefined;
}

/** A process that listens on a port of this machine. */
export interface Listener {
  /** Its program and arguments, which may hold keys. */
  command: string[];
  /** The variables that it was started with, which may hold keys; undefined where its owner does not tell. */
  environment(): Record<string, string> | undefined;
  /** As of a group. */
  takePeak(): number | undefined;
  seconds(): number | undefined;
}

/** Undefined where none listens, or the system or its owner does not tell. */
export function listenerOn(port: number): Listener | undefined {
  const sockets = new Set(["tcp", "tcp6"].flatMap((table) => listeningSockets(table, port)));
  const id = sockets.size === 0 ? undefined : processIds().find((one) => holds(one, sockets));
  if (id === undefined) return undefined;
  const command = (readProc(`${id}/cmdline`) ?? "").split("\0").slice(0, -1);
  return {
    command,
    environment: () => environmentOf(id),
    takePeak: () => takeMarkOf(id),
    seconds: () => secondsOf(id),
  };
}

function environmentOf(id: string): Record<string, string> | undefined {
  const lines = readProc(`${id}/environ`)?.split("\0");
  return lines && Object.fromEntries(lines.map((line) => [line.replace(/=.*/s, ""), line.replace(/^[^=]*=?/s, "")]));
}

function listeningSockets(table: string, port: number): string[] {
  const listening = "0A";
  const rows = (readProc(`net/${table}`) ?? "").split("\n").slice(1);
  return rows.flatMap((row) => {
    const [, local = "", , state, , , , , , inode] = row.trim().split(/\s+/);
    return state === listening && Number.parseInt(local.split(":")[1] ?? "", 16) === port ? [`socket:[${inode}]`] : [];
  });
}

function holds(id: string, sockets: ReadonlySet<string>): boolean {
  try {
    const folder = `/proc/${id}/fd`;
    return fs.readdirSync(folder).some((file) => {
      try {
        return sockets.has(fs.readlinkSync(`${folder}/${file}`));
      } catch {
        return false; // Closed meanwhile.
      }
    });
  } catch {
    return false; // Another user's.
  }
}

function secondsOf(id: string): number | undefined {
  const ticksPerSecond = 100;
  const [user, system] = [statOf(id)?.[11], statOf(id)?.[12]];
  return user === undefined || system === undefined ? undefined : (Number(user) + Number(system)) / ticksPerSecond;
}

const processesOf = (group: number) => processIds().filter((id) => Number(statOf(id)?.[2]) === group);

function processIds(): string[] {
  try {
    return fs.readdirSync("/proc").filter((entry) => /^\d+$/.test(entry));
  } catch {
    return []; // Not Linux.
  }
}

/** Largest resident set of a process so far, in bytes; undefined where the system does not tell. */
export function highWaterMark(pid: number): number | undefined {
  try {
    const [, kilobytes] = fs.readFileSync(`/proc/${pid}/status`, "utf8").match(/^VmHWM:\s+(\d+) kB/m) ?? [];
    return kilobytes === undefined ? undefined : Number(kilobytes) * 1024;
  } catch {
    return undefined; // Not Linux, or gone.
  }
}

/** CPU seconds that this process has used, and the programs that it started and that have ended. */
export function ownCpuSeconds(): number {
  const { user, system } = process.cpuUsage();
  // After the name in brackets the fourteenth and fifteenth, in ticks, of which Linux has 100 a second for everyone.
  const fields = statOf("self");
  const ended = fields ? (Number(fields[13]) + Number(fields[14])) / 100 : 0;
  return (user + system) / 1e6 + ended;
}

/** State, parent, group … and from the twelfth on the ticks as user and as system. */
function statOf(id: string): string[] | undefined {
  // The name before them, in brackets, may hold anything.
  return readProc(`${id}/stat`)
    ?.replace(/^.*\) /s, "")
    .split(" ");
}

function readProc(path: string): string | undefined {
  try {
    return fs.readFileSync(`/proc/${path}`, "utf8");
  } catch {
    return undefined; // Not Linux, another user's, or gone.
  }
}

/** Logical processors that this process may use. */
export const usableProcessors = (): number => os.availableParallelism();

/** Cores, not hardware threads: llama.cpp's own default, for two threads of a core share its arithmetic units. */
export function physicalCores(): number {
  const usable = usableProcessors();
  try {
    const cores = new Set<string>();
    const root = "/sys/devices/system/cpu";
    for (const entry of fs.readdirSync(root))
      if (/^cpu\d+$/.test(entry)) cores.add(fs.readFileSync(`${root}/${entry}/topology/thread_siblings_list`, "utf8"));
    if (cores.size > 0) return Math.min(usable, cores.size);
  } catch {
    // No such files: trust the scheduler's number.
  }
  return usable;
}
