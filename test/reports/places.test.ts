import { expect, test } from "vitest";
import { commandWithoutFolders, withoutFolders } from "../../dist/reports/places.js";

type Started = Parameters<typeof withoutFolders>[0];

/** A run of files that lie in these folders. */
const started = (command: string[]) =>
  ({
    variants: [
      { model: "/home/jo smith/models/a.gguf", facts: { files: ["/home/jo smith/models/a.gguf"] } },
      { model: "hf:owner/repo:Q4_K_M", facts: { files: ["/var/cache/blobs/1f/b.gguf"] } },
    ],
    provenance: {
      command,
      datasets: [{ name: "book.txt", path: "/home/jo smith/texts/book.txt" }],
      folders: { baseDir: "/home/jo smith" },
    },
  }) as unknown as Started;

test("a sentence for others names files, whose folders nobody else needs to know", () => {
  const told = withoutFolders(started([]));
  for (const [said, left] of [
    ["/home/jo smith/models/a.gguf is cut off", "a.gguf is cut off"],
    ["/home/jo smith/other.gguf, then /var/cache/blobs/1f/b.gguf", "other.gguf, then b.gguf"],
    ["cannot read '/opt/x/libllama.so': ~/.cache/y/z is a folder", "cannot read 'libllama.so': z is a folder"],
    ["C:\\Users\\jo\\m.gguf is no model", "m.gguf is no model"],
  ])
    expect(told(said!)).toBe(left);
  for (const same of [
    "tok/s and PPL/KLD",
    "https://example.org/a/b.gguf",
    "hf:owner/repo/file.gguf",
    "1 / 2",
    "and/or",
  ])
    expect(told(same)).toBe(same);
});

test("where the run goes to is as typed, unless it tells of this machine", () => {
  const command = (...out: string[]) => commandWithoutFolders(started(["run", ...out])).slice(1);
  expect(command("-o", "reports/x")).toEqual(["-o", "reports/x"]);
  expect(command("--out=reports/x")).toEqual(["--out=reports/x"]);
  for (const folder of ["/srv/x", "../x", "~/x", "C:\\runs\\x"])
    expect(command("--out", folder)).toEqual(["--out", "x"]);
  expect(command("--data-dir", "data/x")).toEqual(["--data-dir", "x"]);
});

test("a command for others keeps addresses and shipped benchmarks, and of paths their last name", () => {
  const command = [
    ...[
      "gguf-bench",
      "run",
      "/home/jo smith/models/a.gguf",
      "models/",
      "hf:owner/repo:Q4_K_M",
      "chinese-llama-3/ceval",
    ],
    ...["--out=/srv/runs/x", "--data-dir", "..", "--only", "Q4*", "https://example.org/a/b.gguf", "C:\\m\\c.gguf"],
  ];
  expect(commandWithoutFolders(started(command))).toEqual([
    ...["gguf-bench", "run", "a.gguf", "models", "hf:owner/repo:Q4_K_M", "chinese-llama-3/ceval"],
    ...["--out=x", "--data-dir", "..", "--only", "Q4*", "https://example.org/a/b.gguf", "c.gguf"],
  ]);
});
