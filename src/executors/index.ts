export { childExecutor } from "./child.js";
export type { Executor, MeasureReply, MeasureRequest, OpenedEngine } from "./executor.js";
