import { digestOfParts } from "../digest.js";
import { type Place, placeDigest } from "../executors/index.js";

/** A model as its figures depend on it. */
export interface Computed {
  /** Digest of the weights. */
  model: string;
  lora: { sha256: string; scale: number }[];
  /** Settings of the engine that decide the figures. */
  settings: Record<string, unknown>;
}

/** All that decides a job's figures but where it is measured: the same on every machine. */
export interface JobQuestion {
  variant: Computed;
  /** The reference of a job that compares with one. */
  against?: Computed;
  backend: string;
  kind: string;
  /** The version of the measurement's scoring rule. */
  rule: number;
  settings: Record<string, unknown>;
  /** Digest of the data as models are asked. */
  dataset?: string;
}

/** Digests of 16 hexadecimal digits: of the question, of the place, and of both. */
interface Identity {
  id: string;
  question: string;
  place: string;
}

/** The one way from what is asked, and where, to a job's id. `machineBound`: the whole machine decides, as it does for speed. */
export function identify(question: JobQuestion, place: Place, { machineBound }: { machineBound: boolean }): Identity {
  const asked = digestOfParts(question);
  const where = placeDigest(place, machineBound);
  return { id: digestOfParts([asked, where]), question: asked, place: where };
}
