/**
 * Quantities as people read and write them. Tables, the live view, messages and settings all take them from here, so that a
 * file has one size and a share one scale wherever it is shown. Files for machines (table-long.csv, run.json) keep bytes, shares and
 * seconds.
 */

let collator: Intl.Collator | undefined;

/** Names in the order of the numbers in them: `chunk 2` before `chunk 10`. */
export function byNumber(a: string, b: string): number {
  collator ??= new Intl.Collator("en", { numeric: true });
  return collator.compare(a, b);
}

/** Decimal, as disks and download pages count: `0.9 MB`, `94.4 MB`, `4.20 GB`; kB where a tenth of a MB would say nothing. */
export function bytes(count: number): string {
  const { unit, factor, digits } = byteScale([count]);
  return `${(count * factor).toFixed(digits)} ${unit}`;
}

/** One unit for several sizes, so that they compare at a glance: that of the largest. */
export function byteScale(counts: number[]): { unit: "kB" | "MB" | "GB"; factor: number; digits: number } {
  const largest = Math.max(0, ...counts);
  if (largest >= 1e9) return { unit: "GB", factor: 1e-9, digits: 2 };
  return largest > 0 && largest < 1e5
    ? { unit: "kB", factor: 1e-3, digits: 1 }
    : { unit: "MB", factor: 1e-6, digits: 1 };
}

/** A number of bytes as written: `4 GB`, `800MB`, `1.5GiB`, `4g`, `1048576`. */
export const writtenBytes = /^(\d+(?:\.\d+)?) ?(?:([kKmMgGtT])([iI]?))?[bB]?$/;

/** In bytes: k, M, G and T are powers of 1000, Ki, Mi, Gi and Ti of 1024. Undefined where the text is no size. */
export function readBytes(text: string): number | undefined {
  const match = text.trim().match(writtenBytes);
  if (!match) return undefined;
  const [, amount, prefix = " ", binary] = match;
  return Math.round(Number(amount) * (binary ? 1024 : 1000) ** " kmgt".indexOf(prefix.toLowerCase()));
}

/** A share in per cent: `46 %`, `0.06 %`. */
export function percent(share: number, digits = 0): string {
  return `${(100 * share).toFixed(digits)} %`;
}

/** Two units at most, the smaller one in whole numbers: `34 s`, `1 min 09 s`, `2 h 05 min`, `3 d 4 h`. */
export function duration(seconds: number): string {
  const whole = Math.max(0, Math.round(seconds));
  if (whole < 60) return `${whole} s`;
  const minutes = Math.floor(whole / 60);
  if (minutes < 60) return `${minutes} min ${String(whole % 60).padStart(2, "0")} s`;
  const hours = Math.floor(minutes / 60);
  if (hours < 48) return `${hours} h ${String(minutes % 60).padStart(2, "0")} min`;
  return `${Math.floor(hours / 24)} d ${hours % 24} h`;
}

/** A guess, in one unit: `12 s`, `7 min`, `1.5 h`. */
export function roughDuration(seconds: number): string {
  if (seconds < 90) return `${Math.ceil(seconds)} s`;
  return seconds < 5400 ? `${Math.round(seconds / 60)} min` : `${(seconds / 3600).toFixed(1)} h`;
}

/** `1 job`, `3 jobs`. */
export function counted(count: number, one: string, many = `${one}s`): string {
  return `${count} ${count === 1 ? one : many}`;
}
