// llama-server's side of the comparison of generated text: starts it, asks all prompts, as many at a time as it has slots, and ends it.
// node ask-server.mjs '{"tool", "model", "prompts", "slots", "context", "threads", "maxTokens", "stop"}'; prints what it answered.
import { spawn } from "node:child_process";
import fs from "node:fs";
import net from "node:net";

const { tool, model, prompts: file, slots, context, threads, maxTokens, stop } = JSON.parse(process.argv[2] ?? "{}");
/** @type {string[]} */
const prompts = JSON.parse(fs.readFileSync(file, "utf8"));

const port = await new Promise((resolve) => {
  const probe = net.createServer().listen(0, "127.0.0.1", () => {
    const { port } = /** @type {net.AddressInfo} */ (probe.address());
    probe.close(() => resolve(port));
  });
});
const where = ["--host", "127.0.0.1", "--port", String(port)];
const size = ["-np", String(slots), "-c", String(slots * context), "-t", String(threads), "-tb", String(threads)];
const server = spawn(tool, ["-m", model, ...where, ...size], { stdio: "ignore" });
process.on("exit", () => server.kill("SIGKILL"));
const base = `http://127.0.0.1:${port}`;
for (;;) {
  if (server.exitCode !== null) throw new Error(`${tool} ended with exit code ${server.exitCode}`);
  if (
    await fetch(`${base}/health`).then(
      ({ ok }) => ok,
      () => false,
    )
  )
    break;
  await new Promise((resolve) => setTimeout(resolve, 20));
}

const answers = prompts.map(() => ({ text: "", tokens: 0 }));
let next = 0;
const ask = async () => {
  for (let i = next++; i < prompts.length; i = next++) {
    const body = { prompt: prompts[i], n_predict: maxTokens, stop, temperature: 0, cache_prompt: false };
    const said = await fetch(`${base}/completion`, { method: "POST", body: JSON.stringify(body) });
    const { content, tokens_predicted } = await said.json();
    answers[i] = { text: content, tokens: tokens_predicted };
  }
};
await Promise.all(Array.from({ length: slots }, ask));
server.kill();
console.log(JSON.stringify(answers));
