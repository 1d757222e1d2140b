import { BenchError } from "../errors.js";
import type { Backend } from "./backend.js";

/** The family of backends. A new member: a file beside these, and a line here; each is loaded when first asked for. */
const members: Record<string, () => Promise<Backend>> = {
  llama: async () => (await import("./llama.js")).llama,
  mock: async () => (await import("./mock.js")).mock,
};

export const backendNames = Object.keys(members);

export async function findBackend(name: string): Promise<Backend> {
  const member = Object.hasOwn(members, name) ? members[name] : undefined;
  if (!member)
    throw new BenchError("config", `there is no backend "${name}"`, { hint: `there are: ${backendNames.join(", ")}` });
  return member();
}
