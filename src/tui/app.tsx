import type { ReadStream, WriteStream } from "node:tty";
import { Box, render, Text, useInput } from "ink";
import { type ReactElement, useLayoutEffect } from "react";
import { harmless } from "../harmless.js";
import type { Writer } from "../terminal.js";
import { counted, duration } from "../units.js";
import { bar, formatFigure, isPrincipal, oneOf } from "./figures.js";
import {
  ascii,
  columnHeads,
  type Glyphs,
  groupHeads,
  type Layout,
  layout,
  type Piece,
  roughWidth,
  rowPieces,
  type Tone,
  turnPage,
  unicode,
} from "./matrix.js";
import { openScreen } from "./screen.js";
import {
  type Cell,
  describeFetching,
  figure,
  initialState,
  type Note,
  reduce,
  resumed,
  type State,
  share,
  tick,
  timeLeft,
  totalShare,
} from "./state.js";
import type { StopKind, View } from "./view.js";

/** What the user did to the view; the run's own state is in `State`. */
export interface Looking {
  /** First row shown. */
  row: number;
  /** Keeps the running row in sight until the user scrolls. */
  follow: boolean;
  /** Page of the matrix's columns; 0: what a person looks for first. */
  page: number;
  stopping: StopKind | undefined;
}

export interface AppProps {
  state: State;
  looking: Looking;
  columns: number;
  /** Lines to fill; never more. */
  lines: number;
  colour: boolean;
  glyphs: Glyphs;
  onKey?: ((key: KeyName) => void) | undefined;
  /** The frame goes away for good: at the end, and on a signal that Ink heeds. */
  onGone?: (() => void) | undefined;
}

export type KeyName = "stop" | "up" | "down" | "page-up" | "page-down" | "home" | "end" | "left" | "right" | "follow";

const gap = "   ";

/**
 * The whole frame: header, matrix, what is running, notes, keys. Every line is cut to the width, none wraps. Blank lines
 * before the footer are left to the painting: Ink would take as long for them as for full ones.
 */
export function App(props: AppProps): ReactElement {
  const { state, looking, columns: width, lines, glyphs, onKey, onGone } = props;
  useLayoutEffect(() => onGone, [onGone]);
  const sections = divide(state, looking, lines);
  const table = layout(state, width, looking.page);
  const from = firstRow(state, looking, sections.rows);
  const rows = state.rows.slice(from, from + sections.rows);
  const left = timeLeft(state);
  return (
    <Box flexDirection="column" width={width} flexShrink={0}>
      {onKey && <Keys onKey={onKey} />}
      <Header {...props} left={left} bar={sections.bar} />
      {sections.blanks && <Text> </Text>}
      {sections.heads && <Heads {...props} table={table} />}
      {rows.map((row) => (
        <Box key={row.variant.name} height={1}>
          <Box width={table.nameWidth} flexShrink={0}>
            <Tinted
              {...props}
              tone={state.current && row.cells.includes(state.current) ? "running" : "plain"}
              wrap="truncate-middle"
              text={row.variant.name}
            />
          </Box>
          <Line {...props} pieces={rowPieces(row, table.columns, glyphs)} />
        </Box>
      ))}
      {sections.blanks && sections.running > 0 && <Text> </Text>}
      <Running {...props} count={sections.running} left={left.jobs} />
      {sections.blanks && sections.notes > 0 && <Text> </Text>}
      {latestNotes(state, sections.notes).map((note) => (
        <NoteLine key={`${note.kind} ${note.variant} ${note.message}`} {...props} note={note} />
      ))}
      <Footer {...props} clipped={clippedText(state, from, rows.length)} table={table} />
    </Box>
  );
}

/** How many lines each part gets. The matrix comes first, but something that went wrong keeps at least a few lines. */
export function divide(state: State, looking: Looking, lines: number) {
  const bar = lines >= 6;
  const heads = lines >= 8 && state.rows.length > 0;
  const blanks = lines >= 14;
  const running = lines >= 5 && !state.outcome && (state.cells.size > 0 || state.fetching) ? 1 : 0;
  const footer = footerLines(looking, lines);
  const fixed = 1 + (bar ? 1 : 0) + (heads ? 2 : 0) + (blanks ? 3 : 0) + footer;
  const free = Math.max(0, lines - fixed - running);
  const wanted = state.notes.size;
  const least = Math.min(wanted, Math.floor(free / 4), 3);
  const rows = Math.max(Math.min(state.rows.length, free - least - (blanks && least > 0 ? 1 : 0)), 0);
  const notes = Math.max(0, Math.min(wanted, free - rows - (blanks ? 1 : 0)));
  // What is left lets measurements that run at the same time show one below the other.
  const more = Math.max(0, free - rows - notes - (blanks ? 1 : 0));
  const others = Math.max(0, new Set([...state.active].map(({ column }) => column)).size - 1);
  return { bar, heads, blanks, rows, notes, running: running === 0 ? 0 : running + Math.min(others, more, 7) };
}

/** The last lines of a frame, which stand at the bottom of the terminal. */
export function footerLines(looking: Looking, lines: number): number {
  return lines < 3 ? 0 : looking.stopping ? 2 : 1;
}

/** Keeps the running row in sight, a little below the top so that what was just finished stays visible. */
export function firstRow(state: State, looking: Looking, shown: number): number {
  const last = Math.max(0, state.rows.length - shown);
  if (!looking.follow) return Math.min(Math.max(0, looking.row), last);
  const current = state.current ? state.rows.findIndex((row) => row.cells.includes(state.current)) : -1;
  if (current < 0) return Math.min(Math.max(0, looking.row), last);
  return Math.min(Math.max(0, current - Math.floor(shown / 2)), last);
}

/** Which rows are shown, where not all are. */
function clippedText(state: State, from: number, shown: number): string {
  if (shown >= state.rows.length || shown === 0) return "";
  return `${from + 1} to ${from + shown} of ${state.rows.length}`;
}

function Header(props: AppProps & { left: ReturnType<typeof timeLeft>; bar: boolean }): ReactElement {
  const { state, columns, glyphs, left } = props;
  const { counts } = state;
  const jobs = state.cells.size - counts.impossible;
  const parts: string[] = [];
  if (jobs > 0) parts.push(`${counts.done + counts.failed}/${counted(jobs, "job")}`);
  if (counts.failed > 0) parts.push(`${counts.failed} failed`);
  if (counts.before > 0) parts.push(`${counts.before} done before`);
  if (state.startedAt > 0) parts.push(duration((state.now - state.startedAt) / 1000));
  const whole = totalShare(state);
  const remaining = state.outcome
    ? state.outcome === "complete"
      ? "finished"
      : "stopped"
    : left.total.milliseconds > 0
      ? `${left.total.known} ${duration(left.total.milliseconds / 1000)} left`
      : jobs > 0
        ? `${glyphs.unknown} left`
        : "preparing";
  // Room for the longest text, so that the bar keeps its length.
  const after = ` ${String(Math.floor(whole * 100)).padStart(3)} %${gap}${remaining.padEnd(24)}`;
  return (
    <>
      <Box height={1} justifyContent="space-between">
        <Tinted {...props} bold text={state.name || "gguf-bench"} />
        <Box flexShrink={0}>
          <Tinted {...props} tone="quiet" text={`${gap}${parts.join(glyphs.separator)}`} />
        </Box>
      </Box>
      {props.bar && (
        <Line
          {...props}
          pieces={[
            { text: bar(whole, Math.min(100, Math.max(0, columns - after.length)), glyphs), tone: "plain" },
            { text: after.trimEnd(), tone: "plain" },
          ]}
        />
      )}
    </>
  );
}

function Heads(props: AppProps & { table: Layout }): ReactElement {
  const { state, table } = props;
  return (
    <>
      <Box height={1}>
        <Box width={table.nameWidth} flexShrink={0} />
        {groupHeads(state, table.columns).map((head) => (
          <Box key={`${head.text} ${head.over}`} marginLeft={head.gap} width={head.width} flexShrink={0}>
            <Tinted {...props} tone="quiet" text={head.text} />
          </Box>
        ))}
      </Box>
      <Box height={1}>
        <Box width={table.nameWidth} flexShrink={0}>
          <Tinted {...props} tone="quiet" text="variant" />
        </Box>
        <Tinted {...props} tone="quiet" text={columnHeads(table.columns)} />
      </Box>
    </>
  );
}

/** A line per running measurement: what, how far, how long. Variants that take turns share one line. */
function Running(props: AppProps & { count: number; left: Map<Cell, number> }): ReactElement {
  const { state, columns, count } = props;
  const groups = new Map<number, Cell[]>();
  for (const cell of [...(state.current ? [state.current] : []), ...state.active]) {
    const group = groups.get(cell.column) ?? [];
    if (!group.includes(cell)) groups.set(cell.column, [...group, cell]);
  }
  if (count > 0 && state.fetching) return <Tinted {...props} tone="running" text={describeFetching(state)} />;
  if (count > 0 && groups.size === 0)
    return <Tinted {...props} tone="quiet" text={state.counts.waiting > 0 ? "loading the model" : "finishing"} />;
  const widest = (names: string[]) => names.reduce((most, name) => Math.max(most, roughWidth(name)), 0);
  const natural =
    widest(state.rows.map((row) => row.variant.name)) + widest(state.measurements.map(({ name }) => name)) + 3;
  const nameWidth = Math.min(Math.max(natural, 30), Math.floor(columns * 0.47));
  return (
    <>
      {[...groups.values()].slice(0, count).map((group) => (
        <RunningLine key={group[0]!.column} {...props} group={group} nameWidth={nameWidth} />
      ))}
    </>
  );
}

function RunningLine(props: AppProps & { group: Cell[]; nameWidth: number; left: Map<Cell, number> }): ReactElement {
  const { state, group, nameWidth, glyphs, columns } = props;
  const [cell] = group as [Cell];
  const measurement = harmless(cell.job.measurement);
  const together = takingTurns(state, cell);
  const what = together
    ? `${measurement}, ${counted(together.variants, "variant")} in turns`
    : `${harmless(cell.job.variant)} ${measurement}`;
  const { done, total } = together ?? { done: cell.done, total: cell.total };
  const known = together ? (total === undefined ? undefined : done / total) : share(state, cell);
  const times = group.map((one) => props.left.get(one)).filter((time) => time !== undefined);
  const left = times.length < group.length ? undefined : times.reduce((sum, time) => sum + time, 0);
  const unit = total === 1 ? oneOf(cell) : cell.unit;
  const count = `${Math.floor(done)}${total === undefined ? "" : `/${total}`} ${unit}`;
  const time = left === undefined ? `${glyphs.unknown} left` : `${duration(left / 1000)} left`;
  const after = `  ${count.padEnd(15)}  ${time.padEnd(14)}`;
  const length = Math.min(50, Math.max(0, columns - nameWidth - 2 - after.length));
  const figures = columns >= 140 && !together ? runningFigures(cell) : "";
  return (
    <Box height={1}>
      <Box width={nameWidth} flexShrink={0}>
        <Tinted {...props} tone="running" wrap="truncate-middle" text={`${glyphs.status.running} ${what}`} />
      </Box>
      <Line
        {...props}
        pieces={[
          { text: `  ${bar(known ?? 0, length, glyphs)}`, tone: known === undefined ? "quiet" : "plain" },
          { text: figures ? `${after}  ${figures}` : after.trimEnd(), tone: "plain" },
        ]}
      />
    </Box>
  );
}

/** What the variants of a measurement that take turns did and have to do together; undefined for a job by itself. */
function takingTurns(state: State, { column, inTurns }: Cell) {
  if (!inTurns) return undefined;
  const cells = [...state.cells.values()].filter(
    (one) => one.column === column && one.inTurns && one.status !== "failed",
  );
  const totals = cells.map((one) => one.total ?? state.measurements[one.column]!.total);
  return {
    variants: cells.length,
    done: cells.reduce((sum, one) => sum + one.done, 0),
    total: totals.includes(undefined) ? undefined : totals.reduce((sum, total) => sum! + total!, 0),
  };
}

function runningFigures(cell: Cell): string {
  const name = cell.job.metrics.find(isPrincipal);
  const known = name === undefined ? undefined : figure(cell, name);
  return name === undefined || !known ? "" : formatFigure(name, known);
}

/** The latest few; what cannot be measured was known from the start and gives way first. */
function latestNotes(state: State, count: number): Note[] {
  if (count <= 0) return [];
  const notes = [...state.notes.values()];
  const happened = notes.filter((note) => note.kind !== "impossible").slice(-count);
  const known = notes.filter((note) => note.kind === "impossible").slice(0, count - happened.length);
  return [...known, ...happened];
}

function NoteLine(props: AppProps & { note: Note }): ReactElement {
  const { note, glyphs } = props;
  const mark = note.kind === "warning" ? glyphs.warning : glyphs.status[note.kind];
  const times = note.count > Math.max(1, note.measurements.length) ? ` (${note.count}×)` : "";
  const where = [note.variant, note.measurements.join(", ")].filter(Boolean).join(" ");
  const hint = note.hint ? ` (${note.hint})` : "";
  const tone: Tone = note.kind === "failed" ? "failed" : note.kind === "warning" ? "warning" : "quiet";
  return (
    <Line
      {...props}
      pieces={[
        { text: `${mark} `, tone },
        { text: where ? `${where}${times}: ` : times, tone },
        { text: note.message + hint, tone: note.kind === "impossible" ? "quiet" : "plain" },
      ]}
    />
  );
}

function Footer(props: AppProps & { clipped: string; table: Layout }): ReactElement {
  const { state, looking, columns, lines, glyphs, clipped, table } = props;
  const keys: string[] = [];
  if (!state.outcome) keys.push(looking.stopping ? "q stop now" : "q stop");
  if (clipped) keys.push(`${glyphs.rowKeys} rows (${clipped})${looking.follow ? "" : `${gap}f follow`}`);
  if (table.hidden > 0) keys.push(`${glyphs.columnKeys} columns (${table.hidden} more)`);
  const legend = (["done", "running", "waiting", "failed", "impossible"] as const)
    .map((status) => `${glyphs.status[status]} ${status === "impossible" ? "not possible" : status}`)
    .join("  ");
  const room = columns - keys.join(gap).length - gap.length >= legend.length;
  const unit = state.current ? oneOf(state.current) : "item";
  return (
    <>
      {looking.stopping && lines >= 3 && (
        <Tinted
          {...props}
          tone="warning"
          text={
            looking.stopping === "now" || state.fetching
              ? "Stopping now. The same command continues."
              : `Stopping: finishes the current ${unit} first. The same command continues.`
          }
        />
      )}
      {lines >= 3 && (
        <Box height={1} justifyContent="space-between">
          <Tinted {...props} tone="quiet" text={keys.join(gap)} />
          {room && (
            <Box flexShrink={0}>
              <Tinted {...props} tone="quiet" text={legend} />
            </Box>
          )}
        </Box>
      )}
    </>
  );
}

/** Pieces in one line, cut at the right edge. */
function Line({ pieces, colour }: { pieces: Piece[]; colour: boolean }): ReactElement {
  return (
    <Text wrap="truncate">
      {merged(pieces).map((piece, index) => (
        // biome-ignore lint/suspicious/noArrayIndexKey: pieces have no identity but their place
        <Text key={index} {...style(piece.tone, colour)}>
          {harmless(piece.text, { length: Infinity })}
        </Text>
      ))}
    </Text>
  );
}

/** Neighbours of one tone as one piece: each costs a node in every frame. */
function merged(pieces: Piece[]): Piece[] {
  const result: Piece[] = [];
  for (const piece of pieces) {
    const last = result.at(-1);
    if (last && last.tone === piece.tone) last.text += piece.text;
    else result.push({ ...piece });
  }
  return result;
}

function Tinted(props: {
  text: string;
  colour: boolean;
  tone?: Tone;
  bold?: boolean;
  wrap?: "truncate" | "truncate-middle";
}): ReactElement {
  const { text, tone = "plain", colour, bold = false, wrap = "truncate" } = props;
  return (
    <Text wrap={wrap} {...style(tone, colour)} {...(colour && bold ? { bold } : {})}>
      {harmless(text, { length: Infinity })}
    </Text>
  );
}

function style(tone: Tone, colour: boolean): { color?: string; dimColor?: boolean } {
  if (!colour) return {};
  switch (tone) {
    case "plain":
      return {};
    case "quiet":
      return { dimColor: true };
    case "running":
      return { color: "cyan" };
    case "done":
      return { color: "green" };
    case "failed":
      return { color: "red" };
    case "warning":
      return { color: "yellow" };
  }
}

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

/** The last characters of the sequences that terminals send. */
const arrows: Record<string, KeyName> = {
  A: "up",
  B: "down",
  C: "right",
  D: "left",
  H: "home",
  F: "end",
};

function Keys({ onKey }: { onKey(key: KeyName): void }): null {
  useInput((input, key) => {
    if (key.ctrl) {
      if (input === "c") onKey("stop");
    } else if (key.upArrow) onKey("up");
    else if (key.downArrow) onKey("down");
    else if (key.leftArrow) onKey("left");
    else if (key.rightArrow) onKey("right");
    else if (key.pageUp) onKey("page-up");
    else if (key.pageDown) onKey("page-down");
    else if (key.home) onKey("home");
    else if (key.end) onKey("end");
    else if (key.escape) onKey("follow");
    else for (const name of keysIn(input)) onKey(name);
  });
  return null;
}

/**
 * The keys of one read. A key held down, or typed while a frame was drawn, comes as several characters at once; so does pasted
 * text, of which Ctrl-C alone is meant as a key. What follows an Escape that came by itself is told by its bracket or O.
 */
export function keysIn(input: string): KeyName[] {
  const arrow = /^[[O]([ABCDHF])$/.exec(input);
  if (arrow) return [arrows[arrow[1]!]!];
  const keys = [...input].map((letter) => (Object.hasOwn(letters, letter) ? letters[letter] : undefined));
  const typed = keys.every((key) => key !== undefined) ? keys : keys.filter((_, i) => input[i] === "\u0003");
  return typed.filter((key) => key !== undefined);
}

/** What a key does to what is looked at. */
export function look(looking: Looking, key: KeyName, state: State, lines: number, columns: number): Looking {
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

export interface AppOptions {
  onStop(kind: StopKind): void;
  stdout: Writer;
  stdin?: ReadStream;
  env?: NodeJS.ProcessEnv;
  now?: () => number;
}

/** Milliseconds between two frames: after a key, for figures, which nobody reads faster, and at the very most. */
const atOnce = 100;
const calm = 500;
const rarest = 4000;
/**
 * Of one processor's time that drawing may take: where frames are costly they come less often. Folding the events and
 * the garbage left behind come on top; together they stay below 2 %.
 */
const drawingShare = 0.005;
/** Milliseconds of drawing that are free at the start, when code is not yet compiled and the eye most curious. */
const headStart = 300;

/** The live view on a terminal. Ink lays the frame out and reads the keys; `screen.ts` brings it to the terminal. */
export function startView({
  onStop,
  stdout,
  stdin = process.stdin,
  env = process.env,
  now = Date.now,
}: AppOptions): View {
  const colour = !env.NO_COLOR;
  const glyphs = speaksUnicode(env) ? unicode : ascii;
  let state = initialState();
  let looking: Looking = { row: 0, follow: true, page: 0, stopping: undefined };
  let live = false;
  let closed = false;
  let timer: NodeJS.Timeout | undefined;
  let due = 0;
  let drawnAt = 0;
  const since = performance.now();
  let spent = 0;

  const screen = openScreen(stdout);
  // Ink's own painting clears the whole terminal, scrollback included, when a window shrinks below the last frame. In
  // debug mode it hands over each frame as plain text instead, and sees no rows that could tempt it.
  const paper = {
    get columns() {
      return stdout.columns;
    },
    isTTY: true,
    write(frame: string) {
      if (!closed) screen.paint(frame, footerLines(looking, height()));
      return true;
    },
    on() {},
    off() {},
  } as unknown as WriteStream;

  // One line stays free: a frame as tall as the terminal scrolls some of them.
  const height = () => Math.max(1, (stdout.rows || 24) - 1);
  const frame = () => (
    <App
      state={live && !state.outcome ? tick(state, now()) : state}
      looking={looking}
      columns={stdout.columns || 80}
      lines={height()}
      colour={colour}
      glyphs={glyphs}
      onKey={stdin.isTTY ? onKey : undefined}
      onGone={screen.close}
    />
  );

  const draw = () => {
    timer = undefined;
    if (closed) return;
    if (!screen.ready()) return schedule(calm);
    const before = process.cpuUsage();
    instance.rerender(frame());
    drawnAt = performance.now();
    const { user, system } = process.cpuUsage(before);
    spent += (user + system) / 1000;
  };

  const schedule = (pause: number) => {
    const at = Math.max(drawnAt + pause, performance.now());
    if (timer) {
      if (at >= due) return;
      clearTimeout(timer);
    }
    due = at;
    timer = setTimeout(draw, Math.max(0, at - performance.now()));
    timer.unref();
  };
  // Milliseconds until the frames drawn so far are within the share again.
  const debt = () => (spent - headStart) / drawingShare - (performance.now() - since);
  const changed = () => schedule(Math.min(rarest, Math.max(calm, debt())));

  function onKey(key: KeyName): void {
    looking = look(looking, key, state, height(), stdout.columns || 80);
    if (key === "stop" && looking.stopping) onStop(looking.stopping);
    schedule(atOnce);
  }
  const onResize = () => {
    screen.forget();
    schedule(atOnce);
  };

  const instance = render(frame(), { stdout: paper, stdin, debug: true, exitOnCtrlC: false, patchConsole: false });
  drawnAt = performance.now();
  stdout.on("resize", onResize);
  // The elapsed time moves on even while nothing is told.
  const clock = setInterval(changed, 1000);
  clock.unref();
  // Whatever else was written to the terminal (a warning of Node, say) is painted over after a while.
  const mend = setInterval(screen.forget, 10_000);
  mend.unref();

  return {
    resume(run) {
      state = resumed(run);
    },
    handle(event) {
      live = true;
      tick(state, now());
      state = reduce(state, event);
      if (event.type === "started" || event.type === "finished") schedule(atOnce);
      else changed();
    },
    async close() {
      if (closed) return;
      closed = true;
      clearTimeout(timer);
      clearInterval(clock);
      clearInterval(mend);
      stdout.off("resize", onResize);
      const exited = instance.waitUntilExit();
      instance.unmount();
      screen.close();
      await exited;
    },
  };
}

function speaksUnicode(environment: NodeJS.ProcessEnv): boolean {
  if (process.platform === "win32") return Boolean(environment.WT_SESSION ?? environment.TERM_PROGRAM);
  const locale = environment.LC_ALL || environment.LC_CTYPE || environment.LANG || "";
  return environment.TERM !== "linux" && !/^(C|POSIX)$/.test(locale);
}
