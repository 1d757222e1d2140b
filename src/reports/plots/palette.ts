import type { VariantRecord } from "../../events.js";

/** Pairs for a light and for a dark ground. Told apart by people who see red and green alike; 3 : 1 or more with the ground. */
export const colours: readonly (readonly [light: string, dark: string])[] = [
  ["#20262d", "#e6edf3"],
  ["#106bb7", "#4aa9ea"],
  ["#ea6e1a", "#fb8d3d"],
  ["#088560", "#33ca99"],
  ["#a7468e", "#e58ec5"],
  ["#8e5f00", "#f7d44a"],
  ["#3094d2", "#9ad6ff"],
  ["#a1203d", "#e0566f"],
];

/** Of what stands around the figures: lines that are no variant's, the grid, the ground. */
export const grounds = {
  guide: ["#6e7781", "#8b949e"],
  grid: ["#e3e7ec", "#2b323b"],
  band: ["#eef1f4", "#1c232c"],
  back: ["#ffffff", "#0d1117"],
} as const;

const symbols = ["circle", "triangle", "square", "diamond2", "cross", "star"] as const;
const dashes = ["none", "6 3", "2 3", "9 3 2 3", "1 4", "12 4"] as const;

/** How a variant is drawn, in all pictures of a run alike. */
export interface Look {
  colour: string;
  symbol: string;
  dash: string;
}

/**
 * Colours go by quantization and shapes by the rest of the name, so that Q4_K_M and Q4_K_M-im are seen to belong together; where
 * names do not say so, both go by the order of the plan.
 */
export function looksOf(variants: readonly VariantRecord[]): Map<string, Look> {
  const traits = variants.map(({ name, facts }) => {
    const quant = facts?.quant ?? "";
    return { name, quant, rest: quant === "" ? name : name.replace(quant, "") };
  });
  const [quants, rests] = [traits.map(({ quant }) => quant), traits.map(({ rest }) => rest)].map((list) => [
    ...new Set(list),
  ]) as [string[], string[]];
  const pairs = new Set(traits.map(({ quant, rest }) => JSON.stringify([quant, rest])));
  const isTelling = pairs.size === variants.length && quants.length <= colours.length && rests.length <= symbols.length;
  return new Map(
    traits.map(({ name, quant, rest }, i) => {
      const [hue, shape] = isTelling
        ? [quants.indexOf(quant), rests.indexOf(rest)]
        : [i % colours.length, Math.floor(i / colours.length) % symbols.length];
      return [name, { colour: colours[hue]![0], symbol: symbols[shape]!, dash: dashes[shape]! }];
    }),
  );
}
