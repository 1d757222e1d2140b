import { stat } from "node:fs/promises";
import { basename, resolve } from "node:path";
import { z } from "zod";
import { keptSha256 } from "../models/cache.js";
import { openReference } from "../references/index.js";
import type { ReferenceHead } from "../references/reference.js";
import type { DataKind, Dataset } from "./data.js";

/** A file of distributions to compare with. */
export interface ReferenceData extends Dataset {
  kind: "reference";
  head: ReferenceHead;
}

const keys = {
  base: z
    .string()
    .min(1)
    .meta({
      description: "A file of `gguf-bench reference`, or of llama-perplexity --kl-divergence-base.",
      examples: ["model-F16.kld"],
    }),
};

export const reference: DataKind<ReferenceData, { base: string }> = {
  name: "reference",
  noun: "a stored reference",
  keys,

  async resolve({ base }, { baseDir }) {
    const path = resolve(baseDir, base);
    const opened = openReference(path);
    opened.close();
    const sha256 = await keptSha256(path);
    const { size: bytes } = await stat(path);
    return { kind: "reference", name: basename(path), path, sha256, bytes, reread: true, head: opened.head };
  },

  *asked({ name: _, path: __, note: ___, bytes: ____, reread: _____, ...asked }) {
    yield asked;
  },

  unfit({ name, head }, facts) {
    const { vocabulary, tokenizerSha256 } = head;
    if (vocabulary !== facts.vocabulary)
      return `${name} has a vocabulary of ${vocabulary} tokens, this model one of ${facts.vocabulary}`;
    // Files of earlier versions hold the digest of the metadata as they stand.
    if (tokenizerSha256 !== undefined && ![facts.tokenizerBehaviour, facts.tokenizerSha256].includes(tokenizerSha256))
      return `its tokenizer differs from that of the model that ${name} was written with; compare bits per byte`;
    return undefined;
  },
};
