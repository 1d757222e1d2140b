import { type DataFolders, digestOf, findDatasets, findKind, type ShownQuestion } from "../data/index.js";
import { definite } from "../definite.js";
import { BenchError } from "../errors.js";
import type { JobRecord } from "../events.js";
import { measurementOn } from "../measurements/index.js";
import { planOf, type Run } from "../replay/index.js";

/** The questions of a job by their items, or why there are none. */
export type Questions =
  | { questions: Map<string, ShownQuestion> }
  /** `changed`: there are some, but not those that were asked. `fetchable`: `fetch` brings them. `path`: where they were. */
  | { questions?: never; changed: boolean; fetchable: boolean; path?: string };

/**
 * The questions of a job, where its data are still on this machine: by the files' digest, the very ones that were asked. They
 * are shown without what stood before all of them: heading and examples.
 */
export async function questionsOf(run: Run, record: JobRecord, dataDir: string | undefined): Promise<Questions> {
  const kind = findKind(measurementOn(record.kind, undefined).data);
  const path = pathOf(run, record);
  let changed = false;
  for (const { said, folders } of kind?.shown ? waysTo(run, record, dataDir, path) : [])
    try {
      const data = await kind!.resolve(said, folders);
      changed = true;
      if (data.sha256 !== record.datasetSha256 && digestOf(data) !== record.askedSha256) continue;
      const bare = record.task?.shots ? await kind!.resolve({ ...said, shots: 0 }, folders).catch(() => data) : data;
      return { questions: new Map(alone([...kind!.shown!(bare)]).map((question) => [question.id, question])) };
    } catch (error) {
      if (!(error instanceof BenchError)) throw error;
    }
  const cards = await findDatasets({ dataDir });
  const fetchable = cards.some(({ card }) => card.name === record.dataset && card.fetch !== undefined);
  return { changed, fetchable, ...definite({ path }) };
}

function pathOf(run: Run, { dataset, datasetSha256 }: JobRecord): string | undefined {
  const { datasets } = planOf(run).provenance;
  return datasets.find(({ name, sha256 }) => name === dataset && sha256 === datasetSha256)?.path;
}

/** What to ask for the data: what the entry said. A run of version 0.1 does not know that: then it is guessed. */
function waysTo(run: Run, record: JobRecord, dataDir: string | undefined, path: string | undefined) {
  const { measurements, provenance } = planOf(run);
  const said = measurements.find(({ name }) => name === record.measurement)?.data;
  const was = provenance.folders;
  const here: DataFolders = { baseDir: process.cwd(), ...definite({ dataDir }) };
  const ways = was && said ? [{ said, folders: { ...was, ...definite({ dataDir }) } }] : [];
  const { split, style, shots } = record.task ?? {};
  const subjects = [...new Set(run.jobs.get(record.id)?.clusters?.values() ?? [])];
  const plain = definite({ dataset: record.dataset, split, style, shots });
  const guesses = [
    ...(said ? [said] : []),
    plain,
    ...(record.task && subjects.length > 0 ? [{ ...plain, subjects }] : []),
    ...(path
      ? [
          { ...plain, file: path },
          { ...plain, dataset: path },
        ]
      : []),
  ];
  return [...ways, ...guesses.map((said) => ({ said, folders: here }))];
}

/** The questions without the lines that all of their subject begin with. */
function alone(questions: ShownQuestion[]): ShownQuestion[] {
  const subjectOf = ({ id }: ShownQuestion) => id.slice(0, Math.max(0, id.lastIndexOf("/")));
  const bySubject = new Map<string, ShownQuestion[]>();
  for (const question of questions) {
    const own = bySubject.get(subjectOf(question));
    if (own) own.push(question);
    else bySubject.set(subjectOf(question), [question]);
  }
  const lengths = new Map(Array.from(bySubject, ([subject, own]) => [subject, preamble(own.map(({ text }) => text))]));
  return questions.map((question) => ({ ...question, text: question.text.slice(lengths.get(subjectOf(question))) }));
}

/** How many characters texts begin with alike, up to the end of a line; 0 where that leaves nothing of one of them. */
function preamble(texts: string[]): number {
  const [first = "", ...others] = texts;
  let length = others.length > 0 ? first.length : 0;
  for (const other of others) {
    let same = 0;
    while (same < length && other[same] === first[same]) same++;
    length = same;
  }
  const end = first.lastIndexOf("\n", length - 1) + 1;
  return length === 0 || texts.some((text) => text.slice(end).trim() === "") ? 0 : end;
}
