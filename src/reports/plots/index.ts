import type { Facts } from "../facts.js";
import { accuracy } from "./accuracy.js";
import { draw, type Svg } from "./draw.js";
import { gains } from "./gains.js";
import { kldBySize } from "./kld-by-size.js";
import { kldNoise } from "./kld-noise.js";
import { kldWhere } from "./kld-where.js";
import type { Picture, Plot } from "./plot.js";
import { pplByChunk } from "./ppl-by-chunk.js";
import { pplByVariant } from "./ppl-by-variant.js";
import { qualityBySpeed } from "./quality-by-speed.js";
import { speedInOrder } from "./speed-in-order.js";

export { darkened, type Svg } from "./draw.js";

/** All that may be drawn of a run, in the order of reading. */
const plots: Plot[] = [
  ...[kldBySize, pplByVariant, qualityBySpeed, accuracy, gains],
  ...[kldWhere, kldNoise],
  ...[pplByChunk, speedInOrder],
];

export type PlacedPicture = Picture & Pick<Plot, "section">;

/** What there is to draw of a run, as data. */
export function picturesOf(facts: Facts): PlacedPicture[] {
  return plots.flatMap(({ section, pictures }) => pictures(facts).map((picture) => ({ ...picture, section })));
}

export type PlacedSvg = Svg & Pick<Plot, "section">;

/** The same as SVG. */
export async function drawn(facts: Facts): Promise<PlacedSvg[]> {
  const pictures = picturesOf(facts);
  const made = await draw(pictures);
  return made.map((one, i) => ({ ...one, section: pictures[i]!.section }));
}
