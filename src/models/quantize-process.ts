// Quantizes one file and ends: a crash or a want of memory stays here.
import { toFailure } from "../errors.js";
import { dieWithParent } from "../llama/library.js";
import { type QuantizeRequest, quantize } from "../llama/quantize.js";
import { giveWayForMemory } from "../machine.js";
import { leaveSignalsToParent } from "../terminal.js";

dieWithParent();
leaveSignalsToParent();
giveWayForMemory();
process.once("message", (request: QuantizeRequest) => {
  let failure: ReturnType<typeof toFailure> | undefined;
  try {
    quantize(request);
  } catch (error) {
    failure = toFailure(error);
  }
  process.send!(failure ?? "done", () => process.disconnect());
});
