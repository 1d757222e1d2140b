import type { EngineFacts, VariantSpec } from "../../backends/backend.js";
import { findBackend } from "../../backends/index.js";
import { definite } from "../../definite.js";
import { BenchError } from "../../errors.js";
import { seconds } from "../../measurements/cost.js";
import { measurementOn } from "../../measurements/index.js";
import type {
  EngineWarning,
  MeasureReply,
  MeasureRequest,
  OpenedEngine,
  OpenedVariant,
  OpenOptions,
  RecordRequest,
} from "../executor.js";
import type { Dispatcher } from "./dispatch.js";
import { type Assignment, itemKey } from "./messages.js";
import type { Parcel } from "./parcels.js";
import { checkSendable, sentData, sentVariant } from "./sending.js";
import { SplitRequest } from "./split-request.js";

/** Parts that are on their way to Redis at the same time. */
const sentAtOnce = 10;

/** Where the parts of a request go. */
export interface Queues {
  /** The queue of whoever may open the variant. */
  any: string;
  /** That of the one worker that measures what depends on the machine. */
  host: string;
  tags: string[];
}

/** A variant that workers open. */
export class RemoteEngine implements OpenedEngine {
  facts!: EngineFacts;
  warnings: EngineWarning[] = [];
  others: OpenedVariant[] = [];
  alive = true;
  #opening: Assignment["opening"] | undefined;
  #variant: VariantSpec | undefined;
  #route: Queues | undefined;
  #stopped = false;
  readonly #groups = new Set<SplitRequest>();

  constructor(
    private readonly dispatcher: Dispatcher,
    private readonly routeOf: (variant: VariantSpec) => Queues,
    private readonly partsOf: (seconds: number | undefined) => number,
    private readonly closed: () => void,
  ) {}

  async become(variant: VariantSpec, { timeout, others = [], scratch, memory = 0 }: OpenOptions): Promise<void> {
    await checkSendable(variant);
    const route = this.routeOf(variant);
    const opening: Assignment["opening"] = {
      variant: await sentVariant(variant),
      others: await Promise.all(others.map(sentVariant)),
      timeout,
      memory,
      ...definite({ scratch }),
    };
    const group = this.#group();
    try {
      await group.send(route.any, { opening, tags: route.tags, shown: `opening ${variant.name}` }, { first: true });
      for await (const { assignment, worker, told } of group.letters())
        if (told.type === "opened") {
          const { facts, warnings, others } = told;
          this.facts = { ...facts, worker };
          this.warnings = warnings;
          this.others = others.map((one) => ({ ...one, facts: { ...one.facts, worker } }));
          await group.close(assignment);
          this.#opening = opening;
          this.#variant = variant;
          this.#route = route;
          return;
        }
    } finally {
      await group.end();
    }
    throw new BenchError("stopped", `${variant.name} was not opened: the run was stopped`);
  }

  async *measure(request: MeasureRequest): AsyncGenerator<MeasureReply> {
    const { kind, settings, dataset, done, only, together } = request;
    const data = dataset && (await sentData(dataset));
    const { machineBound } = measurementOn(kind, dataset?.kind);
    const queue = machineBound ? this.#route!.host : this.#route!.any;
    const of = machineBound ? 1 : this.partsOf(await this.#secondsOf(request));
    const strip = ({ done: _, ...job }: { id: string; done: string[] }) => job;
    const known = new Set([
      ...done.map((item) => itemKey(undefined, item)),
      ...[...(together?.jobs ?? []), ...(together?.riders ?? [])].flatMap((job) =>
        job.done.map((item) => itemKey(job.id, item)),
      ),
    ]);
    const group = this.#group({ known, parcels: data ? [data.parcel] : [] });
    const send = (part: number) =>
      group.send(queue, {
        opening: this.#opening!,
        tags: this.#route!.tags,
        shown: `${kind} of ${this.#opening!.variant.name}${of > 1 ? `, ${part}/${of}` : ""}`,
        request: {
          kind,
          settings,
          ...definite({
            data: data && definite({ sha256: data.parcel.sha256, file: data.file }),
            only,
            share: of > 1 ? { part, of } : undefined,
            together: together && { jobs: together.jobs.map(strip), riders: together.riders.map(strip) },
          }),
        },
      });
    try {
      // What all parts need is sent with the first.
      await send(1);
      for (let part = 2; part <= of; part += sentAtOnce)
        await Promise.all(Array.from({ length: Math.min(sentAtOnce, of - part + 1) }, (_, i) => send(part + i)));
      yield* group.replies();
    } finally {
      await group.end();
    }
  }

  /** A guess, on one worker. */
  async #secondsOf({ kind, settings, dataset, together }: MeasureRequest): Promise<number | undefined> {
    const { backend, settings: own, facts } = this.#variant!;
    const { settingsFacts } = await findBackend(backend);
    const shape = settingsFacts(own);
    const limits = { batch: shape.batch, ubatch: shape.ubatch, ...definite({ trained: facts?.contextLength }) };
    const cost = measurementOn(kind, dataset?.kind).cost(settings, dataset, limits);
    const one = seconds(facts, shape, cost);
    return one === undefined ? undefined : one * (1 + (together?.jobs.length ?? 0));
  }

  // biome-ignore lint/correctness/useYield: a reference is written where its file is to be
  async *record(_: RecordRequest): AsyncGenerator<MeasureReply> {
    throw new BenchError("config", "a reference is written on this machine, without a queue");
  }

  /** Whether something is asked for now. */
  get busy(): boolean {
    return this.#groups.size > 0;
  }

  /** Ends what is measured after the items at hand. */
  stop(): void {
    this.#stopped = true;
    for (const group of this.#groups) group.stop();
  }

  async close(): Promise<void> {
    this.alive = false;
    this.closed();
    for (const group of this.#groups) await group.end();
  }

  #group(options: { known?: Set<string>; parcels?: readonly Parcel[] } = {}): SplitRequest {
    const group: SplitRequest = new SplitRequest(this.dispatcher, {
      ...options,
      ended: () => this.#groups.delete(group),
    });
    this.#groups.add(group);
    // A stop may come while a request is being described.
    if (this.#stopped) group.stop();
    return group;
  }
}
