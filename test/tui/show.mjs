// Plays a made-up run into the view of the terminal that it runs in, and tells on standard error what the view cost.
// node show.mjs [pace] [variants] [crash]
import { performance } from "node:perf_hooks";
import { openView } from "../../dist/tui/index.js";
import { ladder, started, variant, wholeRun } from "./recorded.mjs";

const pace = Number(process.argv[2] ?? 1);
const count = Number(process.argv[3] ?? 6);
const variants =
  count === 6
    ? [
        ...ladder,
        variant("broken", {
          failure: {
            code: "model-truncated",
            message: "broken.gguf ends after 41 of 272 tensors",
            hint: "download it again",
          },
        }),
      ]
    : Array.from({ length: count }, (_, index) => variant(`模型-${String(index + 1).padStart(2, "0")}-Q4_K_M`));

const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
let stopping;
const began = performance.now();
const before = process.cpuUsage();
const view = await openView({
  stdout: process.stdout,
  onStop(kind) {
    stopping = kind;
  },
});
const loaded = process.cpuUsage(before);
view.handle(
  started(Date.now(), variants, { impossible: { "SmolLM2-135M-F16/speed": "ollama gives no prompt timing" } }),
);
view.handle({
  type: "warning",
  at: Date.now(),
  message: "another process uses 38 % of the processor: speed figures may be low",
});
const playing = performance.now();
const running = process.cpuUsage();
for (const [pause, event] of wholeRun(variants, { pace })) {
  if (event.job === "SmolLM2-135M-F16/speed") continue;
  if (pause > 0) await sleep(pause);
  if (process.argv[4] === "crash" && event.type === "samples") throw new Error("a fault of the program");
  view.handle({ ...event, at: Date.now() });
  if (stopping === "now") break;
  if (stopping === "graceful" && event.type === "samples") {
    await sleep(1500);
    break;
  }
}
const spent = process.cpuUsage(running);
const wall = performance.now() - playing;
view.handle({ type: "finished", at: Date.now(), outcome: stopping ? "stopped" : "complete" });
await sleep(300);
await view.close();
const ms = (usage) => (usage.user + usage.system) / 1000;
console.error(
  JSON.stringify({
    stopping: stopping ?? "no",
    importMs: Math.round(ms(loaded)),
    wallMs: Math.round(wall),
    cpuMs: Math.round(ms(spent)),
    sharePercent: Number(((100 * ms(spent)) / wall).toFixed(2)),
    totalMs: Math.round(performance.now() - began),
  }),
);
