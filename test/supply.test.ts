// What is installed with the program and by whom it is published: the lock file, the page on dependencies, the list of what is
// in a release, and the workflow that publishes it.

import { spawnSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { parse } from "yaml";
import { idleCard, pinnedPackage } from "../dist/llama/location.js";
import { root } from "./repository.js";

const read = (file: string) => readFileSync(join(root, file), "utf8");

interface Manifest {
  version: string;
  dependencies: Record<string, string>;
  optionalDependencies: Record<string, string>;
  peerDependencies: Record<string, string>;
  peerDependenciesMeta: Record<string, { optional?: boolean }>;
  devDependencies: Record<string, string>;
}

interface Locked {
  version: string;
  resolved?: string;
  integrity?: string;
  link?: boolean;
  dev?: boolean;
  license?: string;
  os?: string[];
  cpu?: string[];
  dependencies?: Record<string, string>;
  optionalDependencies?: Record<string, string>;
}

const own: Manifest = JSON.parse(read("package.json"));
const lock: { packages: Record<string, Locked> } = JSON.parse(read("package-lock.json"));
const { "": top, ...locked } = lock.packages;

describe("the lock file", () => {
  it("belongs to package.json", () => {
    const { dependencies, optionalDependencies, peerDependencies, devDependencies } = own;
    expect(top).toMatchObject({ dependencies, optionalDependencies, peerDependencies, devDependencies });
  });

  it("holds what each package is by its bytes", () => {
    // The registry that the file was made with has no such builds; a developer on these systems trusts the integrity that npm's tells.
    const unknown = ["mac-arm64-metal", "mac-x64", "win-arm64", "win-x64"].map((name) => `@node-llama-cpp/${name}`);
    const without = Object.entries(locked).filter(
      ([, { integrity }]) => !/^sha512-[\w+/]{86}==$/.test(integrity ?? ""),
    );
    expect(without.map(([path]) => path)).toEqual(unknown.map((name) => `node_modules/${name}`));
  });

  it("names no registry, no folder and no address", () => {
    expect(Object.entries(locked).filter(([, { resolved, link }]) => resolved !== undefined || link)).toEqual([]);
  });

  it("has every platform's packages, whatever platform it was made on", () => {
    const missing = Object.entries(lock.packages).flatMap(([path, { optionalDependencies = {} }]) =>
      Object.keys(optionalDependencies)
        .filter((name) => {
          // As Node looks for them: beside the package that asks, then in each folder above.
          const places = path
            .split("/node_modules/")
            .map((_, i, parts) => parts.slice(0, i + 1).join("/node_modules/"));
          return ![...places.map((place) => `${place}/node_modules/${name}`), `node_modules/${name}`].some(
            (place) => locked[place],
          );
        })
        .map((name) => `${path || "gguf-bench"} asks for ${name}`),
    );
    expect(missing).toEqual([]);
  });

  it("has a build of llama.cpp for Linux, macOS and Windows on both kinds of processors, all of one version", () => {
    const builds = Object.keys(own.optionalDependencies).map((name) => locked[`node_modules/${name}`]!);
    const platforms = builds.flatMap(({ os = [], cpu = [] }) => os.map((system) => `${system} ${cpu[0]}`));
    const asked = ["linux", "darwin", "win32"].flatMap((system) => ["x64", "arm64"].map((cpu) => `${system} ${cpu}`));
    expect(platforms.sort()).toEqual(asked.sort());
    const peers = Object.entries(own.peerDependencies).filter(([name]) => /node-llama-cpp/.test(name));
    const versions = [...Object.values(own.optionalDependencies), ...peers.map(([, version]) => version)];
    expect(new Set(versions).size).toBe(1);
    expect(builds.map(({ version }) => version)).toEqual(builds.map(() => versions[0]));
  });
});

describe("what is not installed unless it is asked for", () => {
  it("is an optional peer", () => {
    for (const name of Object.keys(own.peerDependencies))
      expect(own.peerDependenciesMeta[name], name).toEqual({ optional: true });
  });

  const cuda = "@node-llama-cpp/linux-x64-cuda";
  it.skipIf(process.platform !== "linux" || process.arch !== "x64")("a card whose build is not there is said", () => {
    expect(idleCard({ driver: true, builds: () => ["cpu"] })).toBe(
      `this machine's NVIDIA card is not used, for no CUDA build is installed: \`npm install ${pinnedPackage(cuda)}\` adds it`,
    );
    expect(idleCard({ driver: true, builds: () => ["cuda", "cpu"] })).toBeUndefined();
    expect(idleCard({ driver: false, builds: () => ["cpu"] })).toBeUndefined();
  });
});

describe("docs/dependencies.md", () => {
  const rows = [
    ...read("docs/dependencies.md").matchAll(/^\| `(\S+)` +\| (.+?) +\| (.+?) +\|(?: +([\d.]*) \|)?$/gm),
  ].map(([, name, reason, licence, size]) => ({ name: name!, reason: reason!, licence: licence!, size }));
  const folder = (name: string) => join(root, "node_modules", name);

  it("lists what package.json lists, in its order, with reasons", () => {
    const { dependencies, optionalDependencies, peerDependencies, devDependencies } = own;
    const asked = [dependencies, optionalDependencies, peerDependencies, devDependencies].flatMap(Object.keys);
    // The queue's client is a peer, and a developer's, too.
    expect(rows.map(({ name }) => name)).toEqual([...new Set(asked)]);
    for (const { name, reason } of rows) expect(reason.length, name).toBeGreaterThan(8);
  });

  it("has the licences of the packages, which allow any use", () => {
    for (const { name, licence } of rows) {
      const manifest = join(folder(name), "package.json");
      const said = existsSync(manifest)
        ? JSON.parse(readFileSync(manifest, "utf8")).license
        : locked[`node_modules/${name}`]?.license;
      if (said !== undefined) expect(licence, name).toBe(said);
      expect(licence, name).toMatch(/^(MIT( OR Apache-2\.0)?|ISC|BSD-3-Clause|Apache-2\.0|MPL-2\.0)$/);
    }
  });

  it("has their sizes on disk, where they are installed", () => {
    for (const { name, size } of rows) {
      if (!size || !existsSync(folder(name))) continue;
      const megabytes = bytesIn(folder(name)) / 1e6;
      expect(Number(size), `${name}: ${megabytes.toFixed(2)} MB`).toBeGreaterThan(megabytes * 0.7 - 0.05);
      expect(Number(size), `${name}: ${megabytes.toFixed(2)} MB`).toBeLessThan(megabytes * 1.3 + 0.05);
    }
  });
});

/** Bytes of the files of a package, without the packages inside it. */
function bytesIn(folder: string): number {
  return readdirSync(folder, { withFileTypes: true }).reduce((sum, entry) => {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) return entry.name === "node_modules" ? sum : sum + bytesIn(path);
    return sum + (entry.isFile() ? statSync(path).size : 0);
  }, 0);
}

describe("the list of a release's parts", () => {
  it("is CycloneDX, and names every package with its version, licence and digest", () => {
    const args = ["sbom", "--package-lock-only", "--sbom-format", "cyclonedx"];
    const made = spawnSync("npm", args, { cwd: root, encoding: "utf8", maxBuffer: 2 ** 26 });
    expect(made.status, made.stderr).toBe(0);
    const list = JSON.parse(made.stdout) as {
      bomFormat: string;
      specVersion: string;
      metadata: { component: Record<string, unknown> };
      components: {
        name: string;
        version: string;
        purl: string;
        properties: { name: string; value: string }[];
        licenses?: object[];
        hashes?: object[];
      }[];
    };
    expect(list).toMatchObject({ bomFormat: "CycloneDX", specVersion: expect.stringMatching(/^1\.\d$/) });
    expect(list.metadata.component).toMatchObject({ "bom-ref": `gguf-bench@${own.version}` });
    const asked = Object.entries(locked).map(([path, { version, dev = false }]) => ({
      name: path.split("node_modules/").at(-1)!,
      version,
      dev,
    }));
    const found = list.components.map(({ name, version, properties }) => ({
      name,
      version,
      dev: properties.some((one) => one.name === "cdx:npm:package:development" && one.value === "true"),
    }));
    const inOrder = (parts: typeof asked) => parts.map((part) => JSON.stringify(part)).sort();
    expect(new Set(inOrder(found))).toEqual(new Set(inOrder(asked)));
    for (const { name, version, purl, licenses, hashes } of list.components) {
      expect(purl).toBe(`pkg:npm/${name.replace("@", "%40")}@${version}`);
      expect(licenses, name).toHaveLength(1);
      if (!name.startsWith("@node-llama-cpp/")) expect(hashes, name).toHaveLength(1);
    }
  });
});

describe("the workflow that publishes", () => {
  interface Step {
    name: string;
    uses?: string;
    run?: string;
    env?: Record<string, string>;
    with?: Record<string, string | boolean>;
  }
  interface Job {
    needs?: string;
    permissions?: Record<string, string>;
    "runs-on": string;
    "timeout-minutes": number;
    steps: Step[];
  }
  const text = read(".github/workflows/publish.yml");
  const workflow = parse(text) as {
    on: { release: { types: string[] } };
    permissions: Record<string, string>;
    jobs: Record<string, Job>;
  };
  const jobs = Object.values(workflow.jobs);
  const steps = jobs.flatMap((job) => job.steps);

  it("runs for a release, and reads unless it publishes", () => {
    expect(workflow.on).toEqual({ release: { types: ["published"] } });
    expect(workflow.permissions).toEqual({ contents: "read" });
    const publishing = jobs.filter((job) => job.steps.some(({ run }) => run?.includes("npm publish")));
    expect(publishing).toHaveLength(1);
    expect(publishing[0]).toMatchObject({ permissions: { contents: "read", "id-token": "write" }, needs: "pack" });
    expect(jobs.filter(({ permissions }) => permissions).length).toBe(1);
    for (const job of jobs)
      expect(job).toMatchObject({ "runs-on": expect.stringMatching(/\d/), "timeout-minutes": expect.any(Number) });
  });

  it("uses actions by their commit, with the release in words", () => {
    for (const { uses } of steps) if (uses) expect(uses).toMatch(/^actions\/[\w-]+@[\da-f]{40}$/);
    expect(text.match(/uses: .*$/gm)!.filter((line) => !/ # v\d+\.\d+\.\d+$/.test(line))).toEqual([]);
  });

  it("publishes the very file that was tested, with provenance", () => {
    const { run } = steps.find((step) => step.run?.includes("npm publish"))!;
    expect(run).toBe("npm publish --provenance --access public ./packed/*.tgz");
    const order = ["bash .ci/run", "npm pack", "npm sbom", "npm publish"].map((part) =>
      steps.findIndex((step) => step.run?.includes(part)),
    );
    expect(order).toEqual([...order].sort((a, b) => a - b));
    expect(order).not.toContain(-1);
    const [kept, fetched] = ["upload-artifact", "download-artifact"].map((name) =>
      steps.find(({ uses }) => uses?.includes(name)),
    );
    expect(kept!.with).toMatchObject({ name: fetched!.with!.name!, path: "packed" });
  });

  it("gives its secret to one step, and pastes no input into a script", () => {
    expect(steps.filter((step) => JSON.stringify(step).includes("secrets.")).map(({ name }) => name)).toEqual([
      "Publish",
    ]);
    for (const { run = "" } of steps) {
      expect(run).not.toContain("${{");
      expect(spawnSync("bash", ["-n"], { input: run, encoding: "utf8" })).toMatchObject({ status: 0, stderr: "" });
    }
  });
});
