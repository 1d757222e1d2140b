import { z } from "zod";
import type { VariantSpec } from "../../backends/backend.js";
import { findBackend, hasScheme, pathSettings, settingsOf } from "../../backends/index.js";
import { type Dataset, findKind } from "../../data/index.js";
import { definite } from "../../definite.js";
import { BenchError } from "../../errors.js";
import { measurementOn, measurements } from "../../measurements/index.js";
import { readModelFacts } from "../../models/gguf.js";
import type { MeasureRequest, TogetherRequest } from "../executor.js";
import { keyOfDone } from "./dispatch.js";
import { allowedOf, type FileSources, fetchNamed, findNamed, isNamed } from "./files.js";
import { type Assignment, itemOfKey, type NamedFile, type SentVariant } from "./messages.js";
import { receive } from "./parcels.js";
import type { RedisLink } from "./redis.js";

/** Why an assignment is not this worker's to measure. */
export interface Unable {
  reason: string;
  /** Whether that stays so. */
  ever: boolean;
}

/** Variants with the files of this machine. */
export interface FoundVariants {
  spec: VariantSpec;
  others: VariantSpec[];
}

/** Data that stay for what comes next. */
const mostData = 4;

interface ReceiverOptions extends FileSources {
  /** Threads of engines whose variant says none. */
  threads?: number;
  told(sentence: string): void;
}

/** Makes of what was sent the variants, requests and data of this machine: every path in them is one that it found itself. */
export class Receiver {
  /** Paths, by the digests of the files. */
  readonly #files = new Map<string, string>();
  #data: { sha256: string; data: Dataset }[] = [];

  constructor(
    private readonly link: RedisLink,
    private readonly options: ReceiverOptions,
  ) {}

  /** Files may have changed: they are looked for anew. */
  forget(): void {
    this.#files.clear();
  }

  /**
   * `offered`: whether others were offered it, who may have the files already; else none is fetched. Throws a BenchError for
   * what is no variant that a worker opens.
   */
  async variants(opening: Assignment["opening"], offered: boolean): Promise<FoundVariants | Unable> {
    const specs: VariantSpec[] = [];
    for (const one of [opening.variant, ...opening.others]) {
      await checkOpenable(one);
      const files = ["file" in one.model ? one.model.file : undefined, ...one.lora];
      const paths: (string | undefined)[] = [];
      for (const file of files) {
        const path = file && (await this.#pathOf(file, offered));
        if (typeof path === "object") return path;
        paths.push(path);
      }
      specs.push(await this.#spec(one, paths));
    }
    return { spec: specs[0]!, others: specs.slice(1) };
  }

  /** The request, with its data; undefined where Redis has them no longer. Throws a BenchError for what is none. */
  async request({ group, request }: Assignment): Promise<MeasureRequest | undefined> {
    const { kind, settings, data, only, share, together } = request!;
    const dataset = data && (await this.#dataset(data));
    if (data && !dataset) return undefined;
    if (!Object.hasOwn(measurements, kind)) throw refused("asks for a measurement that there is not");
    const measurement = measurementOn(kind, dataset?.kind);
    const checked = measurement.settings.safeParse(settings);
    if (!checked.success) throw refused(`has settings that are none of ${kind}`);
    const done = new Map<string, string[]>();
    for (const key of await this.link.redis.smembers(keyOfDone(group))) {
      const { job, item } = itemOfKey(key);
      const own = done.get(job);
      if (own) own.push(item);
      else done.set(job, [item]);
    }
    const withDone = (jobs: Omit<TogetherRequest, "done">[]) =>
      jobs.map((job) => ({ ...job, done: done.get(job.id) ?? [] }));
    return definite({
      ...{ kind, settings, dataset, only, share, done: done.get("") ?? [] },
      together: together && {
        jobs: withDone(together.jobs.map(definite)),
        riders: withDone(together.riders.map(definite)),
      },
    });
  }

  async #dataset({ sha256, file }: { sha256: string; file?: NamedFile | undefined }): Promise<Dataset | undefined> {
    const known = this.#data.find((one) => one.sha256 === sha256);
    if (known) return known.data;
    const received = await receive(this.link, sha256);
    if (received === undefined) return undefined;
    const found = file && (await this.#pathOf(file, true));
    if (typeof found === "object") throw new BenchError("dataset-missing", `this worker ${found.reason}`);
    const data = checkedData(received, found);
    this.#data = [...this.#data.slice(1 - mostData), { sha256, data }];
    return data;
  }

  async #pathOf(file: NamedFile, offered: boolean): Promise<string | Unable> {
    const known = this.#files.get(file.sha256);
    // Another file may have taken its place since.
    if (known !== undefined && (await isNamed(known, file))) return known;
    let path = await findNamed(file, this.options);
    if (path === undefined) {
      const sha = `${file.name} (sha256 ${file.sha256.slice(0, 12)})`;
      if (allowedOf(file, this.options).length === 0) return { reason: `has no ${sha}`, ever: true };
      if (!offered) return { reason: `has no ${sha} yet`, ever: false };
      this.options.told(`fetches ${file.name}`);
      path = await fetchNamed(file, this.options);
    }
    this.#files.set(file.sha256, path);
    return path;
  }

  async #spec(
    { name, backend, settings, model, lora }: SentVariant,
    [path, ...adapters]: (string | undefined)[],
  ): Promise<VariantSpec> {
    const { threads } = this.options;
    const takesThreads = threads !== undefined && "threads" in settingsOf(backend).shape;
    return {
      ...{ name, backend, settings: { ...(takesThreads ? { threads } : {}), ...settings } },
      ...("file" in model ? { model: path!, facts: await readModelFacts(path!) } : { model: model.known }),
      lora: lora.map(({ sha256, scale }, i) => ({ sha256, scale, path: adapters[i]! })),
    };
  }
}

const refused = (why: string) => new BenchError("server-refused", `the assignment ${why}`);

/** Throws a BenchError for a variant that would open something else than a model file in the worker's folders. */
async function checkOpenable({ name, backend, settings, model }: SentVariant): Promise<void> {
  if (!(await findBackend(backend)).builds) throw refused(`is for ${backend}, which a worker does not open`);
  const path = pathSettings(backend).find((key) => key in settings);
  if (path !== undefined) throw refused(`sets \`${path}\` of ${name}, which is a path`);
  if (!settingsOf(backend).safeParse(settings).success) throw refused(`has settings that are none of ${backend}`);
  if ("known" in model && !hasScheme(backend, model.known)) throw refused(`names the model of ${name} by a path`);
}

/** Data as they were sent; the only path in them is one that this worker found. */
function checkedData(received: unknown, path = ""): Dataset {
  const { data } = dataForm.safeParse(received);
  if (!data || !findKind(data.kind)) throw refused("has data of no known kind");
  if (data.reread !== undefined && path === "") throw refused("has data that name no file by its hash");
  return { ...data, path };
}

const dataForm = z.looseObject({
  kind: z.string(),
  name: z.string(),
  sha256: z.string(),
  bytes: z.number(),
  reread: z.literal(true).exactOptional(),
  note: z.string().exactOptional(),
});
