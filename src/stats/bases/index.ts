import type { Base } from "./basis.js";
import { type Score, score } from "./score.js";
import { type Share, share } from "./share.js";
import { type T, t } from "./t.js";

/** What a test at any limit needs. Plain data: it goes into files as it is. */
export type Basis = T | Score | Share;

const bases: { [Kind in Basis["kind"]]: Base<Extract<Basis, { kind: Kind }>> } = { t, score, share };

/** What can be asked of a basis. */
export const baseOf = (basis: Basis) => bases[basis.kind] as Base<Basis>;
