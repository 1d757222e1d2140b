import { now } from "../clock.js";
import type { Event } from "../events.js";
import type { SourceFolders } from "../models/sources.js";
import { openView } from "../tui/index.js";
import type { Surroundings } from "./command.js";

/** Progress of downloads, as lines on stderr: for commands whose answer goes to stdout. */
export async function downloadLines({
  stderr,
  env,
}: Surroundings): Promise<Required<Pick<SourceFolders, "fetching" | "warning">>> {
  const view = await openView({ plain: true, stdout: stderr, env, onStop: () => {} });
  const tell = (event: Event) => view.handle(event);
  return {
    fetching: (state) => tell({ type: "fetching", at: now(), ...state }),
    warning: (message) => tell({ type: "warning", at: now(), message }),
  };
}
