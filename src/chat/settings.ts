import { z } from "zod";
import { conversationDay, isDay } from "./date.js";

/** Names that a template has from the conversation itself. */
const taken =
  "messages add_generation_prompt bos_token eos_token tools documents raise_exception strftime_now range".split(" ");

/** What a variant may say of how conversations are written for it, whichever backend it runs on. */
export const chatSettings = {
  templateKwargs: z
    .record(z.string(), z.union([z.string(), z.number(), z.boolean()]))
    .superRefine((said, { addIssue }) => {
      for (const name of Object.keys(said)) {
        const message = taken.includes(name)
          ? `\`${name}\` belongs to the conversation itself.`
          : `\`${name}\` is no variable of a template: letters, digits and _.`;
        if (taken.includes(name) || !/^[A-Za-z_]\w*$/.test(name)) addIssue({ code: "custom", path: [name], message });
      }
    })
    .optional()
    .meta({
      description: "Variables of the model's chat template, such as enable_thinking; for conversations alone.",
      examples: [{ enable_thinking: false }],
    }),
  conversationDay: z
    .string()
    .refine(isDay, "no day: write YYYY-MM-DD.")
    .optional()
    .meta({
      description: `The day that a chat template is told when it asks for the date; by default ${conversationDay}.`,
      examples: [conversationDay],
    }),
};

/** The same, read; `{}` where nothing is said. */
export interface ChatSettings {
  templateKwargs?: Record<string, string | number | boolean> | undefined;
  conversationDay?: string | undefined;
  /** BOS before a conversation also where its template writes it, as transformers' tokenizers put it there. */
  doubleBos?: boolean | undefined;
}
