import { InvalidArgumentError, type Command as Line, Option } from "commander";
import { readBytes } from "../units.js";

export type { Command as Line } from "commander";

/** How a command is typed: its arguments and options, and what these ask of it. */
export interface Typed<Asked> {
  line(line: Line): Line;
  /** Given the arguments and then the options, as `line` declares them. */
  // biome-ignore lint/suspicious/noExplicitAny: commander's values have the types that their options read
  asked(...typed: any[]): Asked;
}

// Values.

export const integer =
  (least: number, most = 1_000_000_000) =>
  (text: string) => {
    const value = Number(text);
    if (!/^\d+$/.test(text) || value < least || value > most)
      throw new InvalidArgumentError(`a whole number from ${least} to ${most} is expected.`);
    return value;
  };

export const list = (value: string, before: string[] = []) => [...before, value];

/** A list separated by commas. Names of measurements and metrics hold none; names and addresses of models may. */
export const names = (value: string, before: string[] = []) => {
  const parts = value.split(",").map((part) => part.trim());
  if (parts.includes("")) throw new InvalidArgumentError("a name is missing.");
  return [...before, ...parts];
};

export const bytes = (text: string) => {
  const size = readBytes(text);
  // A number alone is meant in MB or GB, and would be bytes.
  if (/\d$/.test(text.trim()))
    throw new InvalidArgumentError(`a unit is missing: ${text.trim()}MB or ${text.trim()}GB?`);
  if (!size || !Number.isSafeInteger(size))
    throw new InvalidArgumentError("a size is expected, such as 800MB or 4GiB.");
  return size;
};

export const positive = (text: string) => {
  const value = Number(text);
  if (text.trim() === "" || !(value > 0) || !Number.isFinite(value))
    throw new InvalidArgumentError("a number above 0 is expected.");
  return value;
};

export const share = (text: string) => {
  const [, amount] = text.trim().match(/^(\d+(?:\.\d+)?) ?%$/) ?? [];
  if (amount === undefined || !(Number(amount) > 0 && Number(amount) <= 100))
    throw new InvalidArgumentError("per cent above 0 and up to 100 are expected, such as 1%.");
  return Number(amount) / 100;
};

/** Variables of a template: `true` and `false` are truths, what is written as a number is one. */
export const templateKwargs = (text: string, before: Record<string, string | number | boolean> = {}) => {
  const [, name, value = ""] = text.match(/^\s*([A-Za-z_]\w*)\s*=(.*)$/s) ?? [];
  if (name === undefined) throw new InvalidArgumentError("NAME=VALUE is expected, such as enable_thinking=false.");
  const truths: Record<string, boolean> = { true: true, false: false };
  const read = truths[value] ?? (/^-?\d+(\.\d+)?$/.test(value) ? Number(value) : value);
  return { ...before, [name]: read };
};

const shardNumbers = (text: string) => {
  const [, part, of] = text.trim().match(/^(\d{1,6}) ?\/ ?(\d{1,6})$/) ?? [];
  if (part === undefined || Number(part) < 1 || Number(part) > Number(of))
    throw new InvalidArgumentError("a part of so many is expected, such as 2/8.");
  return { part: Number(part), of: Number(of) };
};

// What a file must be to be taken.

export const maxSize = () =>
  new Option("--max-size <size>", "name the best file of at most this size, such as 100MB (default: any)").argParser(
    bytes,
  );
export const minSpeed = () =>
  new Option("--min-speed <n>", "name the best file that generates so many tokens a second (default: any)").argParser(
    positive,
  );
export const margin = () =>
  new Option(
    "--margin <percent>",
    "name the smallest file shown to lose less than this, such as 1% (default: none)",
  ).argParser(share);

// Options that several commands take.

export const dataDir = () =>
  new Option("--data-dir <dir>", "where datasets are (default: $GGUF_BENCH_DATA, then what is shipped)");
export const modelsDir = () => new Option("--models-dir <dir>", "where models are, too (default: $GGUF_BENCH_MODELS)");
export const mirror = () =>
  new Option(
    "--mirror <address>",
    "a server that holds what Hugging Face holds, asked when it fails; repeatable",
  ).argParser(list);
export const threads = () =>
  new Option("-t, --threads <n>", "CPU threads (default: the physical cores)").argParser(integer(1));
export const library = () =>
  new Option("--library <dir>", "a folder with a build of libllama to compute with (default: the one that is shipped)");
export const chunks = () =>
  new Option("--chunks <n>", "the first chunks of the text alone (default: all)").argParser(integer(1));
export const spread = () =>
  new Option("--spread <n>", "so many chunks of the text, from all over it (default: all)").argParser(integer(1));
export const shard = () =>
  new Option(
    "--shard <part/of>",
    "measure a fixed part of the plan, such as 2/8, into a folder of its own; `gguf-bench merge` joins them (default: all of it)",
  ).argParser(shardNumbers);
export const timeout = (given: string) =>
  new Option("--timeout <seconds>", `give ${given} up after so long without a sign of life (default: 600)`).argParser(
    integer(1, 2_000_000),
  );
