import { workerData } from "node:worker_threads";
import { serveScoring } from "./scoring.js";

serveScoring(workerData.vocabulary, workerData.shared);
