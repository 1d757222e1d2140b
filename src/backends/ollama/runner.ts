import { readdirSync, readFileSync, writeFileSync } from "node:fs";

/** The process in which a server computes, where it can be seen: Linux, this machine, the same user or root. */
export class Runner {
  #pid: number | undefined;

  /** `file`: the model that it was started with. */
  constructor(private readonly file: string) {}

  /** What decides its figures, of the arguments that it was started with: threads, batches, cache types; undefined where it is not seen. */
  flags(): string | undefined {
    const line = this.#arguments();
    if (!line) return undefined;
    // What names files, ports and logs decides nothing.
    const kept = line.flatMap((word, i) => {
      const next = line[i + 1];
      if (!telling.has(word)) return [];
      return next === undefined || next.startsWith("-") ? [word] : [`${word} ${next}`];
    });
    return kept.join(" ");
  }

  /** Which process it is now; undefined where it is not seen. */
  pid(): number | undefined {
    return this.#arguments() ? this.#pid : undefined;
  }

  /** CPU seconds that it has used, and the server that started it. */
  cpuSeconds(): number | undefined {
    const pid = this.pid();
    const own = pid === undefined ? undefined : fieldsOf(pid);
    const server = own && fieldsOf(Number(own[1]));
    return own && server && (used(own) + used(server)) / ticksPerSecond;
  }

  /** Value of one of its flags. */
  flag(...names: string[]): string | undefined {
    const line = this.#arguments() ?? [];
    const at = line.findIndex((word) => names.includes(word));
    return at < 0 ? undefined : line[at + 1];
  }

  /** Largest resident set since the last call, in bytes, or since its start where the mark cannot be set back. */
  takeHighWaterMark(): number | undefined {
    if (!this.#arguments()) return undefined;
    try {
      const match = readFileSync(`/proc/${this.#pid}/status`, "utf8").match(/^VmHWM:\s+(\d+) kB/m);
      resetMark(this.#pid!);
      return match ? Number(match[1]) * 1024 : undefined;
    } catch {
      return undefined;
    }
  }

  #arguments(): string[] | undefined {
    const known = this.#pid === undefined ? undefined : commandLine(this.#pid);
    if (known && this.#serves(known)) return known;
    this.#pid = processes().find((pid) => this.#serves(commandLine(pid) ?? []));
    return this.#pid === undefined ? undefined : commandLine(this.#pid);
  }

  #serves(line: string[]): boolean {
    return (
      line.some((word, i) => word === this.file && /^(-m|--model)$/.test(line[i - 1] ?? "")) && line.includes("--port")
    );
  }
}

/** Linux counts in hundredths of a second on every architecture that Node runs on. */
const ticksPerSecond = 100;

const telling = new Set([
  ...[
    "-c",
    "-np",
    "-b",
    "-ub",
    "-t",
    "-ngl",
    "--cache-type-k",
    "--cache-type-v",
    "--flash-attn",
    "--lora",
    "--no-mmap",
  ],
  ...["--ctx-size", "--batch-size", "--threads", "--parallel", "--kv-cache-type", "--load-mode", "--swa-full"],
]);

/** Fields of /proc/PID/stat after the name, which is in parentheses and may hold blanks: state, parent … */
function fieldsOf(pid: number): string[] | undefined {
  try {
    return readFileSync(`/proc/${pid}/stat`, "utf8").split(") ").at(-1)!.split(" ");
  } catch {
    return undefined;
  }
}

/** utime and stime, in ticks. */
const used = (fields: string[]) => Number(fields[11]) + Number(fields[12]);

function processes(): number[] {
  try {
    return readdirSync("/proc")
      .filter((name) => /^\d+$/.test(name))
      .map(Number);
  } catch {
    return [];
  }
}

function commandLine(pid: number): string[] | undefined {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0").slice(0, -1);
  } catch {
    return undefined;
  }
}

function resetMark(pid: number): void {
  try {
    writeFileSync(`/proc/${pid}/clear_refs`, "5");
  } catch {
    // Another user's process.
  }
}
