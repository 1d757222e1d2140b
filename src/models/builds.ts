import { createHash } from "node:crypto";
import fs from "node:fs";
import path from "node:path";
import type { LibraryLocation } from "../llama/location.js";
import { keptSha256 } from "./cache.js";

/**
 * What tells a build of llama.cpp from others of the same release, 12 hexadecimal digits over the bytes of its libraries: other
 * compilers, flags and patches round in other ways. Undefined for a prebuilt one, whose release says all.
 */
export async function buildOf({ directory, origin }: LibraryLocation): Promise<string | undefined> {
  return origin === "prebuilt" ? undefined : (await librariesDigest(directory)).slice(0, 12);
}

/** Of the bytes of llama.cpp's libraries in a folder, which may hold none or not exist. */
export const librariesDigest = (folder: string) => digestOfFiles(fs.existsSync(folder) ? librariesIn(folder) : []);

/** The libraries of llama.cpp in a folder, as paths. */
export function librariesIn(directory: string): string[] {
  return fs
    .readdirSync(directory)
    .filter(isLibrary)
    .map((name) => path.join(directory, name));
}

/** Over the names and the bytes of files, wherever they lie. */
export async function digestOfFiles(files: readonly string[]): Promise<string> {
  const lines = await Promise.all(files.map(async (file) => `${path.basename(file)} ${await keptSha256(file)}\n`));
  return createHash("sha256")
    .update([...new Set(lines)].sort().join(""))
    .digest("hex");
}

/** `libggml-cpu.so`, `libllama.so.0.5.0`, `ggml-base.dll`; tools that lie beside them decide nothing. */
const isLibrary = (name: string) => /^(lib)?(llama|ggml)[\w.-]*\.(so|dylib|dll)(\.[\d.]+)?$/.test(name);

/** Variables of llama.cpp's tools, of its log and of its crash reports. */
const unheard = /^(LLAMA_(ARG|API|CACHE|HF|LOG|OFFLINE|TRACE)|GGML_(NO_BACKTRACE|\w*DEBUG))|KEY|TOKEN|SECRET|_DEBUG$/;

/**
 * The environment variables that llama.cpp's library obeys, as they are set: kernels, fusion, devices. Which graphics card
 * counts for builds that have one alone.
 */
export function environmentOf(
  { gpu }: Pick<LibraryLocation, "gpu">,
  env: NodeJS.ProcessEnv = process.env,
): Record<string, string> {
  const heard = (name: string) =>
    (/^(GGML|LLAMA)_/.test(name) && !unheard.test(name)) || (gpu !== "cpu" && /_VISIBLE_DEVICES$/.test(name));
  return Object.fromEntries(
    Object.keys(env)
      .filter(heard)
      .sort()
      .map((name) => [name, env[name] ?? ""]),
  );
}
