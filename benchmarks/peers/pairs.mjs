// Interleaved pairs on a quiet machine, and the few statistics that a ratio of two programs needs.
import { foreignLoad, runProcess } from "./process.mjs";

/** Cores that others may take; beyond, a time says more about them than about the program. */
export const loadLimit = 0.15;
const tries = 4;
const patience = 60; // seconds

/**
 * What is run: one or more commands, each made anew for every run (`arguments` may need a fresh folder), and what to
 * read from its output.
 * @typedef {{command: string, args: string[], env?: NodeJS.ProcessEnv, read: (run: import("./process.mjs").Run) => any}} Command
 * @typedef {{name: string, steps: (() => Command)[]}} Side
 *
 * A side's run; times add up over its commands, memory is the largest.
 * @typedef {{wall: number, user: number, system: number, peak: number, pss?: number, foreign: number, disturbed: boolean, read: any[]}} SideRun
 * @typedef {{first: "ours" | "peer", ours: SideRun, peer: SideRun}} Pair
 */

/** The machine is too busy to time anything. */
export class BusyError extends Error {}
/** A tool failed or said what it should not. */
export class ToolError extends Error {}

/**
 * Pairs in alternating order, so that neither side always meets the warmer or the hotter machine.
 * @param {{ours: Side, peer: Side, count: number, allowLoad: boolean, log: (line: string) => void, discarded?: SideRun[]}} options
 * @returns {Promise<Pair[]>}
 */
export async function interleavedPairs({ ours, peer, count, ...options }) {
  const pairs = [];
  for (let i = 0; i < count; i++) {
    const sides = i % 2 === 0 ? [ours, peer] : [peer, ours];
    const runs = new Map();
    for (const side of sides) runs.set(side, await quietRun(side, options));
    const pair = { first: sides[0] === ours ? "ours" : "peer", ours: runs.get(ours), peer: runs.get(peer) };
    options.log(`  pair ${i + 1}/${count}: ours ${said(pair.ours)}, ${peer.name} ${said(pair.peer)}`);
    pairs.push(pair);
  }
  return pairs;
}

const said = (run) => `${run.wall.toFixed(2)} s${run.disturbed ? ` (disturbed: ${run.foreign.toFixed(2)} cores)` : ""}`;

/** One run that nobody disturbed; a disturbed one is thrown away and repeated, a few times. */
export async function quietRun(side, { allowLoad, log, discarded, pss = false }) {
  for (let attempt = 1; ; attempt++) {
    if (!allowLoad) await untilQuiet(log);
    const run = await sideRun(side, pss);
    if (!run.disturbed || allowLoad) return run;
    discarded?.push(run);
    const load = `${run.foreign.toFixed(2)} cores`;
    if (attempt === tries)
      throw new BusyError(
        `Other processes took ${load} of this machine in ${tries} runs in a row (${side.name}); times would mean nothing. ` +
          "Come back when it is quiet, or give --allow-load and get marked figures.",
      );
    log(`  thrown away: ${side.name} ${run.wall.toFixed(2)} s, while others took ${load}`);
  }
}

async function untilQuiet(log) {
  const until = performance.now() + patience * 1000;
  for (let asked = false; ; asked = true) {
    const load = await foreignLoad(500);
    if (load <= loadLimit) return;
    if (performance.now() > until)
      throw new BusyError(
        `Other processes take ${load.toFixed(2)} cores of this machine and did not stop for ${patience} s; ` +
          "come back when it is quiet, or give --allow-load and get marked figures.",
      );
    if (!asked) log(`  waiting: other processes take ${load.toFixed(2)} cores`);
  }
}

/** @returns {Promise<SideRun>} */
async function sideRun({ name, steps }, pss) {
  const total = { wall: 0, user: 0, system: 0, peak: 0, foreign: 0, ...(pss ? { pss: 0 } : {}), read: [] };
  for (const step of steps) {
    const { read, ...command } = step();
    const run = await runProcess(command, { pss });
    for (const key of ["wall", "user", "system"]) total[key] += run[key];
    for (const key of ["peak", "foreign", ...(pss ? ["pss"] : [])]) total[key] = Math.max(total[key], run[key]);
    try {
      total.read.push(await read(run));
    } catch (error) {
      const end = `${run.stdout}\n${run.stderr}`.trim().split("\n").slice(-8).join("\n");
      throw new ToolError(`${name} ended with exit code ${run.code} and no figures (${error.message}):\n${end}`);
    }
  }
  return { ...total, disturbed: total.foreign > loadLimit };
}

/** @param {number[]} values */
export function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

/**
 * The medians of both sides, and the median and range of what `relate` makes of each pair: what disturbs both runs of a
 * pair alike falls out of it.
 * @param {Pair[]} pairs
 * @param {(run: SideRun) => number} pick
 * @param {(ours: number, peer: number) => number} [relate] the ratio by default
 */
export function compared(pairs, pick, relate = (ours, peer) => ours / peer) {
  const values = pairs.map((pair) => relate(pick(pair.ours), pick(pair.peer)));
  return {
    ours: median(pairs.map((pair) => pick(pair.ours))),
    peer: median(pairs.map((pair) => pick(pair.peer))),
    median: median(values),
    low: Math.min(...values),
    high: Math.max(...values),
  };
}
