import { choice } from "./choice.js";
import { divergence, storedDivergence } from "./divergence.js";
import type { Measurement } from "./measurement.js";
import { perplexity } from "./perplexity.js";
import { speed } from "./speed.js";

/** The family of measurements, by name. A new member: a file beside these, and a line here. */
// biome-ignore lint/suspicious/noExplicitAny: each member has settings, data and needs of its own
export const measurements: Record<string, Measurement<any, any, any>> = {
  perplexity,
  divergence,
  "stored-divergence": storedDivergence,
  speed,
  choice,
};
