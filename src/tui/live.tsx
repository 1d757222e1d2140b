import type { ReadStream, WriteStream } from "node:tty";
import { render } from "ink";
import { now as clockNow } from "../clock.js";
import type { ToldChange } from "../judge/index.js";
import type { Writer } from "../terminal.js";
import { App } from "./app.js";
import { footerLines, type Looking } from "./frame.js";
import { type KeyName, look } from "./keys.js";
import { ascii, unicode } from "./matrix.js";
import { openScreen } from "./screen.js";
import { compared, initialState, reduce, resumed, tick } from "./state.js";
import type { Onlooked, StopKind, View } from "./view.js";

interface LiveOptions {
  onStop(kind: StopKind): void;
  /** The run is another process's: q leaves it as it is. */
  onlooked?: Onlooked;
  stdout: Writer;
  stdin?: ReadStream;
  env?: NodeJS.ProcessEnv;
  now?: () => number;
}

/** The live view on a terminal. Ink lays the frame out and reads the keys; `screen.ts` brings it to the terminal. */
export function startView({
  onStop,
  onlooked,
  stdout,
  stdin = process.stdin,
  env = process.env,
  now = clockNow,
}: LiveOptions): View {
  const colour = !env.NO_COLOR;
  const glyphs = speaksUnicode(env) ? unicode : ascii;
  const onlooking = onlooked !== undefined;
  let state = onlooked ? resumed(onlooked.run) : initialState();
  // Before the screen opens: what is wrong with the past is said on the first one.
  for (const event of onlooked?.past ?? []) state = reduce(state, event);
  let looking: Looking = { row: 0, follow: true, page: 0, stopping: undefined, onlooking };
  // Nothing moves in a run that is over: its first row can be opened at once.
  if (onlooked && !onlooked.follow) looking = { ...looking, follow: false, cursor: 0 };
  let live = onlooked?.follow ?? false;
  let closed = false;

  const screen = openScreen(stdout);
  // Ink's own painting clears the whole terminal, scrollback included, when a window shrinks below the last frame. In
  // debug mode it hands over each frame as plain text instead; it is told of no rows, so that it never clears.
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

  // One line stays free: some terminals scroll when a frame is as tall as they are.
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
  const frames = new FrameBudget(screen.ready, () => instance.rerender(frame()));

  function onKey(key: KeyName): void {
    if (onlooking && key === "stop") {
      onStop("now");
      return;
    }
    looking = look(looking, key, state, height(), stdout.columns || 80);
    if (key === "stop" && looking.stopping) onStop(looking.stopping);
    frames.soon();
  }
  const onResize = () => {
    screen.forget();
    frames.soon();
  };

  const instance = render(frame(), { stdout: paper, stdin, debug: true, exitOnCtrlC: false, patchConsole: false });
  frames.drawn();
  stdout.on("resize", onResize);
  // The elapsed time of a run that goes on changes without any event.
  const clock = setInterval(() => !(onlooking && state.outcome) && frames.calmly(), 1000);
  clock.unref();
  // A full repaint removes whatever else was written to the terminal, such as a warning of Node.
  const mend = setInterval(screen.forget, 10_000);
  mend.unref();

  return {
    compare(changes: ToldChange[]) {
      state = compared(state, changes);
      frames.soon();
    },
    resume(run) {
      state = resumed(run);
    },
    handle(event) {
      live = true;
      tick(state, now());
      state = reduce(state, event);
      if (event.type === "started" || event.type === "finished") frames.soon();
      else frames.calmly();
    },
    async close() {
      if (closed) return;
      closed = true;
      frames.end();
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

/** Milliseconds between two frames: after a key, for new figures, and at the very most. */
const atOnce = 100;
const calm = 500;
const rarest = 4000;
/**
 * Share of one processor's time that drawing may take; costly frames come less often. Folding the events and collecting
 * garbage come on top, and all of it together stays below 2 %.
 */
const drawingShare = 0.005;
/** Milliseconds of drawing that are free at the start: code is not compiled yet, and the user is waiting for the first frames. */
const headStart = 300;

/** Decides when the next frame is drawn, so that the view takes no time from the measurement. */
class FrameBudget {
  readonly #since = performance.now();
  #spent = 0;
  #drawnAt = 0;
  #due = 0;
  #timer: NodeJS.Timeout | undefined;
  #ended = false;

  /** `ready`: whether the terminal has taken the last frame. */
  constructor(
    readonly ready: () => boolean,
    readonly draw: () => void,
  ) {}

  /** A frame was drawn outside of the budget: the first one. */
  drawn(): void {
    this.#drawnAt = performance.now();
  }

  /** The user did something, or the run began or ended. */
  soon(): void {
    this.#schedule(atOnce);
  }

  /** Figures changed. */
  calmly(): void {
    // Milliseconds until the frames drawn so far are within the share again.
    const debt = (this.#spent - headStart) / drawingShare - (performance.now() - this.#since);
    this.#schedule(Math.min(rarest, Math.max(calm, debt)));
  }

  end(): void {
    this.#ended = true;
    clearTimeout(this.#timer);
  }

  #schedule(pause: number): void {
    const at = Math.max(this.#drawnAt + pause, performance.now());
    if (this.#timer) {
      if (at >= this.#due) return;
      clearTimeout(this.#timer);
    }
    this.#due = at;
    this.#timer = setTimeout(() => this.#frame(), Math.max(0, at - performance.now()));
    this.#timer.unref();
  }

  #frame(): void {
    this.#timer = undefined;
    if (this.#ended) return;
    if (!this.ready()) {
      this.#schedule(calm);
      return;
    }
    const before = process.cpuUsage();
    this.draw();
    this.drawn();
    const { user, system } = process.cpuUsage(before);
    this.#spent += (user + system) / 1000;
  }
}

function speaksUnicode(environment: NodeJS.ProcessEnv): boolean {
  if (process.platform === "win32") return Boolean(environment.WT_SESSION ?? environment.TERM_PROGRAM);
  const locale = environment.LC_ALL || environment.LC_CTYPE || environment.LANG || "";
  return environment.TERM !== "linux" && !/^(C|POSIX)$/.test(locale);
}
