import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";

/** ln 2 as ggml's vector kernels subtract it when they compute e^x for soft-max and SiLU, as a float. */
const ln2 = 0.693145751953125;

const bytes = (value: number) => {
  const buffer = Buffer.alloc(4);
  buffer.writeFloatLE(value);
  return buffer;
};

/** All places of some bytes. */
function placesOf(pattern: Buffer, within: Buffer): number[] {
  const places: number[] = [];
  for (let at = within.indexOf(pattern); at >= 0; at = within.indexOf(pattern, at + 1)) places.push(at);
  return places;
}

/** A library whose e^x is wrong, as by a slip in a kernel. Throws where it has none that could be damaged. */
function damage(library: Buffer, factor: number): Buffer {
  const places = placesOf(bytes(ln2), library);
  if (places.length === 0) throw new Error("the library has no exponential to damage");
  for (const at of places) bytes(ln2 * factor).copy(library, at);
  return library;
}

/** Whether the libraries of this machine's processor can be damaged so. */
export function isDamageable(folder: string): boolean {
  return readdirSync(folder)
    .filter((name) => /ggml-cpu/.test(name))
    .some((name) => placesOf(bytes(ln2), readFileSync(join(folder, name))).length > 0);
}

/**
 * A build that is another one's in all but the kernels, whose e^x is wrong by `factor`; 1: told apart by `mark` alone, behind the
 * end that anybody reads. `keep`: which files it has. Files that are alike are links.
 */
export function otherBuild(
  from: string,
  to: string,
  {
    factor = 1,
    mark = "",
    keep = () => true,
  }: { factor?: number; mark?: string; keep?: (name: string) => boolean } = {},
): string {
  mkdirSync(to, { recursive: true });
  for (const name of readdirSync(from).filter(keep)) {
    const [source, target] = [join(from, name), join(to, name)];
    if (!existsSync(source) || !statSync(source).isFile()) continue;
    if (/ggml-cpu/.test(name)) {
      const library = readFileSync(source);
      writeFileSync(target, Buffer.concat([factor === 1 ? library : damage(library, factor), Buffer.from(mark)]));
    } else if (/^llama-/.test(name)) {
      // A program looks for its libraries beside the file that it is, not beside a link to it.
      copyFileSync(source, target);
    } else symlinkSync(source, target);
  }
  return to;
}

/** The same of a build whose programs and libraries lie in `bin` and `lib`. */
export function otherPrefix(from: string, to: string, options: { factor?: number; mark?: string } = {}): string {
  otherBuild(join(from, "bin"), join(to, "bin"), {
    ...options,
    keep: (name) => /^llama-(perplexity|bench)$/.test(name),
  });
  otherBuild(join(from, "lib"), join(to, "lib"), options);
  return to;
}
