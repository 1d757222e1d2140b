export {
  baselineCommand,
  compareCommand,
  gateCommand,
  quantizeCommand,
  type RunCommand,
  referenceCommand,
  reportCommand,
  runCommand,
  sayError,
  versions,
} from "./run.js";
