import { divide, firstRow, type Looking } from "./frame.js";
import { turnPage } from "./matrix.js";
import type { LiveState } from "./state.js";

export type KeyName = "stop" | "up" | "down" | "page-up" | "page-down" | "home" | "end" | "left" | "right" | "follow";

const letters: Record<string, KeyName> = {
  "\u0003": "stop", // Ctrl-C
  q: "stop",
  k: "up",
  j: "down",
  h: "left",
  l: "right",
  g: "home",
  G: "end",
  f: "follow",
};

/** The last character of the sequence that a terminal sends for a key. */
const arrows: Record<string, KeyName> = {
  A: "up",
  B: "down",
  C: "right",
  D: "left",
  H: "home",
  F: "end",
};

/**
 * The keys of one read. A key that is held down, or typed while a frame is drawn, comes as several characters at once. So does
 * pasted text, of which only Ctrl-C counts as a key. An arrow whose Escape came in an earlier read begins with a bracket or O.
 */
export function keysIn(input: string): KeyName[] {
  const arrow = /^[[O]([ABCDHF])$/.exec(input);
  if (arrow) return [arrows[arrow[1]!]!];
  const keys = [...input].map((letter) => (Object.hasOwn(letters, letter) ? letters[letter] : undefined));
  const typed = keys.every((key) => key !== undefined) ? keys : keys.filter((_, i) => input[i] === "\u0003");
  return typed.filter((key) => key !== undefined);
}

/** The view after a key. */
export function look(looking: Looking, key: KeyName, state: LiveState, lines: number, columns: number): Looking {
  const shown = divide(state, looking, lines).rows;
  const row = firstRow(state, looking, shown);
  const last = Math.max(0, state.rows.length - shown);
  const to = (target: number): Looking => ({ ...looking, follow: false, row: Math.min(last, Math.max(0, target)) });
  switch (key) {
    case "stop":
      return { ...looking, stopping: looking.stopping ? "now" : "graceful" };
    case "up":
      return to(row - 1);
    case "down":
      return to(row + 1);
    case "page-up":
      return to(row - shown);
    case "page-down":
      return to(row + shown);
    case "home":
      return to(0);
    case "end":
      return to(last);
    case "left":
      return { ...looking, page: turnPage(state, columns, looking.page, -1) };
    case "right":
      return { ...looking, page: turnPage(state, columns, looking.page, 1) };
    case "follow":
      return { ...looking, follow: true };
  }
}
