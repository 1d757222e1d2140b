import type { Scorer } from "./score.js";

/** One in the number of classes that the text names, if the right one is among them, else 0: LongBench's `classification_score`. */
export const classification: Scorer<"classification", Record<never, never>> = {
  by: "classification",
  metric: "classification",
  rightOrWrong: false,
  keys: {},
  unfit: ({ classes }) => (classes.length === 0 ? "the question has no `classes`" : undefined),
  score(said, { answer, classes }) {
    const named = classes.filter((one) => said.includes(one));
    // A class inside the name of the right one is not meant. As there, the one after such a class is passed over.
    for (let i = 0; i < named.length; i++)
      if (answer.includes(named[i]!) && named[i] !== answer) named.splice(named.indexOf(named[i]!), 1);
    return named.includes(answer) ? 1 / named.length : 0;
  },
};
