import { workerData } from "node:worker_threads";
import { serveScoring } from "./pool.js";

serveScoring(workerData.vocabulary, workerData.shared);
