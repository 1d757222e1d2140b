import { definite } from "../definite.js";
import { baseOf } from "./bases/index.js";
import { alpha, type Comparison, pOfEquivalence } from "./comparison.js";

/** From fewer pieces (repetitions, chunks, subjects) nothing is called certain: their own scatter is hardly known. */
export const fewestPieces = 5;

/** A hypothesis among others. `weight`: its share of the 5 % while none is rejected; alike when left out. */
interface Weighed {
  p: number;
  weight?: number;
}

/**
 * Holm's step-down adjustment (1979), with weights: the chance of a single false "different" in the whole family is at most
 * 5 %, whatever depends on what. Comparisons without a p do not count. Order is kept.
 */
export function holm<One extends Weighed>(family: One[]): (One & { adjusted: number })[] {
  const order = family
    .map(({ p, weight = 1 }, index) => ({ index, p, weight }))
    .filter(({ p }) => !Number.isNaN(p))
    .sort((one, other) => one.p / one.weight - other.p / other.weight);
  const adjusted = family.map(() => Number.NaN);
  let left = total(order);
  let largest = 0;
  for (const { index, p, weight } of order) {
    largest = Math.min(1, Math.max(largest, (left / weight) * p));
    adjusted[index] = largest;
    left -= weight;
  }
  return family.map((one, index) => ({ ...one, adjusted: adjusted[index]! }));
}

const total = (family: Weighed[]) => family.reduce((sum, { weight = 1 }) => sum + weight, 0);

/** The comparisons behind one answer: those of its pairs, and the one of their mean. */
export interface Family {
  pairs: Comparison[];
  pooled?: Comparison;
}

/**
 * The members of a family with their weights. Comparisons of too few pieces and disturbed speeds are none: they cannot be certain, and
 * would cost the others power. The mean weighs as much as all pairs together: it is what is asked first, and once it is shown the pairs have
 * the whole 5 %.
 */
function membersOf({ pairs, pooled }: Family): { one: Comparison; weight: number }[] {
  const members = pairs.filter(isCertain).map((one) => ({ one, weight: 1 }));
  return pooled && isCertain(pooled) ? [...members, { one: pooled, weight: Math.max(1, members.length) }] : members;
}

/**
 * The same with Holm's p, the same of equivalence within `margin`, and the detectable difference. With the others as they are,
 * Holm calls a comparison different just where its p is at most 5 % times its part of the weights that are not yet rejected.
 * At most one of "no difference" and "at least the margin" is true, so that the two adjustments hold together.
 */
export function inFamily(family: Family, margin?: number): Family {
  const members = membersOf(family);
  const held = (p: (one: Comparison) => number) => holm(members.map(({ one, weight }) => ({ p: p(one), weight })));
  const adjusted = held(({ p }) => p);
  const equivalences = margin === undefined ? [] : held((one) => pOfEquivalence(one, margin));
  const open = total(adjusted.filter((one) => one.adjusted >= alpha));
  const size = members.filter(({ one }) => one !== family.pooled).length;
  const within = (one: Comparison): Comparison => {
    const at = members.findIndex((member) => member.one === one);
    if (at < 0) return { ...one, adjusted: Number.NaN, adjustedEquivalence: Number.NaN };
    const { adjusted: own, weight } = adjusted[at]!;
    return {
      ...one,
      adjusted: own,
      ...definite({ adjustedEquivalence: equivalences[at]?.adjusted }),
      family: size,
      detectable: baseOf(one.basis).detectable(one.basis, (alpha * weight) / (open + (own < alpha ? weight : 0))),
    };
  };
  return { pairs: family.pairs.map(within), ...definite({ pooled: family.pooled && within(family.pooled) }) };
}

/**
 * The differences that hold in their own family, but not in a report of all these families: families are selected by Simes'
 * p (with weights: Hochberg & Liberman 1994) under Benjamini and Hochberg's rule, R of M, and tested inside at 5 % · R/M
 * (Benjamini & Bogomolov 2014). Over the families that show something the mean chance of a false difference in them then is at
 * most 5 %; where there is no difference at all, so is the chance of a single one in the whole report.
 */
export function uncertainOverall(families: Family[]): Comparison[] {
  const tested = families.map(membersOf).filter((members) => members.length > 0);
  const simes = tested.map((members) => {
    const all = members.reduce((sum, { weight }) => sum + weight, 0);
    const upTo = (p: number) => members.reduce((sum, { one, weight }) => (one.p <= p ? sum + weight : sum), 0);
    return Math.min(...members.map(({ one: { p } }) => (p * all) / upTo(p)));
  });
  const ranked = simes.toSorted((a, b) => a - b);
  const selected = ranked.findLastIndex((p, i) => p <= (alpha * (i + 1)) / ranked.length) + 1;
  // Holm's p is nowhere below Simes', so that no difference at this level is in a family that is not selected.
  const level = (alpha * selected) / ranked.length;
  return tested.flatMap((members) =>
    members.map(({ one }) => one).filter(({ adjusted = 1 }) => adjusted < alpha && adjusted >= level),
  );
}

function isCertain({ p, basis, clusters, detectable, needed, disturbed }: Comparison): boolean {
  if (needed !== undefined || Number.isNaN(p) || disturbed) return false;
  return baseOf(basis).pieces(basis, clusters) >= fewestPieces && Number.isFinite(detectable);
}
