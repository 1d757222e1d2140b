export { childExecutor, localPlace } from "./child.js";
export type {
  EngineWarning,
  Executor,
  MeasureReply,
  MeasureRequest,
  OpenedEngine,
  OpenedVariant,
  OpenOptions,
  Place,
  TakenMemory,
} from "./executor.js";
