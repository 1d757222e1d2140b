// What is compared, and what each comparison must show. A new one is a member of this list.
import fs from "node:fs";
import path from "node:path";
import { compareAnswers, noiseFloor } from "./hellaswag.mjs";
import { compared } from "./pairs.mjs";
import { repository } from "./tools.mjs";

/** What we may need beyond the peer: two Node processes. */
const memoryAllowance = 120e6;

/**
 * A line of the table. `target` is met where `value` lies in it; a line without one informs. A time or a memory is not
 * judged in a quick run; a time neither where others disturbed a run.
 * @typedef {{quantity: string, ours?: string, peer?: string, value?: number, range?: [number, number], show?: (n: number) => string,
 *   target?: {text: string, least?: number, most: number}, kind: "time" | "memory" | "result", note?: string}} Row
 * @typedef {{name: string, title: string, needs: string[], models?: string[], run: (bench: any) => Promise<{rows: Row[], pairs: any[], [more: string]: any}>}} Comparison
 */

const seconds = (value) => `${value.toFixed(2)} s`;
const megabytes = (value) => `${(value / 1e6).toFixed(0)} MB`;
const rate = (value) => `${value.toFixed(1)} tok/s`;
const ratio = (value) => value.toFixed(3);
const difference = (value) => `${value < 0 ? "−" : "+"}${megabytes(Math.abs(value))}`;
const atMost = (most) => ({ text: `≤ ${most.toFixed(2)}`, most });
const memoryTarget = { text: `≤ ${difference(memoryAllowance)}`, most: memoryAllowance };

/** @returns {Row} */
function row(quantity, kind, figures, unit, show, target) {
  const { ours, peer, median, low, high } = figures;
  const range = /** @type {[number, number]} */ ([low, high]);
  return {
    quantity,
    kind,
    ours: unit(ours),
    peer: unit(peer),
    value: median,
    range,
    show,
    ...(target ? { target } : {}),
  };
}

/** @returns {Row} */
const check = (quantity, right, ours, peer, note) => ({
  quantity,
  kind: "result",
  ours,
  peer,
  value: right ? 1 : 0,
  show: () => (right ? "yes" : "no"),
  target: { text: "yes", least: 1, most: 1 },
  ...(note ? { note } : {}),
});

const wall = (pairs, target) =>
  row(
    "wall",
    "time",
    compared(pairs, (run) => run.wall),
    seconds,
    ratio,
    target,
  );
const userCpu = (pairs) =>
  row(
    "user CPU",
    "time",
    compared(pairs, (run) => run.user),
    seconds,
    ratio,
  );
const peakMemory = (pairs, target) =>
  row(
    "peak memory",
    "memory",
    compared(
      pairs,
      (run) => run.peak,
      (ours, peer) => ours - peer,
    ),
    megabytes,
    difference,
    target,
  );

/** One more, untimed pair: what both hold when pages that two processes share count once. */
async function sharedOnce(bench, ours, peer) {
  if (bench.quick) return [];
  const [our, their] = [await bench.memory(ours), await bench.memory(peer)];
  const figures = {
    ours: our.pss,
    peer: their.pss,
    median: our.pss - their.pss,
    low: our.pss - their.pss,
    high: our.pss - their.pss,
  };
  return [row("peak memory, shared pages once", "memory", figures, megabytes, difference)];
}

function sameDigits(pairs, note) {
  const [ours, peer] = ["ours", "peer"].map((side) =>
    [...new Set(pairs.map((pair) => pair[side].read[0].ppl))].join(" | "),
  );
  return check("PPL, digits equal", ours === peer, ours, peer, note);
}

/** @returns {Comparison} */
const perplexity = (quant) => ({
  name: `ppl:${quant}`,
  title: `perplexity of ${quant}, whole process, against llama-perplexity on the same libraries`,
  needs: ["same"],
  async run({ tools, sizes, interleaved, ...bench }) {
    const { context, chunks } = sizes.perplexity;
    const library = tools.sharedLibrary();
    const ours = { name: "gguf-bench", steps: [tools.ourPerplexity(quant, { context, chunks, library })] };
    const peer = {
      name: "llama-perplexity",
      steps: [tools.peerPerplexity(tools.perplexityTool.same, quant, { context, chunks })],
    };
    const pairs = await interleaved(ours, peer);
    const rows = [sameDigits(pairs), wall(pairs, atMost(1)), userCpu(pairs), peakMemory(pairs, memoryTarget)];
    return { pairs, rows: [...rows, ...(await sharedOnce(bench, ours, peer))] };
  },
});

/**
 * Against the tool built for this processor. Ours takes the library that it would take by itself; the prebuilt one is slow
 * with F16, so there the target holds for a source build alone.
 * @returns {Comparison}
 */
const native = (quant, { most, wantsSourceBuild = false }) => ({
  name: `native:${quant}`,
  title: `perplexity of ${quant}, whole process, against the natively built llama-perplexity`,
  needs: ["native"],
  async run({ tools, sizes, interleaved }) {
    const { context, chunks } = sizes.perplexity;
    const peer = {
      name: "native llama-perplexity",
      steps: [tools.peerPerplexity(tools.perplexityTool.native, quant, { context, chunks })],
    };
    const against = async (library) =>
      interleaved({ name: "gguf-bench", steps: [tools.ourPerplexity(quant, { context, chunks, library })] }, peer);
    const pairs = await against(undefined);
    const built = sourceBuild();
    const judged = built || !wantsSourceBuild;
    const rows = [wall(pairs, judged ? atMost(most) : undefined), userCpu(pairs), peakMemory(pairs)];
    const { ours, peer: theirs } = sameDigits(pairs);
    rows.push({
      quantity: "PPL",
      kind: "result",
      ours,
      peer: theirs,
      note: ours === theirs ? "digits equal" : "other kernels, other last digits",
    });
    rows[0].note = built ? "ours on the source build" : "ours on the prebuilt library";
    if (!judged) rows[0].note += `; with \`gguf-bench doctor --build\` the target is ≤ ${most.toFixed(2)}`;
    if (!wantsSourceBuild || !built || !tools.hasSharedLibrary()) return { pairs, rows };
    const prebuilt = await against(tools.sharedLibrary());
    return { pairs, prebuilt, rows: [...rows, { ...wall(prebuilt), note: "ours on the prebuilt library" }] };
  },
});

/** Where llama.cpp was built from source, which the engine then prefers; `GGUF_BENCH_LIBRARY` names one as well. */
function sourceBuild() {
  if (process.env.GGUF_BENCH_LIBRARY) return process.env.GGUF_BENCH_LIBRARY;
  const folder = path.join(repository, "node_modules/node-llama-cpp/llama/localBuilds");
  const builds = fs.existsSync(folder) ? fs.readdirSync(folder) : [];
  return builds.map((name) => path.join(folder, name, "Release")).find((release) => fs.existsSync(release));
}

/** @returns {Comparison} */
const speed = (quant) => ({
  name: `speed:${quant}`,
  title: `tokens per second of ${quant}, against llama-bench on the same libraries`,
  needs: ["bench"],
  async run({ tools, sizes, interleaved }) {
    const ours = {
      name: "gguf-bench",
      steps: [tools.ourSpeed(quant, { ...sizes.speed, library: tools.sharedLibrary() })],
    };
    const peer = { name: "llama-bench", steps: [tools.peerSpeed(tools.benchTool, quant, sizes.speed)] };
    // Short runs and many pairs: a machine's clock drifts by more than 3 % within seconds.
    const pairs = await interleaved(ours, peer, sizes.speed.pairs);
    const target = { text: "0.97–1.03", least: 0.97, most: 1.03 };
    const test = (name, key) =>
      row(
        name,
        "time",
        compared(pairs, (run) => run.read[0][key]),
        rate,
        ratio,
        target,
      );
    return { pairs, rows: [test(`pp${sizes.speed.prompt}`, "pp"), test(`tg${sizes.speed.generate}`, "tg")] };
  },
});

/** @returns {Comparison} */
const longContext = (quant) => ({
  name: `context:${quant}`,
  title: `a long context of ${quant}: the same digits, without context × vocabulary in memory`,
  needs: ["same"],
  async run({ tools, sizes, interleaved, ...bench }) {
    const { context, chunks, tooLong } = sizes.long;
    const library = tools.sharedLibrary();
    const ours = { name: "gguf-bench", steps: [tools.ourPerplexity(quant, { context, chunks, library })] };
    const peer = {
      name: "llama-perplexity",
      steps: [tools.peerPerplexity(tools.perplexityTool.same, quant, { context, chunks })],
    };
    // Memory and digits do not depend on the hour: one pair will do.
    const pairs = await interleaved(ours, peer, 1);
    const all = context * pairs[0].ours.read[0].vocabulary * 4;
    const memory = {
      ...peakMemory(pairs, memoryTarget),
      note: `all logits of one context alone would be ${megabytes(all)}`,
    };
    const refused = await bench.any({
      name: "gguf-bench",
      steps: [tools.ourRefusal(quant, { context: tooLong, library })],
    });
    const { code, said } = refused.read[0];
    const refusal = check(
      `context ${tooLong} refused`,
      code === 1 && said !== undefined,
      `exit code ${code}`,
      "",
      said?.trim(),
    );
    return { pairs, rows: [sameDigits(pairs), memory, wall(pairs), refusal] };
  },
});

/** @returns {Comparison} */
const hellaswag = (quant) => ({
  name: `hellaswag:${quant}`,
  title: `HellaSwag with ${quant}, answers task by task, against llama-perplexity on the same libraries`,
  needs: ["same", "hellaswag"],
  async run({ tools, sizes, interleaved, temporary, ...bench }) {
    const { tasks, otherContext } = sizes.hellaswag;
    const { folder, file } = firstTasks(tools.hellaswagFile, tasks, temporary);
    const library = tools.sharedLibrary();
    const ours = { name: "gguf-bench", steps: [tools.ourHellaswag(quant, { folder, library })] };
    const peer = {
      name: "llama-perplexity",
      steps: [tools.peerHellaswag(tools.perplexityTool.same, quant, { file, tasks })],
    };
    const pairs = await interleaved(ours, peer);
    // The same tasks in smaller batches: nothing but the batch's shape changes, so this much of any score is noise.
    const other = await bench.any({
      name: "gguf-bench",
      steps: [tools.ourHellaswag(quant, { folder, context: otherContext, library })],
    });
    const { answers } = pairs[0].ours.read[0];
    const floor = noiseFloor(answers, other.read[0].answers);
    const { differences, unordered } = compareAnswers(answers, pairs[0].peer.read[0].right, floor);
    const unexplained = differences.filter(({ explained }) => !explained);
    const count = (right) => `${right.filter(Boolean).length} of ${right.length} right`;
    const listed = differences
      .map(({ task, ours, gap }) => `task ${task}: ours ${ours ? "right" : "wrong"}, gap ${gap.toFixed(4)}`)
      .join("; ");
    const answersRow = check(
      "answers equal",
      unexplained.length === 0,
      count(answers.map(({ right }) => right)),
      count(pairs[0].peer.read[0].right),
      `${differences.length} differ, ${unexplained.length} of them by more than the noise floor of ${floor.toFixed(4)} nat per token` +
        `${listed ? ` (${listed})` : ""}; in file order ${unordered} would`,
    );
    return {
      pairs,
      floor,
      differences,
      rows: [answersRow, wall(pairs, atMost(0.85)), userCpu(pairs), peakMemory(pairs, memoryTarget)],
    };
  },
});

/**
 * Both score the same sentences in the same two contexts; llama-perplexity leaves out the last token and takes means, so that
 * what the two answer differs now and then.
 * @returns {Comparison}
 */
const winogrande = (quant) => ({
  name: `winogrande:${quant}`,
  title: `WinoGrande with ${quant}, partial evaluation, against llama-perplexity on the same libraries`,
  needs: ["same", "winogrande"],
  async run({ tools, sizes, interleaved, temporary }) {
    const { tasks } = sizes.winogrande;
    const { folder, file } = firstSentences(tools.winograndeFile, tasks, temporary);
    const library = tools.sharedLibrary();
    const ours = { name: "gguf-bench", steps: [tools.ourWinogrande(quant, { folder, tasks, library })] };
    const peer = {
      name: "llama-perplexity",
      steps: [tools.peerWinogrande(tools.perplexityTool.same, quant, { file, tasks })],
    };
    const pairs = await interleaved(ours, peer);
    const right = ([side]) => `${side.read[0].right} of ${side.read[0].asked} right`;
    const [own, theirs] = [right([pairs[0].ours]), right([pairs[0].peer])];
    return {
      pairs,
      rows: [
        { quantity: "accuracy", kind: "result", ours: own, peer: theirs, note: "two rules of one evaluation" },
        wall(pairs, atMost(0.85)),
        userCpu(pairs),
        peakMemory(pairs, memoryTarget),
      ],
    };
  },
});

/**
 * Five examples before each question: a subject's are decoded once, against every prompt by itself in the same engine.
 * @returns {Comparison}
 */
const fewShot = (quant) => ({
  name: `ceval:${quant}`,
  title: `C-Eval with five examples and ${quant}, against each prompt alone in the same engine`,
  needs: ["ceval"],
  async run({ tools, sizes, interleaved, ...bench }) {
    const { subjects, otherShape } = sizes.ceval;
    const step = (more) => ({
      name: more.name,
      steps: [tools.oneByOne(quant, { dataset: "ceval", subjects, ...more })],
    });
    const pairs = await interleaved(step({ name: "gguf-bench", together: true }), step({ name: "each prompt alone" }));
    const counted = await bench.any(step({ name: "tokens", count: true }));
    const other = await bench.any(step({ name: "another batch shape", together: true, ubatch: otherShape }));
    const [ours, alone] = [pairs[0].ours.read[0], pairs[0].peer.read[0]];
    const floor = largestDifference(ours.answers, other.read[0].answers);
    const flips = ours.answers.filter(({ prediction }, i) => prediction !== alone.answers[i].prediction);
    const gap = ({ scores }) =>
      scores.toSorted((a, b) => b - a).reduce((best, second, i) => (i === 1 ? best - second : best));
    const unexplained = flips.filter((answer) => gap(answer) > 2 * floor);
    const { tokens } = counted.read[0];
    const share = tokens.decoded / tokens.alone;
    const wallRow = row(
      "seconds of scoring",
      "time",
      compared(pairs, (run) => run.read[0].seconds),
      seconds,
      ratio,
      atMost(1 / 3),
    );
    return {
      pairs,
      floor,
      rows: [
        {
          quantity: "tokens decoded",
          kind: "result",
          ours: String(tokens.decoded),
          peer: String(tokens.alone),
          value: share,
          show: ratio,
          target: atMost(1 / 4),
          note: `of ${ours.answers.length} questions`,
        },
        check(
          "answers equal",
          unexplained.length === 0,
          `${ours.answers.length - flips.length}`,
          `${ours.answers.length}`,
          `${flips.length} differ, ${unexplained.length} of them by more than twice the noise floor of ${floor.toFixed(4)} nat`,
        ),
        wallRow,
      ],
    };
  },
});

/** The most that a score moves with the shape of the batches alone. */
const largestDifference = (some, others) =>
  Math.max(...some.map(({ scores }, i) => Math.max(...scores.map((one, k) => Math.abs(one - others[i].scores[k])))));

/**
 * Texts that a model writes, greedily: both load the model, answer all prompts and end. llama-server is its own build, so one
 * text in a few goes another way at a near-tie; time per token makes up for that.
 * @returns {Comparison}
 */
const gsm8k = (quant) => ({
  name: `gsm8k:${quant}`,
  title: `GSM8K with ${quant}, answers in words, against llama-server -np 8`,
  needs: ["server", "gsm8k"],
  async run({ tools, sizes, interleaved, temporary }) {
    const { questions, maxTokens, ...asked } = sizes.gsm8k;
    const rows = fs.readFileSync(tools.gsm8kFile, "utf8").trim().split("\n").slice(0, questions);
    const prompts = path.join(temporary, "gsm8k.json");
    fs.writeFileSync(prompts, JSON.stringify(rows.map((row) => `Question: ${JSON.parse(row).question}\nAnswer:`)));
    const stop = ["Question:", "</s>", "<|im_end|>"];
    const ours = { name: "gguf-bench", steps: [tools.ourGsm8k(quant, { questions })] };
    const peer = {
      name: "llama-server -np 8",
      steps: [tools.peerGsm8k(tools.serverTool, quant, prompts, { maxTokens, stop, ...asked })],
    };
    const pairs = await interleaved(ours, peer, asked.pairs);
    const tokens = (run) => run.read[0].answers.reduce((sum, answer) => sum + answer.tokens, 0);
    const [first, other] = [pairs[0].ours, pairs[0].peer];
    const same = first.read[0].answers.filter(({ text }, i) => text === other.read[0].answers[i].text).length;
    const perToken = row(
      "wall per token",
      "time",
      compared(pairs, (run) => run.wall / tokens(run)),
      (value) => `${(1000 * value).toFixed(1)} ms`,
      ratio,
    );
    const texts = {
      ...{ quantity: "tokens written", kind: "result", ours: `${tokens(first)}`, peer: `${tokens(other)}` },
      note: `${same} of ${rows.length} texts are the same`,
    };
    return {
      pairs,
      rows: [texts, wall(pairs, atMost(1.05)), perToken, userCpu(pairs), peakMemory(pairs)],
    };
  },
});

/**
 * One reference and all its variants: ours in one process without a file, against llama-perplexity's file of the reference's
 * logits and one run for each variant. The file holds 16 bits of each logit, so the two agree within its rounding.
 * @returns {Comparison}
 */
const divergence = (reference, variants) => ({
  name: `divergence:${reference}`,
  title: `divergence of ${variants.length} variants from ${reference}, against llama-perplexity on the same libraries`,
  needs: ["same"],
  models: [reference, ...variants],
  async run({ tools, sizes, interleaved, temporary, ...bench }) {
    const { context, chunks } = sizes.divergence;
    const library = tools.sharedLibrary();
    const base = path.join(temporary, "base.kld");
    const [tool, size] = [tools.perplexityTool.same, { context, chunks }];
    const ours = {
      name: "gguf-bench",
      steps: [tools.ourDivergence([reference, ...variants], { ...size, library })],
    };
    const peer = {
      name: `llama-perplexity, ${variants.length + 1} runs`,
      steps: [
        tools.peerBase(tool, reference, base, size),
        ...variants.map((quant) => tools.peerDivergence(tool, quant, base, size)),
      ],
    };
    const pairs = await interleaved(ours, peer, sizes.divergence.pairs);
    const { bytes } = pairs[0].peer.read[0];
    const kld = variants.map((quant, i) => ({
      quant,
      ours: pairs[0].ours.read[0].kld[i],
      peer: pairs[0].peer.read[i + 1].kld,
    }));
    const imported = await bench.any({ name: "imported", steps: [tools.ourImported(variants, base, { library })] });
    const fromFile = imported.read[0].kld;
    // The file rounds to 16 bits and leaves out tokens below e^-16: that much the two may differ, and it must not matter.
    const apart = Math.max(
      ...kld.map((one) => {
        const [[own], [theirs, error]] = [one.ours, one.peer].map((figure) => figure.split(" ± ").map(Number));
        return Math.abs(own - theirs) / error;
      }),
    );
    const file = path.join(temporary, "compact.kld");
    const compact = await bench.any({
      name: "compact",
      steps: [tools.ourCompact(reference, file, { ...size, library })],
    });
    const read = await bench.any({ name: "bracket", steps: [tools.ourBracket(variants[0], file, { library })] });
    const { low, estimate, high } = read.read[0];
    const share = compact.read[0].bytes / bytes;
    const decimals = (value) => value.toFixed(6);
    return {
      pairs,
      kld,
      bracket: read.read[0],
      imported: imported.read[0],
      rows: [
        wall(pairs, atMost(1)),
        userCpu(pairs),
        { ...peakMemory(pairs), note: `ours holds all ${variants.length + 1} models at once, mapped from their files` },
        {
          quantity: "mean KLD, largest difference",
          kind: "result",
          value: apart,
          show: (value) => `${value.toFixed(2)} of its ±`,
          target: { text: "≤ 0.2", most: 0.2 },
          note: kld.map((one) => `${one.quant}: ${one.ours}, with the 16-bit file ${one.peer}`).join("; "),
        },
        check(
          "from its file, digits equal",
          kld.every(({ peer }, i) => peer === fromFile[i]),
          `${kld.filter(({ peer }, i) => peer === fromFile[i]).length} of ${kld.length}`,
          `${kld.length} variants`,
          kld.map(({ quant, peer }, i) => `${quant}: ${fromFile[i]}, peer ${peer}`).join("; "),
        ),
        { quantity: "file", kind: "result", ours: megabytes(0), peer: megabytes(bytes) },
        {
          quantity: "compact reference",
          kind: "result",
          ours: megabytes(compact.read[0].bytes),
          peer: megabytes(bytes),
          value: share,
          show: (value) => `${(100 * value).toFixed(3)} %`,
          target: { text: "≤ 2 %", most: 0.02 },
          note: `${variants[0]}: KLD between ${decimals(low)} and ${decimals(high)}, estimated ${decimals(estimate)}`,
        },
      ],
    };
  },
});

/**
 * Perplexity and divergence of one reference and all its variants: ours decodes each chunk once for both; llama-perplexity
 * takes a run for each perplexity besides those of its divergence.
 * @returns {Comparison}
 */
const quality = (reference, variants) => ({
  name: `quality:${reference}`,
  title: `perplexity and divergence of ${reference} and ${variants.length} variants, against ${2 * variants.length + 2} runs of llama-perplexity on the same libraries`,
  needs: ["same"],
  models: [reference, ...variants],
  async run({ tools, sizes, interleaved, temporary }) {
    const size = sizes.quality;
    const library = tools.sharedLibrary();
    const base = path.join(temporary, "base.kld");
    const tool = tools.perplexityTool.same;
    const quants = [reference, ...variants];
    const ours = { name: "gguf-bench", steps: [tools.ourQuality(quants, { ...size, library })] };
    const peer = {
      name: `llama-perplexity, ${2 * quants.length} runs`,
      steps: [
        tools.peerBase(tool, reference, base, size),
        ...variants.map((quant) => tools.peerDivergence(tool, quant, base, size)),
        ...quants.map((quant) => tools.peerPerplexity(tool, quant, size)),
      ],
    };
    const pairs = await interleaved(ours, peer, size.pairs);
    const own = pairs[0].ours.read[0].perplexity;
    const theirs = pairs[0].peer.read.slice(quants.length).map(({ ppl }) => ppl);
    const equal = own.filter((ppl, i) => ppl === theirs[i]).length;
    return {
      pairs,
      rows: [
        check("PPL, digits equal", equal === quants.length, own.join(", "), theirs.join(", ")),
        wall(pairs, atMost(0.55)),
        userCpu(pairs),
        peakMemory(pairs),
      ],
    };
  },
});

/** The tasks as a file for the peer, in a folder that serves us as a data directory. */
function firstTasks(source, tasks, temporary) {
  const folder = path.join(temporary, `data-${tasks}`);
  const file = path.join(folder, "hellaswag", path.basename(source));
  fs.mkdirSync(path.dirname(file), { recursive: true });
  const lines = fs
    .readFileSync(source, "utf8")
    .split("\n")
    .slice(0, 6 * tasks);
  fs.writeFileSync(file, `${lines.join("\n")}\n`);
  return { folder, file };
}

/** The first sentences as the peer's CSV, in the order of the file, and in a folder that serves us as a data directory. */
function firstSentences(source, tasks, temporary) {
  const folder = path.join(temporary, `sentences-${tasks}`);
  fs.mkdirSync(path.join(folder, "winogrande"), { recursive: true });
  const lines = fs.readFileSync(source, "utf8").trim().split("\n").slice(0, tasks);
  fs.writeFileSync(path.join(folder, "winogrande", path.basename(source)), `${lines.join("\n")}\n`);
  const file = path.join(folder, "winogrande.csv");
  const rows = lines.map((line, i) => {
    const { sentence, option1, option2, answer } = JSON.parse(line);
    return `${i},"${sentence.replaceAll('"', "'")}",${option1},${option2},${answer}\n`;
  });
  // Of a file's last line end it takes no notice, and of a line without one neither.
  fs.writeFileSync(file, `${rows.join("")}\n`);
  return { folder, file };
}

/** @type {Comparison[]} */
export const comparisons = [
  perplexity("F16"),
  perplexity("Q8_0"),
  perplexity("Q4_K_M"),
  native("F16", { most: 1.05, wantsSourceBuild: true }),
  native("Q8_0", { most: 1 }),
  native("Q4_K_M", { most: 1 }),
  speed("Q8_0"),
  speed("Q4_K_M"),
  longContext("Q4_K_M"),
  hellaswag("Q8_0"),
  winogrande("Q8_0"),
  fewShot("Q8_0"),
  gsm8k("Q8_0"),
  divergence("F16", ["Q8_0", "Q4_K_M", "Q4_K_M-im", "Q2_K", "Q2_K-im"]),
  quality("F16", ["Q8_0", "Q4_K_M", "Q4_K_M-im", "Q2_K", "Q2_K-im"]),
];

/** How much is measured; `quick` shows that all of it works and proves nothing about time. */
export const sizes = {
  full: {
    pairs: 5,
    perplexity: { context: 512, chunks: 16 },
    speed: { prompt: 512, generate: 128, repetitions: 1, pairs: 20 },
    long: { context: 8192, chunks: 2, tooLong: 16384 },
    hellaswag: { tasks: 200, otherContext: 256 },
    winogrande: { tasks: 400 },
    ceval: { subjects: ["accountant", "computer_network", "high_school_history"], otherShape: 256 },
    gsm8k: { questions: 50, maxTokens: 256, slots: 8, context: 512, pairs: 5 },
    divergence: { context: 512, chunks: 16, pairs: 3 }, // a pair is 7 runs and 7 minutes
    quality: { context: 512, chunks: 4, pairs: 3 },
  },
  quick: {
    pairs: 1,
    perplexity: { context: 128, chunks: 2 },
    speed: { prompt: 32, generate: 8, repetitions: 2, pairs: 1 },
    long: { context: 512, chunks: 2, tooLong: 16384 },
    hellaswag: { tasks: 12, otherContext: 256 },
    // Of fewer it tells no score.
    winogrande: { tasks: 100 },
    ceval: { subjects: ["computer_network"], otherShape: 256 },
    gsm8k: { questions: 3, maxTokens: 256, slots: 8, context: 512, pairs: 1 },
    divergence: { context: 128, chunks: 2, pairs: 1 },
    quality: { context: 128, chunks: 2, pairs: 1 },
  },
};
