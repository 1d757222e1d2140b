// Reads every file or folder of a kind, one after another, as the main process does: node fuzz.mjs KIND FOLDER.
// One JSON line each on standard output, before it is read and after; what hangs or dies is the last one that began.
import { readdirSync, writeSync } from "node:fs";
import { join } from "node:path";
import { readBenchmark } from "../dist/benchmark/index.js";
import { dataKinds } from "../dist/data/index.js";
import { BenchError, toFailure } from "../dist/errors.js";
import { measurements } from "../dist/measurements/index.js";
import { readModelFacts } from "../dist/models/gguf.js";
import { replay } from "../dist/replay/index.js";
import { factsFrom, writeReports } from "../dist/reports/index.js";
import { readEvents, Store } from "../dist/store/index.js";

const readers = {
  gguf: readModelFacts,
  benchmark: (path) => readBenchmark(path, { measurements, env: {} }),
  card: (path) => dataKinds.choice.resolve({ dataset: path }, { baseDir: "/" }),
  async run(path) {
    Store.open(path).close();
    await writeReports(path, factsFrom(replay(readEvents(path)), path));
  },
};

const [kind, folder] = process.argv.slice(2);
const tell = (line) => writeSync(1, `${JSON.stringify(line)}\n`);
for (const name of readdirSync(folder).sort()) {
  tell({ begun: name });
  const began = performance.now();
  let failure;
  try {
    await readers[kind](join(folder, name));
  } catch (error) {
    failure = { ...toFailure(error), foreseen: error instanceof BenchError };
  }
  tell({ name, milliseconds: performance.now() - began, failure });
}
