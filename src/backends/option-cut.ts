import { definite } from "../definite.js";

/** Options that continue a shared prefix, all in tokens; prefix and each option hold at least one. */
export interface OptionRequest {
  prefix: Int32Array;
  /** From this position of the prefix on, 1 at least, its tokens begin every option and are scored as well. */
  scoreFrom: number;
  options: Int32Array[];
  /** Of each option, how many of its first tokens are context of its own, which is not scored; absent: none of any. */
  skip?: number[];
}

/**
 * The most that several questions packed into one batch may hold. `options` is 1 for a model that cannot share a prefix between
 * them; a single question may hold more `tokens`.
 */
export interface OptionBatch {
  tokens: number;
  options: number;
}

export interface Room extends OptionBatch {
  /** Tokens of a question with one option. */
  most: number;
}

/** A question in tokens. */
export interface CutQuestion {
  id: string;
  /** Undefined for a question that is not asked, with the reason. */
  reason?: string;
  /** The continuations as lm-eval cuts them, and as llama-perplexity does; mostly the same. */
  sums: TokenForm;
  means: TokenForm;
}

/** One way to cut a question into tokens. */
interface TokenForm {
  /** Scored tokens that all options begin with. */
  shared: number;
  /** Options in order, in as many requests as it takes. */
  requests: OptionRequest[];
}

const none: TokenForm = { shared: 0, requests: [] };

/** A question that is not asked. */
export const unasked = (id: string, reason: string): CutQuestion => ({ id, reason, sums: none, means: none });

/** Tokens of the context that all options continue, and of the whole with each option. */
export function cut(id: string, context: Int32Array, whole: Int32Array[], room: Room): CutQuestion {
  const merged = merges(context, whole);
  const sums = form(
    context,
    whole.map((tokens) => tokens.subarray(context.length)),
    room,
  );
  const common = commonStart(whole);
  const means = merged
    ? form(
        whole[0]!.subarray(0, common),
        whole.map((tokens) => tokens.subarray(common)),
        room,
      )
    : sums;
  const reason = sums.reason ?? means.reason;
  return { id, sums, means, ...definite({ reason }) };
}

/** Where each option has a context of its own: `contexts[i]` begins `whole[i]`. There is nothing that all options begin with. */
export function cutApart(id: string, contexts: Int32Array[], whole: Int32Array[], room: Room): CutQuestion {
  const rest = whole.map((tokens, i) => tokens.subarray(contexts[i]!.length));
  const reason = reasonAgainst(contexts, rest, room);
  if (reason) return unasked(id, reason);
  const all = contexts.map((context, i) => joined(context, rest[i]!));
  const common = Math.min(commonStart(all), ...contexts.map(({ length }) => length));
  const requests =
    common === 0
      ? contexts.map((prefix, i) => ({ prefix, scoreFrom: prefix.length, options: [rest[i]!] }))
      : split(
          all.map((tokens) => tokens.subarray(common)),
          { prefix: all[0]!.subarray(0, common), scoreFrom: common },
          room,
          contexts.map(({ length }) => length - common),
        );
  const sums = { shared: 0, requests };
  return { id, sums, means: sums };
}

/** The same question for an engine that knows no context within an option: one request for each of these. */
export const withoutSkips = (request: OptionRequest): OptionRequest[] =>
  request.skip
    ? request.options.map((option, i) => {
        const own = request.skip![i]!;
        const prefix = joined(request.prefix, option.subarray(0, own));
        return { prefix, scoreFrom: request.scoreFrom + own, options: [option.subarray(own)] };
      })
    : [request];

function form(context: Int32Array, options: Int32Array[], room: Room): TokenForm & { reason?: string } {
  const reason = reasonAgainst([context], options, room);
  if (reason) return { ...none, reason };
  const shared = commonStart(options);
  const prefix = joined(context, options[0]!.subarray(0, shared));
  const own = options.map((option) => option.subarray(shared));
  return { shared, requests: split(own, { prefix, scoreFrom: context.length }, room) };
}

function reasonAgainst(contexts: Int32Array[], options: Int32Array[], { most }: Room): string | undefined {
  if (contexts.some(({ length }) => length === 0)) return "nothing stands before the option";
  if (options.some(({ length }) => length === 0)) return "an option merges with the question into one token";
  const lengths = options.map(({ length }, i) => (contexts[i] ?? contexts[0])!.length + length);
  const needed = Math.max(...lengths) - 1;
  return needed > most ? `it needs ${needed} tokens of ${most}` : undefined;
}

/** Options of one prefix in requests that have room for them. */
function split(
  all: Int32Array[],
  start: Pick<OptionRequest, "prefix" | "scoreFrom">,
  { options: most, most: tokens }: Room,
  skips?: number[],
): OptionRequest[] {
  const requests: OptionRequest[] = [];
  let size = Infinity;
  for (const [i, option] of all.entries()) {
    const own = option.slice();
    let last = requests.at(-1);
    if (!last || sequences([last]) + (own.length > 1 ? 1 : 0) > most || size + own.length - 1 > tokens) {
      last = { ...start, options: [], ...(skips ? { skip: [] } : {}) };
      requests.push(last);
      size = start.prefix.length;
    }
    last.options.push(own);
    last.skip?.push(skips![i]!);
    size += own.length - 1;
  }
  return requests;
}

/** Tokens that all begin with; at least one of each is left, and one before it to predict it. */
function commonStart(all: Int32Array[]): number {
  const shortest = Math.min(...all.map(({ length }) => length));
  let shared = 0;
  while (shared < shortest - 1 && all.every((tokens) => tokens[shared] === all[0]![shared])) shared++;
  return shared;
}

/** Whether the context's last tokens become others with something after them. */
export const merges = (context: Int32Array, whole: Int32Array[]): boolean =>
  whole.some((tokens) => !startsWith(tokens, context));

function startsWith(tokens: Int32Array, start: Int32Array): boolean {
  return tokens.length >= start.length && start.every((token, i) => tokens[i] === token);
}

export function joined(first: Int32Array, second: Int32Array): Int32Array {
  const all = new Int32Array(first.length + second.length);
  all.set(first);
  all.set(second, first.length);
  return all;
}

export const requestsOf = ({ reason, sums, means }: CutQuestion): OptionRequest[] =>
  reason ? [] : sums === means ? sums.requests : [...sums.requests, ...means.requests];

/** Tokens to be decoded: of the prefix, and of all options but their last ones, which predict nothing that is asked for. */
export const cells = (requests: OptionRequest[]): number =>
  requests.reduce(
    (sum, { prefix, options }) => options.reduce((all, { length }) => all + length - 1, sum + prefix.length),
    0,
  );

/** Sequences that they take: an option of one token is read off the prefix, and needs none. */
export const sequences = (requests: OptionRequest[]): number =>
  requests.reduce((sum, { options }) => sum + Math.max(1, options.filter(({ length }) => length > 1).length), 0);
