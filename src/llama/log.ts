import { type CacheType, cacheTypes } from "./cache-types.js";
import type { LogLine } from "./library.js";

/** How llama.cpp tells the size of a KV cache; a model whose layers have windows of their own has two. */
export const cacheLine =
  /kv_cache: size = .*\( *(\d+) cells.*\/(\d+) seqs\), K \((\w+)\): *([\d.]+) MiB, V \((\w+)\): *([\d.]+) MiB/;

/**
 * The bytes of K and V that such a line tells of; 0 for any other. It has two digits of a MiB, and a cache is rows of whole
 * blocks of 32 values for every cell of every sequence: the number of such rows that is meant gives its bytes.
 */
export function cacheBytesIn(line: string): number {
  const match = line.match(cacheLine);
  if (!match) return 0;
  const [, cells, streams, typeK, sizeK, typeV, sizeV] = match;
  const bytes = (type: string, mebibytes: string) => {
    const told = Number(mebibytes) * 2 ** 20;
    const { bits } = cacheTypes[type as CacheType] ?? { bits: 0 };
    const row = Number(cells) * Number(streams) * 4 * bits;
    const whole = row > 0 ? Math.round(told / row) * row : told;
    return Math.abs(whole - told) <= 0.005 * 2 ** 20 + 1 ? whole : Math.round(told);
  };
  return bytes(typeK!, sizeK!) + bytes(typeV!, sizeV!);
}

/**
 * Warnings that say nothing of the model: about the machine, its memory and its files, or about what was asked for. All
 * others are shown beside the figures.
 */
const harmless = [
  /^warning: (posix_|munmap|PrefetchVirtualMemory|UnmapViewOfFile|CloseHandle|failed to|GetProcess|mlock)/,
  /Falling back to buffered (I\/O|IO)/,
  /mmap is not (supported|available)/,
  /numa_balancing/,
  /graph reuse disabled/,
  /using full-size SWA cache/, // `swaFull` asked for it
  /special_eo[stm]_id is not in special_eog_ids/, // of where generated text ends; llama.cpp adds it
  /n_ctx is not divisible by n_seq_max/,
  /retrying without pipeline parallelism/,
  /tensor overrides to CPU/,
  /cplan requested more threads/,
];

/** Warnings that differ only in numbers or quoted names are one kind and told once; at most so many kinds of one call. */
const mostWarnings = 8;
const longest = 160;

/** The warnings that a reader of the figures should know, each a sentence without its end. */
export function warningsIn(lines: readonly LogLine[]): string[] {
  const kinds = new Map<string, { text: string; count: number }>();
  for (const { level, text } of lines) {
    const said = bare(text);
    if (level !== "warning" || !/\p{L}/u.test(said) || harmless.some((pattern) => pattern.test(text))) continue;
    if (/^CONSIDER REGENERATING/.test(said)) continue; // the remedy that follows a warning in llama.cpp's log
    const last = [...kinds.values()].at(-1);
    if (last && /^[A-Z !]+$/.test(said)) {
      last.text += `; ${said}`; // goes on with the line before
      continue;
    }
    const kind = said.replace(/'[^']*'|"[^"]*"|[\w.]*\d[\w.]*/g, "_");
    const known = kinds.get(kind);
    if (known) known.count++;
    else kinds.set(kind, { text: said, count: 1 });
  }
  const all = [...kinds.values()].map(
    ({ text, count }) => `llama.cpp warns: ${cut(text)}${count > 1 ? ` (and ${count - 1} more of this kind)` : ""}`,
  );
  if (all.length <= mostWarnings) return all;
  return [...all.slice(0, mostWarnings), `llama.cpp warns of ${all.length - mostWarnings} more things`];
}

/**
 * The cause of a failure in llama.cpp's words; empty if it said nothing. The functions above the failing one add lines that only
 * say that it failed, so the line with the cause of a load is taken, else the first.
 */
export function reasonIn(lines: readonly LogLine[]): string {
  const errors = lines.filter(({ level }) => level === "error").map(({ text }) => bare(text));
  const found =
    errors
      .map(
        (text) =>
          text.match(/(?:error loading model|failed to \w+ (?:the )?(?:lora adapter|context)[^:]*): (.*)/i)?.[1],
      )
      .find(Boolean) ??
    errors.find((text) => !/^failed to load model/.test(text)) ??
    "";
  return cut(
    bare(found)
      .replace(/ *\(hint: [^)]*\)/, "")
      .replace(/\.+$/, ""),
  );
}

/** Without the C function that said it. */
const bare = (text: string) =>
  text
    .replace(/^[\w:~<>]+:(\s+|$)(error: |Warning: )?/, "")
    .replace(/\s+/g, " ")
    .trim();
const cut = (text: string) => (text.length > longest ? `${text.slice(0, longest - 1)}…` : text);
