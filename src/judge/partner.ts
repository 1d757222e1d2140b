import { several } from "../harmless.js";
import type { Series } from "../stats/series.js";

/**
 * The baseline's series of the same variant and measurement, or why there is none, as the end of a sentence. The only variant of
 * both is the same one, whatever its names.
 */
export function partner(series: Series, baseline: Series[], run: Series[]): Series | string {
  const names = (list: Series[]) => [...new Set(list.map(({ variant }) => variant.name))];
  const [own, old] = [names(run), names(baseline)];
  const name = own.length === 1 && old.length === 1 ? old[0]! : series.variant.name;
  const found = baseline.find(
    ({ variant, job }) => variant.name === name && job.measurement === series.job.measurement,
  );
  if (found) return found;
  return old.includes(name)
    ? `the baseline has no ${series.job.measurement} of ${name}.`
    : `the baseline has no variant named ${name}, only ${several(old, 3)}.`;
}
