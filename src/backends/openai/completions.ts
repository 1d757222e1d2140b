import { z } from "zod";
import { definite } from "../../definite.js";
import type { Answer, Generation, GenerationRequest, Prompt } from "../backend.js";
import { answersTo, beyondServer, unasked } from "../concurrent.js";
import { type Client, Declined, type Pieces } from "./client.js";
import type { Fleet } from "./fleet.js";

const said = z.looseObject({ content: z.string().nullish() });

/** A piece of an answer, or all of it from a server that does not stream. */
const piece = z.looseObject({
  choices: z
    .array(
      z.looseObject({
        text: z.string().nullish(),
        delta: said.nullish(),
        message: said.nullish(),
        finish_reason: z.string().nullish(),
        /** vLLM's: the stop string or token that ended it. */
        stop_reason: z.union([z.string(), z.number()]).nullish(),
      }),
    )
    .default([]),
  usage: z.looseObject({ prompt_tokens: z.int().optional(), completion_tokens: z.int().optional() }).nullish(),
});

/** Answers by the two ways that all OpenAI-compatible servers have: conversations, and texts that go on. */
export function openaiGeneration(fleet: Fleet, model: string, kwargs?: Record<string, unknown>): Generation {
  return {
    // A server without a template refuses a conversation, and says so.
    chats: true,
    truncates: false,
    penalizes: false,
    answer: (prompts, request) =>
      answersTo(prompts, request, fleet.lanes, (prompt, alive) =>
        fleet.run(({ client }) => answerOf(prompt, request, client, { model, kwargs }, alive)),
      ),
  };
}

/** Half a character at the end of an answer that was cut off is none. */
export const wholeCharacters = (text: string) => text.replace(/\ufffd+$/, "");

async function answerOf(
  prompt: Prompt,
  request: GenerationRequest,
  client: Client,
  { model, kwargs }: { model: string; kwargs: Record<string, unknown> | undefined },
  alive: () => void,
): Promise<Answer> {
  const { maxTokens, stop, temperature, topK, topP = 1, seed } = request;
  const reason = beyondServer(prompt, request);
  if (reason !== undefined) return unasked(prompt.id, reason);
  const [path, asked] =
    "text" in prompt
      ? ["/v1/completions", { prompt: prompt.text }]
      : ["/v1/chat/completions", { messages: prompt.messages, ...definite({ chat_template_kwargs: kwargs }) }];
  const body = {
    ...{ model, ...asked, max_tokens: maxTokens, temperature, top_p: topP, seed },
    // Not OpenAI's own, though most servers take it.
    ...(topK === undefined ? {} : { top_k: topK }),
    ...(stop.length > 0 ? { stop } : {}),
    ...{ stream: true, stream_options: { include_usage: true } },
  };
  try {
    return await client.stream(path, body, () =>
      pieces(prompt.id, stop, (one) => {
        alive();
        return client.parsed(path, piece, one);
      }),
    );
  } catch (error) {
    if (error instanceof Declined && error.status === 400 && /context|too long|maximum.*length/i.test(error.said))
      return unasked(prompt.id, error.said);
    throw error;
  }
}

function pieces(id: string, stop: readonly string[], read: (one: unknown) => z.output<typeof piece>): Pieces<Answer> {
  let text = "";
  let finish: Answer["finish"] | undefined;
  let counted = 0;
  let usage: z.output<typeof piece>["usage"];
  return {
    take(one) {
      const { choices, usage: told } = read(one);
      usage = told ?? usage;
      const [choice] = choices;
      if (!choice) return;
      const more = choice.text ?? choice.delta?.content ?? choice.message?.content ?? "";
      // Without a `usage` each piece that says something counts as a token, which it is where servers stream.
      if (more !== "") counted++;
      text += more;
      if (choice.finish_reason === "length") finish = "length";
      else if (choice.finish_reason) finish = stop.includes(String(choice.stop_reason)) ? "stop" : "end";
    },
    whole() {
      if (finish === undefined) return undefined;
      // Some servers leave the stop string in.
      const at = Math.min(...stop.map((one) => text.indexOf(one)).filter((index) => index >= 0), Infinity);
      return {
        id,
        text: finish === "length" && at === Infinity ? wholeCharacters(text) : text.slice(0, at),
        finish: at < Infinity ? "stop" : finish,
        promptTokens: usage?.prompt_tokens ?? 0,
        tokens: usage?.completion_tokens ?? counted,
      };
    },
  };
}
