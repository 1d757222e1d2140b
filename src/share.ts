/** One of the parts that a piece of work is shared out in, or several in a row. */
export interface Share {
  /** 1 … `of`. */
  part: number;
  of: number;
  /** The last of several parts in a row; absent: `part` alone. */
  through?: number;
}

/** How much of the whole it is. */
export const fractionOf = (share: Share | "none" | undefined): number =>
  share === undefined ? 1 : share === "none" ? 0 : ((share.through ?? share.part) - share.part + 1) / share.of;

/** `2/8`; `2–3/8` where it is several. */
export const shareName = ({ part, of, through = part }: Share): string =>
  through > part ? `${part}–${through}/${of}` : `${part}/${of}`;

/** Those of `units`, each of which stays whole, that lie in this share: parts follow one another, and differ by one unit at most. */
export function rangeOf<Unit>(units: readonly Unit[], share: Share | undefined): readonly Unit[] {
  if (!share) return units;
  const { part, of, through = part } = share;
  return units.slice(Math.floor(((part - 1) * units.length) / of), Math.floor((through * units.length) / of));
}
