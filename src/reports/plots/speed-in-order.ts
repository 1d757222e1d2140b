import { itemOf } from "../../events.js";
import { metric as describe } from "../../metrics.js";
import { drawnAs, numbered } from "./figures.js";
import { linesChart } from "./lines.js";
import type { Picture, Plot } from "./plot.js";

/** The repetitions of a test of speed as they came: what warms up, throttles or is disturbed shows. */
export const speedInOrder: Plot = {
  section: "course",
  pictures(facts) {
    const named = drawnAs(facts);
    const measured = facts.series.flatMap(({ variant, job, observations, broken }) => {
      if (broken !== undefined) return [];
      return [...observations.keys()].flatMap((name) => {
        const metric = describe(name);
        const items = metric.per === "repetition" ? observations.get(name) : undefined;
        if (!items || items.length < 3) return [];
        const repetitions = items.map(({ item, value }) => ({ session: itemOf(item).session, value }));
        return [{ variant, metric, measurement: job.measurement, repetitions }];
      });
    });
    const keys = [...new Set(measured.map(({ metric, measurement }) => JSON.stringify([measurement, metric.name])))];
    return keys.map((key, i): Picture => {
      const lines = measured.filter(({ metric, measurement }) => JSON.stringify([measurement, metric.name]) === key);
      const { metric } = lines[0]!;
      const sessions = sessionsOf(lines.flatMap(({ repetitions }) => countsIn(repetitions)));
      const last = sessions.at(-1)!;
      const all = Array.from({ length: last.from + last.count }, (_, place) => place + 1);
      return {
        name: numbered("speed-in-order", i),
        title: `${metric.label}, repetition by repetition`,
        caption:
          "Tokens a second in the order of measuring: level lines are a calm machine; a slope is one that warms up or throttles.",
        chart: linesChart(
          lines.map(({ variant, repetitions }) => ({ ...named(variant.name), points: inOrder(repetitions, sessions) })),
          {
            x: { label: "repetition", ticks: all.filter((_, at) => at % Math.ceil(all.length / 12) === 0), room: 0.05 },
            y: { label: metric.unit, grid: true },
            dots: true,
            rules: sessions.slice(1).map(({ session, from }) => ({ at: from + 0.5, text: `session ${session}` })),
          },
        ),
      };
    });
  },
};

interface Repetition {
  session: number;
  value: number;
}

const countsIn = (repetitions: readonly Repetition[]) =>
  [...new Set(repetitions.map(({ session }) => session))].map((session) => {
    return { session, count: repetitions.filter((one) => one.session === session).length };
  });

/** Where each session begins, so that the same place is the same moment for all variants: after the longest of each before it. */
function sessionsOf(counts: { session: number; count: number }[]): { session: number; from: number; count: number }[] {
  let from = 0;
  return [...new Set(counts.map(({ session }) => session))]
    .sort((a, b) => a - b)
    .map((session) => {
      const count = Math.max(...counts.filter((one) => one.session === session).map((one) => one.count));
      from += count;
      return { session, from: from - count, count };
    });
}

function inOrder(repetitions: readonly Repetition[], sessions: { session: number; from: number }[]) {
  return sessions.flatMap(({ session, from }) =>
    repetitions
      .filter((one) => one.session === session)
      .map(({ value }, i) => ({ x: from + i + 1, y: value, part: session })),
  );
}
