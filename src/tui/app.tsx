import { Box, Text, useInput } from "ink";
import { type ReactElement, useLayoutEffect } from "react";
import { harmless } from "../harmless.js";
import { counted, duration } from "../units.js";
import { layout, type MatrixLayout, roughWidth } from "./columns.js";
import { bar, formatFigure, isPrincipal, oneOf, placesOf } from "./figures.js";
import { divide, firstRow, footerLines, type Looking, runningTogether } from "./frame.js";
import { type KeyName, keysIn } from "./keys.js";
import { columnHeads, type Glyphs, groupHeads, type Piece, pointedAt, rowPieces, type Tone } from "./matrix.js";
import { cellLines, keyLines } from "./pages.js";
import {
  describePreparation,
  figure,
  type LiveJob,
  type LiveNote,
  type LiveState,
  share,
  totalShare,
} from "./state.js";
import { timeLeft } from "./time-left.js";

export interface AppProps {
  state: LiveState;
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
  const page =
    looking.over === "keys"
      ? keyLines(looking, glyphs)
      : looking.over === "cell" && looking.cell && state.rows[looking.cell.row]
        ? cellLines(state, looking.cell, width, glyphs)
        : undefined;
  if (page)
    return (
      <Box flexDirection="column" width={width} flexShrink={0}>
        {onKey && <Keys onKey={onKey} />}
        <Header {...props} left={left} bar={sections.bar} />
        {page
          .slice(0, Math.max(0, lines - 1 - (sections.bar ? 1 : 0) - footerLines(looking, lines)))
          .map((text, index) => (
            // biome-ignore lint/suspicious/noArrayIndexKey: lines have no identity but their place
            <Tinted key={index} {...props} text={text || " "} />
          ))}
        <Footer {...props} clipped="" table={table} />
      </Box>
    );
  return (
    <Box flexDirection="column" width={width} flexShrink={0}>
      {onKey && <Keys onKey={onKey} />}
      <Header {...props} left={left} bar={sections.bar} />
      {sections.blanks && <Text> </Text>}
      {sections.heads && <Heads {...props} table={table} />}
      {rows.map((row, at) => (
        <Box key={row.variant.name} height={1}>
          <Box width={table.nameWidth} flexShrink={0}>
            <Tinted
              {...props}
              tone={row.cells.some((cell) => cell && isAtWork(state, cell)) ? "running" : "plain"}
              wrap="truncate-middle"
              text={row.variant.name}
              inverse={from + at === looking.cursor}
            />
          </Box>
          <Line
            {...props}
            pieces={
              from + at === looking.cursor
                ? pointedAt(rowPieces(state, row, table.columns, glyphs), glyphs)
                : rowPieces(state, row, table.columns, glyphs)
            }
          />
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

/** Which rows are shown, where not all are. */
function clippedText(state: LiveState, from: number, shown: number): string {
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

function Heads(props: AppProps & { table: MatrixLayout }): ReactElement {
  const { state, table, glyphs } = props;
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
        <Tinted {...props} tone="quiet" text={columnHeads(table.columns, glyphs)} />
      </Box>
    </>
  );
}

/** Each running job; of jobs that take turns, only the one whose turn it is. */
const isAtWork = (state: LiveState, cell: LiveJob) =>
  cell === state.current || (cell.status === "running" && cell.job.mode === "alone");

/** A line per running job: what, how far, how long. Variants that take turns share one line. */
function Running(props: AppProps & { count: number; left: Map<LiveJob, number> }): ReactElement {
  const { state, columns, count } = props;
  const isCurrent = (group: LiveJob[]) => state.current !== undefined && group.includes(state.current);
  const groups = runningTogether(state);
  // Lines keep their places while all of them are shown.
  const shown =
    groups.length <= count ? groups : groups.toSorted((a, b) => Number(isCurrent(b)) - Number(isCurrent(a)));
  const preparation = describePreparation(state);
  if (count > 0 && groups.length === 0 && !preparation)
    return <Tinted {...props} tone="quiet" text={state.counts.waiting > 0 ? "loading the model" : "finishing"} />;
  const widest = (names: string[]) => names.reduce((most, name) => Math.max(most, roughWidth(name)), 0);
  const natural = Math.max(
    widest(state.rows.map((row) => row.variant.name)) + widest(state.measurements.map(({ name }) => name)) + 3,
    widest(groups.map((group) => runningName(state, group))) + 2,
  );
  const nameWidth = Math.min(Math.max(natural, 30), Math.floor(columns * 0.47));
  return (
    <>
      {preparation && count > 0 && <Tinted {...props} tone="running" text={preparation} />}
      {shown.slice(0, Math.max(0, count - (preparation ? 1 : 0))).map((group) => (
        <RunningLine key={group[0]!.job.id} {...props} group={group} nameWidth={nameWidth} />
      ))}
    </>
  );
}

function RunningLine(
  props: AppProps & { group: LiveJob[]; nameWidth: number; left: Map<LiveJob, number> },
): ReactElement {
  const { state, group, nameWidth, glyphs, columns } = props;
  const cell = group[0]!;
  const together = takingTurns(state, cell);
  const what = runningName(state, group);
  const { done, total } = together ?? { done: cell.done, total: cell.total };
  const known = together ? (total === undefined ? undefined : done / total) : share(state, cell);
  const working = group.filter(({ column }) => column === cell.column);
  const times = working.map((one) => props.left.get(one)).filter((time) => time !== undefined);
  const left = times.length < working.length ? undefined : times.reduce((sum, time) => sum + time, 0);
  const unit = total === 1 ? oneOf(cell) : cell.unit;
  const count = `${Math.floor(done)}${total === undefined ? "" : `/${total}`} ${unit}`;
  const time = left === undefined ? `${glyphs.unknown} left` : `${duration(left / 1000)} left`;
  const after = `  ${count.padEnd(15)}  ${time.padEnd(14)}${placesOf(cell)
    .map((place) => `  ${place}`)
    .join("")}`;
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

/** `Q4_K_M perplexity`, `speed, 8 variants in turns`, `divergence + perplexity, 8 variants`: what a line of `Running` is about. */
function runningName(state: LiveState, group: LiveJob[]): string {
  const cell = group[0]!;
  const measured = [...new Set(group.map(({ job }) => harmless(job.measurement)))].join(" + ");
  const together = takingTurns(state, cell);
  if (!together) return `${harmless(cell.job.variant)} ${measured}`;
  const variants = counted(together.variants, "variant");
  return `${measured}, ${variants}${cell.job.mode === "together" ? "" : " in turns"}`;
}

/** Items done and to do of all variants that take turns at a measurement; undefined for a job by itself. */
function takingTurns(state: LiveState, { column, inTurns }: LiveJob) {
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

function runningFigures(cell: LiveJob): string {
  const name = cell.job.metrics.find(isPrincipal);
  const known = name === undefined ? undefined : figure(cell, name);
  return name === undefined || !known ? "" : formatFigure(name, known);
}

/** The latest notes. Impossible cells were known from the start, so their notes give way first. */
function latestNotes(state: LiveState, count: number): LiveNote[] {
  if (count <= 0) return [];
  const notes = [...state.notes.values()];
  const happened = notes.filter((note) => note.kind !== "impossible").slice(-count);
  const known = notes.filter((note) => note.kind === "impossible").slice(0, count - happened.length);
  return [...known, ...happened];
}

function NoteLine(props: AppProps & { note: LiveNote }): ReactElement {
  const { note, glyphs } = props;
  const marks = { ...glyphs.status, warning: glyphs.warning, note: glyphs.status.waiting };
  const mark = marks[note.kind];
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

function Footer(props: AppProps & { clipped: string; table: MatrixLayout }): ReactElement {
  const { state, looking, columns, lines, glyphs, clipped, table } = props;
  const keys: string[] = [];
  if (looking.onlooking) keys.push("q end");
  else if (!state.outcome) keys.push(looking.stopping ? "q stop now" : "q stop");
  if (looking.over) keys.push("Esc back", ...(looking.over === "cell" ? ["arrows other cells"] : []));
  else keys.push("? keys");
  const opens = clipped ? "Enter one row" : `${glyphs.rowKeys} Enter one row`;
  if (looking.cursor !== undefined && !looking.over) keys.push(opens);
  if (clipped) keys.push(`${glyphs.rowKeys} rows (${clipped})`);
  if (clipped && !looking.follow) keys.push("f follow");
  if (table.hidden > 0 && !looking.over) keys.push(`${glyphs.columnKeys} columns (${table.hidden} more)`);
  // What the page of keys tells as well gives way first.
  for (const key of ["f follow", opens]) {
    const at = keys.indexOf(key);
    if (at >= 0 && keys.join(gap).length > columns) keys.splice(at, 1);
  }
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
            looking.stopping === "now" || state.active.size === 0
              ? "Stopping now. The same command continues."
              : `Stopping: up to 3 s for the current ${unit}. The same command continues.`
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

/** Neighbouring pieces of one tone become one, because each piece costs a node in every frame. */
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
  inverse?: boolean;
  wrap?: "truncate" | "truncate-middle";
}): ReactElement {
  const { text, tone = "plain", colour, bold = false, inverse = false, wrap = "truncate" } = props;
  return (
    <Text wrap={wrap} {...style(tone, colour)} {...(colour ? { bold, inverse } : {})}>
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
    else if (key.escape) onKey("back");
    else if (key.return) onKey("open");
    else for (const name of keysIn(input)) onKey(name);
  });
  return null;
}
