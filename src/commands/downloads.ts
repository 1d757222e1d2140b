import type { Event } from "../events.js";
import type { Fetching } from "../models/sources.js";
import { openView } from "../tui/index.js";
import type { Surroundings } from "./command.js";

/** Reports downloads as lines on stderr, for commands whose answer goes to stdout. */
export async function downloadLines({ stderr, env }: Surroundings): Promise<(state: Fetching) => void> {
  const view = await openView({ plain: true, stdout: stderr, env, onStop: () => {} });
  return (state) => view.handle({ type: "fetching", at: Date.now(), ...state } satisfies Event);
}
