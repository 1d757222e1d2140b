import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";

/** 64 hexadecimal digits. */
export function sha256(data: Uint8Array | string): string {
  return createHash("sha256").update(data).digest("hex");
}

/** sha256 of all bytes of a file, which may be larger than memory. */
export async function sha256OfFile(path: string): Promise<string> {
  const hash = createHash("sha256");
  for await (const chunk of createReadStream(path, { highWaterMark: 1 << 20 })) hash.update(chunk);
  return hash.digest("hex");
}

/** The first 16 digits of the digest of plain data, whatever the order of its keys; a key that is undefined is none. */
export function digestOfParts(parts: unknown): string {
  const canonical = JSON.stringify(parts, (_, value) =>
    value && typeof value === "object" && !Array.isArray(value)
      ? Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)))
      : value,
  );
  return sha256(canonical).slice(0, 16);
}
