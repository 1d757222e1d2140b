import { harmless } from "../../harmless.js";
import { wrap } from "../text.js";
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
        plot.axisX({ ...ticksOf(x), ...axisLook, label: x.label ?? null, text: writtenAt(x), labelOffset: 36 }),
        y.type === "band"
          ? plot.axisY({ label: null, tickSize: 0, tickPadding: 8 })
          : plot.axisY({ ...ticksOf(y), ...axisLook, label: y.label ?? null, text: writtenAt(y), labelOffset: 64 }),
        ...layers.map(({ mark, data, options }) => marks[mark](data, options)),
      ],
    });
    const svg = finished(String(drawn), about.title, about.caption);
    return { ...about, inline: svg, file: `${alone(svg, chart, about)}\n` };
  });
}

const gridLook = { stroke: grounds.grid[0], strokeOpacity: 1 };
const axisLook = { labelAnchor: "center", labelArrow: "none", tickSize: 4 } as const;
const scaleOf = ({ type, domain }: Axis) => ({ type, domain: [...domain], ...(type === "band" ? { padding: 0 } : {}) });
const ticksOf = ({ ticks = 5 }: Axis) => ({ ticks: typeof ticks === "number" ? ticks : [...ticks] });

/** The shortest form of the numbers at an axis: `0.05`, `−2`; all of them as `1e−6` where one of them is so small or large. */
function writtenAt({ ticks, domain }: Axis): (value: number) => string {
  const sizes = (typeof ticks === "object" ? ticks : [Math.max(...domain.map((end) => Math.abs(Number(end))))]).map(
    Math.abs,
  );
  const isTiny = sizes.some((size) => size !== 0 && (size < 1e-5 || size >= 1e6));
  return (value) => {
    const plain = Number(value.toPrecision(6)).toString();
    return (isTiny && value !== 0 ? value.toExponential(0).replace("e+", "e") : plain).replace(/-/g, "−");
  };
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

/** Lines of a title and a caption, in pixels. */
const lines = { title: 18, caption: 15, margin: 8 };

/** With a ground and colours of its own, for light and dark, and its title and caption: a picture that is sent alone says what it shows. */
function alone(svg: string, { width, height }: Chart, { title, caption }: Omit<Picture, "chart">): string {
  const [heads, words] = [wrap(title, 58, 0).split("\n"), wrap(caption, 72, 0).split("\n")];
  const top = heads.length * lines.title + lines.margin;
  const whole = top + height + words.length * lines.caption + lines.margin;
  const box = `x="0" y="${-top}" width="${width}" height="${whole}"`;
  const texts = [
    ...heads.map((line, i) => textAt(line, (i + 1) * lines.title - top, 'font-size="14" font-weight="600"')),
    ...words.map((line, i) =>
      textAt(line, height + (i + 0.8) * lines.caption, `font-size="11" fill="${grounds.guide[0]}"`),
    ),
  ];
  const sized = (open: string) =>
    open
      .replace(/ viewBox="[^"]*"/, ` viewBox="0 ${-top} ${width} ${whole}"`)
      .replace(/ height="[^"]*"/, ` height="${whole}"`);
  return svg.replace(
    /^<svg[^>]*>/,
    (open) =>
      `${sized(open)}<style>svg{color:${colours[0]![0]}}@media screen and (prefers-color-scheme: dark){svg{color:${colours[0]![1]}}${darkened("")}}</style><rect ${box} fill="${grounds.back[0]}"/>${texts.join("")}`,
  );
}

const textAt = (line: string, y: number, look: string) =>
  `<text x="12" y="${y}" text-anchor="start" fill="currentColor" ${look}>${attribute(line)}</text>`.replace(
    /fill="currentColor" (.*fill=)/,
    "$1",
  );

/** The rules of a style sheet by which the colours of pictures become those for a dark ground. */
export function darkened(within: string): string {
  const pairs = [...colours, ...Object.values(grounds)];
  return pairs
    .flatMap(([light, dark]) => ["fill", "stroke"].map((paint) => `${within}[${paint}="${light}"]{${paint}:${dark}}`))
    .join("");
}
