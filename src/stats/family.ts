import { definite } from "../definite.js";
import { baseOf } from "./bases/index.js";
import { alpha, type Comparison, pOfEquivalence } from "./comparison.js";

/** From fewer pieces (repetitions, chunks, subjects) nothing is called certain: their own scatter is hardly known. */
export const fewestPieces = 5;

/**
 * Holm's step-down adjustment (1979): the chance of a single false "different" in the whole family is at most 5 %, whatever
 * depends on what. Comparisons without a p do not count. Order is kept.
 */
export function holm<One extends Pick<Comparison, "p">>(family: One[]): (One & { adjusted: number })[] {
  const order = family
    .map((_, index) => index)
    .filter((index) => !Number.isNaN(family[index]!.p))
    .sort((i, j) => family[i]!.p - family[j]!.p);
  const adjusted = family.map(() => Number.NaN);
  let largest = 0;
  order.forEach((index, rank) => {
    largest = Math.min(1, Math.max(largest, (order.length - rank) * family[index]!.p));
    adjusted[index] = largest;
  });
  return family.map((one, index) => ({ ...one, adjusted: adjusted[index]! }));
}

/**
 * The comparisons behind one answer: Holm's p, the same of equivalence within `margin`, and the detectable difference. With
 * the others as they are, r of them different, Holm calls the one different just where its p is at most 5 % / (m − r).
 * At most one of "no difference" and "at least the margin" is true, so that the two adjustments hold together.
 * Comparisons of too few pieces are not in the family: they cannot be certain, and would cost the others power.
 */
export function inFamily(comparisons: Comparison[], margin?: number): Comparison[] {
  const members = comparisons.filter(isCertain);
  const adjusted = holm(members);
  const equivalences = margin === undefined ? [] : holm(members.map((one) => ({ p: pOfEquivalence(one, margin) })));
  const different = adjusted.filter((one) => one.adjusted < alpha).length;
  return comparisons.map((one) => {
    const at = members.indexOf(one);
    if (at < 0) return { ...one, adjusted: Number.NaN, adjustedEquivalence: Number.NaN };
    const others = different - (adjusted[at]!.adjusted < alpha ? 1 : 0);
    const equivalence = equivalences[at]?.adjusted;
    return {
      ...adjusted[at]!,
      ...definite({ adjustedEquivalence: equivalence }),
      family: members.length,
      detectable: baseOf(one.basis).detectable(one.basis, alpha / Math.max(1, members.length - others)),
    };
  });
}

/**
 * The differences that hold in their own family, but not in a report of all these families: families are selected by Simes'
 * p under Benjamini and Hochberg's rule, R of M, and tested inside at 5 % · R/M (Benjamini & Bogomolov 2014). Over the
 * families that show something the mean chance of a false difference in them then is at most 5 %.
 */
export function uncertainOverall(families: Comparison[][]): Comparison[] {
  const tested = families.map((family) => family.filter(isCertain)).filter((family) => family.length > 0);
  const simes = tested.map((family) => {
    const sorted = family.map(({ p }) => p).sort((a, b) => a - b);
    return Math.min(...sorted.map((p, i) => (p * sorted.length) / (i + 1)));
  });
  const ranked = simes.toSorted((a, b) => a - b);
  const selected = ranked.findLastIndex((p, i) => p <= (alpha * (i + 1)) / ranked.length) + 1;
  const level = (alpha * selected) / ranked.length;
  return tested.flatMap((family, i) =>
    family.filter(
      ({ p, adjusted = p }) => adjusted < alpha && (simes[i]! > level || selected === 0 || adjusted >= level),
    ),
  );
}

function isCertain({ p, basis, clusters, detectable, needed }: Comparison): boolean {
  if (needed !== undefined || Number.isNaN(p)) return false;
  return baseOf(basis).pieces(basis, clusters) >= fewestPieces && Number.isFinite(detectable);
}
