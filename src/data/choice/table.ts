import { basename, dirname, extname, resolve } from "node:path";
import { BenchError } from "../../errors.js";
import { isFile } from "../../folders.js";
import type { FoundDataset } from "../cards.js";
import type { DataFolders } from "../data.js";
import { readTable } from "../task/index.js";
import { letter } from "./answers.js";
import { type ChoiceCard, choiceCard } from "./card.js";

/** A file of questions that has no card, where a name leads to one: its columns say all. */
export async function tableFile(named: string, { baseDir, dataDir }: DataFolders): Promise<string | undefined> {
  if (!/\.(csv|tsv)$/i.test(named)) return undefined;
  for (const path of [resolve(baseDir, named), ...(dataDir ? [resolve(dataDir, named)] : [])])
    if (await isFile(path)) return path;
  return undefined;
}

/** The name of its questions: that of the file. */
export const tableName = (path: string): string => basename(path, extname(path));

/**
 * The card that a file stands for whose columns are `question`, `A`, `B` … and `answer`, as those of C-Eval and MMLU are, in any order,
 * large or small letters, others between them: the options are listed, and the letter after `Answer:` is scored. Throws a
 * BenchError that says which column is missing.
 */
export async function tableCard(path: string): Promise<FoundDataset<ChoiceCard>> {
  const { rows } = await readTable(path, "csv");
  const [first] = rows;
  if (!first)
    throw new BenchError("dataset-invalid", `${path} holds no questions.`, {
      hint: "Its first line names the columns question, A, B (C, D …) and answer; each line below it is a question.",
    });
  const heads = Object.keys(first.cells);
  const column = (name: string) => heads.find((head) => head.toLowerCase() === name.toLowerCase());
  const [question, answer] = [column("question"), column("answer")];
  const options: string[] = [];
  for (let own = column(letter(0)); own !== undefined; own = column(letter(options.length))) options.push(own);
  const missing = [
    ...(question ? [] : ["question"]),
    ...["A", "B"].slice(options.length),
    ...(answer ? [] : ["answer"]),
  ];
  if (missing.length > 0)
    throw new BenchError("dataset-invalid", `${path} has no column ${missing.join(", ")}.`, {
      hint: "Its head line names question, A, B (C, D …) and answer. Questions of any other form need a card.yaml beside them.",
    });
  const answers = rows.map(({ cells }) => String(cells[answer!] ?? "").trim());
  const letters = options.map((_, option) => letter(option));
  const isLetter = answers.every((one) => one === "" || letters.includes(one.normalize("NFKC").toUpperCase()));
  // A prompt is in the language of its questions.
  const ending = /\p{Script=Han}/u.test(String(first.cells[question!])) ? "答案：" : "Answer:";
  const name = tableName(path)
    .toLowerCase()
    .replace(/[^a-z0-9._-]+/g, "-")
    .replace(/^[._-]+/, "");
  const card = choiceCard("csv").parse({
    ...{ kind: "choice", format: "csv", name: name || "questions", title: tableName(path) },
    ...{ source: path, licence: "the user's own", file: basename(path) },
    prompt: [`{${question}}`, ...options.map((head, i) => `${letter(i)}. {${head}}`), ending].join("\n"),
    ...(ending === "Answer:" ? {} : { delimiter: "" }),
    ...{ options, answer, continueWith: "letter" },
    ...(isLetter ? { answerIs: "letter" } : {}),
  });
  return { card, cardDir: dirname(path), path };
}
