// Made-up runs, as the events that a run would say. Plain JavaScript, because the script that runs under tmux shares it.

const MiB = 2 ** 20;

/** @returns {import("../../dist/events.js").VariantRecord} */
export function variant(name, { mebibytes = 100, parameters = 134_515_008, bpw = 4.5, failure } = {}) {
  return {
    name,
    model: `${name}.gguf`,
    backend: "llama",
    reference: false,
    tags: {},
    settings: {},
    ...(failure ? { failure } : { facts: /** @type {any} */ ({ bytes: mebibytes * MiB, parameters, bpw }) }),
  };
}

export const ladder = [
  variant("SmolLM2-135M-F16", { mebibytes: 258.4, bpw: 16.0 }),
  variant("SmolLM2-135M-Q8_0", { mebibytes: 138.2, bpw: 8.51 }),
  variant("SmolLM2-135M-Q4_K_M", { mebibytes: 100.6, bpw: 6.2 }),
  variant("SmolLM2-135M-Q4_K_M-im", { mebibytes: 100.6, bpw: 6.2 }),
  variant("SmolLM2-135M-Q2_K", { mebibytes: 84.1, bpw: 5.17 }),
  variant("SmolLM2-135M-Q2_K-im", { mebibytes: 84.1, bpw: 5.17 }),
];

export const measurements = [
  { name: "perplexity", kind: "perplexity", settings: { context: 512, chunks: 16 } },
  { name: "speed", kind: "speed", settings: { prompt: 512, generate: 128, repetitions: 5 } },
  { name: "hellaswag", kind: "choice", settings: { limit: 200 } },
];

const metricsOf = {
  perplexity: ["perplexity", "bits_per_byte", "bits_per_character"],
  speed: ["pp512", "tg128"],
  choice: ["acc", "acc_norm"],
};

export const jobId = (variantName, measurement) => `${variantName}/${measurement}`;

export function job(variantName, measurement, { impossible } = {}) {
  return {
    id: jobId(variantName, measurement.name),
    variant: variantName,
    backend: "llama",
    measurement: measurement.name,
    kind: measurement.kind,
    dataset: "wikitext-2",
    settings: measurement.settings,
    metrics: metricsOf[measurement.kind],
    ...(impossible ? { impossible } : {}),
  };
}

/** @returns {Extract<import("../../dist/events.js").Event, { type: "started" }>} */
export function started(at, variants, { name = "smollm2", impossible = {}, of = measurements } = {}) {
  return {
    type: "started",
    at,
    name,
    variants,
    jobs: variants.flatMap((v) => of.map((m) => job(v.name, m, { impossible: impossible[jobId(v.name, m.name)] }))),
    measurements: of,
    provenance: /** @type {any} */ ({}),
  };
}

/** Repeatable noise in −1 … 1. */
export function noise(seed) {
  let state = seed >>> 0 || 1;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 31 - 1;
  };
}

const nll = { F16: 3.376, Q8_0: 3.38, Q4_K_M: 3.435, "Q4_K_M-im": 3.407, Q2_K: 3.714, "Q2_K-im": 3.554 };

/** Samples of the `index`-th item of a measurement, about as SmolLM2 gives them. */
export function samplesOf(variantName, kind, _index, random) {
  const quant = variantName.replace(/^.*?-(F16|Q)/, "$1");
  const sample = (metric, value, weight = 1, extra = {}) => ({ metric, value, weight, ...extra });
  if (kind === "perplexity") {
    const value = (nll[quant] ?? 3.4) + 0.3 * random();
    return [
      sample("perplexity", value, 255, { square: value * value + 9 }),
      sample("bits_per_byte", value / 3, 1060),
      sample("bits_per_character", value / 2.98, 1050),
      sample("peak_memory", 400 * MiB),
    ];
  }
  if (kind === "choice") return [sample("acc", random() > 0.16 ? 1 : 0), sample("acc_norm", random() > 0.1 ? 1 : 0)];
  return [sample("peak_memory", 380 * MiB), sample("pp512", 640 + 12 * random()), sample("tg128", 71 + random())];
}

export const unitOf = { perplexity: "chunks", speed: "repetitions", choice: "questions" };
/** Milliseconds per item. */
const pauses = { perplexity: 320, speed: 600, choice: 25 };
export const itemsOf = { perplexity: 16, speed: 5, choice: 200 };

/**
 * A whole run as `[pause in ms, event]` pairs: likelihood jobs variant by variant, then the speed jobs in turns.
 * `at` is left to the one who plays it. `broken` names variants whose perplexity job fails midway.
 */
export function* wholeRun(variants, { seed = 7, pace = 1, broken = {}, of = measurements, items = itemsOf } = {}) {
  const random = noise(seed);
  const one = (v, m, index) => ({
    type: "samples",
    job: jobId(v.name, m.name),
    item: String(index),
    samples: samplesOf(v.name, m.kind, index, random),
  });
  const moved = (v, m, done) => ({
    type: "progress",
    job: jobId(v.name, m.name),
    done,
    total: items[m.kind],
    unit: unitOf[m.kind],
  });
  const done = (v, m) => ({
    type: "job-done",
    job: jobId(v.name, m.name),
    items: items[m.kind],
    seconds: (items[m.kind] * pauses[m.kind] * pace) / 1000,
  });
  const alone = of.filter((m) => m.kind !== "speed");
  for (const v of variants) {
    if (v.failure) {
      for (const m of of) yield [0, { type: "job-failed", job: jobId(v.name, m.name), failure: v.failure }];
      continue;
    }
    yield [300 * pace, { type: "opened", variant: v.name, engine: { loadSeconds: 0.31 } }];
    for (const m of alone) {
      yield [0, { type: "job-started", job: jobId(v.name, m.name), done: 0 }];
      for (let index = 0; index < items[m.kind]; index++) {
        if (m.kind === "perplexity" && index === 5 && broken[v.name]) {
          yield [0, { type: "job-failed", job: jobId(v.name, m.name), failure: broken[v.name] }];
          break;
        }
        yield [pauses[m.kind] * pace, one(v, m, index)];
        yield [0, moved(v, m, index + 1)];
      }
      if (!(m.kind === "perplexity" && broken[v.name])) yield [0, done(v, m)];
    }
  }
  for (const m of of.filter((m) => m.kind === "speed")) {
    const taking = variants.filter((v) => !v.failure);
    for (const v of taking) yield [0, { type: "job-started", job: jobId(v.name, m.name), done: 0 }];
    for (let index = 0; index < items.speed; index++)
      for (const v of taking) {
        yield [pauses.speed * pace, one(v, m, index)];
        yield [0, moved(v, m, index + 1)];
        if (index === items.speed - 1) yield [0, done(v, m)];
      }
  }
}
