// The process in which one model's chat template runs.

import { Environment, Interpreter, Template } from "@huggingface/jinja";
import { answerParent } from "../confined.js";
import { strftime } from "./date.js";
import type { ChatTemplate, FromRenderer, Message, ToRenderer } from "./template.js";

let given: ChatTemplate;
let said: { kwargs: Record<string, unknown>; day: string };
let template: Template | undefined;

/** As many numbers as Jinja's own sandbox allows. */
const mostNumbers = 100_000;

/** Python's. */
function range(first: number, second?: number, step = 1): number[] {
  const [start, stop] = second === undefined ? [0, first] : [first, second];
  if (step === 0) throw new Error("range() step must not be zero");
  const count = Math.max(0, Math.ceil((stop - start) / step));
  if (count > mostNumbers) throw new Error(`range of ${count} numbers`);
  return Array.from({ length: count }, (_, i) => start + i * step);
}

/** What Jinja and transformers give to every template, and what they say of this one's model. */
function environment(messages: readonly Message[], more: Record<string, unknown>): Environment {
  const known = new Environment();
  const names: Record<string, unknown> = {
    ...said.kwargs,
    ...{ true: true, false: false, none: null, True: true, False: false, None: null },
    raise_exception: (message: string) => {
      throw new Error(message);
    },
    range,
    strftime_now: (format: string) => strftime(format, said.day),
    bos_token: given.bos,
    eos_token: given.eos,
    messages,
    add_generation_prompt: true,
    ...more,
  };
  for (const [name, value] of Object.entries(names)) known.set(name, value);
  return known;
}

/** At an empty list of tools, Llama 3.1 to 3.3 are told to answer with function calls: the first of these that goes is taken. */
const without = [{}, { tools: [], documents: [] }];

function render(messages: readonly Message[]): FromRenderer {
  const faults: FromRenderer[] = [];
  for (const more of without)
    try {
      template ??= new Template(given.text);
      return { text: String(new Interpreter(environment(messages, more)).run(template.parsed).value) };
    } catch (error) {
      faults.push({ fault: (error as Error).message });
    }
  return faults[0]!;
}

answerParent((asked: ToRenderer) => {
  if (!("template" in asked)) return render(asked.messages);
  given = asked.template;
  said = asked;
  return undefined;
});
