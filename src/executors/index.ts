export { childExecutor, localPlace } from "./child.js";
export type {
  EngineWarning,
  Executor,
  Happening,
  MeasureReply,
  MeasureRequest,
  OpenedEngine,
  OpenedVariant,
  OpenOptions,
  Place,
  TakenMemory,
} from "./executor.js";
export { placeDigest } from "./place.js";
export { shownQueue } from "./queue/address.js";
