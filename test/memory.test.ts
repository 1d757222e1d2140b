import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { expect, test } from "vitest";
import { bench, temporaryFolder } from "./support.js";

// MMLU's 14,042 test questions with five examples each may take 200 MB beside the model: both processes together.
const perQuestion = 200e6 / 14_042;

test("a task of thousands of questions takes little memory beside the model, in both processes", async () => {
  const dir = temporaryFolder();
  const file = (path: string, text: string) => {
    mkdirSync(dirname(join(dir, path)), { recursive: true });
    writeFileSync(join(dir, path), text);
  };
  const subjects = Array.from({ length: 30 }, (_, i) => `s${i}`);
  const row = (subject: string, i: number) =>
    `Question ${i} of ${subject}: ${"which of these is so, and why not? ".repeat(16)},a${i},b,c,d,B\n`;
  const head = "q,A,B,C,D,key\n";
  for (const subject of subjects) {
    const rows = (from: number, to: number) => Array.from({ length: to - from }, (_, i) => row(subject, from + i));
    file(`big/dev/${subject}.csv`, head + rows(0, 5).join(""));
    file(`big/test/${subject}.csv`, head + rows(5, 205).join(""));
  }
  const form = `kind: choice\nformat: csv\ntitle: t\nsource: s\nlicence: MIT\nsplits: { dev: "dev/{subject}.csv", test: "test/{subject}.csv" }
split: test\noptions: [A, B, C, D]\nanswer: key\ncontinueWith: letter\nexamples: { split: dev }\nshots: 5
prompt: "{q}\\nA. {A}\\nB. {B}\\nC. {C}\\nD. {D}\\nAnswer:"\n`;
  file("big/card.yaml", `name: big\n${form}subjects: { ${subjects.map((one) => `${one}: {}`).join(", ")} }\n`);
  // Each process says how much it took, in kB, when it ends.
  const peaks = join(dir, "peaks");
  file(
    "peak.mjs",
    `import { writeFileSync } from "node:fs";
process.on("exit", () => writeFileSync(\`${peaks}/\${process.pid}\`, String(process.resourceUsage().maxRSS)));`,
  );
  const taken = async (out: string, ...more: string[]) => {
    rmSync(peaks, { recursive: true, force: true });
    mkdirSync(peaks);
    const args = ["run", "mock:", "--measure", "big", "--data-dir", dir, "--out", join(dir, out), "--plain", ...more];
    const env = { ...process.env, NODE_OPTIONS: `--import=${join(dir, "peak.mjs")}` };
    expect(await bench(args, { cwd: dir, env })).toMatchObject({ code: 0 });
    const all = readdirSync(peaks).map((name) => Number(readFileSync(join(peaks, name), "utf8")) * 1024);
    expect(all).toHaveLength(2);
    return all.reduce((sum, bytes) => sum + bytes, 0);
  };
  const few = await taken("few", "--subjects", "s0", "--limit", "20");
  const all = await taken("all");
  expect((all - few) / 6_000).toBeLessThan(perQuestion);
}, 600_000);
