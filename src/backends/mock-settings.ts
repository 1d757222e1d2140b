import { z } from "zod";
import { definite } from "../definite.js";
import type { Settings, SettingsFacts } from "./backend.js";

/** Settings of a mock variant, besides those in its model's name: none of them changes a digit. */
export const mockVariantSettings = z.strictObject({
  threads: z.int().min(1).max(1024).optional().meta({ description: "CPU threads, which it says that it has." }),
  batch: z.int().min(1).max(1_048_576).default(2048).describe("Tokens of the windows that it takes together."),
});

export function mockSettingsFacts(said: Settings): SettingsFacts {
  const { threads, ...digits } = mockVariantSettings.parse(said);
  const bits = 16;
  return definite({
    threads,
    batch: digits.batch,
    ubatch: Math.min(512, digits.batch),
    cacheBitsK: bits,
    cacheBitsV: bits,
    digits,
    load: {},
    otherShape: said,
  });
}
