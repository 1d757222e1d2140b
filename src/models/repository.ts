import { basename } from "node:path";
import { BenchError } from "../errors.js";
import { several } from "../harmless.js";
import { addressWithoutSecrets } from "../secrets.js";
import { recall, remember } from "./cache.js";
import { type Address, downloadError, fetchJson, fetchPages, type Transfer } from "./download/index.js";
import { endpoint, type Hub, type Repository, type RepositoryFile } from "./hubs/index.js";

/** A repository, and the servers that are asked for it in turn. */
export interface ServedRepository {
  hub: Hub;
  repository: Repository;
  endpoints: URL[];
  /** As the user named it, without secrets. */
  shown: string;
}

/** `mirrors`: servers that hold what Hugging Face holds, asked after its own. */
export function servedRepository(
  hub: Hub,
  repository: Repository,
  model: string,
  mirrors: readonly string[] = [],
): ServedRepository {
  const own = hub.endpoints();
  const more = hub.mirrored ? mirrors.map((one) => endpoint(one, `the mirror ${one}`)) : [];
  const others = more.filter(({ href }) => !own.some((one) => one.href === href));
  return { hub, repository, endpoints: [...own, ...others], shown: addressWithoutSecrets(model) };
}

/** An address of a place at its n-th server. */
export function addressAt(place: ServedRepository, url: URL, server: number): Address {
  const { shown, hub, endpoints } = place;
  return { url, shown: server === 0 ? shown : `${shown} at ${endpoints[server]!.host}`, hub: hub.access };
}

/** Does something at the first server that can; what those before it said is told where none can. */
export async function atFirst<Server, Result>(
  { endpoints }: { endpoints: readonly Server[] },
  action: (endpoint: Server, server: number) => Promise<Result>,
): Promise<Result> {
  const faults: BenchError[] = [];
  for (const [server, endpoint] of endpoints.entries())
    try {
      return await action(endpoint, server);
    } catch (error) {
      faults.push(passable(error));
    }
  throw together(faults);
}

/** The same error, where another server may do better; throws every other one. */
export function passable(error: unknown): BenchError {
  if (error instanceof BenchError && ["model-download", "model-missing"].includes(error.code)) return error;
  throw error;
}

/** Several servers' faults as one. */
export function together([first, ...others]: readonly BenchError[]): BenchError {
  if (others.length === 0) return first!;
  const last = others.at(-1)!;
  const more = others.length > 1 ? `${others.length} other servers` : "another server";
  return new BenchError(first!.code, `${first!.message.replace(/\.$/, "")}; ${more} had no better answer.`, {
    hint: last.message,
    cause: first,
  });
}

/** All files of a repository, as its first server that answers lists them. Throws a BenchError `model-download`. */
export async function listFiles(place: ServedRepository, transfer: Transfer): Promise<RepositoryFile[]> {
  const { hub, repository } = place;
  return atFirst(place, async (at, server) => {
    const address = addressAt(place, hub.list(at, repository), server);
    const pages = await fetchPages(address, fewer(place, server, transfer));
    return pages.flatMap((page) => {
      const files = hub.readList(page);
      if (!files) throw downloadError(address, `${hub.title} sends no list of files`);
      return files;
    });
  });
}

/** A server behind which others wait is not given as long as the last one. */
export function fewer<T extends Transfer>(
  { endpoints }: { endpoints: readonly unknown[] },
  server: number,
  transfer: T,
): T {
  return server < endpoints.length - 1 ? { patience: 20_000, tries: 2, ...transfer } : transfer;
}

/**
 * The file that a quantization is: as the hub says to llama.cpp, where it does, else by its name in the list of files. The
 * last answer stands in for a hub that is not reached.
 */
export async function fileOfQuantization(
  place: ServedRepository,
  quant: string | undefined,
  transfer: Transfer,
): Promise<string> {
  try {
    const file = isTold(place) ? await toldFile(place, quant, transfer) : await listedFile(place, quant, transfer);
    await remember(lastAnswer(place, quant), [], file);
    return file;
  } catch (error) {
    transfer.signal?.throwIfAborted();
    const before = await lastFileOfQuantization(place, quant);
    if (before !== undefined) return before;
    throw error;
  }
}

/** What was answered last; undefined where nothing was. */
export function lastFileOfQuantization(
  place: ServedRepository,
  quant: string | undefined,
): Promise<string | undefined> {
  return recall<string>(lastAnswer(place, quant), []);
}

const isTold = ({ hub, repository }: ServedRepository) =>
  hub.quantization !== undefined && repository.revision === hub.revision;

function lastAnswer({ hub, repository, endpoints }: ServedRepository, quant = "latest"): string {
  return `file of ${quant} in ${hub.list(endpoints[0]!, repository).href}`;
}

async function toldFile(place: ServedRepository, quant = "latest", transfer: Transfer): Promise<string> {
  const { hub, repository, shown } = place;
  return atFirst(place, async (at, server) => {
    const address = addressAt(place, hub.quantization!(at, repository, quant), server);
    // Only llama.cpp is told the file.
    const manifest = await fetchJson(address, "llama-cpp", fewer(place, server, transfer));
    const name = (manifest as { ggufFile?: { rfilename?: unknown } } | null)?.ggufFile?.rfilename;
    if (typeof name !== "string" || !/^[^/\\]/.test(name) || name.split("/").includes(".."))
      throw new BenchError("model-download", `${shown} could not be fetched: the hub names no GGUF file for it.`, {
        hint: `Name the file itself: hf:${repository.owner}/${repository.name}:FILE.gguf.`,
      });
    return name;
  });
}

async function listedFile(place: ServedRepository, quant: string | undefined, transfer: Transfer): Promise<string> {
  const files = await listFiles(place, transfer);
  const models = modelFiles(files);
  const [file, ...others] = matching(models, quant);
  if (file !== undefined && others.length === 0) return file;
  const names = models.map((path) => basename(path));
  const asked = quant === undefined ? "does not say which of its files is meant" : `has no file of ${quant} alone`;
  throw new BenchError(
    "model-download",
    `${place.shown}: the repository ${models.length > 0 ? asked : "holds no GGUF model"}.`,
    {
      hint: models.length > 0 ? `Name one, OWNER/REPO:FILE.gguf; there are ${several(names)}.` : "Check the name.",
    },
  );
}

/** The models among files, split ones by their first parts; matrices, adapters and projectors are none. */
export function modelFiles(files: readonly RepositoryFile[]): string[] {
  return files
    .map(({ path }) => path)
    .filter((path) => /\.gguf$/i.test(path) && !/(^|[-_./])(mmproj|imatrix)([-_./]|$)/i.test(path))
    .filter((path) => !/-\d{5}-of-\d{5}\.gguf$/i.test(path) || /-00001-of-\d{5}\.gguf$/i.test(path))
    .sort();
}

/** Those whose names end with a quantization, `model-Q4_K_M.gguf`; without one the usual one, or the only file. */
function matching(models: readonly string[], quant: string | undefined): string[] {
  if (quant === undefined || quant === "latest") {
    const usual = matching(models, "Q4_K_M");
    return usual.length > 0 ? usual : [...models];
  }
  const end = `${quant.toLowerCase()}`;
  return models.filter((path) => {
    const stem = path.replace(/(-\d{5}-of-\d{5})?\.gguf$/i, "").toLowerCase();
    return stem === end || (stem.endsWith(end) && /[-_./]/.test(stem.at(-end.length - 1)!));
  });
}
