import { basename } from "node:path";
import type { Benchmark, VariantConfig } from "../benchmark/index.js";
import { BenchError } from "../errors.js";
import type { VariantRecord } from "../events.js";
import { several } from "../harmless.js";
import { measurementOn } from "../measurements/index.js";
import { nearest } from "../yaml.js";

/** The variants with the one named as the reference of all others, whatever each said; unchanged when none is named. */
export function namedReference(variants: VariantConfig[], named: string | undefined): VariantConfig[] {
  if (named === undefined) return variants;
  const bare = basename(named).replace(/\.gguf$/i, "");
  const one =
    variants.find(({ name, model }) => name === named || model === named) ?? variants.find(({ name }) => name === bare);
  if (!one)
    throw new BenchError("config", `--reference ${named}: no variant has that name`, {
      hint: nearest(
        named,
        variants.map(({ name }) => name),
      ),
    });
  return variants.map(({ against: _, ...variant }) => ({ ...variant, reference: variant.name === one.name }));
}

/**
 * The variant that all others are compared with: the one that the benchmark says, else the one with the most bits per
 * weight, the first of several alike. Nobody is chosen where the file says who is compared with whom, and where one
 * variant stands alone that nothing compares. A variant that is chosen is marked in its record. `waiting`: those of which nothing is
 * known before they are fetched or made; the choice is final when there are none.
 */
export function chooseReference(
  { variants: all, measurements: asked }: Benchmark,
  variants: VariantRecord[],
  waiting: string[],
): { reference?: string; notes: string[]; final: boolean } {
  const said = all.find((variant) => variant.reference);
  if (said) {
    const out = variants.some(({ name }) => name === said.name) ? "" : ", which --only or --exclude leaves out";
    return { reference: said.name, notes: all.length > 1 ? [`reference: ${said.name}${out}`] : [], final: true };
  }
  const compares = asked.some(({ kind, on }) => measurementOn(kind, on).mode.kind === "together");
  const final = waiting.length === 0;
  if (variants.some(({ against }) => against !== undefined) || (variants.length < 2 && !compares))
    return { notes: [], final };
  const known = variants.filter(({ facts }) => facts !== undefined);
  const most = Math.max(...known.map(({ facts }) => facts!.bpw));
  const [first, ...alike] = known.filter(({ facts }) => facts!.bpw === most);
  const later = final ? [] : [`not considered as the reference before it is here: ${several(waiting)}`];
  if (!first) return { notes: final ? ["reference: none, because no model could be read"] : later, final };
  first.reference = true;
  const unread = variants.filter(({ failure }) => failure !== undefined).map(({ name }) => name);
  const why =
    variants.length === 1
      ? "the only variant"
      : alike.length === 0
        ? "most bits per weight"
        : `the first of ${alike.length + 1} with the most bits per weight; --reference NAME takes another`;
  return {
    reference: first.name,
    notes: [
      `reference: ${first.name} (${why})`,
      ...(unread.length > 0 ? [`not considered as the reference, because it cannot be read: ${several(unread)}`] : []),
      ...later,
    ],
    final,
  };
}
