import { z } from "zod";
import { chatSettings } from "../../chat/settings.js";
import { definite } from "../../definite.js";
import type { Settings, SettingsFacts } from "../backend.js";

/** What a variant may set of Ollama; what it leaves out is Ollama's to choose, but for what is named here. */
export const ollamaSettings = z.strictObject({
  ...chatSettings,
  url: z
    .string()
    .regex(/^https?:\/\/./i, "no address: it begins with http:// or https://")
    .optional()
    .meta({
      description: "Where the server listens; by default OLLAMA_HOST, or http://127.0.0.1:11434.",
      examples: ["http://127.0.0.1:11434"],
    }),
  threads: z
    .int()
    .min(1)
    .max(1024)
    .optional()
    .describe("CPU threads (num_thread); by default what the server chooses."),
  contextLength: z
    .int()
    .min(64)
    .max(1_048_576)
    .default(4096)
    .describe("Tokens of context that the server holds (num_ctx), at most what the model was trained for."),
  gpuLayers: z
    .int()
    .min(-1)
    .max(100_000)
    .optional()
    .describe("Layers on the GPU (num_gpu); by default what the server chooses."),
  batch: z
    .int()
    .min(1)
    .max(1_048_576)
    .default(512)
    .describe("Tokens given to one decode call, and computed at once (num_batch)."),
  keepAlive: z
    .string()
    .regex(/^-?\d+(\.\d+)?(ms|s|m|h)?$/, "no time: use 10m, 30s, 0 or -1")
    .default("10m")
    .describe("How long the server keeps the model after a request (keep_alive)."),
  concurrency: z
    .int()
    .min(1)
    .max(256)
    .default(1)
    .describe("Requests at once; above 1 the server's batches mix them, and last digits differ from run to run."),
  requestTimeout: z
    .number()
    .positive()
    .max(2_000_000)
    .default(600)
    .describe("Seconds after which a single request is given up."),
});

/** Settings with all defaults filled in. */
export type OllamaSettings = z.output<typeof ollamaSettings>;

export function ollamaSettingsFacts(said: Settings): SettingsFacts {
  const { threads, contextLength, gpuLayers, batch, concurrency, ...settings } = ollamaSettings.parse(said);
  const { templateKwargs, conversationDay } = settings;
  return definite({
    threads,
    batch,
    ubatch: batch,
    // Its OLLAMA_KV_CACHE_TYPE cannot be asked: the larger of what it may be.
    cacheBitsK: 16,
    cacheBitsV: 16,
    // Where the server listens, how long it keeps the model and how long it is waited for change no digit.
    digits: definite({ contextLength, gpuLayers, batch, concurrency, templateKwargs, conversationDay }),
    otherShape: { ...said, batch: Math.max(1, Math.floor(batch / 16)) },
  });
}
