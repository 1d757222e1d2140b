import type { VariantRecord } from "../events.js";
import { metric as describe, isDistance } from "../metrics.js";
import { byNumber } from "../units.js";
import type { Says } from "./words.js";

/** A question before it is answered. */
export interface Asked {
  title: string;
  pairs: [a: string, b: string][];
  /** The variant that all others are held against: what do they cost? */
  base?: string;
  /** Makes an answer per metric out of the pairs; absent where each pair is a question of its own. */
  says?: Says;
  /** Whether a metric does not bear on this question. */
  without?: (metric: string) => boolean;
}

/** The traits that tell variants apart, from their tags or their files. */
interface Traits {
  version: string;
  quant: string;
  imatrix: boolean;
  /** All that must be alike in a pair. */
  rest: string;
}

function traitsOf({ tags, facts, backend, settings }: VariantRecord): Traits {
  const { version = "", quant = facts?.quant ?? "", imatrix, ...others } = tags;
  const said = imatrix === undefined ? undefined : !["false", "no", "none", "off", "0", ""].includes(imatrix);
  return {
    version,
    quant,
    imatrix: said ?? facts?.imatrix !== undefined,
    rest: JSON.stringify([Object.entries(others).sort(), backend, settings]),
  };
}

/** The same model's file: so said by tags, or by its name and number of weights, which quantization keeps. */
const sameModel = (a: VariantRecord, b: VariantRecord) =>
  (a.tags.imatrix !== undefined && b.tags.imatrix !== undefined) ||
  (a.facts?.architecture === b.facts?.architecture &&
    a.facts?.parameters === b.facts?.parameters &&
    a.facts?.name === b.facts?.name);

/** The questions that a run can answer, by its variants' tags and files. */
export function askedOf(variants: VariantRecord[]): Asked[] {
  const named = variants.map((variant) => ({ variant, traits: traitsOf(variant) }));
  const reference = variants.find((variant) => variant.reference);
  const bases = new Map<string, [string, string][]>();
  for (const { name, against = baseOf(name, named, reference) } of variants)
    if (against !== undefined && against !== name && variants.some((variant) => variant.name === against))
      bases.set(against, [...(bases.get(against) ?? []), [against, name]]);

  const pairs = (fits: (a: (typeof named)[number], b: (typeof named)[number]) => boolean) =>
    named.flatMap((a) =>
      named.flatMap((b): [string, string][] => (fits(a, b) ? [[a.variant.name, b.variant.name]] : [])),
    );
  const matrix = pairs(
    (a, b) =>
      !a.traits.imatrix &&
      b.traits.imatrix &&
      a.traits.quant !== "" &&
      a.traits.quant === b.traits.quant &&
      a.traits.version === b.traits.version &&
      a.traits.rest === b.traits.rest &&
      sameModel(a.variant, b.variant),
  );
  const versions = [...new Set(named.map(({ traits }) => traits.version))]
    .filter((version) => version !== "")
    .sort(byNumber);
  const steps = versions.slice(1).map(
    (version, i): Asked => ({
      title: `Is ${version} better than ${versions[i]}?`,
      says: { better: "better", worse: "worse" },
      // A distance from v1 does not say which is better.
      without: (metric) => isDistance(describe(metric)),
      pairs: pairs(
        (a, b) =>
          a.traits.version === versions[i] &&
          b.traits.version === version &&
          a.traits.quant === b.traits.quant &&
          a.traits.imatrix === b.traits.imatrix &&
          a.traits.rest === b.traits.rest,
      ),
    }),
  );
  const all: Asked[] = [
    {
      title: "Does the importance matrix help?",
      says: { better: "helps", worse: "harms" },
      // The same kernels compute the same number of weights.
      without: (metric) => describe(metric).per === "repetition",
      pairs: matrix,
    },
    ...steps,
    ...Array.from(bases, ([base, list]): Asked => ({ title: titleOf(base, list, variants), base, pairs: list })),
  ];
  return all.filter((question) => question.pairs.length > 0);
}

/** A file costs something against the one that it was made from; other models differ. */
function titleOf(base: string, pairs: [string, string][], variants: VariantRecord[]): string {
  const weights = (wanted: string) => {
    const facts = variants.find(({ name }) => name === wanted)?.facts;
    return facts && `${facts.architecture} ${facts.parameters}`;
  };
  const own = weights(base);
  const isOther = (name: string) => own !== undefined && weights(name) !== undefined && weights(name) !== own;
  return pairs.some(([, b]) => isOther(b)) ? `How do they differ from ${base}?` : `What does it cost against ${base}?`;
}

/** The reference; for another version than the reference's, the one of its own with the most bits per weight. */
function baseOf(
  name: string,
  named: { variant: VariantRecord; traits: Traits }[],
  reference: VariantRecord | undefined,
): string | undefined {
  if (!reference) return undefined;
  const versionOf = (wanted: string) => named.find(({ variant }) => variant.name === wanted)!.traits.version;
  if (versionOf(name) === versionOf(reference.name)) return reference.name;
  const own = named.filter(({ traits }) => traits.version === versionOf(name));
  return own.toSorted((a, b) => (b.variant.facts?.bpw ?? 0) - (a.variant.facts?.bpw ?? 0))[0]!.variant.name;
}
