import { spawn } from "node:child_process";
import path from "node:path";
import { readDatasets } from "../data/index.js";
import { definite } from "../definite.js";
import { BenchError, exitCodes } from "../errors.js";
import { harmless } from "../harmless.js";
import { loadLibrary } from "../llama/library.js";
import {
  cardPresent,
  chooseLibrary,
  findLibraries,
  idleCard,
  llamaRelease,
  packageFolder,
  pinnedPackage,
} from "../llama/location.js";
import { freeMemory, thisMachine } from "../machine.js";
import { say } from "../terminal.js";
import { bytes, counted } from "../units.js";
import { type FolderOptions, foldersOf, type Surroundings } from "./command.js";

export interface DoctorCommand extends Pick<FolderOptions, "dataDir"> {
  /** Build llama.cpp for this processor first. */
  build?: boolean;
  /** A folder with a build of libllama to look at. */
  library?: string;
}

/** Says what this machine has for measuring. */
export async function doctorCommand(asked: DoctorCommand, where: Surroundings): Promise<number> {
  if (asked.build) await buildLibrary();
  say(where.stdout, await diagnosis(definite({ dataDir: foldersOf(asked, where).dataDir }), asked.library));
  return exitCodes.allMeasured;
}

/** A description of what this machine has for measuring, as text. It loads the library that engines would use, so both see the same. */
async function diagnosis(folders: { dataDir?: string }, own?: string): Promise<string> {
  const machine = thisMachine();
  const chosen = chooseLibrary("auto", own);
  const library = loadLibrary(chosen, { quiet: true });
  const lines = [
    `Machine      ${machine.cpu}, ${machine.cpus} logical processors, ${machine.os}, ${machine.arch}`,
    `Memory       ${bytes(machine.memoryBytes)}, of which ${bytes(freeMemory())} can be used now`,
    `Node         ${process.versions.node}`,
    `Library      llama.cpp ${library.version} (${llamaRelease} expected: its C interface was checked)`,
    `             ${chosen.origin} for ${chosen.gpu}, ${library.cpuLibrary()}`,
    `             ${chosen.directory}`,
    `Features     ${featuresIn(library.systemInfo())}`,
    ...library.devices().map((device, i) => `${i === 0 ? "Devices" : "       "}      ${device}`),
  ];
  // A build for a card that is not there is of no use to anyone who reads this.
  const others = findLibraries().filter(({ gpu, directory }) => directory !== chosen.directory && cardPresent(gpu));
  for (const [i, { gpu, origin, directory }] of others.entries())
    lines.push(`${i === 0 ? "Also found" : "          "}   ${gpu} ${origin}: ${directory}`);
  const idle = own === undefined ? idleCard() : undefined;
  if (idle) lines.push(`Advice       ${idle}`);
  else if (chosen.origin === "prebuilt" && chosen.gpu === "cpu")
    lines.push(
      "Advice       a build for this processor can be faster: gguf-bench doctor --build (about 5 minutes on 2 cores)",
    );
  const { found, broken } = await readDatasets(folders);
  const absent = found.filter(({ path: file }) => file === undefined).length;
  const data = [
    ...found.flatMap(({ card, path: file }) => (file === undefined ? [] : [`${card.name}: ${file}`])),
    ...(absent > 0
      ? [`${counted(absent, "dataset")} not here: \`gguf-bench list\` names them, \`gguf-bench fetch NAME\` gets them`]
      : []),
    ...broken.map(({ name, fault }) => `${name}: broken (${fault.message})`),
  ];
  for (const [i, one] of data.entries()) lines.push(`${i === 0 ? "Data" : "    "}         ${one}`);
  return `${lines.map((line) => harmless(line)).join("\n")}\n`;
}

/** llama.cpp's line of features, `CPU : AVX = 1 | AVX512 = 0 | …`, as a list of those that are there; values other than 1 are kept. */
export function featuresIn(info: string): string {
  return info
    .split("|")
    .map((one) => one.trim().replace(" : ", ": "))
    .filter((one) => one !== "" && !one.endsWith(" = 0"))
    .map((one) => one.replace(/ = 1$/, "").replace(" = ", " "))
    .join(", ");
}

/**
 * Builds llama.cpp, the very version that is shipped, from the source bundle inside node-llama-cpp, which is asked for, for this processor.
 * Needs cmake and a C++ compiler, but no network. `findLibraries` puts the result first.
 */
async function buildLibrary(): Promise<void> {
  const root = packageFolder("node-llama-cpp");
  if (!root)
    throw new BenchError("build-failed", "llama.cpp's source is not installed: it is part of node-llama-cpp", {
      hint: `\`npm install ${pinnedPackage("node-llama-cpp")}\`, in the same place as gguf-bench (with -g where that has it)`,
    });
  const cli = path.join(root, "dist", "cli", "cli.js");
  const gpu = chooseLibrary().gpu;
  const child = spawn(process.execPath, [cli, "source", "download", "--gpu", gpu === "cpu" ? "false" : gpu], {
    stdio: "inherit",
  });
  const code = await new Promise((resolve) => child.on("close", resolve));
  if (code !== 0)
    throw new BenchError("build-failed", `the build of llama.cpp ended with exit code ${code}`, {
      hint: "its last lines above say why; cmake (3.19 or later) and a C++ compiler are needed",
    });
}
