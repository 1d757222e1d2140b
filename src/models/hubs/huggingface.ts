import { readFileSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import { z } from "zod";
import { definite } from "../../definite.js";
import { BadToken } from "../download/index.js";
import { below, endpointsIn, type Hub } from "./hub.js";

const site = "https://huggingface.co/";

const treePage = z.array(
  z.looseObject({
    type: z.string(),
    path: z.string(),
    size: z.int().min(0).optional(),
    lfs: z.looseObject({ oid: z.string(), size: z.int().min(0) }).optional(),
  }),
);

/**
 * `MODEL_ENDPOINT` (llama.cpp's name) or `HF_ENDPOINT` (Hugging Face's own) name those that stand for it; the latter may name
 * several, each asked when those before it fail.
 */
function endpoints(): URL[] {
  return endpointsIn("MODEL_ENDPOINT", site) ?? endpointsIn("HF_ENDPOINT", site) ?? [new URL(site)];
}

/**
 * A token goes to Hugging Face and to the first mirror of `HF_ENDPOINT`, as with Hugging Face's own client. `MODEL_ENDPOINT`
 * may name a hub of another kind, which has tokens of its own.
 */
function takesToken(url: URL): boolean {
  return [new URL(site).origin, endpointsIn("HF_ENDPOINT", site)?.[0]?.origin].includes(url.origin);
}

/** `HF_TOKEN`, `HUGGING_FACE_HUB_TOKEN`, or the file that `hf auth login` writes. */
function token(): Record<string, string> | undefined {
  const { env } = process;
  const home = env.HF_HOME || join(env.XDG_CACHE_HOME || join(homedir(), ".cache"), "huggingface");
  let found = env.HF_TOKEN || env.HUGGING_FACE_HUB_TOKEN;
  try {
    found ||= readFileSync(env.HF_TOKEN_PATH || join(home, "token"), "utf8");
  } catch {
    // Not logged in.
  }
  found = found?.trim();
  if (found && !/^[\x21-\x7e]+$/.test(found))
    throw new BadToken("the token for Hugging Face holds characters that no token has", "Set HF_TOKEN anew.");
  return found ? { authorization: `Bearer ${found}` } : undefined;
}

const getOne = "set HF_TOKEN=hf_… (from huggingface.co/settings/tokens).";

/** Repositories of Hugging Face, and of what stands for it. */
export const huggingFace: Hub = {
  title: "Hugging Face",
  schemes: ["hf", "huggingface"],
  revision: "main",
  mirrored: true,
  endpoints,
  access: {
    takesToken,
    token,
    digestInEtag: true,
    limit: "A token in HF_TOKEN raises the hub's limit.",
    refusal(status, { withToken, url }) {
      if (status === 403)
        return {
          reason: "the hub gives no access",
          hint: `Accept the terms on its page${withToken ? ", with the account that HF_TOKEN belongs to." : ` and ${getOne}`}`,
        };
      if (withToken)
        return {
          reason: "the hub refuses the token",
          hint: "Check the name, and that the token of HF_TOKEN is valid; a gated model's terms are accepted on its page.",
        };
      return {
        reason: "the hub asks for a token, or has no such repository",
        hint: takesToken(url)
          ? `Check the name. For a gated or private model accept its terms on its page and ${getOne}`
          : "Check the name. HF_TOKEN goes to huggingface.co and to the first host of HF_ENDPOINT, and to no other.",
      };
    },
  },
  file: (at, { owner, name, revision }, path) => below(at, owner, name, "resolve", revision, ...path.split("/")),
  data: (at, { owner, name, revision }, path) =>
    below(at, "datasets", owner, name, "resolve", revision, ...path.split("/")),
  list(at, { owner, name, revision }) {
    const url = below(at, "api", "models", owner, name, "tree", revision);
    url.searchParams.set("recursive", "true");
    return url;
  },
  readList(page) {
    const { success, data } = treePage.safeParse(page);
    if (!success) return undefined;
    return data
      .filter(({ type }) => type === "file")
      .map(({ path, size, lfs }) => definite({ path, bytes: lfs?.size ?? size, sha256: lfs?.oid.toLowerCase() }));
  },
  quantization: (at, { owner, name }, quant) => below(at, "v2", owner, name, "manifests", quant),
  page(given) {
    const url = new URL(given);
    if (url.hostname === "hf.co") url.hostname = "huggingface.co";
    if (!takesToken(url) && !endpoints().some(({ origin }) => origin === url.origin)) return undefined;
    url.pathname = url.pathname.replace(/^(\/[^/]+\/[^/]+)\/blob\//, "$1/resolve/");
    url.searchParams.delete("download");
    return url;
  },
};
