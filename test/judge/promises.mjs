// How often the gate's promises are kept: node test/judge/promises.mjs [DRAWS] [CELL …] prints the table.
import { pathToFileURL } from "node:url";
import { gate } from "../../dist/judge/gate.js";
import { parseRule } from "../../dist/judge/rules.js";
import { normals, random } from "../draws.mjs";

/** A variant's measurement of one metric. */
function series(variant, metric, values, more = {}) {
  const weight = metric === "perplexity" || metric === "kld" ? 255 : 1;
  const kind = { perplexity: "perplexity", kld: "divergence", acc: "choice" }[metric] ?? "speed";
  const { against, run = "" } = more;
  return {
    variant: { name: variant, model: "m.gguf", backend: "llama", reference: false, tags: {}, settings: {} },
    job: {
      id: `${variant}${run}`,
      ...{ variant, backend: "llama", measurement: kind, kind, dataset: "d", datasetSha256: "1", metrics: [metric] },
      settings: { chunks: 1e9 },
      ...(against ? { against } : {}),
    },
    engine: { version: "b1", library: "cpu.so" },
    machine: { cpu: "A", cpus: 2 },
    file: "text.txt",
    observations: new Map([[metric, values.map((value, i) => ({ item: String(i), value, weight }))]]),
  };
}

/** As many values as asked for: the first ones stay the same. */
function growing(next) {
  const values = [];
  return (n) => {
    while (values.length < n) values.push(next());
    return values.slice(0, n);
  };
}

/** Chunks that differ in difficulty, and what a new build adds to each: `rho` from one to the next. */
const chunks =
  (truth, spread, rho = 0) =>
  (normal) => {
    let last = normal();
    const base = growing(() => 3 + 0.4 * normal());
    const added = growing(() => {
      const value = last;
      last = rho * last + Math.sqrt(1 - rho * rho) * normal();
      return Math.log1p(truth) + spread * value;
    });
    return (n) => {
      const [old, more] = [base(n), added(n)];
      return [
        [
          series(
            "v",
            "perplexity",
            old.map((nll, i) => nll + more[i]),
            { run: "new" },
          ),
        ],
        [series("v", "perplexity", old)],
      ];
    };
  };

/** Answers of which the share `rate` flips, by `truth` more to right than to wrong. */
const answers = (truth, rate) => (_, uniform) => {
  const base = growing(() => (uniform() < 0.6 ? 1 : 0));
  const flips = growing(() => uniform());
  return (n) => {
    const [old, drawn] = [base(n), flips(n)];
    const [right, wrong] = [(rate + truth) / 2, (rate - truth) / 2];
    // The share of flips is the same among all answers.
    const own = old.map((value, i) =>
      value === 1 ? (drawn[i] < wrong / 0.6 ? 0 : 1) : drawn[i] < right / 0.4 ? 1 : 0,
    );
    return [[series("v", "acc", own, { run: "new" })], [series("v", "acc", old)]];
  };
};

/** Distances in chunks, `times` the noise floor. */
const distances = (times, spread) => (normal) => {
  const draw = (mean) => growing(() => mean * Math.exp(spread * normal() - (spread * spread) / 2));
  const [floor, own] = [draw(1e-6), draw(times * 1e-6)];
  return (n, ofFloor = 4) => [
    [series("F16", "kld", floor(ofFloor), { against: "F16" }), series("v", "kld", own(n), { against: "F16" })],
    [],
  ];
};

/** Runs apart in time, of five repetitions each, of the old build and of the new one. */
const runs = (truth, between, within) => (normal) => {
  const speeds = (mean) => {
    const all = growing(() => {
      const level = mean * Math.exp(between * normal());
      return Array.from({ length: 5 }, () => level * Math.exp(within * normal()));
    });
    return (n) => all(n).flat();
  };
  const [old, own] = [speeds(50), speeds(50 * (1 + truth))];
  return (n) => {
    const sessions = new Map(Array.from({ length: 5 * n }, (_, i) => [String(i), `run ${Math.floor(i / 5)}`]));
    const of = (values, run) => [{ ...series("v", "tg128", values, { run }), clusters: sessions }];
    return [of(own(n), "new"), of(old(n), "old")];
  };
};

/**
 * Where the truth lies, as a share of the way from no harm to the limit: one place, or anew each time. That of `often none` is none in one of
 * two, else exponential about the limit.
 */
const places = {
  "no harm": 0,
  "half way": 0.5,
  "1.5 ×": 1.5,
  "2 ×": 2,
  anywhere: (uniform) => 2 * uniform(),
  "often none": (uniform) => (uniform() < 0.5 ? 0 : -Math.log(1 - uniform())),
};
const over = (name, rule, sizes, drawn) =>
  sizes.flatMap((n) => Object.entries(places).map(([place, share]) => ({ name, rule, n, place, share, drawn })));

export const cells = [
  ...over("perplexity", "perplexity: +0.5%", [16, 64, 200], (share) => chunks(0.005 * share, 0.018)),
  ...over("perplexity, autocorrelation 0.3", "perplexity: +0.5%", [16, 64, 200], (share) =>
    chunks(0.005 * share, 0.014, 0.3),
  ),
  ...over("flips", "flips: 2%", [200, 400], (share) => answers(0, Math.max(0.005, 0.02 * share))),
  ...over("acc", "acc: -2%", [200, 400], (share) => answers(-0.02 * share, 0.055 + 0.02 * share)),
  ...over("tg, runs", "tg: -5%", [3, 5], (share) => runs(-0.05 * share, 0.025, 0.01)),
  ...over("kld", "kld: 3x floor", [8, 64], (share) => distances(Math.max(1, 3 * share), 0.6)),
];

/**
 * `draws` runs that are each asked a rule: how many are undecided, how many of those are promised a number of items, and how many of
 * these decide when they have them: the run goes on (`kept`), another one has so many items from the start (`anew`), or the run has
 * half of them (`middle`, of the logarithms). `brief`: `kept` alone.
 */
export function promises({ rule: text, n, share, drawn }, draws, { seed = 1, brief = false } = {}) {
  const [normal, uniform] = [normals(seed), random(seed + 1)];
  const rule = parseRule(text);
  const ask = (run) => gate(...run, [rule]).checks.find(({ variant }) => variant === "v");
  const found = { draws, undecided: 0, promised: 0, kept: 0, anew: 0, middle: 0, sizes: [], floors: 0 };
  for (let draw = 0; draw < draws; draw++) {
    const truth = typeof share === "number" ? share : share(uniform);
    const run = drawn(truth)(normal, uniform);
    const check = ask(run(n));
    if (check.outcome !== "undecided") continue;
    found.undecided++;
    const [, both, floor] = check.sentence.match(/(?:chunks: (\d+), )?floor: (\d+)\)/) ?? [];
    const { more } = check;
    if (floor) {
      if (/could decide/.test(check.sentence)) continue;
      found.promised++;
      found.floors++;
      found.sizes.push([Number(floor), Number(floor)]);
      const items = [both ? Number(both) : n, Number(floor)];
      if (ask(run(...items)).outcome !== "undecided") found.kept++;
      if (!brief && ask(drawn(truth)(normal, uniform)(...items)).outcome !== "undecided") found.anew++;
      continue;
    }
    if (!more) continue;
    found.promised++;
    found.sizes.push([more.from, more.to]);
    if (ask(run(n + more.to)).outcome !== "undecided") found.kept++;
    if (brief) continue;
    if (ask(drawn(truth)(normal, uniform)(n + more.to)).outcome !== "undecided") found.anew++;
    if (ask(run(n + Math.round(Math.sqrt(more.from * more.to)))).outcome !== "undecided") found.middle++;
  }
  return found;
}

/**
 * The mean of the harm that gates of unharmed variants say they would have seen, and how often it is seen when the first of so many
 * variants has it.
 */
export function harmSeen({ rule: text, n, drawn }, draws, variants, seed = 1) {
  const [normal, uniform] = [normals(seed), random(seed + 1)];
  const rule = parseRule(text);
  const renamed = (list, name) =>
    list.map((one) => ({ ...one, variant: { ...one.variant, name }, job: { ...one.job, variant: name } }));
  const together = (first) => {
    const all = Array.from({ length: variants }, (_, i) => drawn(i === 0 ? first : 0)(normal, uniform)(n));
    return [0, 1].map((side) => all.flatMap((runs, i) => renamed(runs[side], `v${i}`)));
  };
  const first = (run) => gate(...run, [rule]).checks.find(({ variant }) => variant === "v0");
  const sizes = [];
  for (let draw = 0; draw < draws; draw++) {
    const [, size] = first(together(0)).sentence.match(/a true \w+ of ([\d.]+) /) ?? [];
    if (size) sizes.push(Number(size) / 100);
  }
  const mean = sizes.reduce((sum, one) => sum + one, 0) / sizes.length;
  let seen = 0;
  for (let draw = 0; draw < draws; draw++) if (first(together(mean / rule.limit.size)).outcome === "failed") seen++;
  return { size: mean, seen: (100 * seen) / draws };
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) {
  const [draws = 300, ...wanted] = process.argv.slice(2);
  const percent = (count, of) =>
    of === 0
      ? "–"
      : `${((100 * count) / of).toFixed(0)} ± ${((100 * Math.sqrt((count / of) * (1 - count / of))) / Math.sqrt(of)).toFixed(0)}`;
  const median = (list) => list.toSorted((a, b) => a - b)[Math.floor(list.length / 2)];
  console.log(
    "| rule | n | truth | undecided % | promised of these % | promise, median | kept % (goes on) | kept % (new run) | kept % (middle) |",
  );
  console.log("| --- | --: | --- | --: | --: | --- | --: | --: | --: |");
  const totals = new Map();
  for (const cell of cells.filter(({ name }) => wanted.length === 0 || wanted.includes(name))) {
    const found = promises(cell, Number(draws));
    const { undecided, promised, kept, anew, middle, sizes, floors } = found;
    const row = `${cell.name} | all | ${typeof cell.share === "number" ? "at the four places" : cell.place}`;
    const total = totals.get(row) ?? { promised: 0, kept: 0, anew: 0, middle: 0, floors: 0 };
    totals.set(row, total);
    for (const key of Object.keys(total)) total[key] += found[key];
    const ends = [0, 1].map((end) => median(sizes.map((size) => size[end])));
    const size = sizes.length > 0 ? `${ends.join(" to ")}${floors > 0 ? `; ${floors} of the floor` : ""}` : "";
    console.log(
      `| ${cell.name} | ${cell.n} | ${cell.place} | ${percent(undecided, Number(draws))} | ${percent(promised, undecided)} | ${size} | ${percent(kept, promised)} | ${percent(anew, promised)} | ${percent(middle, promised - floors)} |`,
    );
  }
  for (const [row, { promised, kept, anew, middle, floors }] of totals)
    console.log(
      `| ${row} | | ${promised} | | ${percent(kept, promised)} | ${percent(anew, promised)} | ${percent(middle, promised - floors)} |`,
    );
}
