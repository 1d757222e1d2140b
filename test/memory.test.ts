import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { expect, test } from "vitest";
import { bench, eventsOf, temporaryFolder } from "./support.js";

const [subjects, each, heap] = [30, 400, 72];

test(`${subjects * each} questions with five examples each fit into ${heap} MB of heap in either process`, async () => {
  const dir = temporaryFolder();
  const file = (path: string, text: string) => {
    mkdirSync(dirname(join(dir, path)), { recursive: true });
    writeFileSync(join(dir, path), text);
  };
  const names = Array.from({ length: subjects }, (_, i) => `s${i}`);
  // Examples are long, for they are the most of a prompt: all prompts together are 48 MB.
  const rows = (subject: string, from: number, count: number, words: number) =>
    Array.from(
      { length: count },
      (_, i) =>
        `Question ${from + i} of ${subject}: ${"which of these is so and why not so ".repeat(words)},a,b,c,d,B\n`,
    ).join("");
  for (const subject of names) {
    file(`big/dev/${subject}.csv`, `q,A,B,C,D,key\n${rows(subject, 0, 5, 18)}`);
    file(`big/test/${subject}.csv`, `q,A,B,C,D,key\n${rows(subject, 5, each, 6)}`);
  }
  file(
    "big/card.yaml",
    `name: big\nkind: choice\nformat: csv\ntitle: t\nsource: s\nlicence: MIT
splits: { dev: "dev/{subject}.csv", test: "test/{subject}.csv" }\nsplit: test\noptions: [A, B, C, D]\nanswer: key
continueWith: letter\nexamples: { split: dev }\nshots: 5\nprompt: "{q}\\nA. {A}\\nB. {B}\\nC. {C}\\nD. {D}\\nAnswer:"
subjects: { ${names.map((one) => `${one}: {}`).join(", ")} }\n`,
  );
  const out = join(dir, "out");
  // The engine process has it from the environment, too; one that needs more ends with an error.
  const env = { NODE_OPTIONS: `--max-old-space-size=${heap}` };
  const args = ["run", "--model", "mock:", "--measure", "big", "--data-dir", dir, "--out", out, "--plain"];
  expect(await bench(args, { cwd: dir, env })).toMatchObject({ code: 0, stderr: "" });
  expect(eventsOf(out).find(({ type }) => type === "job-done")).toMatchObject({ items: subjects * each });
}, 600_000);
