import { BenchError } from "../../errors.js";
import { loadedFiles } from "../../llama/library.js";
import { type ProgramLine, runProgram } from "../../programs.js";
import type { EngineListener, VariantSpec } from "../backend.js";
import { type ToolBuild, type ToolName, toolEnvironment } from "./build.js";
import { argumentsFor, type ToolSettings, threadsOf, toolSettings } from "./settings.js";

/** A model that the programs of a build are given, with the settings that all of them take. */
export class ToolModel {
  readonly threads: number;
  readonly batch: number;
  readonly #path: string;
  readonly #settings: ToolSettings;
  #peakMemory: number | undefined;

  constructor(
    { model, settings }: VariantSpec,
    private readonly build: ToolBuild,
    private readonly listener?: EngineListener,
  ) {
    this.#path = model;
    this.#settings = toolSettings.parse(settings);
    this.threads = threadsOf(this.#settings);
    this.batch = this.#settings.batch;
  }

  /** Runs a program on the model. Throws a BenchError that says why it failed. */
  async *run(tool: ToolName, args: readonly string[]): AsyncGenerator<ProgramLine> {
    const program = this.build.programs[tool]!;
    const files = new Set(this.build.files);
    this.listener?.doing(`running ${program}`);
    const options = {
      env: toolEnvironment(),
      look(pid: number) {
        const stray = loadedFiles(pid).find((file) => !files.has(file));
        if (stray !== undefined)
          throw new BenchError("library-unfit", `${program} computes with a library elsewhere, ${stray}`, {
            hint: "put the libraries of a build beside its programs",
          });
      },
      memory: (bytes: number) => {
        own = bytes;
      },
    };
    let own = 0;
    try {
      for (let attempt = 1; ; attempt++) {
        let silent = true;
        try {
          for await (const line of runProgram(
            program,
            ["-m", this.#path, ...argumentsFor(tool, this.#settings), ...args],
            options,
          )) {
            silent = false;
            yield line;
          }
          return;
        } catch (error) {
          // A program may lose its last lines, and with them why it failed.
          const again = attempt === 1 && silent && error instanceof BenchError && error.code === "program-failed";
          if (!again) throw error;
        }
      }
    } finally {
      // What it was before it became the program does not count: the last figure is the program's own.
      if (own > 0) this.#peakMemory = Math.max(this.#peakMemory ?? 0, own);
    }
  }

  /** Of the programs that ran since the last call. */
  takePeakMemory(): number | undefined {
    const peak = this.#peakMemory;
    this.#peakMemory = undefined;
    return peak;
  }
}
