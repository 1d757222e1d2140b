import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { expect, it } from "vitest";
import { ConfinedProcess } from "../dist/confined.js";
import { root } from "./repository.js";
import { temporaryFolder } from "./support.js";

const folder = temporaryFolder();

/** Waits as a busy machine or program does: nothing else of its thread runs meanwhile. */
const wait = (ms: number) => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);

/** A process that takes 2 s to start, then to each question as long as it says. */
function slowToStart(seconds: number): ConfinedProcess<{ ms: number }, { waited: number }> {
  const file = join(folder, "slow.mjs");
  const confined = pathToFileURL(join(root, "dist/confined.js")).href;
  writeFileSync(
    file,
    `import { answerParent } from ${JSON.stringify(confined)};
const wait = ${wait};
wait(2000);
answerParent(({ ms }) => ms === undefined ? undefined : (wait(ms), { waited: ms }));
`,
  );
  return new ConfinedProcess(pathToFileURL(file), { seconds, megabytes: 64 });
}

it("the limit of time is that of a question: what it takes to start a process is no part of it", async () => {
  const asked = slowToStart(1);
  for (let again = 0; again < 2; again++) {
    expect(await asked.ask({ ms: 0 })).toEqual({ waited: 0 });
    expect(await asked.ask({ ms: 60_000 })).toEqual({ noAnswer: "does not end within 1 s" });
  }
  asked.close();
});

it("an answer in time counts, even if the asking process was too busy to read it in time", async () => {
  const asked = slowToStart(1);
  await asked.ask({ ms: 0 });
  const answer = asked.ask({ ms: 100 });
  await new Promise((resolve) => setTimeout(resolve, 50));
  wait(2000);
  expect(await answer).toEqual({ waited: 100 });
  asked.close();
});
