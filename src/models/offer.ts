import { definite } from "../definite.js";
import { BenchError } from "../errors.js";
import { addressWithoutSecrets } from "../secrets.js";
import { parseAddress } from "./addresses.js";
import { recall, remember } from "./cache.js";
import { type Address, fetchRange, type Transfer, type Version } from "./download/index.js";
import { gather, type ModelFacts, type ModelPart, readPartOf } from "./gguf.js";
import type { RepositoryFile } from "./hubs/index.js";
import { type FetchOptions, nameOf, type Remote, remoteFiles, transferOf } from "./remote.js";
import { atFirst, fewer, listFiles, modelFiles, servedRepository } from "./repository.js";

/** A model that can be fetched, as its header tells. */
export interface OfferedModel {
  /** Its file in the repository; of a split model the first. */
  file: string;
  /** What to fetch or measure it by. */
  address: string;
  /** Of all its files, where the hub or its server says so. */
  bytes?: number;
  /** Absent where `fault` says why. */
  facts?: ModelFacts;
  fault?: string;
}

/** A file's header was not read, for its server sends whole files only. */
const wholeOnly = "its server sends whole files only, so that its header cannot be read by itself";

/** Bytes of the first request for a header, and of the largest header that is read. */
const firstPiece = 2_000_000;
const largestHeader = 256_000_000;
const atOnce = 4;

/**
 * The models of a repository (`hf:owner/repo`), or the one that an address names, with the facts of their headers. Nothing but
 * the headers is fetched, 1 to 10 MB of each file, and they are remembered. `progress` is told how many are read.
 *
 * Throws a BenchError for an address that is none of a hub or of the web, and for a repository that cannot be listed.
 */
export async function offeredModels(
  model: string,
  options: FetchOptions,
  progress: (read: number, of: number) => void = () => {},
): Promise<OfferedModel[]> {
  const address = parseAddress(model);
  if (address.kind !== "hub" && address.kind !== "web")
    throw new BenchError("model-source", `${addressWithoutSecrets(model)} is no repository.`, {
      hint: "Name one of a hub, hf:owner/repo or ms:owner/repo, or the address of a file.",
    });
  const transfer = transferOf(options);
  const listed: RepositoryFile[] =
    address.kind === "hub"
      ? await listFiles(servedRepository(address.hub, address.repository, model, options.mirrors), transfer)
      : [];
  const files: { file: string; one: string; at: typeof address }[] = [];
  if (address.kind === "hub" && "quant" in address.wanted && address.wanted.quant === undefined) {
    const { hub, repository } = address;
    const revision = repository.revision === hub.revision ? "" : `@${repository.revision}`;
    for (const file of modelFiles(listed)) {
      const one = `${hub.schemes[0]}:${repository.owner}/${repository.name}:${file}${revision}`;
      files.push({ file, one, at: { ...address, wanted: { file } } });
    }
    if (files.length === 0)
      throw new BenchError("model-download", `${addressWithoutSecrets(model)} holds no GGUF model.`, {
        hint: "Repositories of GGUF files often have -GGUF at the end of their names.",
      });
  } else files.push({ file: "", one: model, at: address });

  const offered: OfferedModel[] = [];
  let size = firstPiece;
  let read = 0;
  const offer = async ({ file, one, at }: (typeof files)[number]) => {
    const remotes = await remoteFiles(one, at, options, listed);
    const name = file || nameOf(remotes[0]!);
    try {
      const digest = listed.find(({ path }) => path === name)?.sha256;
      const { facts, header } = await headerFacts(remotes, size, digest, transfer);
      size = Math.max(size, header);
      offered.push({ file: name, address: addressWithoutSecrets(one), bytes: facts.bytes, facts });
    } catch (error) {
      transfer.signal?.throwIfAborted();
      if (!(error instanceof BenchError)) throw error;
      const bytes = bytesOf(name, listed);
      offered.push(definite({ file: name, address: addressWithoutSecrets(one), bytes, fault: error.message }));
    }
    progress(++read, files.length);
  };
  // The first header tells how long those of its siblings are.
  const [first, ...others] = files;
  await offer(first!);
  for (let at = 0; at < others.length; at += atOnce) await Promise.all(others.slice(at, at + atOnce).map(offer));
  return offered.sort((a, b) => (a.bytes ?? 0) - (b.bytes ?? 0) || a.file.localeCompare(b.file));
}

function bytesOf(file: string, listed: readonly RepositoryFile[]): number | undefined {
  const stem = file.replace(/-\d{5}-of-(\d{5})\.gguf$/i, "");
  const own = listed.filter(({ path }) => path === file || (stem !== file && path.startsWith(`${stem}-`)));
  const sizes = own.map(({ bytes }) => bytes);
  return sizes.length > 0 && sizes.every((one) => one !== undefined)
    ? sizes.reduce((sum, one) => sum + one, 0)
    : undefined;
}

/** What the headers of a model's files say, and how much of the first one was read. */
async function headerFacts(
  remotes: readonly Remote[],
  size: number,
  digest: string | undefined,
  transfer: Transfer,
): Promise<{ facts: ModelFacts; header: number }> {
  const key = remotes.length === 1 && digest !== undefined ? `header of ${digest}` : undefined;
  const known = key === undefined ? undefined : await recall<ModelFacts>(key, []);
  if (known) return { facts: known, header: 0 };
  const parts: ModelPart[] = [];
  const digests: string[] = [];
  let header = 0;
  for (const { addresses } of remotes) {
    const file = new RangedFile(addresses, transfer);
    const { bytes, sha256 = digest ?? "" } = await file.begin(size);
    parts.push(await readPartOf(addresses[0]!.shown, bytes, (from, to) => file.read(from, to)));
    digests.push(sha256);
    header ||= file.held;
  }
  const facts = await gather(parts, digests);
  if (key !== undefined) await remember(key, [], facts);
  return { facts, header };
}

/** The beginning of a file on a server, as far as it was asked for: each request doubles what is held. */
class RangedFile {
  #data = Buffer.alloc(0);
  #bytes = 0;
  #address: Address;

  constructor(
    readonly addresses: readonly Address[],
    readonly transfer: Transfer,
  ) {
    this.#address = addresses[0]!;
  }

  get held(): number {
    return this.#data.length;
  }

  /** Asks the first server that answers for so many bytes. Returns size and digest of the whole. */
  async begin(size: number): Promise<{ bytes: number; sha256?: string }> {
    const { bytes, sha256 } = await atFirst({ endpoints: this.addresses }, (address, server) => {
      this.#address = address;
      return this.#fetch(size, fewer({ endpoints: this.addresses }, server, this.transfer));
    });
    if (bytes === undefined) throw this.#fault("its server does not say how long it is");
    this.#bytes = bytes;
    return definite({ bytes, sha256 });
  }

  async read(from: number, to: number): Promise<Buffer> {
    const end = Math.min(to, this.#bytes);
    if (end > largestHeader) throw this.#fault("its header is longer than any");
    while (this.held < end) await this.#fetch(Math.min(Math.max(end, 2 * this.held), this.#bytes), this.transfer);
    return this.#data.subarray(from, end);
  }

  async #fetch(to: number, transfer: Transfer): Promise<Version> {
    const answer = await fetchRange(this.#address, { from: this.held, to }, transfer);
    if (!answer || answer.data.length === 0) throw this.#fault(wholeOnly);
    this.#data = Buffer.concat([this.#data, answer.data]);
    return answer.version;
  }

  #fault(reason: string): BenchError {
    return new BenchError("model-download", `${this.#address.shown}: ${reason}`);
  }
}
