import { BenchError } from "../../errors.js";
import type { Access } from "../download/index.js";

/** A repository of a hub, at a branch, tag or commit. */
export interface Repository {
  owner: string;
  name: string;
  revision: string;
}

/** A file of a repository, as the hub's list states it. */
export interface RepositoryFile {
  /** Folders before it, with `/`. */
  path: string;
  bytes?: number;
  /** 64 hexadecimal digits. */
  sha256?: string;
}

/** A site that holds repositories of models. A member knows its routes, its tokens and its remedies; nobody else does. */
export interface Hub {
  /** As messages name it. */
  readonly title: string;
  /** What addresses begin with, the usual one first. */
  readonly schemes: readonly string[];
  /** The branch of repositories where none is named. */
  readonly revision: string;
  readonly access: Access;
  /** Servers of it, in the order in which they are asked. Throws a BenchError `config` where a variable holds no address. */
  endpoints(): URL[];
  /** Where a file is fetched from. */
  file(endpoint: URL, repository: Repository, path: string): URL;
  /** Where a file of a repository of data is fetched from, on a hub that has such. */
  data?(endpoint: URL, repository: Repository, path: string): URL;
  /** Where the list of files is, in pages. */
  list(endpoint: URL, repository: Repository): URL;
  /** The files of a page; undefined if it is no list. */
  readList(page: unknown): RepositoryFile[] | undefined;
  /** The mirrors that users name hold what this hub holds. */
  readonly mirrored?: true;
  /** The list states every file's sha256, and downloads do not: it is asked before a file is fetched. */
  readonly listFirst?: true;
  /** Where the hub itself says which file a quantization is, for the branch `revision`. */
  quantization?(endpoint: URL, repository: Repository, quant: string): URL;
  /** The address of the file that a web page of this hub shows; undefined for an address of another site. */
  page(url: URL): URL | undefined;
  /** The file of a repository that a web address stands for, where the hub's list knows more of it than its server says. */
  listed?(url: URL): { owner: string; name: string; revision: string; path: string } | undefined;
}

/** An address below an endpoint, its parts encoded. */
export function below(endpoint: URL, ...parts: string[]): URL {
  return new URL(parts.map(encodeURIComponent).join("/"), endpoint);
}

/** The addresses in a variable, separated by commas or blanks; undefined if it is not set. */
export function endpointsIn(variable: string, usual: string): URL[] | undefined {
  const given = process.env[variable]?.split(/[\s,]+/).filter(Boolean) ?? [];
  if (given.length === 0) return undefined;
  return given.map((one) => endpoint(one, variable, `or unset it: models then come from ${new URL(usual).host}.`));
}

/** A server's address with a slash at its end, without user and password. */
export function endpoint(given: string, name: string, otherwise = "or leave it out."): URL {
  if (!/^https?:/i.test(given) || !URL.canParse(given))
    throw new BenchError("config", `${name} is no address`, { hint: `Write it as https://HOST, ${otherwise}` });
  const { origin, pathname } = new URL(given);
  return new URL(pathname.endsWith("/") ? pathname : `${pathname}/`, origin);
}
