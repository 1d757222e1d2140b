import { readdirSync } from "node:fs";
import { join, sep } from "node:path";
import { fileURLToPath } from "node:url";

/** Where the benchmark files lie that come with the program. */
const folder = fileURLToPath(new URL("../../benchmarks", import.meta.url));

/** Their names: `demo`, `chinese-llama-3/ceval`. */
export function shippedBenchmarks(): string[] {
  return readdirSync(folder, { recursive: true, encoding: "utf8" })
    .filter((path) => path.endsWith(".yaml"))
    .map((path) => path.slice(0, -".yaml".length).split(sep).join("/"))
    .sort();
}

/** The path of the one that is named, with or without its ending, or as the checkout has it: `benchmarks/demo.yaml`. */
export function shippedBenchmark(name: string): string | undefined {
  const wanted = name
    .replace(/\\/g, "/")
    .replace(/^(\.\/)?benchmarks\//, "")
    .replace(/\.yaml$/, "");
  return shippedBenchmarks().includes(wanted) ? join(folder, `${wanted}.yaml`) : undefined;
}
