import { BenchError } from "../errors.js";
import { addressWithoutSecrets } from "../secrets.js";
import { type Hub, hubOf, hubs, type Repository } from "./hubs/index.js";

/** How a user names a model, told apart. */
export type ModelAddress =
  | { kind: "path"; path: string }
  | { kind: "web"; url: URL; authorization?: string; hub?: Hub }
  | { kind: "hub"; hub: Hub; repository: Repository; wanted: Wanted }
  | { kind: "ollama"; name: string };

/** A file of a repository, or a quantization, of which the hub or its list of files says which file it is. */
export type Wanted = { file: string } | { quant: string | undefined };

const scheme = (model: string) => model.match(/^([a-z][a-z0-9+.-]+):/i)?.[1]?.toLowerCase();

/** Whether a model is fetched, rather than found on this machine. */
export function isRemote(model: string): boolean {
  const found = scheme(model);
  return found !== undefined && (/^https?$/.test(found) || hubOf(found) !== undefined);
}

const forms = "A model is a path, hf:owner/repo:quant, ms:owner/repo:file.gguf, wisemodel:…, ollama:NAME or https://…";

/** Throws a BenchError `model-source` for an address that is none, or of a kind that is not known. */
export function parseAddress(model: string): ModelAddress {
  const found = scheme(model);
  if (found === undefined) return { kind: "path", path: model };
  if (found === "file") return { kind: "path", path: model.replace(/^file:(\/\/)?/i, "") };
  if (found === "ollama") return { kind: "ollama", name: model.slice("ollama:".length).replace(/^\/\//, "") };
  if (/^https?$/.test(found)) return webAddress(model);
  const hub = hubOf(found);
  if (hub) return hubAddress(model, hub);
  throw new BenchError("model-source", `"${addressWithoutSecrets(model)}": no source of models is named ${found}:.`, {
    hint: forms,
  });
}

/** User and password belong to the host of the address; a page of a hub stands for the file that it shows. */
function webAddress(model: string): ModelAddress {
  const shown = addressWithoutSecrets(model);
  if (!URL.canParse(model)) throw new BenchError("model-source", `"${shown}" is no address.`, { hint: forms });
  const url = new URL(model);
  const { username, password } = url;
  url.username = "";
  url.password = "";
  url.hash = "";
  if (/\.part\d+of\d+$/.test(url.pathname))
    throw new BenchError("model-source", `"${shown}" is a piece of a file that was cut by bytes.`, {
      hint: "Fetch all pieces, join them with `cat`, and give the path of the whole.",
    });
  const basic = Buffer.from(`${decoded(username)}:${decoded(password)}`).toString("base64");
  const authorization: { authorization?: string } = username || password ? { authorization: `Basic ${basic}` } : {};
  for (const hub of authorization.authorization === undefined ? hubs : []) {
    const listed = hub.listed?.(url);
    if (!listed) continue;
    const { path, ...repository } = listed;
    const wrong = () => new BenchError("model-source", `"${shown}" is no file of a hub.`, { hint: forms });
    return { kind: "hub", hub, repository, wanted: { file: tidy(path, wrong) } };
  }
  for (const hub of hubs) {
    const page = hub.page(url);
    if (page) return { kind: "web", url: page, hub, ...authorization };
  }
  return { kind: "web", url, ...authorization };
}

/**
 * `hf:owner/repo:quant@revision` and `hf:owner/repo:folder/file.gguf@revision`; `hf:owner/repo` is the usual quantization. The
 * form `hf:owner/repo/folder/file.gguf#branch` is that of llama.cpp's bindings. A name with a stop or a slash is a file's.
 */
function hubAddress(model: string, hub: Hub): ModelAddress {
  const wrong = (hint = forms) =>
    new BenchError("model-source", `"${addressWithoutSecrets(model)}" is no file of a hub.`, { hint });
  const [, owner, name, rest = ""] = model.match(/^[a-z]+:(?:\/\/)?([^/?#:@]+)\/([^/?#:@]+)([/:@#][^?]*)?$/i) ?? [];
  if (!owner || !name || [owner, name].some((part) => /^\.+$/.test(part))) throw wrong();
  const repository = (revision: string | undefined) => ({ owner, name, revision: revision || hub.revision });
  const [, path, branch] = rest.match(/^\/([^#]+)(?:#(.+))?$/) ?? [];
  if (path !== undefined) {
    const [, file = path, revision] = path.match(/^(.+\.gguf)@(.+)$/i) ?? [];
    return { kind: "hub", hub, repository: repository(branch ?? revision), wanted: { file: tidy(file, wrong) } };
  }
  const [, what, revision] = rest.match(/^(?::([^:@#]+))?(?:[@#](.+))?$/) ?? [];
  if (rest !== "" && what === undefined && revision === undefined) throw wrong();
  const wanted = what !== undefined && /[./]/.test(what) ? { file: tidy(what, wrong) } : { quant: what };
  return { kind: "hub", hub, repository: repository(revision), wanted };
}

/** A path inside a repository, which none can lead out of. */
function tidy(path: string, wrong: () => BenchError): string {
  const parts = path.split("/");
  if (parts.some((part) => part === "" || /^\.+$/.test(part))) throw wrong();
  return path;
}

/** The text behind percent signs, or the same where there is none. */
export function decoded(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

/** Whether a text is meant as a model: an address, or the path of a file. */
export const isModelAddress = (text: string) => scheme(text) !== undefined || /\.gguf$/i.test(text);
