import { readFileSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import { z } from "zod";
import { definite } from "../../definite.js";
import { BadToken } from "../download/index.js";
import { below, endpoint, endpointsIn, type Hub } from "./hub.js";

const site = "https://www.modelscope.cn/";
/** Names of one site. */
const hosts = ["modelscope.cn", "www.modelscope.cn"];

const filesPage = z.looseObject({
  Data: z.looseObject({
    Files: z.array(
      z.looseObject({
        Path: z.string(),
        Type: z.string(),
        Size: z.int().min(0).optional(),
        Sha256: z.string().optional(),
      }),
    ),
  }),
});

/** `MODELSCOPE_ENDPOINT`, or `MODELSCOPE_DOMAIN` without a scheme, as with ModelScope's own client. */
function endpoints(): URL[] {
  const domain = process.env.MODELSCOPE_DOMAIN?.trim();
  const named = endpointsIn("MODELSCOPE_ENDPOINT", site);
  if (named || !domain) return named ?? [new URL(site)];
  return [endpoint(/^https?:/i.test(domain) ? domain : `https://${domain}`, "MODELSCOPE_DOMAIN")];
}

const isOwn = (url: URL) => hosts.includes(url.hostname) || endpoints().some(({ origin }) => origin === url.origin);

const takesToken = (url: URL) => url.origin === endpoints()[0]!.origin;

/** `MODELSCOPE_API_TOKEN`, or the file that `modelscope login` writes; it travels as the client's cookie. */
function token(): Record<string, string> | undefined {
  const { env } = process;
  let found = env.MODELSCOPE_API_TOKEN;
  try {
    found ||= readFileSync(join(env.MODELSCOPE_HOME || join(homedir(), ".modelscope"), "token"), "utf8");
  } catch {
    // Not logged in.
  }
  found = found?.trim();
  if (found && !/^[\x21\x23-\x2b\x2d-\x3a\x3c-\x5b\x5d-\x7e]+$/.test(found))
    throw new BadToken("the token for ModelScope holds characters that no token has", "Set MODELSCOPE_API_TOKEN anew.");
  return found ? { cookie: `m_session_id=${found}` } : undefined;
}

/** Repositories of ModelScope. */
export const modelScope: Hub = {
  title: "ModelScope",
  schemes: ["ms", "modelscope"],
  revision: "master",
  endpoints,
  access: {
    takesToken,
    token,
    refusal: (_, { withToken }) => ({
      reason: withToken ? "the hub refuses the token" : "the hub gives no access",
      hint: withToken
        ? "Check the name, and that the token of MODELSCOPE_API_TOKEN is valid and may read this model."
        : "Check the name. For a private model set MODELSCOPE_API_TOKEN=ms-… (from modelscope.cn/my/myaccesstoken).",
    }),
  },
  file: (at, { owner, name, revision }, path) =>
    below(at, "models", owner, name, "resolve", revision, ...path.split("/")),
  data: (at, { owner, name, revision }, path) =>
    below(at, "datasets", owner, name, "resolve", revision, ...path.split("/")),
  list(at, { owner, name, revision }) {
    const url = below(at, "api", "v1", "models", owner, name, "repo", "files");
    url.searchParams.set("Recursive", "true");
    url.searchParams.set("Revision", revision);
    return url;
  },
  readList(page) {
    const { success, data } = filesPage.safeParse(page);
    if (!success) return undefined;
    return data.Data.Files.filter(({ Type }) => Type !== "tree").map(({ Path, Size, Sha256 }) =>
      definite({ path: Path, bytes: Size, sha256: Sha256 ? Sha256.toLowerCase() : undefined }),
    );
  },
  listFirst: true,
  page: (url) => (isOwn(url) ? url : undefined),
  /** The page of a file, `/models/OWNER/REPO/file/view/REVISION/PATH`, and where it is fetched from. */
  listed(url) {
    const [, owner, name, revision, path] =
      url.pathname.match(/^\/models\/([^/]+)\/([^/]+)\/(?:file\/view|resolve)\/([^/]+)\/(.+)$/) ?? [];
    if (!isOwn(url) || !owner || !name || !revision || !path) return undefined;
    return { owner, name, revision: decodeURIComponent(revision), path: decodeURIComponent(path) };
  },
};
