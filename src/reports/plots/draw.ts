import { harmless } from "../../harmless.js";
import { colours, grounds } from "./palette.js";
import type { Axis, Chart, Layer, Picture } from "./plot.js";

/** An SVG for a page that brings the colours, and as a file of its own. */
export interface Svg extends Omit<Picture, "chart"> {
  /** Without a style of its own: see `darkened`. */
  inline: string;
  file: string;
}

/** Draws pictures. The library that does is loaded when there is something to draw, not before. */
export async function draw(pictures: readonly Picture[]): Promise<Svg[]> {
  if (pictures.length === 0) return [];
  const [plot, { parseHTML }] = await Promise.all([import("@observablehq/plot"), import("linkedom")]);
  // Marks are called by name: a layer is data.
  const marks: Record<
    Layer["mark"],
    (data: Layer["data"], options: Record<string, unknown>) => ReturnType<typeof plot.dot>
  > = {
    ...{ dot: plot.dot, text: plot.text, line: plot.line, link: plot.link, rect: plot.rect },
    ...{ ruleX: plot.ruleX, ruleY: plot.ruleY, tickX: plot.tickX },
  };
  return pictures.map(({ chart, ...about }) => {
    const { document } = parseHTML("<!doctype html><html><body></body></html>");
    const { width, height, margins, x, y, layers } = chart;
    const drawn = plot.plot({
      ...{ document, width, height },
      ...{ marginTop: margins.top, marginRight: margins.right, marginBottom: margins.bottom, marginLeft: margins.left },
      ...{ x: scaleOf(x), y: scaleOf(y) },
      marks: [
        ...(x.grid ? [plot.gridX({ ...ticksOf(x), ...gridLook })] : []),
        ...(y.grid ? [plot.gridY({ ...ticksOf(y), ...gridLook })] : []),
        plot.axisX({ ...ticksOf(x), ...axisLook, label: x.label ?? null, text: written, labelOffset: 36 }),
        y.type === "band"
          ? plot.axisY({ label: null, tickSize: 0, tickPadding: 8 })
          : plot.axisY({ ...ticksOf(y), ...axisLook, label: y.label ?? null, text: written, labelOffset: 64 }),
        ...layers.map(({ mark, data, options }) => marks[mark](data, options)),
      ],
    });
    const svg = finished(String(drawn), about.title, about.caption);
    return { ...about, inline: svg, file: `${alone(svg, chart)}\n` };
  });
}

const gridLook = { stroke: grounds.grid[0], strokeOpacity: 1 };
const axisLook = { labelAnchor: "center", labelArrow: "none", tickSize: 4 } as const;
const scaleOf = ({ type, domain }: Axis) => ({ type, domain: [...domain], ...(type === "band" ? { padding: 0 } : {}) });
const ticksOf = ({ ticks = 5 }: Axis) => ({ ticks: typeof ticks === "number" ? ticks : [...ticks] });

/** The shortest form of a number at an axis: `0.05`, `−2`, `1e−4`. */
function written(value: number): string {
  const size = Math.abs(value);
  const isTiny = size !== 0 && (size < 1e-3 || size >= 1e6);
  const text = isTiny ? value.toExponential(0).replace("e+", "e") : Number(value.toPrecision(6)).toString();
  return text.replace(/-/g, "−");
}

const attribute = (text: string) =>
  harmless(text, { length: 2000 }).replace(/[&<>"]/g, (one) => `&#${one.charCodeAt(0)};`);

/** A picture says what it shows, asks for nothing, and has no style that a page would have to allow. */
function finished(svg: string, title: string, caption: string): string {
  const start = svg.indexOf(">") + 1;
  const root = svg
    .slice(0, start)
    .replace(
      "<svg",
      `<svg xmlns="http://www.w3.org/2000/svg" role="img" aria-label="${attribute(`${title}. ${caption}`)}"`,
    )
    .replace('font-size="10"', 'font-size="12"')
    .replace(/ class="[^"]*"/, "");
  const marks = svg
    .slice(start)
    .replace(/<style>[\s\S]*?<\/style>/, "")
    // Marks are no things of their own to a screen reader, and hundredths of a pixel are seen by nobody.
    .replace(/<[a-z][^>]*>/gi, (tag) =>
      tag
        .replace(/ (aria-[a-z]+|class)="[^"]*"/g, "")
        .replace(/-?\d+\.\d{3,}/g, (number) => String(Math.round(Number(number) * 100) / 100)),
    );
  return root + marks;
}

/** With a ground and colours of its own, for light and dark. */
function alone(svg: string, { width, height }: Chart): string {
  return svg.replace(
    /^<svg[^>]*>/,
    (open) =>
      `${open}<style>svg{color:${colours[0]![0]}}@media screen and (prefers-color-scheme: dark){svg{color:${colours[0]![1]}}${darkened("")}}</style><rect width="${width}" height="${height}" fill="${grounds.back[0]}"/>`,
  );
}

/** The rules of a style sheet by which the colours of pictures become those for a dark ground. */
export function darkened(within: string): string {
  const pairs = [...colours, ...Object.values(grounds)];
  return pairs
    .flatMap(([light, dark]) => ["fill", "stroke"].map((paint) => `${within}[${paint}="${light}"]{${paint}:${dark}}`))
    .join("");
}
