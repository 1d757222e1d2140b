import { turnPage } from "./columns.js";
import { divide, firstRow, type Looking } from "./frame.js";
import type { LiveState } from "./state.js";

export type KeyName =
  | "stop"
  | "up"
  | "down"
  | "page-up"
  | "page-down"
  | "home"
  | "end"
  | "left"
  | "right"
  | "follow"
  | "help"
  | "open"
  | "back";

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
  "?": "help",
  "\r": "open",
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
  if (looking.over === "cell") {
    const moved = move(looking, key, state);
    if (moved) return moved;
  }
  const shown = divide(state, looking, lines).rows;
  const row = firstRow(state, looking, shown);
  const running = looking.follow ? rowOf(state) : undefined;
  const from = looking.cursor ?? running ?? row;
  const to = (target: number): Looking => {
    const cursor = Math.max(0, Math.min(state.rows.length - 1, target));
    const moved = { ...looking, follow: false, row, cursor };
    return { ...moved, row: firstRow(state, moved, shown) };
  };
  switch (key) {
    case "stop":
      return { ...looking, stopping: looking.stopping ? "now" : "graceful" };
    case "up":
      return to(from - 1);
    case "down":
      return to(from + 1);
    case "page-up":
      return to(from - shown);
    case "page-down":
      return to(from + shown);
    case "home":
      return to(0);
    case "end":
      return to(state.rows.length - 1);
    case "left":
      return { ...looking, page: turnPage(state, columns, looking.page, -1) };
    case "right":
      return { ...looking, page: turnPage(state, columns, looking.page, 1) };
    case "follow":
      return { ...looking, follow: true, cursor: undefined };
    case "help":
      return { ...looking, over: looking.over === "keys" ? undefined : "keys" };
    case "open":
      return state.rows.length > 0 ? { ...looking, over: "cell", cell: opened(looking, state, row) } : looking;
    case "back":
      if (looking.over) return { ...looking, over: undefined };
      return state.outcome ? looking : { ...looking, follow: true, cursor: undefined };
  }
}

/** The row of the job at work. */
function rowOf({ rows, current }: LiveState): number | undefined {
  const at = current ? rows.findIndex(({ cells }) => cells.includes(current)) : -1;
  return at < 0 ? undefined : at;
}

/** What Enter opens: of the row that the cursor is at the column that was open last; without a cursor the job at work. */
function opened({ cursor, cell }: Looking, state: LiveState, row: number): NonNullable<Looking["cell"]> {
  if (cursor !== undefined) return { row: cursor, column: cell?.column ?? 0 };
  return cell ?? { row: rowOf(state) ?? row, column: state.current?.column ?? 0 };
}

/** To a neighbour of the cell that is open; undefined for other keys. */
function move(looking: Looking, key: KeyName, { rows, measurements }: LiveState): Looking | undefined {
  const steps: Partial<Record<KeyName, [number, number]>> = { up: [-1, 0], down: [1, 0], left: [0, -1], right: [0, 1] };
  const step = steps[key];
  const { cell } = looking;
  if (!step || !cell) return undefined;
  const within = (at: number, count: number) => Math.min(Math.max(0, at), Math.max(0, count - 1));
  const row = within(cell.row + step[0], rows.length);
  return {
    ...looking,
    ...(looking.cursor === undefined ? {} : { cursor: row }),
    cell: { row, column: within(cell.column + step[1], measurements.length) },
  };
}
