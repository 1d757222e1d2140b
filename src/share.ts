/** One of the parts that a piece of work is shared out in. */
export interface Share {
  /** 1 … `of`. */
  part: number;
  of: number;
}

/** Those of `units`, each of which stays whole, that lie in this part: parts follow one another, and differ by one unit at most. */
export function rangeOf<Unit>(units: readonly Unit[], share: Share | undefined): readonly Unit[] {
  if (!share) return units;
  const { part, of } = share;
  return units.slice(Math.floor(((part - 1) * units.length) / of), Math.floor((part * units.length) / of));
}
