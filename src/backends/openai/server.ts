import { z } from "zod";
import type { ChatTemplate } from "../../chat/template.js";
import { definite } from "../../definite.js";
import { BenchError } from "../../errors.js";
import { several } from "../../harmless.js";
import type { Client } from "./client.js";
import type { ServerKind, Target } from "./settings.js";

/** What a server says of itself and of the model that is asked for. */
export interface Served {
  kind: ServerKind;
  /** Of the server, where it tells: `b9000-a1b2c3d`, `0.11.0`. */
  version?: string;
  /** The model's name there. */
  model: string;
  /** Tokens of a prompt with its answer. */
  context?: number;
  /** Answers that it makes at a time. */
  slots?: number;
  /** Where the server found the model, and the adapters that it adds. */
  file?: string;
  adapters: { path: string; scale: number }[];
  vocabulary?: number;
  trainedContext?: number;
  parameters?: number;
  tensorBytes?: number;
  /** How it writes conversations, and the tokens that may begin and end a text, as the vocabulary writes them. */
  template?: ChatTemplate;
}

const count = z.number().nonnegative();

const modelList = z.looseObject({
  data: z.array(
    z.looseObject({
      id: z.string(),
      owned_by: z.string().nullish(),
      max_model_len: count.nullish(),
      meta: z
        .looseObject({
          n_vocab: count.optional(),
          n_ctx_train: count.optional(),
          n_params: count.optional(),
          size: count.optional(),
        })
        .nullish(),
    }),
  ),
});
type Listed = z.output<typeof modelList>["data"][number];

/** llama-server's own. */
const props = z.looseObject({
  build_info: z.string(),
  model_path: z.string().optional(),
  model_alias: z.string().nullish(),
  total_slots: count.optional(),
  chat_template: z.string().optional(),
  bos_token: z.string().optional(),
  eos_token: z.string().optional(),
  default_generation_settings: z.looseObject({ n_ctx: count.optional() }).optional(),
});
const adapters = z.array(z.looseObject({ path: z.string(), scale: z.number() }));

/** vLLM's. */
const version = z.looseObject({ version: z.string() });

/** LM Studio's. */
const studioModels = z.looseObject({
  data: z.array(
    z.looseObject({
      id: z.string(),
      state: z.string().optional(),
      max_context_length: count.optional(),
      loaded_context_length: count.optional(),
    }),
  ),
});

/** text-generation-webui's. */
const loadedModel = z.looseObject({ model_name: z.string().nullable() });

/** Asks a server which one it is and what it has. Throws a BenchError where it cannot be asked, or has no such model. */
export async function served(client: Client, { name, kind }: Pick<Target, "name" | "kind">): Promise<Served> {
  const { data: models } = await client.get("/v1/models", modelList);
  const own = (asked: ServerKind) => kind === asked || kind === undefined;
  if (own("llama-server")) {
    const found = await client.find("/props", props);
    if (found) return llamaServer(client, found, models, name);
    if (kind) throw isNot(client, kind);
  }
  if (own("vllm") && (kind || models.some((one) => one.owned_by === "vllm"))) {
    const said = await client.find("/version", version);
    const model = chosen(client, models, name);
    return {
      kind: "vllm",
      model: model.id,
      adapters: [],
      ...definite({ version: said?.version, context: model.max_model_len ?? undefined }),
    };
  }
  if (own("lm-studio")) {
    const found = await client.find("/api/v0/models", studioModels);
    if (found) {
      const loaded = found.data.filter(({ state }) => state === "loaded");
      const model = chosen(client, name === undefined && loaded.length > 0 ? loaded : found.data, name);
      const context = model.loaded_context_length ?? model.max_context_length;
      return { kind: "lm-studio", model: model.id, adapters: [], ...definite({ context }) };
    }
    if (kind) throw isNot(client, kind);
  }
  if (own("text-generation-webui")) {
    const found = await client.find("/v1/internal/model/info", loadedModel);
    // It answers by the model that is loaded, whatever a request names.
    if (found?.model_name && found.model_name !== "None")
      return {
        kind: "text-generation-webui",
        model: chosen(client, [{ id: found.model_name }], name).id,
        adapters: [],
      };
    if (kind) throw isNot(client, kind);
  }
  // It loads whichever model a request names.
  if (kind === "transformers" && name !== undefined) return { kind, model: name, adapters: [] };
  return { kind: kind ?? "other", model: chosen(client, models, name).id, adapters: [] };
}

async function llamaServer(
  client: Client,
  own: z.output<typeof props>,
  models: Listed[],
  name: string | undefined,
): Promise<Served> {
  const { build_info, model_path, model_alias, total_slots, default_generation_settings } = own;
  const { chat_template: text, bos_token: bos = "", eos_token: eos = "" } = own;
  // It answers whatever name a request holds, so the name is checked here; its names are mostly paths.
  const bare = (path: string) => path.replace(/^.*[/\\]/, "");
  const aliases = name !== undefined && (name === model_alias || models.some(({ id }) => bare(id) === name));
  const { id } = chosen(client, models, aliases ? models[0]?.id : name);
  const meta = models.find((one) => one.id === id)?.meta ?? models[0]?.meta;
  const lora = (await client.find("/lora-adapters", adapters)) ?? [];
  return {
    kind: "llama-server",
    model: id,
    adapters: lora.filter(({ scale }) => scale !== 0).map(({ path, scale }) => ({ path, scale })),
    ...definite({
      version: build_info,
      context: default_generation_settings?.n_ctx || undefined,
      slots: total_slots,
      file: model_path,
      template: text ? { text, bos, eos } : undefined,
      vocabulary: meta?.n_vocab,
      trainedContext: meta?.n_ctx_train,
      parameters: meta?.n_params,
      tensorBytes: meta?.size,
    }),
  };
}

function chosen<Model extends { id: string }>({ base }: Client, models: Model[], name: string | undefined): Model {
  const ids = several(models.map(({ id }) => id));
  const found = name === undefined ? models : models.filter(({ id }) => id === name);
  if (found.length === 1 || (name !== undefined && found[0])) return found[0]!;
  if (models.length === 0)
    throw new BenchError("model-missing", `${base} has no model`, {
      hint: "load one there, and run the same command again",
    });
  if (name === undefined)
    throw new BenchError("model-missing", `${base} has several models: ${ids}`, {
      hint: "name one of them after a #, as in openai:http://HOST:PORT/v1#NAME",
    });
  throw new BenchError("model-missing", `${base} has no model ${name}`, { hint: `it has: ${ids}` });
}

function isNot({ base }: Client, kind: ServerKind): BenchError {
  return new BenchError("server-refused", `${base} is no ${kind}: it does not answer as one`, {
    hint: "take `server` away, and it is asked what it is",
  });
}
