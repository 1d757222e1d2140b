// biome-ignore-all lint/suspicious/noTemplateCurlyInString: ${…} is the placeholder of benchmark files
import { resolve } from "node:path";
import { definite } from "../definite.js";
import { several } from "../harmless.js";
import type { Written, YamlPath } from "../yaml.js";
import type { ReadOptions } from "./benchmark.js";

/** The two folders, absolute: they were given from the working directory, not from the file's folder. */
export function folders({ dataDir, modelsDir }: ReadOptions): { dataDir?: string; modelsDir?: string } {
  const absolute = (folder: string | undefined) => (folder === undefined ? undefined : resolve(folder));
  return definite({ dataDir: absolute(dataDir), modelsDir: absolute(modelsDir) });
}

/** The value of a placeholder that stands within a text or is the `whole` value; throws where it has none. */
export type Lookup = (name: string, path: YamlPath, whole: boolean) => Scalar;
export type Scalar = string | number | boolean;

const PLACEHOLDER = /\$(\$?)\{([^{}]*)\}/g;

/** The value of a placeholder: from an axis, one of the two folders, then the environment. */
export function placeholders(file: Written, options: ReadOptions, axes: Record<string, Scalar> = {}): Lookup {
  const { env = process.env } = options;
  const { modelsDir, dataDir } = folders(options);
  const dirs: Record<string, string | undefined> = { models: modelsDir, data: dataDir };
  return (name, path, whole) => {
    if (Object.hasOwn(axes, name)) return axes[name]!;
    if (Object.hasOwn(dirs, name)) {
      if (dirs[name] !== undefined) return dirs[name];
      throw file.fault(path, `\${${name}} is not known.`, { hint: `Say where that is: --${name}-dir DIR.` });
    }
    const set = Object.hasOwn(env, name) ? env[name] : undefined;
    if (set !== undefined) return whole ? typed(set) : set;
    const known = Object.keys(axes).length > 0 ? `, or one of the axes ${several(Object.keys(axes))}` : "";
    throw file.fault(path, `\${${name}} is not set in the environment.`, {
      once: `environment ${name}`,
      hint: `Set it (${name}=… gguf-bench run …)${known}. A literal \${${name}} is written $\${${name}}.`,
    });
  };
}

/** Data with its placeholders filled in. A value that is nothing but a placeholder takes the type of what it stands for. */
export function fill<Data>(data: Data, lookup: Lookup, path: YamlPath): Data {
  return fillAny(data, lookup, path) as Data;
}

function fillAny(data: unknown, lookup: Lookup, path: YamlPath): unknown {
  if (typeof data === "string") {
    const whole = data.match(/^\$\{([^{}]*)\}$/);
    if (whole) return lookup(whole[1]!, path, true);
    return data.replace(PLACEHOLDER, (all, escaped, name) =>
      escaped ? all.slice(1) : String(lookup(name, path, false)),
    );
  }
  if (Array.isArray(data)) return data.map((one, index) => fillAny(one, lookup, [...path, index]));
  if (typeof data !== "object" || data === null) return data;
  return Object.fromEntries(Object.entries(data).map(([key, value]) => [key, fillAny(value, lookup, [...path, key])]));
}

/** A text that `fill` gives back as it was, whatever it holds. */
export function literal(text: string): string {
  return text.replace(PLACEHOLDER, "$$$&");
}

/** As YAML would read it, so that a number from the environment is a number. */
function typed(value: string): Scalar {
  if (value === "true" || value === "false") return value === "true";
  return /^-?\d+(\.\d+)?$/.test(value) ? Number(value) : value;
}
