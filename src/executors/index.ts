export { childExecutor } from "./child.js";
export type { EngineWarning, Executor, MeasureReply, MeasureRequest, OpenedEngine, OpenedVariant } from "./executor.js";
