import type { Base } from "./basis.js";
import { type Score, score } from "./score.js";
import { type Proportion, share } from "./share.js";
import { type T, t } from "./t.js";

/** All that a test at any limit needs. Plain data: it goes into files as it is. */
export type Basis = T | Score | Proportion;

const bases: { [Kind in Basis["kind"]]: Base<Extract<Basis, { kind: Kind }>> } = { t, score, share };

/** The member of the family that answers for a basis. */
export const baseOf = (basis: Basis) => bases[basis.kind] as Base<Basis>;
