import { digestOfParts } from "../digest.js";
import type { Place } from "./executor.js";

/**
 * Digest (16 hexadecimal digits) of where a job is measured, as its figures depend on it: the build and the processor, or the
 * graphics cards; with `machineBound` the whole machine, as it is for speed.
 */
export function placeDigest({ engine: choice, machine }: Place, machineBound: boolean): string {
  const { gpu, origin: _, ...engine } = choice;
  return digestOfParts({
    engine,
    // The kernels differ between processors, so the last digits do.
    processor: machine.cpu,
    gpus: gpu ? machine.gpus : undefined,
    machine: machineBound ? machine : undefined,
  });
}
