import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import type { Event, StoredEvent } from "../../dist/events.js";
import { replay } from "../../dist/replay/index.js";
import { runningTogether } from "../../dist/tui/frame.js";
import {
  figure,
  initialState,
  type LiveState,
  reduce,
  resumed,
  share,
  tick,
  totalShare,
} from "../../dist/tui/state.js";
import { timeLeft } from "../../dist/tui/time-left.js";
import { itemsOf, job, jobId, ladder, measurements, started, variant, wholeRun } from "./recorded.mjs";

const T = 1_700_000_000_000;
const perplexity = measurements[0]!;
const [small, large] = [
  variant("small", { parameters: 100e6, mebibytes: 50 }),
  variant("large", { parameters: 300e6, mebibytes: 200 }),
];

function fold(events: Event[], state: LiveState = initialState()): LiveState {
  for (const event of events) state = reduce(state, event);
  return state;
}

/** Before a session that goes on with these events. */
const resuming = (events: Event[]): LiveState => resumed(replay(events as StoredEvent[]));

const opening = (variants = [small, large], of = [perplexity], at = T) => started(at, variants, { of }) as Event;
const begin = (name: string, at: number, done = 0, of = perplexity): Event => ({
  type: "job-started",
  at,
  job: jobId(name, of.name),
  done,
});
const chunk = (name: string, item: number, value = 3): Event => ({
  type: "samples",
  job: jobId(name, "perplexity"),
  item: String(item),
  samples: [{ metric: "perplexity", value, weight: 255, square: value * value + 9 }],
});
const moved = (name: string, done: number, total = 4): Event => ({
  type: "progress",
  job: jobId(name, "perplexity"),
  done,
  total,
  unit: "chunks",
});
const cellOf = (state: LiveState, name: string, measurement = "perplexity") =>
  state.cells.get(jobId(name, measurement))!;

describe("a run from its start", () => {
  it("waits, runs, is done", () => {
    const state = fold([opening()]);
    expect(state.counts).toMatchObject({ waiting: 2, running: 0, done: 0 });
    fold([begin("small", T + 1000)], state);
    expect(cellOf(state, "small").status).toBe("running");
    expect(state.current).toBe(cellOf(state, "small"));
    fold([chunk("small", 0), chunk("small", 1)], state);
    expect(figure(cellOf(state, "small"), "perplexity")!.value).toBeCloseTo(Math.exp(3), 10);
    fold([{ type: "job-done", at: T + 9000, job: jobId("small", "perplexity"), items: 2, seconds: 8 }], state);
    expect(cellOf(state, "small")).toMatchObject({ status: "done", pace: { seconds: 8 }, total: 2, done: 2 });
    expect(state.counts).toMatchObject({ waiting: 1, running: 0, done: 1 });
    expect(state.current).toBeUndefined();
    fold([{ type: "finished", at: T + 9000, outcome: "complete" }], state);
    expect(state.outcome).toBe("complete");
  });

  it("narrows the error as samples come", () => {
    const state = fold([opening(), begin("small", T)]);
    const errors = Array.from({ length: 16 }, (_, index) => {
      fold([chunk("small", index, 3 + (index % 2 ? 0.1 : -0.1))], state);
      return figure(cellOf(state, "small"), "perplexity")!.error!;
    });
    expect(errors.at(-1)!).toBeLessThan(errors[0]! / 3);
  });

  it("shows metrics that nobody announced", () => {
    const state = fold([opening(), begin("small", T)]);
    fold(
      [
        {
          type: "samples",
          job: jobId("small", "perplexity"),
          item: "0",
          samples: [{ metric: "peak_memory", value: 2 ** 28, weight: 1 }],
        },
      ],
      state,
    );
    expect(state.measurements[0]!.metrics).toContain("peak_memory");
  });

  it("does not count as an item what comes beside them", () => {
    const state = fold([opening(), begin("small", T), chunk("small", 0)]);
    const beside = { metric: "peak_memory", value: 2 ** 28, weight: 1 };
    fold([{ type: "samples", job: jobId("small", "perplexity"), item: "peak_memory", samples: [beside] }], state);
    expect(cellOf(state, "small").items).toBe(1);
  });

  it("shows the job whose model was opened, of those that take turns", () => {
    const speed = measurements[1]!;
    const state = fold([opening([small, large], [speed]), begin("small", T, 0, speed), begin("large", T, 0, speed)]);
    expect(state.current).toBe(cellOf(state, "small", "speed"));
    fold([{ type: "opened", at: T, variant: "large", engine: { loadSeconds: 2 } as never }], state);
    expect(state.current).toBe(cellOf(state, "large", "speed"));
    expect(state.rows[1]!.loadSeconds).toBe(2);
  });

  it("keeps one cell for variants that are alike but for their names", () => {
    const event = started(T, [small, variant("twin")], { of: [perplexity] });
    event.jobs[1]!.id = event.jobs[0]!.id;
    const state = fold([event as Event]);
    expect(state.counts.waiting).toBe(1);
    expect(state.rows[1]!.cells[0]).toBe(state.rows[0]!.cells[0]);
  });
});

describe("failures", () => {
  const failure = { code: "out-of-memory", message: "large was killed for want of memory", hint: "use fewer threads" };

  it("keeps the sentence in the cell and among the notes, and goes on", () => {
    const state = fold([
      opening(),
      begin("large", T),
      { type: "job-failed", at: T + 1, job: jobId("large", "perplexity"), failure },
    ]);
    expect(cellOf(state, "large")).toMatchObject({ status: "failed", reason: failure.message, hint: failure.hint });
    expect([...state.notes.values()]).toMatchObject([
      { kind: "failed", variant: "large", measurements: ["perplexity"] },
    ]);
    expect(state.counts).toMatchObject({ waiting: 1, failed: 1, running: 0 });
  });

  it("fails all cells of a variant that cannot be read, in one note", () => {
    const broken = variant("broken", { failure });
    const state = fold([opening([small, broken], measurements)]);
    expect(state.counts).toMatchObject({ failed: 3, waiting: 3 });
    expect([...state.notes.values()]).toMatchObject([{ count: 3, measurements: ["perplexity", "speed", "hellaswag"] }]);
  });

  it("tells what is impossible once for all variants, as neither error nor gap", () => {
    const event = started(T, [small, large], {
      of: measurements,
      impossible: { "small/speed": "ollama gives no timing", "large/speed": "ollama gives no timing" },
    });
    const state = fold([event as Event]);
    expect(state.counts).toMatchObject({ impossible: 2, waiting: 4, failed: 0 });
    expect([...state.notes.values()]).toMatchObject([{ kind: "impossible", count: 2 }]);
  });

  it("counts a warning that is repeated", () => {
    const warning: Event = {
      type: "warning",
      at: T,
      message: "another process is busy",
      job: jobId("small", "perplexity"),
    };
    const state = fold([opening(), warning, warning]);
    expect([...state.notes.values()]).toMatchObject([{ kind: "warning", variant: "small", count: 2 }]);
  });
});

describe("a run that is continued", () => {
  const first: Event[] = [
    opening(),
    begin("small", T),
    chunk("small", 0),
    chunk("small", 1),
    { type: "job-done", at: T + 8000, job: jobId("small", "perplexity"), items: 2, seconds: 8 },
    begin("large", T + 8000),
    chunk("large", 0),
  ];

  it("keeps what is done and takes the rest up where it stood", () => {
    const state = fold([opening(undefined, undefined, T + 1e6)], resuming(first));
    expect(state.counts).toMatchObject({ done: 1, before: 1, waiting: 1, running: 0 });
    expect(state.startedAt).toBe(T + 1e6);
    expect(figure(cellOf(state, "large"), "perplexity")!.n).toBe(1);
    fold([begin("large", T + 1e6, 1)], state);
    expect(cellOf(state, "large")).toMatchObject({ done: 1, pace: { from: 1 }, items: 1 });
  });

  it("knows from the earlier session how long the rest will take", () => {
    const state = fold([opening(undefined, undefined, T + 1e6)], resuming(first));
    // 8 s for 100 M parameters make 24 s for 300 M; one of two chunks is there.
    expect(timeLeft(state).total.milliseconds).toBeCloseTo(12_000);
    expect(timeLeft(state).total.known).toBe("about");
  });

  it("tries again what failed", () => {
    const failed = { code: "crash", message: "crashed" };
    const earlier: Event[] = [
      opening(),
      begin("large", T),
      { type: "job-failed", at: T, job: jobId("large", "perplexity"), failure: failed },
    ];
    const state = fold([opening(undefined, undefined, T + 1e6)], resuming(earlier));
    expect(cellOf(state, "large").status).toBe("waiting");
    expect(state.notes.size).toBe(0);
  });

  it("forgets jobs whose id has changed", () => {
    const changed = opening(undefined, undefined, T + 1e6) as Extract<Event, { type: "started" }>;
    changed.jobs = changed.jobs.map((record) => ({ ...job(record.variant, perplexity), id: `${record.id}-v2` }));
    const state = fold([changed], resuming(first));
    expect(state.counts).toMatchObject({ done: 0, before: 0, waiting: 2 });
    expect(figure(state.cells.get("large/perplexity-v2")!, "perplexity")).toBeUndefined();
  });
});

describe("time", () => {
  it("is unknown before there is anything to judge by", () => {
    const state = fold([opening(), begin("small", T)]);
    expect(timeLeft(state)).toEqual({ total: { milliseconds: 0, known: "over" }, jobs: new Map() });
  });

  it("follows the job's own pace and scales it to the others by their size", () => {
    const state = fold([opening(), begin("small", T)]);
    tick(state, T + 2000);
    fold([chunk("small", 0), moved("small", 1)], state);
    const { total, jobs } = timeLeft(state);
    expect(jobs.get(cellOf(state, "small"))).toBe(6000);
    // 8 s for the small one, so 24 s for the one with three times the parameters.
    expect(total.milliseconds).toBeCloseTo(6000 + 24_000);
    expect(total.known).toBe("about");
  });

  it("of a shard knows how much of each job is measured", () => {
    const event = opening() as Extract<Event, { type: "started" }>;
    const shared: Event = {
      ...event,
      jobs: event.jobs.map((one) => (one.variant === "small" ? { ...one, share: { part: 1, of: 4 } } : one)),
    };
    const state = tick(fold([shared, begin("small", T)]), T + 2000);
    const { total, jobs } = timeLeft(fold([chunk("small", 0), moved("small", 1)], state));
    expect(jobs.get(cellOf(state, "small"))).toBe(6000);
    // 8 s for a quarter of the small one, so 96 s for all of the one with three times the parameters.
    expect(total.milliseconds).toBeCloseTo(6000 + 96_000);
  });

  it("runs on between two reports", () => {
    const state = fold([opening(), begin("small", T)]);
    tick(state, T + 2000);
    fold([chunk("small", 0), moved("small", 1)], state);
    tick(state, T + 3000);
    expect(timeLeft(state).jobs.get(cellOf(state, "small"))).toBe(5000);
  });

  it("is a lower bound while a measurement was never tried", () => {
    const state = fold([opening([small], measurements), begin("small", T)]);
    tick(state, T + 2000);
    fold([chunk("small", 0), moved("small", 1)], state);
    expect(timeLeft(state).total).toEqual({ milliseconds: 6000, known: "over" });
  });

  it("of a measurement that was never tried is the plan's guess, as wrong as it was about the others", () => {
    const event = opening([small, large], measurements) as Extract<Event, { type: "started" }>;
    // The guess for the job that runs is 2 s; it takes 8.
    const estimates: Record<string, number> = { "small/perplexity": 2, "large/perplexity": 6, "small/speed": 5 };
    const guessed = (known: Record<string, number>): Event => ({
      ...event,
      jobs: event.jobs.map((one) => (known[one.id] === undefined ? one : { ...one, estimate: known[one.id]! })),
    });
    const leftOf = (first: Event) => {
      const state = tick(fold([first, begin("small", T)]), T + 2000);
      return timeLeft(fold([chunk("small", 0), moved("small", 1)], state)).total;
    };
    // All guesses times the factor that is seen, or, beside so little of the work, between that and the guesses.
    const open = leftOf(guessed(estimates));
    expect(open.known).toBe("over");
    expect(open.milliseconds).toBeGreaterThan(1500 + 6000 + 5000);
    expect(open.milliseconds).toBeLessThan(6000 + 24_000 + 20_000);
    const rest = { "large/speed": 7, "small/hellaswag": 1, "large/hellaswag": 3 };
    const all = leftOf(guessed({ ...estimates, ...rest }));
    expect(all.known).toBe("roughly");
    expect(all.milliseconds).toBeGreaterThan(open.milliseconds);
    expect(all.milliseconds).toBeLessThan(6000 + 24_000 + 4000 * (5 + 7 + 1 + 3));
    // Without a guess for the job that runs, nothing says how wrong the others are.
    expect(leftOf(guessed({ "small/speed": 5 })).known).toBe("over");
  });

  it("gives each of the jobs that take turns its own share of the wall time", () => {
    const speed = measurements[1]!;
    const state = fold([opening([small, large], [speed]), begin("small", T, 0, speed), begin("large", T, 0, speed)]);
    let now = T;
    for (const [name, milliseconds] of [
      ["small", 1000],
      ["large", 4000],
    ] as const) {
      now += milliseconds;
      tick(state, now);
      fold(
        [
          {
            type: "samples",
            job: jobId(name, "speed"),
            item: "tg128/0",
            samples: [{ metric: "tg128", value: 9, weight: 1 }],
          },
          { type: "progress", job: jobId(name, "speed"), done: 1, total: 5, unit: "repetitions" },
        ],
        state,
      );
    }
    const { jobs } = timeLeft(state);
    expect(jobs.get(cellOf(state, "small", "speed"))).toBe(4000);
    expect(jobs.get(cellOf(state, "large", "speed"))).toBe(16_000);
  });

  it("takes progress inside an item, and progress told before the work", () => {
    const state = fold([opening(), begin("small", T), moved("small", 0.5)]);
    expect(share(state, cellOf(state, "small"))).toBe(0.125);
    fold([chunk("small", 0), chunk("small", 1), moved("small", 1)], state);
    expect(cellOf(state, "small").done).toBe(2);
  });

  it("counts every job alike in the total, failed ones as ended", () => {
    const state = fold([opening(), begin("small", T), moved("small", 2)]);
    expect(totalShare(state)).toBe(0.25);
  });
});

it("gives the same state for the same events and ticks", () => {
  const play = () => {
    let state = fold([opening(ladder, measurements)]);
    let now = T;
    for (const [pause, event] of wholeRun(ladder)) {
      now += pause;
      state = reduce(tick(state, now), { ...event, at: now } as Event);
    }
    const figures = [...state.cells].map(([id, cell]) => [
      id,
      cell.status,
      cell.pace.busy,
      cell.job.metrics.map((name) => figure(cell, name)),
    ]);
    return { figures, counts: state.counts, left: timeLeft(state).total };
  };
  expect(play()).toEqual(play());
  expect(play().counts).toMatchObject({ done: 18, waiting: 0, running: 0, failed: 0 });
});

it("replays 10,000 events in well under a second, at the same cost each", () => {
  const many = Array.from({ length: 12 }, (_, index) => variant(`variant-${index}`));
  const state = fold([opening(many, measurements)]);
  const events = [...wholeRun(many, { items: { ...itemsOf, choice: 400 } })].map(
    ([, event]) => ({ ...event, at: T }) as Event,
  );
  expect(events.length).toBeGreaterThan(10_000);
  const began = performance.now();
  fold(events, state);
  timeLeft(state);
  expect(performance.now() - began).toBeLessThan(500);
});

describe("jobs side by side", () => {
  const alone = () => {
    const event = opening() as Extract<Event, { type: "started" }>;
    return { ...event, jobs: event.jobs.map((one) => ({ ...one, mode: "alone" as const })) };
  };
  const running = fold([alone(), begin("small", T), begin("large", T)]);

  it("take no turns, and both are at work", () => {
    expect([cellOf(running, "small").inTurns, cellOf(running, "large").inTurns]).toEqual([false, false]);
    expect(runningTogether(running).map((group) => group.map((one) => one.job.variant))).toEqual([
      ["small"],
      ["large"],
    ]);
    const turns = fold([opening(), begin("small", T), begin("large", T)]);
    expect(runningTogether(turns)).toHaveLength(1);
  });

  it("share the wall time: what is left of all is that of the run, what is left of each is its own", () => {
    const state = fold([alone(), begin("small", T), begin("large", T)]);
    for (let second = 1; second <= 2; second++)
      for (const name of ["small", "large"]) {
        tick(state, T + second * 1000);
        reduce(state, moved(name, second));
      }
    const { total, jobs } = timeLeft(state);
    // Both did two of four chunks in two seconds, so both are done in two more.
    expect(total.milliseconds).toBeCloseTo(2000, -2);
    const left = [...jobs.values()].reduce((sum, one) => sum + one, 0);
    expect(left / 2).toBeCloseTo(2000, -2);
  });
});

describe("jobs that the decode of a comparison feeds", () => {
  const together = { name: "divergence", kind: "divergence", settings: {} };
  const record = (name: string, measurement: string, estimate: number) => ({
    ...{ ...job(name, perplexity), id: jobId(name, measurement), measurement, askedSha256: "text", estimate },
    ...(measurement === "divergence"
      ? { kind: "divergence", metrics: ["kld"], mode: "together" as const, against: "small" }
      : { mode: "alone" as const }),
  });
  const event = {
    ...(opening() as Extract<Event, { type: "started" }>),
    jobs: ["small", "large"].flatMap((name) => [record(name, "perplexity", 0), record(name, "divergence", 20)]),
  };
  const begun = ["divergence", "perplexity"].flatMap((name) =>
    ["small", "large"].map((one) => begin(one, T, 0, { ...together, name })),
  );
  const told = (name: string, measurement: string, done: number): Event => ({
    ...{ type: "progress", job: jobId(name, measurement), done, total: 8, unit: "chunks" },
  });

  it("are one line with it, and cost no time of their own", () => {
    const waiting = fold([event as Event]);
    const state = fold(begun, waiting);
    for (let chunk = 1; chunk <= 2; chunk++)
      for (const name of ["small", "large"])
        for (const measurement of ["divergence", "perplexity"]) {
          tick(state, T + chunk * 5000);
          reduce(state, told(name, measurement, chunk));
        }
    expect(runningTogether(state).map((group) => group.map(({ job: { id } }) => id))).toEqual([
      ["small/divergence", "large/divergence", "small/perplexity", "large/perplexity"],
    ]);
    const { total, jobs } = timeLeft(state);
    expect([...jobs.keys()].map(({ job }) => job.measurement)).toEqual(["divergence", "divergence"]);
    // Two of eight chunks of both took 10 s; the plan's 40 s in all count beside that.
    expect(total.milliseconds).toBeGreaterThan(25_000);
    expect(total.milliseconds).toBeLessThan(35_000);
    expect(state.current?.job.measurement).toBe("divergence");
  });

  it("have their own line and time where they are measured by themselves after all", () => {
    const state = fold([event as Event, ...begun]);
    for (const name of ["small", "large"])
      reduce(state, { type: "job-done", at: T + 1000, job: jobId(name, "divergence"), items: 8, seconds: 1 } as Event);
    tick(state, T + 3000);
    reduce(state, told("small", "perplexity", 2));
    expect(runningTogether(state)).toHaveLength(2);
    expect([...timeLeft(state).jobs.keys()].map(({ job: { id } }) => id)).toContain("small/perplexity");
  });
});

interface Times {
  variants: [name: string, parameters: number, bytes: number][];
  measurements: [name: string, metrics: string[], mode: string][];
  end: number;
  jobs: [variant: string, measurement: string, start: number, end: number, items: number, guess: number][];
}

/** The events of a run from the times of its jobs, each job's items evenly over its time; variants that take turns one after another. */
function played({ variants, measurements: of, jobs }: Times, paceAt = (_: number) => 1): [number, Event][] {
  const clock = (milliseconds: number) => {
    // The same run on a machine whose pace changes on the way.
    let sum = 0;
    for (let at = 0; at < milliseconds; at += 50) sum += 50 / paceAt(at);
    return T + sum;
  };
  const id = (name: string, measurement: string) => `${name}/${measurement}`;
  const first = {
    ...started(T, []),
    measurements: [],
    variants: variants.map(([name, parameters, bytes]) => ({
      ...variant(name),
      facts: { parameters, bytes, bpw: 4 } as never,
    })),
    jobs: jobs.map(([name, measurement, , , , estimate]) => {
      const [, metrics, mode] = of.find(([one]) => one === measurement)!;
      const made = { ...job(name, perplexity), id: id(name, measurement), measurement, metrics, estimate };
      return { ...made, mode: mode as "alone" };
    }),
  };
  const events = jobs.flatMap(([name, measurement, start, end, items]): [number, Event][] => {
    const [, metrics, mode] = of.find(([one]) => one === measurement)!;
    const turn = mode === "alone" ? 1 : (1 + variants.findIndex(([one]) => one === name)) / variants.length;
    const told = { job: id(name, measurement) };
    const middle = Array.from({ length: items }, (_, i): [number, Event][] => {
      const at = clock(start + ((end - start) * (i + turn)) / (items + 0.1));
      const samples = metrics.map((metric) => ({ metric, value: 1, weight: 1 }));
      return [
        [at, { type: "samples", ...told, item: String(i), samples } as Event],
        [at, { type: "progress", ...told, done: i + 1, total: items, unit: "items", at } as Event],
      ];
    });
    const begun: [number, Event] = [clock(start), { type: "job-started", ...told, done: 0, at: clock(start) } as Event];
    const seconds = (clock(end) - clock(start)) / 1000;
    const over = { type: "job-done", ...told, items, seconds, at: clock(end) } as Event;
    return [begun, ...middle.flat(), [clock(end), over]];
  });
  return [[T, first as Event], ...events.sort(([a], [b]) => a - b)];
}

/** Predicted by true, at each hundredth of the time after the first figure; `from`, `to`: the share where that begins and ends. */
function ratiosOf(times: Times, paceAt?: (at: number) => number, from = 0, to = 1): number[] {
  const events = played(times, paceAt);
  const end = events.at(-1)![0];
  let state = initialState();
  let next = 0;
  return Array.from({ length: 98 }, (_, i) => T + ((end - T) * (i + 1)) / 100).flatMap((now, i) => {
    for (; next < events.length && events[next]![0] <= now; next++)
      state = reduce(tick(state, events[next]![0]), events[next]![1]);
    const { milliseconds } = timeLeft(tick(state, now)).total;
    return milliseconds === 0 || i / 100 < from || i / 100 > to ? [] : [milliseconds / (end - now)];
  });
}

describe("the time left of a ladder whose first variant was measured beside other processes", () => {
  // Seconds as they were measured; the guesses are those of the plan.
  const rest = [4.5, 15.7, 6.2, 5.3, 5.2, 9, 24.1];
  const ladder = (first: number): Times => {
    const questions = [first, ...rest];
    const variants = questions.map((_, i): Times["variants"][number] => [`Q${i}`, 135e6, (270 - 20 * i) * 1e6]);
    const starts = questions.map((_, i) => 1000 * questions.slice(0, i).reduce((sum, one) => sum + one, 0));
    const asked = 1000 * questions.reduce((sum, one) => sum + one, 0);
    return {
      variants,
      measurements: [
        ["hellaswag", ["acc"], "alone"],
        ["speed", ["tg16"], "turns"],
        ["divergence", ["kld"], "together"],
      ],
      end: asked + 85_000,
      jobs: [
        ...variants.map(([name], i): Times["jobs"][number] => {
          return [name, "hellaswag", starts[i]!, starts[i]! + 1000 * questions[i]!, 40, 17.3];
        }),
        ...variants.map(([name]): Times["jobs"][number] => [name, "speed", asked, asked + 22_000, 6, 1.6]),
        ...variants.map(([name]): Times["jobs"][number] => {
          return [name, "divergence", asked + 22_000, asked + 85_000, 16, 4.6];
        }),
      ],
    };
  };

  it.each([
    ["its questions evenly over its 45 s", ladder(45.2), undefined, 2],
    ["the first quarter of them in 34 of the 45 s", ladder(15), (at: number) => (at < 3750 ? 3.75 / 34 : 1), 3],
  ] as const)("%s: the first estimates are right within a factor", (_, times, paceAt, factor) => {
    const all = ratiosOf(times, paceAt, 0, 0.2);
    expect(all.length).toBeGreaterThan(18);
    expect(Math.min(...all)).toBeGreaterThan(1 / factor);
    expect(Math.max(...all)).toBeLessThan(factor);
  });
});

describe("the time left, over a whole run of the demo as it was measured", () => {
  const times = JSON.parse(readFileSync(new URL("demo-times.json", import.meta.url), "utf8")) as Times;
  const ratios = (paceAt?: (at: number) => number, from = 0) => ratiosOf(times, paceAt, from);

  it("is right within a factor of 2 from the first figure on, speed and divergence in turns at the end included", () => {
    const all = ratios();
    // Before that the variants are made, and no time is told.
    expect(all.length).toBeGreaterThan(75);
    expect(Math.min(...all)).toBeGreaterThan(0.5);
    expect(Math.max(...all)).toBeLessThan(2);
  });

  it("follows a machine that is four times as fast after a third of the work", () => {
    const all = ratios((at) => (at < times.end / 3 ? 0.25 : 1), 0.8);
    expect(all.length).toBeGreaterThan(15);
    expect(Math.min(...all)).toBeGreaterThan(0.5);
    expect(Math.max(...all)).toBeLessThan(2);
  });
});
