import { choice } from "./choice.js";
import { divergence } from "./divergence.js";
import { generation } from "./generation.js";
import type { Measurement } from "./measurement.js";
import { perplexity } from "./perplexity.js";
import { speed } from "./speed.js";

/** The family of measurements, by name. A new member: a file beside these, and a line here. */
// biome-ignore lint/suspicious/noExplicitAny: each member has settings, data and needs of its own
export const measurements: Record<string, Measurement<any, any, any>> = {
  perplexity,
  divergence,
  speed,
  choice,
  generation,
};

/** A measurement on data of a kind; most take one kind alone. */
export function measurementOn(name: string, data: string | undefined) {
  const measurement = measurements[name]!;
  return measurement.also?.find((one) => one.data === data) ?? measurement;
}
