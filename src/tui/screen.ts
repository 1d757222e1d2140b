import type { Writer } from "../terminal.js";

/** Control sequence introducer. */
const csi = "\u001b[";
/** Other screen, cursor away, no wrapping at the right edge (a character wider than we think must not move the rest). */
const enter = `${csi}?1049h${csi}?25l${csi}?7l${csi}2J`;
const leave = `${csi}?7h${csi}?25h${csi}?1049l`;
/** The terminal shows what stands between as one change; those that do not know it ignore it. */
const begin = `${csi}?2026h`;
const end = `${csi}?2026l`;

/** The terminal's second screen; the first one comes back untouched. */
export interface Screen {
  /**
   * Brings the terminal from the last frame to this one, touching only the lines that differ. The frame's last `footer`
   * lines go to the bottom, all others to the top.
   */
  paint(frame: string, footer: number): void;
  /** Forgets the last frame: the next one is painted whole. */
  forget(): void;
  /** False while the terminal is too slow to have taken the last frame. */
  ready(): boolean;
  close(): void;
}

export function openScreen(stdout: Writer): Screen {
  let painted: string[] | undefined;
  let open = true;
  stdout.write(enter);

  const close = () => {
    if (!open) return;
    open = false;
    stdout.off("error", lost);
    process.off("exit", close);
    process.off("uncaughtExceptionMonitor", close);
    stdout.write(leave);
  };
  // The user's terminal comes back however the process ends, unless it is killed. A crash is reported after that, else the
  // report would disappear with this screen. A terminal that was closed cannot be given back.
  const lost = () => {
    open = false;
  };
  stdout.once("error", lost);
  process.on("exit", close);
  process.on("uncaughtExceptionMonitor", close);

  return {
    paint(frame, footer) {
      if (!open) return;
      const rows = Math.max(1, (stdout.rows || 24) - 1);
      const lines = frame.split("\n");
      const below = lines.splice(Math.max(0, lines.length - footer));
      lines.length = Math.max(0, rows - below.length);
      lines.push(...below);
      let changes = painted ? "" : `${csi}2J`;
      for (let index = 0; index < Math.max(lines.length, painted?.length ?? 0); index++) {
        const line = lines[index] ?? "";
        if (painted && line === (painted[index] ?? "")) continue;
        changes += `${csi}${index + 1};1H${csi}2K${line}`;
      }
      painted = lines;
      if (changes) stdout.write(begin + changes + end);
    },
    forget() {
      painted = undefined;
    },
    ready: () => !stdout.writableNeedDrain,
    close,
  };
}
