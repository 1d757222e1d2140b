import { describe, expect, test } from "vitest";
import { replay } from "../../dist/replay/index.js";
import { longCsv, wideCsv } from "../../dist/reports/csv.js";
import { factsFrom } from "../../dist/reports/index.js";
import { markdown } from "../../dist/reports/markdown.js";
import { widthOf } from "../../dist/reports/names.js";
import { text } from "../../dist/reports/text.js";
import { eventsOf, type Made, type MadeRun } from "./ladders.js";

interface Asked extends Partial<MadeRun> {
  reference?: boolean;
}

/** A run of these variants, the first of them the reference. */
function made(
  variants: Made[],
  { kinds = ["perplexity"], reference = true, questions = 400, spread = 0.1, ...more }: Asked = {},
) {
  const whole = variants.map((one, i) => ({
    quant: one.name.replace(/^v\d-|-im$/g, ""),
    ...{ ...one, reference: reference && i === 0 },
  }));
  const run = replay(eventsOf(whole, { kinds, questions, spread, ...more }));
  const facts = factsFrom(run, "");
  const { table, verdicts } = facts;
  return { facts, table, verdicts, ladders: verdicts.ladders, screen: text(facts, { width: 120 }) };
}

const f16 = { name: "F16", bytes: 270e6 };
const q8 = { name: "Q8_0", bytes: 145e6, cost: 0.0002, kld: 0.0005 };
const q4 = { name: "Q4_K_M", bytes: 105e6, cost: 0.008, kld: 0.009 };
const q2 = { name: "Q2_K", bytes: 88e6, cost: 0.86, kld: 0.9 };

describe("a ladder ends with its answer", () => {
  test("how much smaller, then what it costs, then which to take", () => {
    const { ladders, screen } = made([f16, q8, q4, q2]);
    const [{ steps, smallest, near }] = ladders as [(typeof ladders)[number]];
    expect(steps.map(({ variant, standing }) => [variant, standing])).toEqual([
      ["Q8_0", "equal"],
      ["Q4_K_M", "worse"],
      ["Q2_K", "much worse"],
    ]);
    expect([smallest?.variant, near?.variant]).toEqual(["Q8_0", "Q4_K_M"]);
    expect(screen).toMatch(/^Q8_0 +145\.0 +−46 % .* ≈ .* \+0\.0\d % ≈$/m);
    expect(screen).toMatch(/^Q4_K_M .* −61 % .* worse .* \+0\.8\d? %$/m);
    expect(screen).toMatch(/^Q2_K .* −67 % .* much worse .* \+13\d %$/m);
    expect(screen).toMatch(/Smallest file not shown to be worse than F16: Q8_0 \(46 % smaller, PPL \+0\.0\d %\)\./);
    expect(screen).toMatch(
      /Smallest shown to lose less than 1 % of F16's PPL: Q4_K_M \(61 % smaller, PPL \+0\.8\d? %\)\./,
    );
  });

  test("two variants, sixteen variants", () => {
    expect(made([f16, q8]).screen.replaceAll(/\n */g, " ")).toContain(
      "not shown to be worse than F16, and shown to lose less than 1 % of its PPL: Q8_0",
    );
    const many = Array.from({ length: 15 }, (_, i) => ({
      name: `Q${i}`,
      bytes: 200e6 - i * 1e7,
      cost: 0.0001 * 2 ** i,
    }));
    const { ladders } = made([f16, ...many]);
    expect(ladders[0]!.steps).toHaveLength(15);
    expect(ladders[0]!.steps.at(-1)!.standing).toBe("much worse");
    const best = many.find(({ name }) => name === ladders[0]!.smallest!.variant)!;
    expect(best.cost).toBeLessThan(0.006);
  });

  test.each(["failed", "unfinished", "not a number"] as const)(
    "a file whose figure is %s is never recommended",
    (end) => {
      for (const other of [{}, { kinds: ["perplexity", "hellaswag"] as const }]) {
        const { ladders, screen, table, facts } = made([f16, q8, { ...q2, cost: 0, end }], other);
        expect(ladders[0]!.smallest?.variant).toBe("Q8_0");
        expect(ladders[0]!.near?.variant).toBe("Q8_0");
        expect(screen).toMatch(/^Q2_K .*(failed|3 chunks|broken)/m);
        expect(screen.split("\n\n")[0]).not.toContain("NaN");
        if (end === "not a number") {
          expect(screen).toMatch(/broken +‼/);
          expect(markdown(facts)).toContain("broken ‼");
          expect(wideCsv(table)).toMatch(/Q2_K.*perplexity.* broken: /);
          expect(longCsv(table)).not.toMatch(/^Q2_K,llama,perplexity,perplexity,perplexity,/m);
        }
      }
    },
  );

  test.each([
    ["failed", "F16 failed: nothing is compared with it; --reference Q8_0"],
    ["unfinished", "F16 is not finished: nothing is compared with it"],
    ["not a number", "F16 is broken: nothing is compared with it; --reference Q8_0"],
    ["guessing", "F16 is broken: nothing is compared with it; --reference Q8_0"],
  ] as const)("against a reference that is %s nothing is compared, judged or recommended", (end, said) => {
    const kinds = [["perplexity"], ["perplexity", "divergence"], ["perplexity", "divergence", "speed"]] as const;
    for (const measured of kinds) {
      const { ladders, screen } = made([{ ...f16, end }, q4, q8], { kinds: measured });
      for (const { smallest, near } of ladders) expect([smallest, near]).toEqual([undefined, undefined]);
      expect(screen).toContain(said);
      expect(screen).not.toMatch(/Smallest|worse|No quality|Changes|[≈?]$/m);
    }
  });

  test.each([[["perplexity"]], [["perplexity", "speed"]]] as const)(
    "where the reference alone has a figure of %j, that is said",
    (measured) => {
      const ended = (end: "failed" | "unfinished" | "not a number") =>
        made([f16, { ...q8, end }, { ...q4, end }], { kinds: measured }).screen;
      for (const screen of [ended("failed"), ended("unfinished"), ended("not a number")]) {
        expect(screen).toContain("No file can be recommended: none has a figure that could be compared with F16's.");
        expect(screen).not.toMatch(/No quality|Smallest/);
      }
    },
  );

  test("wherever a run is stopped, no file is recommended that is left out", () => {
    const kinds = ["perplexity", "hellaswag", "divergence", "speed"] as const;
    const variants = [f16, q8, q4].map((one, i) => ({ ...one, reference: i === 0 }));
    const [started, ...rest] = eventsOf(variants, { kinds, questions: 400, spread: 0.1 });
    const kindOf = (event: (typeof rest)[number]) =>
      kinds.findIndex((kind) => "job" in event && event.job.endsWith(kind));
    // Measurement by measurement, as most runs have it, and variant by variant.
    const orders = [rest.toSorted((a, b) => kindOf(a) - kindOf(b)), rest];
    let [recommended, pending] = [0, 0];
    for (const events of orders) {
      const ends = events.flatMap((event, i) => (event.type === "job-done" ? [i + 1, i + 3] : []));
      for (const end of ends) {
        const { short, verdicts } = factsFrom(replay([started!, ...events.slice(0, end)]), "");
        for (const { smallest, near, steps } of verdicts.ladders)
          for (const step of [smallest, near])
            if (step) {
              recommended++;
              expect([end, step.variant, step.lacks]).toEqual([end, step.variant, []]);
              expect(steps).toContain(step);
            }
        const told = short.conclusions.join("\n");
        if (told.includes("No smaller file can be recommended yet: none has all of its figures.")) {
          pending++;
          expect(told).not.toContain("Left out");
          expect(verdicts.ladders.flatMap(({ smallest, near }) => smallest ?? near ?? [])).toEqual([]);
        }
        for (const { name } of variants)
          if (new RegExp(`Left out[^\n]*${name} \\(`).test(told))
            expect(told).not.toMatch(new RegExp(`Smallest[^\n]*: ${name} \\(`));
      }
    }
    expect(recommended).toBeGreaterThan(3);
    expect(pending).toBeGreaterThan(0);
  });

  test("the same weights in a file with less beside them are no smaller file", () => {
    const copies = [
      { ...f16, bytes: 269.9e6, weights: f16.bytes, name: "copy" },
      { ...f16, bytes: 150e6, weights: f16.bytes, name: "bare" },
    ];
    for (const kinds of [["perplexity"], ["divergence"], ["perplexity", "hellaswag"]] as const) {
      const { ladders, screen } = made([f16, ...copies.map((one) => ({ ...one, kld: 0 }))], { kinds });
      expect([ladders[0]!.smallest, ladders[0]!.near]).toEqual([undefined, undefined]);
      expect(screen).toContain("None of these files holds smaller weights than F16.");
      expect(screen).not.toMatch(/\(\d+ % smaller/);
      const { smallest } = made([f16, ...copies, q8], { kinds }).ladders[0]!;
      expect(smallest?.variant).toBe("Q8_0");
    }
  });

  test("where sizes are not known, that is why no smaller file is recommended", () => {
    const events = eventsOf([{ ...f16, reference: true }, q8], { kinds: ["perplexity"] });
    const served = events.map((event) =>
      event.type === "started"
        ? { ...event, variants: event.variants.map(({ facts: _, ...variant }) => variant) }
        : event,
    );
    const run = replay(served);
    const screen = text(factsFrom(run, ""), { width: 120 });
    expect(screen).toContain("No smaller file can be recommended, because the sizes of these models are not known.");
    expect(screen).not.toMatch(/shown to be worse/);
  });

  test("answers against a broken reference are no verdicts; of a failed one in part, no recommendation", () => {
    const kinds = ["perplexity", "hellaswag"] as const;
    for (const end of ["not a number", "guessing"] as const) {
      const broken = made(
        [
          { ...f16, end },
          { ...q8, flips: [90, 2] },
          { ...q4, end },
        ],
        { kinds },
      );
      expect(
        broken.verdicts.questions[0]!.pairs.flatMap(({ results }) => results.flatMap((one) => one.verdict ?? [])),
      ).toEqual([]);
      expect(broken.screen).toContain("F16 is broken: nothing is compared with it; --reference Q8_0");
    }
    const failed = made([{ ...f16, end: "failed" }, q4, q8], { kinds });
    expect(failed.screen).toContain("F16: perplexity failed: no file is recommended against it; --reference Q8_0");
    expect(failed.screen).not.toMatch(/Smallest/);
  });

  test("distances from a broken model, and its own, are broken too, and each note says of which", () => {
    const kinds = ["perplexity", "divergence"] as const;
    const states = (variants: Made[]) => {
      const { table, screen } = made(variants, { kinds });
      const columns = table.columns.flatMap(({ metric }, i) => (["kld", "same_top"].includes(metric.name) ? [i] : []));
      expect(columns).toHaveLength(2);
      const broken = table.rows.map(({ cells }) =>
        columns.every((i) => {
          const cell = cells[i]!;
          return cell.state === "measured" && cell.summary.broken !== undefined;
        }),
      );
      return { broken, screen };
    };
    for (const end of ["not a number", "guessing"] as const) {
      expect(states([{ ...f16, end }, q8, q4]).broken).toEqual([true, true, true]);
      const one = states([f16, q8, { ...q4, end }, { ...q2, end, cost: 1 }]);
      expect(one.broken).toEqual([false, false, true, true]);
      expect(one.screen).toMatch(/^‼ Q4_K_M/m);
      expect(one.screen).toMatch(/‼ .*Q2_K/);
    }
    expect(states([f16, q8, q4]).broken).toEqual([false, false, false]);
  });

  test("where each is worse, those that lose least for their size are told, the largest first", () => {
    const { screen } = made([f16, { ...q8, cost: 0.02 }, { ...q4, cost: 0.05 }, { ...q2, cost: 0.2 }]);
    const words = screen.replace(/\s+/g, " ");
    expect(words).toMatch(
      /each is shown to be worse\. Those that lose least for their size: Q8_0 \(.* smaller, PPL \+.*\); Q4_K_M \(.*\); Q2_K \(.*\)\./,
    );
  });

  test("too little to tell is no recommendation", () => {
    const { ladders, screen } = made([f16, { ...q4, cost: 0.05 }, { ...q2, cost: 0.2 }], { chunks: 3, spread: 3 });
    expect(ladders[0]!.smallest).toBeUndefined();
    expect(screen).toContain("No smaller file can be recommended");
  });

  test("far from the reference's predictions is not without loss, whatever perplexity could show", () => {
    const { ladders } = made([f16, { ...q2, cost: 0.0001 }], { kinds: ["perplexity", "divergence"] });
    expect(ladders[0]!.smallest).toBeUndefined();
  });

  test("accuracy alone, distance alone, speed alone", () => {
    const accuracy = made([f16, { ...q8, flips: [1, 1] }, { ...q2, flips: [2, 90] }], { kinds: ["hellaswag"] });
    expect(accuracy.screen).toMatch(/^Q2_K .* much worse .* −22 pt$/m);
    expect(accuracy.ladders[0]!.smallest?.variant).toBe("Q8_0");
    const distance = made([f16, q8, q4], { kinds: ["divergence"] });
    expect(distance.screen).toMatch(/^Q4_K_M .* −61 % .* 0\.0089/m);
    expect(distance.screen).toContain("Smallest file that predicts as F16 does, within 0.001 nat: Q8_0");
    const speed = made([f16, { ...q8, speed: 90 }], { kinds: ["speed"] });
    expect(speed.screen).toMatch(/^Q8_0 .* −46 % .* ×1\.8$/m);
    expect(speed.screen).toContain("No quality was compared");
    expect(speed.screen).not.toMatch(/Smallest/);
  });

  test("without a reference there is no ladder; versions have one each; -im pairs keep their answers", () => {
    expect(made([f16, q8], { reference: false }).ladders).toEqual([]);
    const versions = ["v1", "v2"].flatMap((version) =>
      [
        f16,
        q8,
        { ...q2, tags: { imatrix: "false" } },
        { ...q2, name: "Q2_K-im", cost: 0.3, tags: { imatrix: "true" } },
      ].map((one: Made) => ({ ...one, name: `${version}-${one.name}`, tags: { ...one.tags, version } })),
    );
    const { ladders, screen } = made(versions);
    expect(ladders.map(({ base, smallest }) => [base, smallest?.variant])).toEqual([
      ["v1-F16", "v1-Q8_0"],
      ["v2-F16", "v2-Q8_0"],
    ]);
    expect(screen.indexOf("What does it cost against v1-F16?")).toBeLessThan(
      screen.indexOf("Does the importance matrix help?"),
    );
    expect(screen.replace(/\s+/g, " ")).toMatch(/PPL: helps: \d+\.\d % lower on average over 2 pairs/);
    expect(screen).toContain("Is v2 better than v1?");
  });
});

test("changes have room first, then the figures, then their ±", () => {
  const { facts } = made([f16, { ...q8, speed: 90 }, q4], { kinds: ["perplexity", "hellaswag", "speed"] });
  const block = (width: number) => text(facts, { width }).split("\n\n")[0]!;
  const at = (width: number) => ({
    changes: /^Q8_0 .*\+0\.0\d % ?≈.* ×1\.8$/m.test(block(width)),
    figures: /^Q8_0 .* 3\d\.\d+ .*\+0\.0\d % ≈/m.test(block(width)),
    errors: /^Q8_0 .* 3\d\.\d+ ± \d/m.test(block(width)),
  });
  expect(at(50)).toEqual({ changes: true, figures: false, errors: false });
  expect(at(80)).toEqual({ changes: true, figures: true, errors: false });
  expect(at(120)).toEqual({ changes: true, figures: true, errors: true });
});

describe("on a low screen", () => {
  const variants: Made[] = [
    { ...f16, tags: { imatrix: "false" } },
    ...[q8, q4, q2].flatMap((one): Made[] => [
      { ...one, tags: { imatrix: "false" } },
      { ...one, name: `${one.name}-im`, cost: one.cost / 2, tags: { imatrix: "true" } },
    ]),
  ];
  const kinds = ["perplexity", "divergence", "hellaswag", "speed"] as const;
  const { facts } = made(variants, { kinds, chunks: 4, spread: 0.5 });
  const lines = (height?: number) =>
    text(facts, { width: 80, height, closing: ["Tables: x"] })
      .split("\n")
      .slice(0, -1);

  test("the table and the conclusions stand there, notes above them, and other questions have one answer", () => {
    const low = lines(24);
    const head = low.findIndex((line) => line.startsWith("variant"));
    expect(low.length - head).toBeLessThan(24);
    expect(low.slice(head + 1, head + 8).map((line) => line.split(" ")[0])).toEqual(variants.map(({ name }) => name));
    expect(low.slice(0, head).join("\n")).toContain("few pieces of text");
    expect(low.slice(head).join("\n")).toMatch(/Does the importance matrix help\? PPL: /);
    expect(low.at(-1)).toBe("Tables: x");
  });

  test("a high one shows all of it in the order of reading", () => {
    expect(lines(200)).toEqual(lines());
    const whole = lines().join("\n");
    expect(whole.indexOf("few pieces of text")).toBeGreaterThan(whole.indexOf("Changes against F16"));
    expect(whole.match(/^ {2}(PPL|KLD|hellaswag acc): /gm)).toHaveLength(3);
  });
});

describe("figures that must not be set beside each other", () => {
  const foreign = { ...q4, name: "other", tokenizer: "u", cost: -1 };

  test("a perplexity of other tokens is marked where it stands, and bits per byte come first", () => {
    const { screen, facts } = made([f16, q8, foreign]);
    expect(screen).toMatch(
      /\[\d\] other tokenizer than that of F16: compare bits\/byte \(\d\.\d{3}, there \d\.\d{3}\)/,
    );
    expect(screen.split("\n\n")[0]).toMatch(/bits\/byte/);
    expect(markdown(facts)).toContain("other tokenizer than that of F16");
    const at = facts.short.columns.findIndex(({ metric }) => metric.name === "bits_per_byte");
    expect(facts.short.rows.find(({ variant }) => variant.name === "other")!.cells[at]!.mark).toBeDefined();
    expect(made([f16, q8]).screen).not.toContain("other tokenizer");
  });

  test("the reference's distance from itself is a note", () => {
    const { screen, facts } = made([f16, q8, q4], { kinds: ["perplexity", "divergence"] });
    const row = screen.split("\n").find((line) => line.startsWith("F16"))!;
    expect(row).toMatch(/—/);
    expect(screen).toMatch(
      /noise floor, F16 against itself in another batch shape: KLD [\d.]+e-[78], same top 100\.000 %/,
    );
    expect(markdown(facts)).toMatch(/\| F16 \(reference\).*—/);
  });
});

describe("notes", () => {
  test("those that differ in their numbers are one", () => {
    const { table, facts } = made([f16, q8, q4], { kinds: ["speed"] });
    for (const [i, cores] of [0.3, 2.3, 6.9].entries()) {
      const cell = table.rows[i]!.cells[table.columns.findIndex(({ name }) => name === "tg128")]!;
      if (cell.state === "measured")
        cell.notes.push({ mark: "†", text: `other processes used ${cores} CPU cores while this was timed` });
    }
    const screen = text(facts, { width: 100 });
    expect(screen.match(/other processes/g)).toHaveLength(1);
    // The sign stays at the figures, however many columns bear it.
    expect(screen).toContain("† other processes used 0.3 to 6.9 CPU cores while this was timed");
    for (const name of ["F16", "Q8_0", "Q4_K_M"]) expect(screen).toMatch(new RegExp(`^${name}.* †$`, "m"));
    expect(markdown(facts)).toMatch(/tok\/s †/);
  });

  test.each([80, 100, 120, 200])("no line is wider than %d columns, and no word is torn", (width) => {
    const variants = Array.from({ length: 16 }, (_, i) => ({
      name: `Meta-Llama-3.1-8B-Instruct-a-long-name-Q${i % 8}_K_${"SML"[i % 3]}${i > 7 ? "-im" : ""}`,
      bytes: 4e9 - i * 1e8,
      cost: i * 0.003,
      kld: i * 0.01,
    }));
    const { facts } = made(variants, { kinds: ["perplexity", "divergence", "hellaswag", "speed"] });
    const screen = text(facts, { width });
    for (const line of screen.split("\n")) expect(widthOf(line), line).toBeLessThanOrEqual(width);
    const [block] = screen.split("\n\n");
    expect(block!.split("\n").slice(0, 2).join()).toMatch(
      /All names begin with Meta-Llama-3\.1-8B-Instruct-a-long-name-/,
    );
    expect(new Set(screen.match(/^ ?Q\d_K_\S+/gm)).size).toBe(16);
  });
});
