import { sha256 } from "../digest.js";

/** How llama.cpp reads the keys of a tokenizer's kind where a file does not say them (`llama_vocab::impl::load`). */
interface TokenizerKind {
  bos: number | undefined;
  unknown: number | undefined;
  addsBos: boolean;
  addsSpace: boolean;
  /** Keys that only this kind looks at. */
  reads: string[];
}

const none = { bos: undefined, unknown: undefined, addsBos: false, addsSpace: false };
const kinds: Record<string, TokenizerKind> = {
  llama: { ...none, bos: 1, unknown: 0, addsBos: true, addsSpace: true, reads: ["scores"] },
  gpt2: { ...none, bos: 11, reads: ["pre", "merges"] },
  gemma4: { ...none, addsBos: true, reads: ["merges"] },
  bert: { ...none, bos: 101, unknown: 100, addsBos: true, reads: [] },
  t5: { ...none, unknown: 2, reads: ["scores", "precompiled_charsmap"] },
  rwkv: { ...none, reads: [] },
};
/** Pre-tokenizers of `gpt2` that add BOS unless the file says otherwise. */
const addBos = new Set(
  "llama3 llama-v3 llama-bpe falcon3 falcon-h1 pixtral midm-2.0 lfm2 jina-v5-nano tekken chameleon".split(" "),
);

/** Keys of a kind that is not known here, as they stand. */
const allKeys = "pre scores merges precompiled_charsmap bos_token_id unknown_token_id".split(" ");

/**
 * Digest of what decides how a plain text becomes ids, with llama.cpp's defaults for what the file leaves out, and without
 * the keys that its kind of tokenizer does not look at; tokens after the text's end are not scored. Equal digests: equal ids for every text. The reverse does not
 * hold: two that differ may still cut a given text alike.
 */
export function tokenizerBehaviour(metadata: Record<string, unknown>): string {
  const of = (key: string) => metadata[`tokenizer.ggml.${key}`];
  const model = String(of("model") ?? "");
  const pre = String(of("pre") ?? "") || "default";
  const kind = Object.hasOwn(kinds, model) ? kinds[model] : undefined;
  const tokens = list(of("tokens"));
  const addsBos = beginsWithBos(metadata);
  const inVocabulary = (id: unknown, otherwise: number | undefined) => {
    const number = Number(id ?? -1);
    return Number.isInteger(number) && number >= 0 && number < tokens.length ? number : (otherwise ?? -1);
  };
  const types = list(of("token_type"));
  const parts: Record<string, unknown> = {
    model,
    tokens,
    types: types.length > 0 ? types.map(Number) : tokens.map(() => 1),
    addsBos,
    addsSpace: flag(of("add_space_prefix"), kind?.addsSpace ?? false),
    bos: addsBos ? inVocabulary(of("bos_token_id"), kind?.bos) : -1,
    unknown: kind?.unknown === undefined ? -1 : inVocabulary(of("unknown_token_id"), kind.unknown),
    squeezes: flag(of("remove_extra_whitespaces"), false),
    normalizer: [of("normalizer.lowercase"), of("normalizer.strip_accents")].map((value) => value ?? null),
  };
  for (const key of kind?.reads ?? allKeys) parts[key] = key === "pre" ? pre : (of(key) ?? null);
  return digest(parts);
}

/** Whether llama.cpp puts BOS before texts. */
export function beginsWithBos(metadata: Record<string, unknown>): boolean {
  const of = (key: string) => metadata[`tokenizer.ggml.${key}`];
  const model = String(of("model") ?? "");
  const kind = Object.hasOwn(kinds, model) ? kinds[model] : undefined;
  return flag(of("add_bos_token"), kind !== undefined && (kind.addsBos || addBos.has(String(of("pre") ?? ""))));
}

/** The BOS token that llama.cpp silently assumes when texts begin with BOS and the file does not name the token. */
export function assumedBos(metadata: Record<string, unknown>): string | undefined {
  const of = (key: string) => metadata[`tokenizer.ggml.${key}`];
  const model = String(of("model") ?? "");
  const kind = Object.hasOwn(kinds, model) ? kinds[model] : undefined;
  if (!beginsWithBos(metadata) || of("bos_token_id") !== undefined || kind?.bos === undefined) return undefined;
  const token = list(of("tokens"))[kind.bos];
  return token === undefined
    ? undefined
    : `it begins texts with BOS, but does not say which token that is: llama.cpp takes token ${kind.bos}, ${JSON.stringify(token)}`;
}

/** The texts that llama.cpp reads as special tokens where it parses a prompt: those of control tokens, and the unknown one. */
export function specialTexts(metadata: Record<string, unknown>): string[] {
  const types = list(metadata["tokenizer.ggml.token_type"]);
  const tokens = list(metadata["tokenizer.ggml.tokens"]);
  return tokens.filter((_, id) => [2, 3].includes(Number(types[id]))).map(String);
}

/** Digest of the texts of all tokens, in order. */
export function vocabularyDigest(metadata: Record<string, unknown>): string {
  return digest(list(metadata["tokenizer.ggml.tokens"]));
}

const list = (value: unknown): unknown[] => (Array.isArray(value) ? value : []);
const flag = (value: unknown, otherwise: boolean) => (typeof value === "boolean" ? value : otherwise);

/** JSON, but for 64-bit integers, which JSON has no form for. */
function digest(value: unknown): string {
  const text = JSON.stringify(value, (_, one) => (typeof one === "bigint" ? `${one}` : one));
  return sha256(text);
}
