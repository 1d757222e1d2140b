import fs from "node:fs";
import { createRequire } from "node:module";
import os from "node:os";
import path from "node:path";
import { BenchError } from "../errors.js";
import { graphicsCards } from "../machine.js";

/** The llama.cpp release whose C structs `library.ts` describes; it goes with the pinned version of node-llama-cpp's packages. */
export const llamaRelease = "v0.5.0";

/** A folder that holds libllama, and how it came there. */
export interface LibraryLocation {
  directory: string;
  /** File names inside the folder. */
  llama: string;
  ggml: string;
  ggmlBase: string;
  /** `prebuilt`: from an npm package; `source build`: made by `doctor --build`, or in a folder that the user named. */
  origin: "prebuilt" | "source build";
  gpu: "cpu" | "cuda" | "vulkan" | "metal";
}

const require = createRequire(import.meta.url);

/** A package of node-llama-cpp's, with the version of the release that is spoken here, as npm is asked for it. */
export function pinnedPackage(name: string): string {
  const { peerDependencies }: { peerDependencies: Record<string, string> } = require("../../package.json");
  return `${name}@${peerDependencies[name]}`;
}

/**
 * The libraries on this machine, best first: a build from source before a prebuilt one (its kernels fit this CPU), a GPU
 * before the CPU. A folder that is given is used instead, or else the one that `GGUF_BENCH_LIBRARY` names.
 */
export function findLibraries(folder?: string): LibraryLocation[] {
  const variable = process.env.GGUF_BENCH_LIBRARY;
  if (folder !== undefined) return [ownLibrary(folder, "")];
  if (variable) return [ownLibrary(variable, "GGUF_BENCH_LIBRARY")];
  const found: LibraryLocation[] = [];
  for (const directory of sourceBuildFolders()) {
    const location = describeFolder(directory, "source build");
    if (location) found.push(location);
  }
  for (const name of prebuiltPackages()) {
    const directory = packageFolder(`@node-llama-cpp/${name}`);
    const bins = directory && path.join(directory, "bins");
    if (!bins || !fs.existsSync(bins)) continue;
    for (const entry of fs.readdirSync(bins)) {
      const location = describeFolder(path.join(bins, entry), "prebuilt");
      if (location) found.push(location);
    }
  }
  return found;
}

/** The library in a folder that the user names; `variable`: the one that names it. */
function ownLibrary(folder: string, variable: string): LibraryLocation {
  const directory = path.resolve(folder);
  const location = [directory, path.join(directory, "lib"), path.join(directory, "bin")]
    .map((place) => describeFolder(place, "source build"))
    .find((found) => found !== undefined);
  if (!location)
    throw new BenchError("library-missing", `there is no libllama in ${folder}${variable && ` (${variable})`}`, {
      hint: `name the folder that holds libllama, libggml and libggml-base${variable ? ", or unset the variable" : ""}`,
    });
  const foreign = foreignProcessor(path.join(location.directory, location.llama));
  if (foreign !== undefined)
    throw new BenchError(
      "library-unfit",
      `${path.join(directory, location.llama)} was built for ${foreign}; this program runs on ${process.arch}`,
      { hint: "name a build for this processor" },
    );
  return location;
}

/** e_machine of ELF files, by Node's names of processors. */
const processors: Record<number, string> = {
  3: "ia32",
  40: "arm",
  62: "x64",
  183: "arm64",
  243: "riscv64",
  258: "loong64",
};

/** The processor that an ELF file was built for, where it is another than this one's. */
export function foreignProcessor(file: string): string | undefined {
  const head = Buffer.alloc(20);
  const open = fs.openSync(file, "r");
  try {
    if (fs.readSync(open, head, 0, head.length, 0) < head.length) return undefined;
  } finally {
    fs.closeSync(open);
  }
  if (head.readUInt32BE(0) !== 0x7f454c46) return undefined;
  const machine = head[5] === 2 ? head.readUInt16BE(18) : head.readUInt16LE(18);
  const name = processors[machine] ?? `processors of the kind ${machine}`;
  return name === process.arch ? undefined : name;
}

/** The library for the asked device; `auto` takes a GPU build only if its driver is there. `folder`: the one to use. */
export function chooseLibrary(gpu: "auto" | LibraryLocation["gpu"] = "auto", folder?: string): LibraryLocation {
  const all = findLibraries(folder);
  const usable =
    gpu === "auto" ? all.filter((l) => l.gpu === "cpu" || driverPresent(l.gpu)) : all.filter((l) => l.gpu === gpu);
  const order = (l: LibraryLocation) => (l.gpu === "cpu" ? 1 : 0) * 2 + (l.origin === "prebuilt" ? 1 : 0);
  const best = usable.sort((a, b) => order(a) - order(b))[0];
  if (!best)
    throw new BenchError(
      "library-missing",
      `no llama.cpp library for ${gpu === "auto" ? "this machine" : gpu} on ${process.platform}-${process.arch}; found: ${all.map((l) => `${l.gpu} (${l.origin})`).join(", ") || "none"}`,
      {
        hint:
          folder === undefined
            ? "run `npm install` again with optional dependencies, or build one with `gguf-bench doctor --build`"
            : `${folder} holds a build for ${all[0]!.gpu}: name another, or take \`gpu\` away`,
      },
    );
  return best;
}

/** Why nothing can be computed on such a card here, a sentence without its end. */
export function missingCard(gpu: "auto" | LibraryLocation["gpu"]): string | undefined {
  if (gpu === "auto" || gpu === "cpu") return undefined;
  if (!findLibraries().some((one) => one.gpu === gpu)) {
    const adding = buildFor(gpu);
    const remedy = adding ? `\`npm install ${adding}\` adds it` : "take `gpu` away, or set it to cpu";
    return `gpu: ${gpu} is asked for, and no llama.cpp library for it is installed: ${remedy}`;
  }
  return cardPresent(gpu)
    ? undefined
    : `gpu: ${gpu} is asked for, and this machine has no such graphics card: take \`gpu\` away, or set it to cpu`;
}

/** Whether this machine has what a build is for; every machine has a processor. */
export function cardPresent(gpu: LibraryLocation["gpu"]): boolean {
  if (gpu === "cpu") return true;
  return gpu === "vulkan" ? graphicsCards().length > 0 : driverPresent(gpu);
}

/**
 * What to say of an NVIDIA card that is left idle because its build is not installed, a sentence without its end. Builds for
 * graphics cards are packages of their own: they are many times larger than all the rest.
 */
export function idleCard({
  driver = driverPresent("cuda"),
  builds = () => findLibraries().map(({ gpu }) => gpu),
} = {}): string | undefined {
  const adding = buildFor("cuda");
  if (!driver || !adding || process.env.GGUF_BENCH_LIBRARY || builds().includes("cuda")) return undefined;
  return `this machine's NVIDIA card is not used, for no CUDA build is installed: \`npm install ${adding}\` adds it`;
}

/** The package with this machine's build for a card, where one is published. */
function buildFor(gpu: LibraryLocation["gpu"]): string | undefined {
  const name = prebuiltPackages().find((one) => one.endsWith(`-${gpu}`));
  return name && gpu !== "metal" ? pinnedPackage(`@node-llama-cpp/${name}`) : undefined;
}

function prebuiltPackages(): string[] {
  const arch = process.arch;
  if (process.platform === "darwin") return arch === "arm64" ? ["mac-arm64-metal"] : ["mac-x64"];
  if (process.platform === "win32")
    return arch === "arm64" ? ["win-arm64"] : ["win-x64-cuda", "win-x64-vulkan", "win-x64"];
  if (arch === "arm64") return ["linux-arm64"];
  return ["linux-x64-cuda", "linux-x64-vulkan", "linux-x64"];
}

/** Where `node-llama-cpp source download` puts its builds. */
function sourceBuildFolders(): string[] {
  const root = packageFolder("node-llama-cpp");
  const builds = root && path.join(root, "llama", "localBuilds");
  if (!builds || !fs.existsSync(builds)) return [];
  return fs
    .readdirSync(builds)
    .map((name) => path.join(builds, name, "Release"))
    .filter((directory) => fs.existsSync(directory));
}

/** The folder of an installed package, whatever it exports. */
export function packageFolder(name: string): string | undefined {
  for (const base of require.resolve.paths(name) ?? []) {
    const directory = path.join(base, name);
    if (fs.existsSync(path.join(directory, "package.json"))) return fs.realpathSync(directory);
  }
  return undefined;
}

/**
 * `libllama.v0.5.0.so`, `libllama.cuda.v0.5.0.so`, `libllama.v0.5.0.dylib`, `llama.v0.5.0.dll`; a source build has the plain
 * names, an installed one may have `libllama.so.0` alone.
 */
function describeFolder(directory: string, origin: LibraryLocation["origin"]): LibraryLocation | undefined {
  if (!fs.statSync(directory, { throwIfNoEntry: false })?.isDirectory()) return undefined;
  const files = fs.readdirSync(directory);
  const find = (stem: string) =>
    files
      .filter((file) =>
        new RegExp(`^(lib)?${stem}(\\.(cuda|vulkan|metal))?(\\.v[\\d.]+)?\\.(so|dylib|dll)(\\.[\\d.]+)?$`).test(file),
      )
      .sort((a, b) => Number(/\.so\./.test(a)) - Number(/\.so\./.test(b)) || b.length - a.length)[0];
  const [llama, ggml, ggmlBase] = [find("llama"), find("ggml"), find("ggml-base")];
  if (!llama || !ggml || !ggmlBase) return undefined;
  const has = (stem: string) => files.some((file) => file.includes(`ggml-${stem}`));
  const gpu = has("cuda") ? "cuda" : has("vulkan") ? "vulkan" : has("metal") ? "metal" : "cpu";
  return { directory: fs.realpathSync(directory), llama, ggml, ggmlBase, origin, gpu };
}

function driverPresent(gpu: LibraryLocation["gpu"]): boolean {
  if (gpu === "metal") return process.platform === "darwin" && os.arch() === "arm64";
  if (gpu === "cuda")
    return (
      fs.existsSync("/proc/driver/nvidia/version") ||
      fs.existsSync("/dev/nvidiactl") ||
      (process.platform === "win32" &&
        fs.existsSync(path.join(process.env.SystemRoot ?? "C:\\Windows", "System32", "nvcuda.dll")))
    );
  // Vulkan also runs on software renderers, which are slower than the CPU build: it is used only when asked for.
  return false;
}
