import { widthOf } from "../names.js";

/** Pixels that a text takes at most in the pictures' type; the browser's own may be narrower. */
export const textWidth = (text: string) => Math.ceil(widthOf(text) * 6.9);
export const lineHeight = 14;

interface Box {
  left: number;
  right: number;
  top: number;
  bottom: number;
}

/** The middle of a label's left end, in pixels. */
export interface LabelPlace {
  x: number;
  y: number;
  /** Whether it stands away from its point, so that a line has to lead there. */
  led: boolean;
}

const overlap = (a: Box, b: Box) =>
  Math.max(0, Math.min(a.right, b.right) - Math.max(a.left, b.left)) *
  Math.max(0, Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top));

/**
 * Places for the names of points: beside them where there is room, else near by with a line. No two names lie over each other or over a
 * point, and none over one of the `lines`, upright or level, if it can be helped. Undefined when there is no room for all; then a legend is better. `frame`: where names may
 * stand.
 */
export function placeLabels(
  points: readonly { x: number; y: number; text: string }[],
  frame: Box,
  lines: readonly (readonly [x1: number, y1: number, x2: number, y2: number])[] = [],
): LabelPlace[] | undefined {
  const taken: Box[] = points.map(({ x, y }) => ({ left: x - 5, right: x + 5, top: y - 5, bottom: y + 5 }));
  const strokes: Box[] = lines.map(([x1, y1, x2, y2]) => ({
    ...{ left: Math.min(x1, x2) - 1, right: Math.max(x1, x2) + 1 },
    ...{ top: Math.min(y1, y2) - 1, bottom: Math.max(y1, y2) + 1 },
  }));
  const places: LabelPlace[] = [];
  // Those in a crowd choose first: they have the fewest places.
  const crowd = points.map(
    (point) => points.filter((other) => Math.hypot(other.x - point.x, other.y - point.y) < 60).length,
  );
  const order = points.map((_, i) => i).sort((a, b) => crowd[b]! - crowd[a]! || a - b);
  const isFree = ({ x: left, y: middle }: LabelPlace, width: number, all: Box[]) => {
    const box = { left, right: left + width, top: middle - lineHeight / 2, bottom: middle + lineHeight / 2 };
    const isInside =
      box.left >= frame.left && box.right <= frame.right && box.top >= frame.top && box.bottom <= frame.bottom;
    return isInside && all.every((other) => overlap(box, other) === 0);
  };
  for (const index of order) {
    const { x, y, text } = points[index]!;
    const width = textWidth(text);
    const { beside, away } = candidates(x, y, width);
    // A name beside its point is better than one far away, even over a line; one near by is as good, and clear of it.
    const near = away.filter((place) => Math.hypot(nearestX(place.x, width, x) - x, place.y - y) <= nearBy);
    const found =
      [...beside, ...near].find((place) => isFree(place, width, [...taken, ...strokes])) ??
      beside.find((place) => isFree(place, width, taken)) ??
      away.find((place) => isFree(place, width, [...taken, ...strokes])) ??
      away.find((place) => isFree(place, width, taken));
    if (!found) return undefined;
    taken.push({
      ...{ left: found.x, right: found.x + width },
      ...{ top: found.y - lineHeight / 2, bottom: found.y + lineHeight / 2 },
    });
    places[index] = found;
  }
  return places;
}

/** Pixels from a point to a name that is seen to be its own. */
const nearBy = 37;
const nearestX = (left: number, width: number, x: number) => Math.min(Math.max(x, left), left + width);

/** From right beside the point outwards. */
function candidates(x: number, y: number, width: number): { beside: LabelPlace[]; away: LabelPlace[] } {
  const beside = [
    { x: x + 8, y },
    { x: x - 8 - width, y },
    { x: x - width / 2, y: y - 13 },
    { x: x - width / 2, y: y + 13 },
    { x: x + 6, y: y - 11 },
    { x: x + 6, y: y + 11 },
    { x: x - 6 - width, y: y - 11 },
    { x: x - 6 - width, y: y + 11 },
  ].map((place) => ({ ...place, led: false }));
  const away = [24, 36, 50, 66, 84, 104, 130].flatMap((radius) =>
    Array.from({ length: 16 }, (_, i) => {
      const angle = (i * Math.PI) / 8;
      const [dx, dy] = [Math.cos(angle) * radius, Math.sin(angle) * radius];
      return { x: dx >= -1e-9 ? x + dx : x + dx - width, y: y + dy, led: true };
    }),
  );
  return { beside, away };
}

/** Heights for names at the ends of lines, each as near to its line as the others allow; `undefined` when there is no room. */
export function spreadLabels(heights: readonly number[], top: number, bottom: number): number[] | undefined {
  if (heights.length * lineHeight > bottom - top + lineHeight) return undefined;
  const order = heights.map((_, i) => i).sort((a, b) => heights[a]! - heights[b]!);
  const placed = order.map((i) => Math.min(bottom, Math.max(top, heights[i]!)));
  // Down where they lie over each other, then up again from the lower end.
  for (let i = 1; i < placed.length; i++) placed[i] = Math.max(placed[i]!, placed[i - 1]! + lineHeight);
  for (let i = placed.length - 1, end = bottom; i >= 0; i--, end = placed[i + 1]! - lineHeight)
    placed[i] = Math.min(placed[i]!, end);
  const result: number[] = [];
  order.forEach((index, i) => {
    result[index] = placed[i]!;
  });
  return result;
}
