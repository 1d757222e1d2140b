import { z } from "zod";
import { chatSettings } from "../../chat/settings.js";
import { definite } from "../../definite.js";
import { BenchError } from "../../errors.js";
import { commandWithoutSecrets } from "../../secrets.js";
import type { Settings, SettingsFacts } from "../backend.js";

/** Servers whose own ways are known; `other` is asked for generated text alone. */
export const serverKinds = [
  "llama-server",
  "vllm",
  "lm-studio",
  "text-generation-webui",
  "transformers",
  "other",
] as const;
export type ServerKind = (typeof serverKinds)[number];

/** What is wrong with the address of a server, and the remedy; neither repeats it, for it may hold a secret. */
function faultOfAddress(said: string): { message: string; hint: string } | undefined {
  const [, rest] = said.match(/^https?:\/\/(.*)$/is) ?? [];
  if (rest === undefined) {
    const bare = said.replace(/^[a-z][a-z0-9+.-]*:[/\\]+/i, "");
    const isPlain = /^[\w.:[\]/-]+$/.test(bare);
    return {
      message: "the address of a server begins with http:// or https://",
      hint: `write http://${isPlain ? bare : "HOST:PORT/v1"}`,
    };
  }
  // Whoever logs in does so by a key, which is in the environment.
  if (/[@?]/.test(rest))
    return {
      message: "an address takes no user, password or query",
      hint: "set the server's key in the environment, as OPENAI_API_KEY or as the variable that `keyEnv` names",
    };
  if (rest.includes("#")) return { message: "an address ends before #", hint: "name the server's model in `model`" };
  if (!/\s/.test(rest) && URL.canParse(said)) return undefined;
  return { message: "this is no address of a server", hint: "write http://HOST:PORT/v1" };
}

const address = z
  .string()
  .superRefine((said, { addIssue }) => {
    const { message, hint } = faultOfAddress(said) ?? {};
    if (message !== undefined) addIssue({ code: "custom", message, params: { hint: `${hint}.` } });
  })
  .meta({ pattern: "^https?:\\/\\/[^\\s?#@]+$" });

const startedServer = z
  .strictObject({
    command: z
      .array(z.string())
      .min(1)
      .superRefine((command, { addIssue }) => {
        // A command stands in reports; a key in it would, too.
        for (const { index, name } of commandWithoutSecrets(command).secrets)
          addIssue({
            code: "custom",
            path: [index],
            message: `\`${name}\` in a command would stand in every report.`,
            params: {
              hint: "Set it in the environment, as LLAMA_API_KEY or HF_TOKEN, which the server inherits; `keyEnv` names the variable of its key.",
            },
          });
      })
      .meta({
        description:
          "Program and arguments, run without a shell. {model} stands for the model's file, {port} for a free port on 127.0.0.1.",
        examples: [["llama-server", "-m", "{model}", "--port", "{port}"]],
      }),
    is: z.enum(serverKinds).optional().describe("Which server that is, where its program's name does not say it."),
    health: z
      .string()
      .regex(/^\//, "the path of an address begins with /.")
      .default("/health")
      .describe("What answers 200 once the server is ready."),
    startup: z.number().positive().max(86_400).default(300).describe("Seconds that it may take to be ready."),
  })
  .describe("The command that starts a server, which is stopped when the variant is done.");

/** What a variant may say of its server. */
export const openaiSettings = z.strictObject({
  ...chatSettings,
  url: z
    .union([address, z.array(address).min(1).max(64)])
    .optional()
    .meta({
      description:
        "Base address of an OpenAI-compatible server, with or without /v1; or a list of servers of the same model, of which the least busy one is asked.",
      examples: ["http://127.0.0.1:8080/v1"],
    }),
  server: z
    .union([z.enum(serverKinds), startedServer])
    .optional()
    .describe("Which server it is, where it does not tell by itself; or {command: […]}, which starts one."),
  concurrency: z
    .int()
    .min(1)
    .max(1024)
    .optional()
    .describe(
      "Requests at a time, for each server; by default as many answers as it has slots, and options one by one.",
    ),
  requestTimeout: z
    .number()
    .positive()
    .max(86_400)
    .default(600)
    .describe("Seconds that one answer of a server may take."),
  contextLength: z
    .int()
    .min(16)
    .max(100_000_000)
    .optional()
    .describe("Tokens of a prompt and its answer that the server holds, where it does not tell."),
  keyEnv: z
    .string()
    .regex(/^[A-Za-z_]\w*$/, "the name of an environment variable: letters, digits and _.")
    .default("OPENAI_API_KEY")
    .describe("The environment variable that holds the server's key."),
});
export type OpenaiSettings = z.output<typeof openaiSettings>;
export type StartedServer = z.output<typeof startedServer>;

export const modelScheme = "openai:";

/** Which server a variant means, and which of its models. */
export interface Target {
  /** Base addresses without /v1 and without a slash at the end; none for a server that is to be started. */
  urls: string[];
  /** By its name on the server; absent: the only one that it has. */
  name?: string;
  kind?: ServerKind;
  started?: StartedServer;
  settings: OpenaiSettings;
}

/** Reads `openai:http://HOST:PORT/v1#NAME`, or NAME beside `url:` or `server:`. Throws a BenchError `config` where no server is meant. */
export function targetOf(model: string, given: Settings): Target {
  const settings = openaiSettings.parse(given);
  const { server, url = [] } = settings;
  const started = typeof server === "object" ? server : undefined;
  const named = model.startsWith(modelScheme) ? model.slice(modelScheme.length) : model;
  const [, own, name = own ? "" : named] = named.match(/^(https?:\/\/[^#]*)(?:#(.*))?$/is) ?? [];
  const urls = own ? [own] : [url].flat();
  // Of a name with a port, or with another scheme, an address is meant.
  const isMeant =
    /^[a-z][a-z0-9+.-]*:\/\//i.test(named) || (urls.length === 0 && /^(\S*@)?[\w.-]+:\d+(\/|$)/.test(named));
  const wrong =
    own !== undefined || (model.startsWith(modelScheme) && isMeant) ? faultOfAddress(own ?? named) : undefined;
  if (wrong) throw fault(`\`model\`: ${wrong.message}`, wrong.hint.replace("write http", "write openai:http"));
  if (own !== undefined && (settings.url !== undefined || started))
    throw fault("the model's address names a server, and so does a setting", "take `url` or `server` away");
  if (started && url.length > 0)
    throw fault("`server: {command}` starts a server, and `url` names one", "take one of the two away");
  if (!started && urls.length === 0)
    throw fault(`${model}: which server has it is not said`, "write openai:http://HOST:PORT/v1#MODEL, or add `url:`");
  if (started) checkCommand(started);
  const said = typeof server === "string" ? server : undefined;
  const kind = started ? (started.is ?? kindNamed(started.command[0]!)) : said;
  return {
    urls: urls.map((one) => one.replace(/\/+$/, "").replace(/\/v1$/, "")),
    settings,
    ...definite({ name: name === "" ? undefined : name, kind, started }),
  };
}

function checkCommand({ command }: StartedServer): void {
  if (!command.some((argument) => argument.includes("{port}")))
    throw fault("the command of `server` does not say on which port it listens", 'add "--port", "{port}"');
}

/** By the program's name; a script of that name counts, too. */
function kindNamed(program: string): ServerKind | undefined {
  const name = program.replace(/^.*[/\\]/, "").toLowerCase();
  if (name.includes("llama-server")) return "llama-server";
  if (name.includes("vllm")) return "vllm";
  return name.includes("transformers") ? "transformers" : undefined;
}

function fault(message: string, hint: string): BenchError {
  return new BenchError("config", message, { hint });
}

/** What decides digits is the server's own business; of a server that is started, its command. */
export function openaiSettingsFacts(said: Settings): SettingsFacts {
  const { server, contextLength, templateKwargs, conversationDay } = openaiSettings.parse(said);
  const command = typeof server === "object" ? server.command : undefined;
  return {
    ...{ batch: 2048, ubatch: 512, cacheBitsK: 16, cacheBitsV: 16, otherShape: said },
    ...(command ? {} : { elsewhere: true }),
    digits: definite({ contextLength, command, templateKwargs, conversationDay }),
  };
}
