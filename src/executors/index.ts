export { childExecutor, localPlace } from "./child.js";
export type {
  EngineWarning,
  Executor,
  MeasureReply,
  MeasureRequest,
  OpenedEngine,
  OpenedVariant,
  Place,
} from "./executor.js";
