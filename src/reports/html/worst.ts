import { metric as describe } from "../../metrics.js";
import { percent } from "../../units.js";
import { type Divergence, shownText } from "../divergence.js";
import { type Content, html } from "./markup.js";
import { folded, tableOf } from "./tables.js";

/** The tokens that each variant sees most unlike its reference, in their text where the run keeps it. */
export function worstTokens(divergences: Divergence[]): Content {
  const told = divergences.flatMap(({ job, where }) => (where && job.against !== job.variant ? [{ job, where }] : []));
  if (told.length === 0) return undefined;
  const several = new Set(told.map(({ job }) => job.measurement)).size > 1;
  const isTold = told.some(({ where }) => where.worst.some(({ text }) => text));
  const columns = [
    ...["chunk", "token of it"].map(right),
    ...(isTold ? ["text before the token", "the token", "the reference says", "the variant says"] : []).map(left),
    ...["distance", "p by the reference", "p by the variant"].map(right),
  ];
  const isPartly = isTold && told.some(({ where }) => where.worst.some(({ text }) => !text));
  const about = isTold
    ? `The ten tokens of each variant that it predicts most unlike its reference.${isPartly ? " A run keeps the text of three of a chunk; where there are more, the cells are empty." : ""}`
    : "The run keeps no text: tokens are named by their chunk (the first is 0) and their place in it.";
  return folded(
    "The worst tokens of each variant",
    html`<p class="small soft">${about} p is the probability of the token that follows in the text; ↵ is a line end, ␣ a blank at the edge of a token.</p>${told.map(
      ({ job, where }) => {
        const name = several ? `${job.variant}, ${job.measurement}` : job.variant;
        const { unit } = describe(where.metric);
        const rows = where.worst.map(({ item, place, before = place, distance, p, pReference, text }) => [
          ...[item, String(before)],
          ...(isTold ? shownText(text) : []),
          ...[`${distance.toFixed(3)} ${unit}`, percent(pReference, 1), percent(p, 1)],
        ]);
        return tableOf({ columns, rows, footnotes: [] }, `Largest distances of ${name}`);
      },
    )}`,
  );
}

const left = (text: string) => ({ text, align: "left" as const, minor: false });
const right = (text: string) => ({ text, align: "right" as const, minor: false });
