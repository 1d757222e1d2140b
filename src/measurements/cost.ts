import type { SettingsFacts } from "../backends/backend.js";
import { usableProcessors } from "../machine.js";
import type { ModelFacts } from "../models/gguf.js";
import type { Cost } from "./measurement.js";

/**
 * A first guess: a token costs two operations per weight, and a core of these years does some 60 thousand million of them a
 * second in a prompt; generation reads all weights once a token, at some 10 GB/s.
 */
export function seconds(
  facts: ModelFacts | undefined,
  { threads = usableProcessors() }: SettingsFacts,
  { prompt, generated, waits = 0 }: Cost,
): number | undefined {
  if (!facts) return undefined;
  return waits + (prompt * 2 * facts.parameters) / (60e9 * threads) + (generated * facts.tensorBytes) / 10e9;
}
