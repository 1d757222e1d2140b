import { z } from "zod";
import { below, endpointsIn, type Hub } from "./hub.js";

/** Files come from a host of their own; lists are those of its GitLab. */
const files = "https://download.wisemodel.cn/";
const site = "https://wisemodel.cn/";

const treePage = z.array(z.looseObject({ type: z.string(), path: z.string() }));

/** Repositories of wisemodel. It states no digests, and has no tokens for downloads. */
export const wisemodel: Hub = {
  title: "wisemodel",
  schemes: ["wisemodel"],
  revision: "main",
  endpoints: () => endpointsIn("WISEMODEL_ENDPOINT", files) ?? [new URL(files)],
  access: {
    takesToken: () => false,
    token: () => undefined,
    refusal: () => ({
      reason: "the hub gives no access",
      hint: "Check the name; private repositories of wisemodel are fetched with its own client: give the file's path then.",
    }),
  },
  file: (at, { owner, name, revision }, path) =>
    below(at, "file-proxy", owner, name, "-", "raw", revision, ...path.split("/")),
  list(at, { owner, name, revision }) {
    const server = at.origin === new URL(files).origin ? new URL(site) : at;
    const url = below(server, "api", "v4", "projects", `${owner}/${name}`, "repository", "tree");
    for (const [key, value] of Object.entries({ ref: revision, recursive: "true", per_page: "100" }))
      url.searchParams.set(key, value);
    return url;
  },
  readList(page) {
    const { success, data } = treePage.safeParse(page);
    return success ? data.filter(({ type }) => type === "blob").map(({ path }) => ({ path })) : undefined;
  },
  page: (url) => ([new URL(files).hostname, new URL(site).hostname].includes(url.hostname) ? url : undefined),
};
