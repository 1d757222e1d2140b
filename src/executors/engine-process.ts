// The program of an engine process: opens one variant and measures what it is asked to, until its parent is gone.
import type { Engine } from "../backends/backend.js";
import { findBackend } from "../backends/index.js";
import { toFailure } from "../errors.js";
import { measurements } from "../measurements/index.js";
import type { ToEngine, ToParent } from "./child.js";

let engine: Engine | undefined;
let stopping = false;

const send = (message: ToParent) => process.send!(message);
/** Lets messages in: decoding blocks the event loop. */
const turn = () => new Promise((resolve) => setImmediate(resolve));

async function handle(message: ToEngine): Promise<void> {
  switch (message.type) {
    case "open": {
      engine = await (await findBackend(message.variant.backend)).open(message.variant);
      send({ type: "opened", facts: engine.facts });
      break;
    }
    case "measure": {
      const { kind, settings, dataset, done, only } = message.request;
      engine!.peakMemory(); // from here on
      const measured = measurements[kind]!.measure({
        engine: engine!,
        settings,
        ...(dataset ? { dataset } : {}),
        done: new Set(done),
        ...(only ? { only: new Set(only) } : {}),
        progress: (count, total, unit) => send({ type: "progress", done: count, total, unit }),
      });
      for await (const item of measured) {
        send({ type: "measured", ...item });
        await turn();
        if (stopping) break;
      }
      send(stopping ? { type: "stopped" } : { type: "complete", peakMemory: engine!.peakMemory() });
      break;
    }
    case "stop":
      stopping = true;
      break;
    case "close":
      await engine?.close();
      process.disconnect();
  }
}

process.on("message", (message: ToEngine) => {
  handle(message).catch((error) => send({ type: "failed", failure: toFailure(error) }));
});
process.on("disconnect", () => process.exit(0));
// Ctrl-C reaches the whole group of processes; the parent decides what becomes of the engines.
process.on("SIGINT", () => {});
