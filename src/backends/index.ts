import { homedir } from "node:os";
import { resolve } from "node:path";
import type { z } from "zod";
import { BenchError } from "../errors.js";
import type { Backend, Settings } from "./backend.js";
import { llamaSettings } from "./llama/settings.js";
import { toolSettings } from "./llama-tools/settings.js";
import { mockVariantSettings } from "./mock-settings.js";
import { ollamaSettings } from "./ollama/settings.js";
import { modelScheme, openaiSettings } from "./openai/settings.js";

interface Member {
  /** The settings of its variants; known without the backend's own code. */
  settings: z.ZodObject;
  /** Those of them that are paths. */
  paths?: readonly string[];
  /** How the addresses of this backend's models begin, if no other backend has such models. */
  scheme?: string;
  load(): Promise<Backend>;
}

/** The family of backends. A new member: a file beside these, and a line here; each is loaded when first asked for. */
const members: Record<string, Member> = {
  llama: {
    settings: llamaSettings,
    paths: ["library"],
    load: async () => (await import("./llama/index.js")).llama,
  },
  "llama-tools": {
    settings: toolSettings,
    paths: ["tools"],
    load: async () => (await import("./llama-tools/index.js")).llamaTools,
  },
  openai: {
    settings: openaiSettings,
    scheme: modelScheme,
    load: async () => (await import("./openai/index.js")).openai,
  },
  ollama: {
    settings: ollamaSettings,
    scheme: "ollama:",
    load: async () => (await import("./ollama/index.js")).ollama,
  },
  mock: { settings: mockVariantSettings, scheme: "mock:", load: async () => (await import("./mock.js")).mock },
};

export const backendNames = Object.keys(members);

/** The backend of a model by its address; files and downloads are llama's. */
export function backendOf(model: string): string {
  return backendNames.find((name) => model.startsWith(members[name]!.scheme ?? "\0")) ?? "llama";
}

/** The settings of a backend's variants. Throws a BenchError with code `config` if there is no such backend. */
export function settingsOf(name: string): z.ZodObject {
  return member(name).settings;
}

/** The settings with their paths absolute: a relative one starts where those of models do. */
export function withPaths(name: string, settings: Settings, baseDir: string): Settings {
  const { paths = [] } = member(name);
  const absolute = (value: unknown) =>
    typeof value === "string" ? resolve(baseDir, value.replace(/^~(?=\/|$)/, homedir())) : value;
  return Object.fromEntries(
    Object.entries(settings).map(([key, value]) => [key, paths.includes(key) ? absolute(value) : value]),
  );
}

/** The settings of a backend that are paths. */
export const pathSettings = (name: string): readonly string[] => member(name).paths ?? [];

/** Whether a name is of a backend's own models, which are no files. */
export function hasScheme(name: string, model: string): boolean {
  const { scheme } = member(name);
  return scheme !== undefined && model.startsWith(scheme);
}

export async function findBackend(name: string): Promise<Backend> {
  return member(name).load();
}

function member(name: string): Member {
  if (Object.hasOwn(members, name)) return members[name]!;
  throw new BenchError("config", `there is no backend "${name}"`, { hint: `there are: ${backendNames.join(", ")}` });
}
