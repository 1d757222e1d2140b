import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { PassThrough } from "node:stream";
import { strToU8, zipSync } from "fflate";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { isFree } from "../../dist/data/fetch/licence.js";
import { remoteData } from "../../dist/data/fetch/remote.js";
import { unpacked } from "../../dist/data/fetch/zip.js";
import { BenchError, commands, dataKinds, findDatasets } from "../../dist/index.js";
import { HubServer, sha256Of } from "../models/hub-server.js";
import { bench, ceval, start, temporaryFolder, until } from "../support.js";

const dir = temporaryFolder();
const hub = new HubServer();
beforeAll(() => hub.start());
afterAll(() => hub.stop());

let dataDir = "";
let cache = "";
beforeEach(() => {
  cache = process.env.GGUF_BENCH_CACHE = mkdtempSync(join(dir, "cache-"));
  dataDir = mkdtempSync(join(dir, "data-"));
  process.env.HF_HOME = join(dir, "no-login");
  process.env.HF_ENDPOINT = process.env.MODELSCOPE_ENDPOINT = hub.at;
  hub.asked = [];
  hub.ails.clear();
  hub.repositories.clear();
});

type Files = Parameters<typeof zipSync>[0];
const zip = (files: Files) => Buffer.from(zipSync(files));
const rows = (count: number, seed = 0) =>
  `question,A,B,answer\n${Array.from({ length: count }, (_, i) => `Is ${i} ${seed ? "odd" : "even"}?,yes,no,${i % 2 ? "B" : "A"}`).join("\n")}\n`;

/** A dataset that is fetched: its card lies in the data directory, as one of the user's own. */
function card(name: string, fetch: string, { licence = "MIT", folder = "", file = "val/a.csv" } = {}): void {
  mkdirSync(join(dataDir, `${name}-card`), { recursive: true });
  writeFileSync(
    join(dataDir, `${name}-card`, "card.yaml"),
    `name: ${name}
kind: choice
title: Odd and even
source: https://example.org
licence: ${licence}
${folder ? `folder: ${folder}\n` : ""}file: ${file}
format: csv
prompt: "{question}"
options: [A, B]
answer: answer
answerIs: letter
fetch:
${fetch}
`,
  );
}

async function fetched(...wanted: string[]) {
  return asked({ wanted });
}
async function asked(request: Parameters<typeof commands.fetch>[0], stdin?: PassThrough & { isTTY?: boolean }) {
  const out = { stdout: "", stderr: "" };
  const stream = (name: keyof typeof out) =>
    Object.assign(
      new PassThrough({ encoding: "utf8" }).on("data", (text: string) => {
        out[name] += text;
      }),
      stdin ? { isTTY: true } : {},
    );
  const where = { stdout: stream("stdout"), stderr: stream("stderr"), env: {}, ...(stdin ? { stdin } : {}) };
  try {
    const code = await commands.fetch({ dataDir, ...request }, where);
    return { ...out, code, fault: undefined };
  } catch (fault) {
    if (!(fault instanceof BenchError)) throw fault;
    return { ...out, code: 1, fault };
  }
}
const below = (folder: string) =>
  existsSync(folder) ? readdirSync(folder, { recursive: true, encoding: "utf8" }).sort() : [];
const files = (folder: string) => below(join(dataDir, folder)).filter((name) => /\.\w+$/.test(name));

describe("fetching data", () => {
  const archive = () =>
    zip({ "top/val/a.csv": strToU8(rows(9)), "top/dev/a.csv": strToU8(rows(5)), "top/LICENSE": strToU8("free") });

  it("unpacks an archive into the data directory; again, no server is asked", async () => {
    hub.put("o/odd", "odd.zip", archive());
    card("odd", `  - {url: "${hub.at}/datasets/o/odd/resolve/main/odd.zip", unpack: zip, strip: 1, only: ["*.csv"]}`);
    const { stdout, code } = await fetched("odd");
    expect(code).toBe(0);
    expect(stdout).toBe(`odd  MIT  2 files, 0.3 kB\n  ${join(dataDir, "odd")}\n`);
    expect(files("odd")).toEqual([".fetched.json", "dev/a.csv", "val/a.csv"]);
    expect(readFileSync(join(dataDir, "odd/val/a.csv"), "utf8")).toBe(rows(9));
    // No archive is left.
    expect(below(join(cache, "downloads")).filter((name) => name.endsWith(".zip"))).toEqual([]);
    hub.asked = [];
    expect((await fetched("odd")).stdout).toBe(stdout);
    expect(hub.asked).toEqual([]);
    // A file that was lost is fetched again, and the others stay.
    rmSync(join(dataDir, "odd/dev/a.csv"));
    writeFileSync(join(dataDir, "odd/own.txt"), "my notes");
    expect((await fetched("odd")).code).toBe(0);
    expect(files("odd")).toEqual([".fetched.json", "dev/a.csv", "own.txt", "val/a.csv"]);
  });

  it("from a hub by its endpoint, with the digest that it states and a revision; the run finds what is in the cache", async () => {
    hub.put("o/odd", "files/a.csv", Buffer.from(rows(9)));
    card("odd", "  - {url: hf:datasets/o/odd/files/a.csv@v2, to: val/a.csv}");
    const env = { ...process.env, GGUF_BENCH_DATA: "" };
    const cards = join(dataDir, "odd-card");
    const absent = await bench(
      ["run", "mock:seed=1", "--measure", "odd", "--data-dir", dataDir, "-o", join(dir, "x")],
      { env },
    );
    expect(absent.code).toBe(1);
    expect(absent.stderr).toMatch(/^gguf-bench: The data of odd are not here: `gguf-bench fetch odd` gets them\.$/m);
    const got = await bench(["fetch", cards], { env });
    expect(got.code, got.stderr).toBe(0);
    expect(got.stdout).toContain(join(cache, "datasets", "odd"));
    expect(hub.asked.map(({ url }) => url)).toContain("/datasets/o/odd/resolve/v2/files/a.csv");
    const run = await bench(
      ["run", "mock:seed=1", "--measure", "odd", "--data-dir", dataDir, "--plain", "-o", join(dir, "y")],
      { env },
    );
    expect(run.code, run.stderr).toBe(0);
    hub.ails.set("hf", "wrong");
    rmSync(join(cache, "datasets"), { recursive: true });
    const wrong = await bench(["fetch", cards], { env });
    expect(wrong.code).toBe(1);
    expect(wrong.stderr).toMatch(/sha256/);
    expect(below(join(cache, "datasets"))).toEqual([]);
  });

  it("what was there before and differs stays, and is said", async () => {
    hub.put("o/odd", "odd.zip", archive());
    card("odd", "  - {url: hf:datasets/o/odd/odd.zip, unpack: zip, strip: 1}");
    mkdirSync(join(dataDir, "odd/val"), { recursive: true });
    writeFileSync(join(dataDir, "odd/val/a.csv"), rows(3));
    const { stderr, code } = await fetched("odd");
    expect(code).toBe(0);
    expect(stderr).toMatch(/warning: 1 files in .* are other ones and stay as they are: val\/a\.csv/);
    expect(readFileSync(join(dataDir, "odd/val/a.csv"), "utf8")).toBe(rows(3));
    expect(files("odd")).toEqual([".fetched.json", "dev/a.csv", "val/a.csv"]);
    hub.asked = [];
    expect((await fetched("odd")).code).toBe(0);
    expect(hub.asked).toEqual([]);
  });

  it("two cards of one folder and one archive fetch it once; of several addresses the first that has it", async () => {
    hub.put("o/odd", "odd.zip", archive());
    const entry = `  - {url: ["hf:datasets/o/none/odd.zip", "ms:datasets/o/odd/odd.zip"], unpack: zip, strip: 1}`;
    card("odd", entry, { folder: "numbers" });
    card("even", entry, { folder: "numbers", file: "dev/a.csv" });
    const { stderr, code } = await fetched("odd", "even");
    expect(code).toBe(0);
    expect(stderr).toMatch(/warning: hf:datasets\/o\/none\/odd\.zip could not be fetched: .*It came from 127/);
    expect(hub.asked.filter(({ method, url }) => method === "GET" && url.includes("/cdn/"))).toHaveLength(1);
    expect(files("numbers")).toContain("dev/a.csv");
  });

  it("a published digest that what came does not have, and a web page, are refused", async () => {
    hub.put("o/odd", "odd.zip", archive());
    card("odd", `  - {url: hf:datasets/o/odd/odd.zip, unpack: zip, sha256: ${sha256Of(Buffer.from("other"))}}`);
    expect((await fetched("odd")).fault?.message).toMatch(/sha256/);
    hub.put("o/odd", "page.csv", Buffer.from("<!DOCTYPE html><html>Sign in</html>"));
    card("page", "  - {url: hf:datasets/o/odd/page.csv}");
    expect((await fetched("page")).fault?.message).toMatch(/web page/);
    expect(readdirSync(dataDir).sort()).toEqual(["odd-card", "page-card"]);
  });

  it("a name that is none, a card without addresses, and data of the package", async () => {
    card("odd", "  - {url: hf:datasets/o/odd/odd.zip, unpack: zip}");
    expect((await fetched("od")).fault?.hint).toMatch(/odd/);
    expect((await fetched("zh-wiki")).fault?.message).toMatch(/cannot be fetched: its card names no files to fetch/);
    expect((await fetched("demo-facts-en")).stdout).toMatch(/^demo-facts-en {2}MIT {2}.*\n {2}.*test\.csv\n$/);
    for (const url of ["hf:datasets/o/../x.zip", "wisemodel:datasets/o/r/x.zip", "ftp:datasets/o/r/x.zip"]) {
      card("odd", `  - {url: "${url}", unpack: zip}`);
      expect((await fetched("odd")).fault?.message, url).toMatch(/no address/);
    }
    card("odd", "  - {url: hf:datasets/o/odd/odd.zip, to: ../x}");
    expect((await fetched("odd")).fault?.message).toMatch(/leads out of the dataset's folder/);
    card("odd", "  - {url: hf:datasets/o/odd/odd.zip}", { folder: "../x" });
    expect((await fetched("odd")).fault?.message).toMatch(/outside the data directory/);
  });
});

describe("the cards of the package", () => {
  it("say where their data are fetched from, each by an address that can be asked", async () => {
    const without: string[] = [];
    for (const { card, path } of await findDatasets()) {
      if (path === undefined && !card.fetch) without.push(card.name);
      for (const { url, sha256 } of card.fetch ?? [])
        expect(remoteData(url, sha256, []).addresses.length).toBeGreaterThan(0);
    }
    // Of one file per subject and split; made of another file, by a rule of its own.
    expect(without).toEqual(["mmlu-hub", "zh-wiki"]);
  });

  const here = ceval && dirname(ceval);
  it.skipIf(!here)(`C-Eval and CMMLU as their hub serves them${here ? "" : " (their data are not here)"}`, async () => {
    const archived = (name: string, splits: string[]) => {
      const packed: Record<string, Uint8Array> = {};
      for (const split of splits)
        for (const file of readdirSync(join(here!, name, split)))
          packed[`${split}/${file}`] = readFileSync(join(here!, name, split, file));
      return zip(packed);
    };
    hub.put("ceval/ceval-exam", "ceval-exam.zip", archived("ceval", ["dev", "val"]));
    hub.put("haonan-li/cmmlu", "cmmlu_v1_0_1.zip", archived("cmmlu", ["dev", "test"]));
    // Into the cache, where a run finds them.
    const env = { ...process.env, GGUF_BENCH_DATA: "" };
    const refused = await bench(["fetch", "ceval", "cmmlu"], { env });
    expect([refused.code, hub.asked]).toEqual([1, []]);
    const { code, stdout, stderr } = await bench(["fetch", "ceval", "cmmlu", "--accept-licence"], { env });
    expect(code, stderr).toBe(0);
    expect(stdout).toMatch(
      /^ceval {2}CC BY-NC-SA 4\.0.* {2}104 files, 0\.5 MB\n.*\ncmmlu {2}CC BY-NC.* {2}134 files, 2\.5 MB$/m,
    );
    const read = async (dataset: string) =>
      (await dataKinds.choice.resolve({ dataset }, { baseDir: dir })).items.length;
    expect([await read("ceval"), await read("cmmlu")]).toEqual([1346, 11582]);
  });
});

it("what cannot be fetched is got by hand, and the sentence says how and where to", async () => {
  const lost = await fetched("mmlu-hub");
  expect(lost.fault?.hint).toMatch(/hf download cais\/mmlu --repo-type dataset --local-dir \S+mmlu-hub\.$/);
  card("gone", "  - {url: hf:datasets/o/gone/a.csv}");
  const { fault } = await fetched("gone");
  expect(fault?.code).toBe("model-download");
  expect(fault?.hint).toMatch(/\. Get it from https:\/\/example\.org \(MIT\) and put it into \S+gone\.$/);
});

describe("a licence", () => {
  it("is free or not by its name; one that is not known is not", () => {
    for (const name of [
      "MIT",
      "Apache-2.0",
      "CC BY-SA 3.0 and GFDL",
      "CC BY 4.0",
      "CC0-1.0",
      "MIT (LICENSE)",
      "CC-BY-SA-4.0",
      "AFL-3.0",
    ])
      expect(isFree(name), name).toBe(true);
    for (const name of [
      "CC BY-NC-SA 4.0",
      "CC BY-NC 4.0",
      "CC-BY-ND-4.0",
      "research only",
      "proprietary",
      "MIT, non-commercial",
    ])
      expect(isFree(name), name).toBe(false);
  });

  it("that is not free is accepted by the flag or by a yes in the terminal, else nothing is fetched", async () => {
    hub.put("o/odd", "a.csv", Buffer.from(rows(9)));
    card("odd", "  - {url: hf:datasets/o/odd/a.csv}", { licence: "CC BY-NC-SA 4.0" });
    const none = await bench(["fetch", "odd", "--data-dir", dataDir]);
    expect(none.code).toBe(1);
    expect(none.stderr).toBe(
      "gguf-bench: the data of odd are not free for every use. Licence: CC BY-NC-SA 4.0.\n  With --accept-licence you accept it, and they are fetched.\n",
    );
    const typed = async (answer: string) => {
      const stdin = Object.assign(new PassThrough(), { isTTY: true });
      const ended = asked({ wanted: ["odd"] }, stdin);
      setTimeout(() => stdin.write(answer), 100);
      return ended;
    };
    expect((await typed("n\n")).fault?.message).toMatch(/was not accepted: nothing was fetched/);
    expect((await typed("\n")).code).toBe(1);
    expect(hub.asked).toEqual([]);
    const yes = await typed("y\n");
    expect(yes.stderr).toMatch(/CC BY-NC-SA 4\.0[\s\S]*Do you accept it\? \[y\/N\] /);
    expect(yes.code).toBe(0);
    rmSync(join(dataDir, "odd"), { recursive: true });
    expect((await asked({ wanted: ["odd"], acceptLicence: true })).stdout).toMatch(
      /^odd {2}CC BY-NC-SA 4\.0 {2}1 file, /,
    );
  });
});

describe("an archive", () => {
  const refusal = (archive: Buffer, unpacking = {}) => {
    try {
      return [...unpacked(archive, "x.zip", unpacking)].map(({ path }) => path);
    } catch (fault) {
      expect(fault).toBeInstanceOf(BenchError);
      return (fault as BenchError).message;
    }
  };
  const text = strToU8("a,b\n");

  it.each([
    "../a.csv",
    "a/../../a.csv",
    "/etc/a.csv",
    "C:/a.csv",
    "a\\..\\b.csv",
    "a//b.csv",
    "a/./b.csv",
    "a\u0000.csv",
    "a. /b.csv",
  ])("with the path %j is refused as a whole", (path) => {
    expect(refusal(zip({ "ok.csv": text, [path]: text }))).toMatch(/leads out of its folder, or is none/);
  });

  it("with a link, a card, or encrypted files is refused", () => {
    expect(refusal(zip({ "a.csv": [text, { os: 3, attrs: (0o120777 << 16) >>> 0 }] }))).toMatch(/is a link/);
    expect(refusal(zip({ "card.yaml": text }))).toMatch(/is a dataset's card/);
    expect(refusal(zip({ "x/Card.YAML": text }), { strip: 1 })).toMatch(/is a dataset's card/);
    expect(refusal(zip({ "a/x.csv": text, "b/X.csv": text }), { strip: 1 })).toMatch(/is in it twice/);
    const encrypted = zip({ "a.csv": text });
    encrypted[encrypted.indexOf(Buffer.from("PK\x01\x02")) + 8]! |= 1;
    expect(refusal(encrypted)).toMatch(/encrypted/);
  });

  it("that grows beyond bounds is refused before anything is unpacked", () => {
    const bomb = zip({ "a.csv": new Uint8Array(80_000_000) });
    expect(bomb.length).toBeLessThan(200_000);
    expect(refusal(bomb)).toMatch(/grow beyond/);
    // One that lies about its size gives no more than it says, and is damaged.
    const liar = zip({ "a.csv": new Uint8Array(1_000_000) });
    liar.writeUInt32LE(1000, liar.indexOf(Buffer.from("PK\x01\x02")) + 24);
    expect(refusal(liar)).toMatch(/damaged/);
    expect(refusal(zip(Object.fromEntries(Array.from({ length: 5001 }, (_, i) => [`${i}`, text]))))).toMatch(
      /5000 files/,
    );
  });

  it("that is damaged, cut, empty or none is refused", () => {
    const good = zip({ "a.csv": strToU8(rows(500)), "b.csv": strToU8(rows(500, 1)) });
    const flipped = Buffer.from(good);
    flipped[200]! ^= 0xff;
    expect(refusal(flipped)).toMatch(/damaged/);
    expect(refusal(good.subarray(0, good.length - 30))).toMatch(/no zip archive, or damaged/);
    expect(refusal(Buffer.from("not an archive at all, but some text"))).toMatch(/no zip archive/);
    expect(refusal(zip({}))).toMatch(/holds none of the files/);
    expect(refusal(good, { only: ["c.csv"] })).toMatch(/holds none of the files/);
  });

  it("gives its files, without folders, hidden files and what macOS adds", () => {
    const archive = zip({
      "d/": new Uint8Array(),
      "d/a.csv": text,
      "d/.DS_Store": text,
      "__MACOSX/d/a.csv": text,
      ".fetched.json": text,
    });
    expect(refusal(archive)).toEqual(["d/a.csv"]);
    expect(refusal(archive, { strip: 1 })).toEqual(["a.csv"]);
    expect(refusal(zip({ "d/a_zh.jsonl": text, "d/a_en.jsonl": text }), { strip: 1, only: ["d/*_zh.jsonl"] })).toEqual([
      "a_zh.jsonl",
    ]);
  });
});

describe("a fetch that is ended", () => {
  it("by kill −9 or Ctrl-C leaves no half of a dataset, and goes on", async () => {
    const many = Object.fromEntries(
      Array.from({ length: 400 }, (_, i): [string, Uint8Array] => [`val/${i}.csv`, strToU8(rows(400, i))]),
    );
    hub.put("o/many", "many.zip", zip(many));
    card("many", "  - {url: hf:datasets/o/many/many.zip, unpack: zip}", { file: "val/0.csv" });
    const command = ["fetch", "many", "--data-dir", dataDir];
    for (const signal of ["SIGKILL", "SIGINT"] as const) {
      const { child, ended } = start(command, { env: process.env });
      const draft = new RegExp(`-${child.pid}-\\w+\\.unpacking/val/1\\d+\\.csv$`);
      await until("unpacking began", () => below(dataDir).some((name) => draft.test(name)));
      child.kill(signal);
      const { code } = await ended;
      if (signal === "SIGINT") expect([0, 130]).toContain(code);
      const there = files("many").length;
      expect([0, 401]).toContain(there);
      if (there > 0) rmSync(join(dataDir, "many"), { recursive: true });
      if (signal === "SIGINT") expect(readdirSync(dataDir).filter((name) => name.endsWith(".unpacking"))).toEqual([]);
    }
    expect((await bench(command, { env: process.env })).code).toBe(0);
    expect(files("many")).toHaveLength(401);
    // What the killed one left is gone, too.
    expect(readdirSync(dataDir).sort()).toEqual(["many", "many-card"]);
  });
});
