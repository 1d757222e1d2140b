export { childExecutor } from "./child.js";
export type { EngineWarning, Executor, MeasureReply, MeasureRequest, OpenedEngine } from "./executor.js";
