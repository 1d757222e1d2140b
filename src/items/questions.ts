import { type DataFolders, digestOf, findKind, type ShownQuestion } from "../data/index.js";
import { definite } from "../definite.js";
import { BenchError } from "../errors.js";
import type { JobRecord } from "../events.js";
import { measurementOn } from "../measurements/index.js";
import { planOf, type Run } from "../replay/index.js";

/**
 * The questions of a job by their items, where its data are still on this machine: by the files' digest, the very ones that were
 * asked. They are shown without the examples that stood before them. Undefined where they are not here, or other ones.
 */
export async function questionsOf(
  run: Run,
  record: JobRecord,
  folders: DataFolders,
): Promise<Map<string, ShownQuestion> | undefined> {
  const kind = findKind(measurementOn(record.kind, undefined).data);
  if (!kind?.shown) return undefined;
  const { split, style, shots } = record.task ?? {};
  const subjects = [...new Set(run.jobs.get(record.id)?.clusters?.values() ?? [])];
  const { datasets } = planOf(run).provenance;
  const path = datasets.find(({ name, sha256 }) => name === record.dataset && sha256 === record.datasetSha256)?.path;
  const plain = definite({ dataset: record.dataset, split, style, shots });
  // An entry may have named subjects, another file, or a task of another program's by its path.
  const ways = [
    plain,
    ...(record.task && subjects.length > 0 ? [{ ...plain, subjects }] : []),
    ...(path
      ? [
          { ...plain, file: path },
          { ...plain, dataset: path },
        ]
      : []),
  ];
  for (const way of ways)
    try {
      const data = await kind.resolve(way, folders);
      if (data.sha256 !== record.datasetSha256 && digestOf(data) !== record.askedSha256) continue;
      const bare = shots ? await kind.resolve({ ...way, shots: 0 }, folders).catch(() => data) : data;
      return new Map(Array.from(kind.shown(bare), (question) => [question.id, question]));
    } catch (error) {
      if (!(error instanceof BenchError)) throw error;
    }
  return undefined;
}
