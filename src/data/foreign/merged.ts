import { dirname, isAbsolute, resolve } from "node:path";
import { BenchError } from "../../errors.js";
import { type FaultOptions, Written, YamlFile, type YamlPath } from "../../yaml.js";

/** A map that the tag `!function` makes: Python code by its name. */
const tag = "!function";

/** The name of the Python code that a value holds somewhere; undefined if it is data alone. */
export function codeIn(value: unknown): string | undefined {
  if (typeof value !== "object" || value === null) return undefined;
  const own = (value as Record<string, unknown>)[tag];
  if (typeof own === "string") return own;
  for (const one of Object.values(value)) {
    const found = codeIn(one);
    if (found !== undefined) return found;
  }
  return undefined;
}

/** A YAML file with those that it includes; a key of its own wins. Faults name the file in which the key stands. */
export class MergedYaml extends Written {
  readonly value: Record<string, unknown>;

  private constructor(
    readonly path: string,
    /** Of each key the file that it is from. */
    readonly owners: ReadonlyMap<string, YamlFile>,
    private readonly own: YamlFile,
    values: Record<string, unknown>,
  ) {
    super();
    this.value = values;
  }

  /** Throws a BenchError `dataset-card`: no such file, not YAML, no map, files that include each other. */
  static async read(path: string, within: readonly string[] = []): Promise<MergedYaml> {
    const file = await YamlFile.read(path, "dataset-card", { python: true });
    const map = file.value;
    if (typeof map !== "object" || map === null || Array.isArray(map))
      throw file.fault([], "this is no map (lines of `key: value`), as a task is.");
    const { include, ...own } = map as Record<string, unknown>;
    const values: Record<string, unknown> = {};
    const owners = new Map<string, YamlFile>();
    for (const one of include === undefined || include === null ? [] : [include].flat()) {
      if (typeof one !== "string") throw file.fault(["include"], "`include` names files, each a text.");
      const other = isAbsolute(one) ? one : resolve(dirname(path), one);
      if ([...within, path].includes(other))
        throw file.fault(["include"], `${other} is included by itself.`, { hint: "Take one of the two lines out." });
      let included: MergedYaml;
      try {
        included = await MergedYaml.read(other, [...within, path]);
      } catch (cause) {
        if (cause instanceof BenchError && cause.message === `There is no file ${other}.`)
          throw file.fault(["include"], `there is no file ${other}.`, { hint: "Put it beside this file." });
        throw cause;
      }
      const { task_list: _, ...theirs } = included.value;
      Object.assign(values, theirs);
      for (const [key, owner] of included.owners) owners.set(key, owner);
    }
    Object.assign(values, own);
    for (const key of Object.keys(own)) owners.set(key, file);
    return new MergedYaml(path, owners, file, values);
  }

  /** The same file with other values for some keys, as a group gives them to its tasks. */
  with(values: Record<string, unknown>, owner: MergedYaml): MergedYaml {
    const owners = new Map(this.owners);
    for (const key of Object.keys(values)) owners.set(key, owner.own);
    return new MergedYaml(this.path, owners, this.own, { ...this.value, ...values });
  }

  protected errorAt(path: YamlPath, message: string, options: FaultOptions): BenchError {
    return (this.owners.get(String(path[0])) ?? this.own).fault(path, message, options);
  }

  /** Keys of several files have no order. */
  protected position(): number {
    return 0;
  }
}
