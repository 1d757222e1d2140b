import { createRequire } from "node:module";

const require = createRequire(import.meta.url);

/** Versions of this program, and of all that decides its figures besides the engine. */
export function versions(): Record<string, string> {
  const own: Record<"dependencies" | "peerDependencies", Record<string, string>> & { version: string } =
    require("../../package.json");
  return {
    "gguf-bench": own.version,
    node: process.versions.node,
    "node-llama-cpp": own.peerDependencies["node-llama-cpp"]!,
    koffi: own.dependencies.koffi!,
  };
}
