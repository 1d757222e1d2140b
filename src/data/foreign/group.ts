import { readdir } from "node:fs/promises";
import { dirname, join } from "node:path";
import { BenchError } from "../../errors.js";
import { nearest } from "../../yaml.js";
import { codeIn, MergedYaml } from "./merged.js";

/** Far more than a folder of tasks has; all of lm-eval's are fewer. */
const mostFiles = 20_000;

/** A task of a group: its file, with what the group says of it. */
export interface GroupMember {
  name: string;
  yaml: MergedYaml;
}

/** Whether a file is a group: it lists tasks, and is none. */
export const isGroup = ({ value }: MergedYaml): boolean =>
  value.class === undefined &&
  (Array.isArray(value.task) || (value.group !== undefined && typeof value.task !== "string"));

interface TasksByName {
  tasks: Map<string, MergedYaml>;
  groups: Map<string, MergedYaml>;
  tags: Map<string, string[]>;
}

/**
 * Whether the group's mean weighs each task by its questions: as lm-eval does where the group asks for a mean at all, unless it says
 * otherwise.
 */
export function isBySize({ value }: MergedYaml): boolean {
  const asked: unknown[] = [value.aggregate_metric_list ?? []].flat();
  const alike = (one: unknown) =>
    typeof one === "object" && one !== null && "weight_by_size" in one && one.weight_by_size === false;
  return asked.length > 0 && !asked.some(alike);
}

/** Keys of a group that are no keys of its tasks. */
const ofGroup = ["group", "group_alias", "task", "aggregate_metric_list", "metadata", "tag", "include", "task_list"];

/** The tasks of a group, in its order; those that it names are looked for in its folder and the folders within. */
export async function tasksOf(group: MergedYaml): Promise<GroupMember[]> {
  const known = await filesBelow(dirname(group.path));
  const found = members(group, known, [group.path]);
  if (found.length === 0) throw group.fault(["task"], "this group names no task.");
  const twice = found.find(({ name }, i) => found.findIndex((other) => other.name === name) < i);
  if (twice) throw group.fault(["task"], `the task ${twice.name} is named twice.`);
  return found;
}

function members(group: MergedYaml, known: TasksByName, within: string[]): GroupMember[] {
  const { value } = group;
  const shared = Object.fromEntries(Object.entries(value).filter(([key]) => !ofGroup.includes(key)));
  const entries = Array.isArray(value.task) ? value.task : [];
  return entries.flatMap((entry: unknown, at): GroupMember[] => {
    const place = ["task", at];
    const said: Record<string, unknown> =
      typeof entry === "string" ? { task: entry } : typeof entry === "object" && entry !== null ? { ...entry } : {};
    const name = said.task ?? said.group;
    if (Array.isArray(said.task)) return members(group.with({ ...said }, group), known, within);
    if (typeof name !== "string") throw group.fault(place, "each entry is the name of a task, or a map with `task:`.");
    const { task: _, group: __, ...own } = said;
    const changes = { ...shared, ...own };
    const task = known.tasks.get(name);
    if (task) return [{ name, yaml: task.with(changes, group) }];
    const other = known.groups.get(name);
    if (other) {
      if (within.includes(other.path)) throw group.fault(place, `the group ${name} holds itself.`);
      return members(other.with(changes, group), known, [...within, other.path]);
    }
    const tagged = known.tags.get(name);
    if (tagged) return tagged.map((one) => ({ name: one, yaml: known.tasks.get(one)!.with(changes, group) }));
    // A task may be written where it is named.
    if (Object.keys(own).length > 0)
      return [{ name, yaml: group.with({ ...changes, task: name, group: undefined }, group) }];
    throw group.fault(place, `there is no task, group or tag ${name} in ${dirname(group.path)}.`, {
      hint: nearest(name, [...known.tasks.keys(), ...known.groups.keys()]),
    });
  });
}

/** Tasks, groups and tags by name. A file that cannot be read is none; the one who asks for it by its path hears why. */
async function filesBelow(folder: string): Promise<TasksByName> {
  const known: TasksByName = { tasks: new Map(), groups: new Map(), tags: new Map() };
  const entries = await readdir(folder, { recursive: true, withFileTypes: true }).catch(() => []);
  const paths = entries
    .filter((one) => one.isFile() && /\.ya?ml$/i.test(one.name))
    .map((one) => join(one.parentPath, one.name))
    .sort();
  if (paths.length > mostFiles)
    throw new BenchError(
      "dataset-card",
      `${folder} holds ${paths.length} YAML files; tasks are looked for in ${mostFiles} at most.`,
    );
  for (const path of paths) {
    const yaml = await MergedYaml.read(path).catch(() => undefined);
    if (!yaml) continue;
    const { task, group, tag } = yaml.value;
    if (isGroup(yaml)) {
      if (typeof group === "string" && !known.groups.has(group)) known.groups.set(group, yaml);
    } else if (typeof task === "string" && !known.tasks.has(task)) {
      known.tasks.set(task, yaml);
      for (const one of codeIn(tag) === undefined ? [tag ?? []].flat() : [])
        if (typeof one === "string") known.tags.set(one, [...(known.tags.get(one) ?? []), task].sort());
    }
  }
  return known;
}
