import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { replay } from "../../dist/replay/index.js";
import { type Facts, factsFrom, writeReports } from "../../dist/reports/index.js";
import { readEvents } from "../../dist/store/index.js";
import { random } from "../draws.mjs";
import { bench } from "../support.js";

/** Names that a run folder from elsewhere may hold: a tag, the end of a script, a control and a bidirectional character. */
export const hostileNames = [
  "<img src=x onerror=alert(1)>",
  "</script><script>alert(2)</script>",
  "a\u202eb\u0007c & \"d\" 'e'",
];

const ladder = `name: ladder
variants:
  F16: { model: "mock:seed=1,bytes=4000000,rate=2000", reference: true }
  Q8_0: { model: "mock:seed=1,damage=0.05,bytes=2000000,rate=3000" }
  Q4_K_M: { model: "mock:seed=1,damage=0.2,bytes=1300000,rate=4000" }
  Q2_K: { model: "mock:seed=1,damage=0.6,bytes=900000,rate=5000" }
  Q2_K-im: { model: "mock:seed=1,damage=0.4,bytes=900001,rate=5000" }
  hostile-0: { model: "mock:seed=1,damage=0.3,bytes=1000000,rate=4500" }
  hostile-1: { model: "mock:seed=1,damage=0.31,bytes=1100000,rate=4500" }
  hostile-2: { model: "mock:seed=1,damage=0.32,bytes=1200000,rate=4500" }
measurements:
  perplexity: { text: ./text.txt, context: 256 }
  divergence: { text: ./text.txt, context: 256 }
  facts: { dataset: demo-facts-en, limit: 40 }
  speed: { prompt: 64, generate: 16, repetitions: 5 }
`;

/** A run of eight variants on the mock, of which three have hostile names, with all its reports. */
export async function ladderRun(folder: string): Promise<{ run: string; facts: Facts }> {
  const next = random(7);
  writeFileSync(
    join(folder, "text.txt"),
    Array.from({ length: 9000 }, () => "abcdefgh ijk lmnop"[Math.floor(next() * 18)]).join(""),
  );
  writeFileSync(join(folder, "ladder.yaml"), ladder);
  const run = join(folder, "run");
  const { code, stderr } = await bench(["run", join(folder, "ladder.yaml"), "--out", run, "--plain"]);
  if (code !== 0) throw new Error(stderr);
  const file = join(run, "events.jsonl");
  const renamed = readFileSync(file, "utf8").replace(/"hostile-(\d)"/g, (_, i) => JSON.stringify(hostileNames[i]));
  writeFileSync(file, renamed);
  const facts = factsFrom(replay(readEvents(run)), run);
  await writeReports(run, facts);
  return { run, facts };
}
