import { statSync } from "node:fs";
import { BenchError } from "../errors.js";
import type { Adapter } from "./adapters.js";
import { fileIdentity, keptSha256 } from "./cache.js";
import { type ModelFacts, readModelFacts } from "./gguf.js";

/** The digests under which figures are stored: of a file, or of the parts of a split model. */
interface Source {
  files: string[];
  sha256: string;
  digest(): Promise<string>;
}

/** A model as a plan read it, and its adapters. */
interface ReadModel {
  facts?: ModelFacts;
  lora?: Adapter[];
}

/** Files that must stay as a plan read them while they are measured. */
export class UnchangedFiles {
  readonly #sources: Source[] = [];
  /** By source: the state of the files that has the digest. */
  readonly #known = new Map<Source, string>();

  add(path: string, sha256: string): this {
    this.#sources.push({ files: [path], sha256, digest: () => keptSha256(path) });
    return this;
  }

  addModel({ facts, lora = [] }: ReadModel): this {
    const { files = [], sha256 = "" } = facts ?? {};
    // A model that is no file has none, and a server's is called otherwise than its file.
    const [first] = files;
    if (first !== undefined)
      this.#sources.push({ files, sha256, digest: async () => (await readModelFacts(first)).sha256 });
    for (const { path, sha256 } of lora) this.add(path, sha256);
    return this;
  }

  /**
   * Throws a BenchError `file-changed` where a file's bytes are no longer those that were read. Costs a look at each file's
   * size and times; its digest is computed only when those have changed.
   */
  async check(): Promise<void> {
    for (const source of this.#sources) {
      const { files, sha256, digest } = source;
      const state = stateOf(files);
      if (state !== undefined && state === this.#known.get(source)) continue;
      if (state === undefined)
        throw new BenchError("file-changed", `${files[0]} was moved or deleted after this run had read it`, {
          hint: "put it back, and run the same command again",
        });
      if ((await digest().catch(() => undefined)) !== sha256 || stateOf(files) !== state)
        throw new BenchError("file-changed", `${files[0]} was replaced or changed after this run had read it`, {
          hint: "the same command measures the new file; keep files as they are while a run goes on",
        });
      this.#known.set(source, state);
    }
  }
}

/** Undefined where one is gone. */
function stateOf(files: string[]): string | undefined {
  try {
    return files.map((file) => fileIdentity(statSync(file, { bigint: true }))).join(" ");
  } catch {
    return undefined;
  }
}
