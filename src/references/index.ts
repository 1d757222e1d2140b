import { BenchError, messageOf } from "../errors.js";
import { baseFile } from "./base-file.js";
import { compact } from "./compact.js";
import { PlacedFile } from "./file.js";
import type { ReferenceForm, StoredReference } from "./reference.js";

/** The forms of a stored reference. A new member: a file beside these, and a line here. */
const referenceForms: readonly ReferenceForm[] = [baseFile, compact];

export function findForm(name: string): ReferenceForm {
  const form = referenceForms.find((one) => one.name === name);
  if (!form)
    throw new BenchError("reference-form", `there is no form of reference files named "${name}"`, {
      hint: `known: ${referenceForms.map((one) => one.name).join(", ")}`,
    });
  return form;
}

/** Opens a file in whatever form it is. Throws a BenchError for a file that is missing, foreign or damaged. */
export function openReference(path: string): StoredReference {
  const file = new PlacedFile(path, "read");
  const start = Buffer.alloc(8);
  try {
    if (file.bytes >= start.length) file.read(start, 0);
  } catch (cause) {
    throw new BenchError("reference-foreign", `${path} cannot be read: ${messageOf(cause)}`, { cause });
  } finally {
    file.close();
  }
  const form = referenceForms.find(({ magic }) => magic === start.toString("latin1"));
  if (!form)
    throw new BenchError("reference-foreign", `${path} holds no log-probabilities of a reference`, {
      hint: "`gguf-bench reference` writes such files, and llama-perplexity --kl-divergence-base",
    });
  return form.open(path);
}
