import type { Hub } from "./hub.js";
import { huggingFace } from "./huggingface.js";
import { modelScope } from "./modelscope.js";
import { wisemodel } from "./wisemodel.js";

export { endpoint, type Hub, type Repository, type RepositoryFile } from "./hub.js";

/** The family of hubs. A new member: a file beside these, and its name here. */
export const hubs: readonly Hub[] = [huggingFace, modelScope, wisemodel];

/** The hub whose addresses begin so, `hf` or `HF`. */
export function hubOf(scheme: string): Hub | undefined {
  return hubs.find(({ schemes }) => schemes.includes(scheme.toLowerCase()));
}
