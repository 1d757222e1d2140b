import { closeSync, existsSync, openSync, readdirSync, readSync, realpathSync, statSync } from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import { definite } from "../../definite.js";
import { BenchError } from "../../errors.js";
import { foreignProcessor } from "../../llama/location.js";
import { digestOfFiles, environmentOf, librariesIn } from "../../models/builds.js";
import { runProgram } from "../../programs.js";
import type { EngineChoice } from "../backend.js";

/** The programs that a build is measured by. */
const names = { perplexity: "llama-perplexity", bench: "llama-bench" } as const;
export type ToolName = keyof typeof names;

/** llama.cpp's own programs in a folder. */
export interface ToolBuild {
  /** Paths of those that are there. */
  programs: Partial<Record<ToolName, string>>;
  /** All that decides what they compute: the programs and llama.cpp's libraries, links resolved. */
  files: string[];
  choice: EngineChoice;
}

/** The server of a build, where there is one in the folder or its `bin`. */
export function serverIn(folder: string): string | undefined {
  return [resolve(folder), join(resolve(folder), "bin")]
    .map((directory) => join(directory, `llama-server${ending}`))
    .find((program) => existsSync(program));
}

const ending = process.platform === "win32" ? ".exe" : "";

/** Kept for as long as the process lives: a plan asks for the same folder once per variant and once more. */
const known = new Map<string, Promise<ToolBuild>>();

/**
 * The build in a folder (or in its `bin`). Throws a BenchError when there is none, or when its programs do not start.
 */
export function findBuild(folder: string | undefined): Promise<ToolBuild> {
  if (folder === undefined)
    throw new BenchError("config", "no folder of llama.cpp's programs is named", {
      hint: "add `tools: DIR`, the folder of llama-perplexity and llama-bench",
    });
  const found = known.get(folder) ?? readBuild(folder);
  known.set(folder, found);
  found.catch(() => known.delete(folder));
  return found;
}

async function readBuild(folder: string): Promise<ToolBuild> {
  const at = (directory: string, name: string) => join(directory, `${name}${ending}`);
  const directory = [resolve(folder), join(resolve(folder), "bin")].find((place) =>
    Object.values(names).some((name) => existsSync(at(place, name))),
  );
  if (directory === undefined)
    throw new BenchError("program-missing", `there is neither llama-perplexity nor llama-bench in ${folder}`, {
      hint: "name the folder that llama.cpp's programs were built or unpacked into",
    });
  const programs: ToolBuild["programs"] = {};
  for (const [tool, name] of Object.entries(names) as [ToolName, string][])
    if (existsSync(at(directory, name))) programs[tool] = at(directory, name);
  const present = Object.values(programs);
  for (const program of present) {
    const foreign = foreignProcessor(program);
    if (foreign !== undefined)
      throw new BenchError("library-unfit", `${program} was built for ${foreign}; this machine is ${process.arch}`, {
        hint: "name a build for this processor",
      });
  }
  const beside = filesBeside(directory);
  const linked = (await Promise.all(present.map(linkedLibraries))).flat();
  const files = [...new Set([...beside, ...linked].map((file) => realpathSync(file)))].sort();
  const card = ["cuda", "vulkan", "metal", "hip", "sycl"].find((one) =>
    files.some((file) => basename(file).includes(`ggml-${one}`)),
  );
  const environment = toolVariables(card !== undefined);
  const choice: EngineChoice = {
    version: `llama.cpp ${await versionOf(present[0]!)}`,
    library: `${card ?? "cpu"} tools`,
    // Names count as they are in the folder: a library that is found by another name is another one.
    build: (await digestOfFiles([...beside, ...linked])).slice(0, 12),
    origin: "tools",
    gpu: card !== undefined,
    ...definite({ environment: Object.keys(environment).length > 0 ? environment : undefined }),
  };
  return { programs, files, choice };
}

/** Programs and libraries in the folder, and the libraries in the `lib` beside a `bin`. */
function filesBeside(directory: string): string[] {
  const programs = readdirSync(directory)
    .filter((name) => /^llama-(perplexity|bench)(\.(exe|bin))?$/.test(name))
    .map((name) => join(directory, name));
  const places = [directory, ...(basename(directory) === "bin" ? [join(dirname(directory), "lib")] : [])];
  const libraries = places.filter((place) => existsSync(place)).flatMap(librariesIn);
  return [...programs, ...libraries].filter((file) => statSync(file, { throwIfNoEntry: false })?.isFile());
}

const seconds = 20;

/** Linux: llama.cpp's libraries that the dynamic linker gives a program, wherever they lie: a moved build may compute with those it was linked with. */
async function linkedLibraries(program: string): Promise<string[]> {
  if (process.platform !== "linux" || !isElf(program)) return [];
  const found: string[] = [];
  const env = { ...toolEnvironment(), LD_TRACE_LOADED_OBJECTS: "1" };
  try {
    for await (const { text } of runProgram(program, ["--version"], { env, timeout: seconds })) {
      const [, file] = text.match(/=> (\/.*\/lib(?:llama|ggml)\S*) \(0x/) ?? [];
      if (file) found.push(file);
    }
  } catch {
    // Whatever is wrong with the program shows when it is asked for its version.
  }
  return found;
}

function isElf(file: string): boolean {
  const head = Buffer.alloc(4);
  const open = openSync(file, "r");
  try {
    readSync(open, head, 0, 4, 0);
  } finally {
    closeSync(open);
  }
  return head.readUInt32BE(0) === 0x7f454c46;
}

/** `0.5.0-dev (a1b2c3d)`, as `--version` says. */
async function versionOf(program: string): Promise<string> {
  let said: string | undefined;
  let last = "";
  for await (const { text } of runProgram(program, ["--version"], { env: toolEnvironment(), timeout: seconds })) {
    said ??= text.match(/\bversion: *(\S.*)/i)?.[1]?.trim();
    last ||= text.trim();
  }
  return said ?? (last || "(no version)");
}

/** Variables that the programs take options, models and keys from: what is measured is said in the benchmark file alone. */
const unheard = /^(LLAMA_(ARG|API|CACHE|HF|LOG|OFFLINE)|HF_)|KEY|TOKEN|SECRET|PASSW/i;

/** The environment of llama.cpp's programs. */
export function toolEnvironment(): NodeJS.ProcessEnv {
  const kept = Object.entries(process.env).filter(([name]) => !unheard.test(name));
  return { ...Object.fromEntries(kept), GGML_NO_BACKTRACE: "1" };
}

/** Of the variables that decide what is computed, those that are set. */
function toolVariables(card: boolean): Record<string, string> {
  const loader = Object.keys(process.env).filter((name) => /^(LD|DYLD)_\w+$/.test(name));
  return {
    ...environmentOf({ gpu: card ? "cuda" : "cpu" }),
    ...Object.fromEntries(loader.sort().map((name) => [name, process.env[name] ?? ""])),
  };
}
