import { createHash, randomUUID } from "node:crypto";
import { type BigIntStats, readFileSync, renameSync, writeFileSync } from "node:fs";
import { readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import { homedir } from "node:os";
import { basename, join } from "node:path";
import { sha256, sha256OfFile } from "../digest.js";
import { BenchError, messageOf, writeRemedy } from "../errors.js";
import { makeFolder } from "../folders.js";

/** The user's own cache: `$GGUF_BENCH_CACHE`, else `$XDG_CACHE_HOME/gguf-bench`, else `~/.cache/gguf-bench`. */
export function cacheDirectory(env: NodeJS.ProcessEnv = process.env): string {
  if (env.GGUF_BENCH_CACHE) return env.GGUF_BENCH_CACHE;
  return join(env.XDG_CACHE_HOME || join(homedir(), ".cache"), "gguf-bench");
}

/** What the user can do about its place. */
export const otherCache = "name another folder in GGUF_BENCH_CACHE";

/** Identity of a file's content for the cache; a file that is written again has another one. */
export function fileIdentity(stats: BigIntStats): string {
  return [stats.dev, stats.ino, stats.size, stats.mtimeNs, stats.ctimeNs].join(":");
}

/**
 * Milliseconds within which two changes of a file may have one time stamp: the coarsest of file systems count in 2 s. Facts
 * found out so soon after a change may be about what was there before a second one, and are found out again.
 */
const clockStep = 2000;

// Raised when what is kept changes its meaning: older entries are then as good as absent.
const FORMAT = 2;

/** Facts that cost seconds to find out, kept by path; undefined unless they are about exactly these files. */
export async function recall<Facts>(path: string, identities: string[]): Promise<Facts | undefined> {
  try {
    const entry = JSON.parse(await readFile(entryPath(path), "utf8"));
    const facts = JSON.stringify(entry.facts);
    if (entry.format !== FORMAT || entry.path !== path || entry.digest !== sha256(facts)) return undefined;
    if (JSON.stringify(entry.identities) !== JSON.stringify(identities)) return undefined;
    if (!identities.every((identity) => entry.at - changedAt(identity) > clockStep)) return undefined;
    return entry.facts;
  } catch {
    return undefined; // absent, torn or not JSON: found out again
  }
}

let keeping = true;

/** The task's result, with nothing kept for later while it runs: a dry run changes nothing on disk. */
export async function withoutKeeping<Result>(task: () => Promise<Result>): Promise<Result> {
  keeping = false;
  try {
    return await task();
  } finally {
    keeping = true;
  }
}

/** False while nothing may be written down. */
export function isKeeping(): boolean {
  return keeping;
}

/** Keeps facts for `recall`. If the cache cannot be written, they are computed again next time. */
export async function remember<Facts>(path: string, identities: string[], facts: Facts): Promise<void> {
  if (!keeping) return;
  const target = entryPath(path);
  const draft = `${target}.${randomUUID()}`;
  const entry = { format: FORMAT, path, at: Date.now(), identities, digest: sha256(JSON.stringify(facts)), facts };
  try {
    makeFolder(join(cacheDirectory(), "facts"));
    await writeFile(draft, JSON.stringify(entry));
    await rename(draft, target);
  } catch {
    await rm(draft, { force: true }).catch(() => {});
  }
}

/** Milliseconds since the epoch, from a file's identity. */
const changedAt = (identity: string) => Number(BigInt(identity.split(":").at(-1)!) / 1_000_000n);

/** Digest of a file's bytes, 64 hexadecimal digits. It is kept in the cache, because a large file takes seconds. */
export async function keptSha256(path: string): Promise<string> {
  const key = `sha256 of ${path}`;
  const stats = await stat(path, { bigint: true });
  // Whoever opens a pipe waits for its writer.
  if (!stats.isFile() && !stats.isDirectory()) throw new Error("it is no regular file");
  const before = [fileIdentity(stats)];
  const kept = await recall<string>(key, before);
  if (kept) return kept;
  const digest = await sha256OfFile(path);
  const after = [fileIdentity(await stat(path, { bigint: true }))];
  // The digest of a file that is being written is not kept.
  if (after[0] === before[0]) await remember(key, before, digest);
  return digest;
}

/**
 * Keeps the digest of a file that this program made or fetched beside it, in the form of `sha256sum`: whoever uses the file later
 * can tell whether its bytes are still those.
 */
export async function keepDigest(path: string, digest: string): Promise<void> {
  const draft = `${path}.${randomUUID()}.sha256`;
  try {
    await writeFile(draft, `${digest}  ${basename(path)}\n`);
    await rename(draft, besidePath(path));
  } catch (cause) {
    throw new BenchError("disk", `${besidePath(path)} cannot be written: ${messageOf(cause)}`, {
      hint: `${writeRemedy(cause)}, or ${otherCache}`,
      cause,
    });
  } finally {
    await rm(draft, { force: true }).catch(() => {});
  }
}

/** The digest that a file had when it was made or fetched; undefined when none was kept. */
export async function keptDigest(path: string): Promise<string | undefined> {
  const text = await readFile(besidePath(path), "utf8").catch(() => "");
  return text.match(/^[0-9a-f]{64}(?= )/)?.[0];
}

/** To be called before other bytes come under the file's name. */
export async function forgetDigest(path: string): Promise<void> {
  await rm(besidePath(path), { force: true });
}

const besidePath = (path: string) => `${path}.sha256`;

function entryPath(path: string): string {
  return join(cacheDirectory(), "facts", `${sha256(path).slice(0, 32)}.json`);
}

/**
 * Tokens of a text, kept in the user's cache under all that decides them. The file ends with the digest of its tokens, so
 * that one that was cut or damaged is made anew.
 */
export function rememberTokens(key: string[], text: Uint8Array, tokenize: () => Int32Array): Int32Array {
  const name = createHash("sha256").update(key.join("\n")).update("\n").update(text).digest("hex");
  const folder = join(cacheDirectory(), "tokens");
  const path = join(folder, `${name}.bin`);
  const digestOf = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest();
  try {
    const kept = readFileSync(path);
    const tokens = kept.subarray(0, -32);
    if (kept.length > 32 && digestOf(tokens).equals(kept.subarray(-32)))
      return new Int32Array(tokens.buffer.slice(tokens.byteOffset, tokens.byteOffset + tokens.length));
  } catch {
    // Not kept yet.
  }
  const tokens = tokenize();
  const bytes = Buffer.from(tokens.buffer, tokens.byteOffset, tokens.byteLength);
  try {
    makeFolder(folder);
    const part = `${path}.${randomUUID()}`;
    writeFileSync(part, Buffer.concat([bytes, digestOf(bytes)]));
    renameSync(part, path);
  } catch {
    // No room or no right to write: the next run tokenizes again.
  }
  return tokens;
}
