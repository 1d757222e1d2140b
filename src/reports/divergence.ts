import { definite } from "../definite.js";
import { BenchError } from "../errors.js";
import type { JobRecord, TokenInText, TokenPlace, VariantRecord } from "../events.js";
import { harmless } from "../harmless.js";
import type { JobResult, Run } from "../replay/index.js";
import { type Breakdown, breakdownOf, type ChunkTokens } from "../stats/breakdown.js";
import { type DivergenceFigure, deltaPercents, divergenceFigures, kldPercents } from "../stats/divergence.js";
import { readTokens } from "../store/index.js";
import { counted } from "../units.js";
import { signed } from "./digits.js";
import type { Heading, Layout } from "./layout.js";

/** All that the per-token values say of one variant against its reference. */
export interface Divergence {
  job: JobRecord;
  variant: VariantRecord;
  /** Chunks and tokens. */
  n: number;
  tokens: number;
  figures: DivergenceFigure[];
  /** Where in the text it comes from; absent for a reference that is known in part only. */
  where?: Breakdown;
}

type Places = Record<string, TokenPlace>;

/** From the per-token values beside the events. */
export function divergencesFrom(folder: string, { plan, jobs }: Run): Divergence[] {
  return (plan?.jobs ?? []).flatMap((job) => {
    const variant = plan!.variants.find(({ name }) => name === job.variant);
    const { done, tokens, clusters, worst } = jobs.get(job.id)!;
    if (!variant || !done) return [];
    const items = [...tokens].filter(([, { nll_reference }]) => nll_reference !== undefined);
    if (items.length === 0) return [];
    const ordered = items.toSorted(([a], [b]) => Number(a) - Number(b));
    const sorted = ordered.map(([, places]) => places);
    const all = <Values extends Float64Array | Float32Array | Int32Array>(
      name: string,
      kind: new (n: number) => Values,
    ) => joined(folder, job.id, name, sorted, kind);
    const needed = <Values extends Float64Array | Int32Array | Float32Array>(
      name: string,
      kind: new (n: number) => Values,
    ) => {
      const values = all(name, kind);
      if (values) return values;
      throw new BenchError("run-damaged", `the events of ${variant.name} ${job.measurement} name no values "${name}"`, {
        hint: "measure into another folder with --out",
      });
    };
    const nll = needed("nll", Float64Array);
    const optional = Object.entries({ kld: "kld", estimate: "kld_estimate", low: "kld_low", high: "kld_high" });
    const nllReference = needed("nll_reference", Float64Array);
    const figures = divergenceFigures({
      nll,
      nllReference,
      deltaP: needed("delta_p", Float32Array),
      top: needed("top", Int32Array),
      topReference: needed("top_reference", Int32Array),
      ...Object.fromEntries(
        optional.flatMap(([key, name]) => {
          const values = all(name, Float32Array);
          return values ? [[key, values]] : [];
        }),
      ),
    });
    const distance = all(whole, Float32Array);
    const chunks = distance && inChunks(ordered, { distance, nll, nllReference }, job, clusters);
    const where = chunks && inTheirText(breakdownOf(whole, chunks), worst);
    return [{ job, variant, n: items.length, tokens: nll.length, figures, ...definite({ where }) }];
  });
}

/** The worst tokens with the text that the run keeps of them. */
const inTheirText = (where: Breakdown, told: JobResult["worst"]): Breakdown => ({
  ...where,
  worst: where.worst.map((token) => ({
    ...token,
    ...definite({ text: told.find(({ item, place }) => item === token.item && place === token.place) }),
  })),
});

/** The distance over the whole vocabulary. */
const whole = "kld";

/** Values of all items, chunk by chunk again. */
function inChunks(
  items: [item: string, Places][],
  { distance, nll, nllReference }: { distance: Float32Array; nll: Float64Array; nllReference: Float64Array },
  { settings: { context } }: JobRecord,
  clusters: ReadonlyMap<string, string> | undefined,
): ChunkTokens[] {
  let end = 0;
  return items.map(([item, { nll_reference: place }]) => {
    const [from, count] = [end, place![1]];
    end += count;
    return {
      item,
      distance: distance.subarray(from, end),
      nll: nll.subarray(from, end),
      nllReference: nllReference.subarray(from, end),
      // The last of them is the last token of the chunk.
      ...definite({ before: typeof context === "number" ? context - count : undefined, cluster: clusters?.get(item) }),
    };
  });
}

/** The values of all items, one after another; undefined where an item has none of that name. */
function joined<Values extends Float64Array | Float32Array | Int32Array>(
  folder: string,
  job: string,
  name: string,
  items: Places[],
  kind: new (n: number) => Values,
): Values | undefined {
  const places = items.flatMap((item) => (item[name] ? [item[name]] : []));
  if (places.length < items.length) return undefined;
  const values = new kind(places.reduce((sum, [, count]) => sum + count, 0));
  let at = 0;
  for (const place of places) {
    values.set(readTokens(folder, job, name, place, kind), at);
    at += place[1];
  }
  return values;
}

interface DivergencePart {
  title: string;
  /** Head of a column, its metric, digits of figure and ±, and a factor. */
  columns: [head: string, metric: string, digits: number, errorDigits?: number, factor?: number][];
}

const kldColumns = kldPercents.map((percent): DivergencePart["columns"][number] => [
  `${percent} %`,
  `kld_p${percent}`,
  6,
]);
const deltaColumns = deltaPercents.map((percent): DivergencePart["columns"][number] => [
  `${percent} %`,
  `delta_p_p${percent}`,
  3,
  3,
  100,
]);

/** The figures in llama-perplexity's order and digits. */
const parts: DivergencePart[] = [
  {
    title: "Perplexity",
    columns: [
      ["PPL", "perplexity_variant", 6],
      ["PPL of the reference", "perplexity_reference", 6],
      ["Cor(ln PPL) %", "ln_ppl_correlation", 2, 2, 100],
      ["ln PPL ratio", "ln_ppl_ratio", 6],
      ["PPL ratio", "ppl_ratio", 6],
      ["PPL difference", "ppl_difference", 6],
    ],
  },
  {
    title: "KL divergence, nat",
    columns: [
      ["mean", "kld", 6],
      ["maximum", "kld_max", 6],
      ...kldColumns.slice(0, 4),
      ["median", "kld_median", 6],
      ...kldColumns.slice(4),
      ["minimum", "kld_min", 6],
    ],
  },
  {
    title: "KL divergence from a compact reference, nat: an unbiased estimate, and bounds that hold for certain",
    columns: [
      ["estimate", "kld_estimate", 6],
      ["at least", "kld_low", 6],
      ["at most", "kld_high", 6],
      ["width", "kld_width", 6],
    ],
  },
  {
    title: "Probability of the right token, Δp in %",
    columns: [
      ["mean", "delta_p", 3, 3, 100],
      ["RMS", "delta_p_rms", 3, 3, 100],
      ["maximum", "delta_p_max", 3, 3, 100],
      ...deltaColumns.slice(0, 5),
      ["median", "delta_p_median", 3, 3, 100],
      ...deltaColumns.slice(5),
      ["minimum", "delta_p_min", 3, 3, 100],
      ["same top", "same_top", 3, 3, 100],
    ],
  },
];

/** For people: one table per part and measurement, one row per variant. */
export function divergenceTables(divergences: Divergence[]): { title: string; table: Layout }[] {
  const measurements = [...new Set(divergences.map(({ job }) => job.measurement))];
  return measurements.flatMap((measurement) => {
    const of = divergences.filter(({ job }) => job.measurement === measurement);
    return parts.flatMap(({ title, columns }) => {
      const rows = of.flatMap((divergence) => {
        const cells = columns.map(([, metric, ...form]) => shown(divergence.figures, metric, form));
        return cells[0] === "" ? [] : [[variantCell(divergence), ...cells]];
      });
      if (rows.length === 0) return [];
      const heads: Heading[] = [
        { text: "variant", align: "left", minor: false },
        ...columns.map(([text]) => ({ text, align: "right" as const, minor: false })),
      ];
      const name = measurements.length > 1 ? `${harmless(measurement)}: ${title}` : title;
      return [{ title: name, table: { columns: heads, rows, footnotes: [] } }];
    });
  });
}

/** The noise floor is of fewer chunks than the others, so that its perplexities are other ones, too. */
const variantCell = ({ job, variant, n }: Divergence) =>
  harmless(variant.name) +
  (job.against === job.variant ? ` (against itself in another batch shape, ${counted(n, "chunk")})` : "");

function shown(
  figures: DivergenceFigure[],
  metric: string,
  [digits, errorDigits = digits, factor = 1]: [number, number?, number?],
): string {
  const figure = figures.find((one) => one.metric === metric);
  if (!figure) return "";
  const text = signed((figure.value * factor).toFixed(digits));
  return figure.error === undefined ? text : `${text} ± ${(figure.error * factor).toFixed(errorDigits)}`;
}

/** `…text before`, the token, what the reference and what the variant says; empty where the run keeps no text. */
export function shownText(text: TokenInText | undefined): string[] {
  if (!text) return ["", "", "", ""];
  return [`…${onOneLine(text.before)}`, ...[text.token, text.reference, text.variant].map(shownToken)];
}

const onOneLine = (text: string) => text.replace(/\s*\n\s*/g, "↵");
/** Blanks that would not be seen. */
const shownToken = (token: string) => onOneLine(token).replace(/^ +| +$/g, (blanks) => "␣".repeat(blanks.length));

/** Tokens of each variant that `table.md` tells. */
const worstOfEach = 3;

/** The worst tokens of each variant in their text; undefined where the run keeps none. */
export function worstTable(divergences: Divergence[]): Layout | undefined {
  const of = divergences.filter(({ job }) => job.against !== job.variant);
  const several = new Set(of.map(({ job }) => job.measurement)).size > 1;
  const rows = of.flatMap(({ job, variant, where }) =>
    (where?.worst ?? [])
      .filter(({ text }) => text)
      .slice(0, worstOfEach)
      .map(({ distance, text }) => [
        harmless(several ? `${variant.name}, ${job.measurement}` : variant.name),
        distance.toFixed(3),
        ...shownText(text),
      ]),
  );
  if (rows.length === 0) return undefined;
  const head = (text: string, align: "left" | "right" = "left"): Heading => ({ text, align, minor: false });
  const texts = ["text before the token", "the token", "the reference says", "the variant says"];
  return { columns: [head("variant"), head("KLD", "right"), ...texts.map((text) => head(text))], rows, footnotes: [] };
}
