import { metric as describe } from "../../metrics.js";
import { percent } from "../../units.js";
import type { Divergence } from "../divergence.js";
import { type Content, html } from "./markup.js";
import { folded, tableOf } from "./tables.js";

/** The tokens that each variant sees most unlike its reference, by their place. */
export function worstTokens(divergences: Divergence[]): Content {
  const told = divergences.flatMap(({ job, where }) => (where && job.against !== job.variant ? [{ job, where }] : []));
  if (told.length === 0) return undefined;
  const several = new Set(told.map(({ job }) => job.measurement)).size > 1;
  const columns = ["chunk", "token of it", "distance", "p by the reference", "p by the variant"].map((text) => ({
    text,
    align: "right" as const,
    minor: false,
  }));
  return folded(
    "The worst tokens of each variant",
    html`<p class="small soft">The text of a token is not part of a run: they are named by their chunk (the first is 0) and their place in it. p is the probability of the token that follows in the text.</p>${told.map(
      ({ job, where }) => {
        const name = several ? `${job.variant}, ${job.measurement}` : job.variant;
        const { unit } = describe(where.metric);
        const rows = where.worst.map(({ item, place, before = place, distance, p, pReference }) => [
          item,
          String(before),
          `${distance.toFixed(3)} ${unit}`,
          percent(pReference, 1),
          percent(p, 1),
        ]);
        return tableOf({ columns, rows, footnotes: [] }, `Largest distances of ${name}`);
      },
    )}`,
  );
}
