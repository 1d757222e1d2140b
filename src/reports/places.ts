import path from "node:path";
import { shippedBenchmark } from "../benchmark/index.js";
import type { Started } from "../events.js";
import { isAddress } from "../models/folder.js";

// A card and a page go to others, whom the folders of this machine do not concern: of a path they show the file's name alone.

/** The folders of this machine that a run tells, each with its separator at the end, the longest first. */
export function foldersIn({ variants, provenance: { datasets, folders } }: Started): string[] {
  const files = [
    ...variants.flatMap(({ model, facts }) => [model, ...(facts?.files ?? [])]),
    ...datasets.map(({ path }) => path),
  ];
  const known = [...files.map((file) => path.dirname(file)), ...Object.values(folders ?? {})];
  const absolute = known.filter((folder) => path.isAbsolute(folder) && folder !== path.parse(folder).root);
  return [...new Set(absolute)].sort((a, b) => b.length - a.length).flatMap((folder) => [`${folder}/`, `${folder}\\`]);
}

/** Other absolute paths in a sentence, up to the last name; those with blanks are known by `foldersIn` alone. */
const absolutePath = /(?<![\p{L}\p{N}:/\\.<])(?:~|[a-z]:)?[/\\](?:[^\s/\\'"`]+[/\\])+(?=[^\s/\\])/giu;

/** For sentences of others (failures, warnings), which name files by their paths. */
export function withoutFolders(started: Started): (text: string) => string {
  const folders = foldersIn(started);
  return (text) => folders.reduce((left, folder) => left.replaceAll(folder, ""), text).replace(absolutePath, "");
}

/** The folder that an argument names as the place of a run; else empty. */
const outIn = (argument: string, before: string | undefined) =>
  before === "-o" || before === "--out" ? argument : (argument.match(/^--out=(.*)$/s)?.[1] ?? "");

/** The command of a run for others. Addresses, the names of shipped benchmarks, and where the run goes to stay whole. */
export function commandWithoutFolders({ provenance }: Started): string[] {
  return provenance.command.map((argument, i, all) => {
    // A folder that is named from where the command is typed concerns nobody, and the same command makes the same one.
    if (/^(?!\.\.|[a-z]:)[^/\\~]/i.test(outIn(argument, all[i - 1]))) return argument;
    const [, option = "", value = ""] = argument.match(/^(--[\w-]+=)?(.*)$/s)!;
    if (isAddress(value) || shippedBenchmark(value) !== undefined) return argument;
    return `${option}${value.split(/[/\\]/).filter(Boolean).at(-1) ?? value}`;
  });
}
