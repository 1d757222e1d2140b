// Makes the pictures of the README from a real run of the demo: npm run pictures (needs tmux; about two minutes).
// The live view runs in a terminal of its own; what stands on that screen, colours included, becomes an SVG file.
import { execFileSync } from "node:child_process";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";

const here = path.dirname(fileURLToPath(import.meta.url));
const root = path.join(here, "..", "..");
const { version } = JSON.parse(fs.readFileSync(path.join(root, "package.json"), "utf8"));
const [columns, rows] = [120, 30];
const session = `pictures-${process.pid}`;
const folder = path.join(fs.mkdtempSync(path.join(os.tmpdir(), "pictures-")), "demo");

const tmux = (...words) => execFileSync("tmux", words, { encoding: "utf8" });
const screen = () => tmux("capture-pane", "-t", session, "-e", "-p");
const sleep = (seconds) => new Promise((resolve) => setTimeout(resolve, seconds * 1000));
const plain = (text) => text.replace(/\x1b\[[0-9;]*m/g, "");
/** The line with which a run and a report end. */
const isOver = (screen) => /^To read and to send: .*Tables:/ms.test(plain(screen));

tmux("new-session", "-d", "-s", session, "-x", String(columns), "-y", String(rows), "-c", root);
try {
  tmux(
    "send-keys",
    "-t",
    session,
    `clear; env -u NO_COLOR FORCE_COLOR=1 node dist/cli.js run benchmarks/demo.yaml --out ${folder}`,
    "Enter",
  );
  let live = "";
  let frame = "";
  const end = Date.now() + 20 * 60_000;
  while (!isOver(frame)) {
    if (Date.now() > end) throw new Error("the demo did not end within 20 minutes");
    await sleep(0.5);
    frame = screen();
    const share = Number(plain(frame).match(/(\d+) %/)?.[1] ?? 0);
    // The answers at the end tell per cent, too.
    if (/^q stop/m.test(plain(frame)) && share >= 40 && share <= 75) live = frame;
  }
  if (!live) throw new Error("no frame of the live view between 40 and 75 % was seen");
  write("live-view.svg", live, "npm start");
  // The report on a screen of its own, all that the command prints.
  const long = `${session}-report`;
  const command = `env -u NO_COLOR node dist/cli.js report ${folder}; sleep 60`;
  tmux("new-session", "-d", "-s", long, "-x", "120", "-y", "300", "-c", root, command);
  let report = "";
  while (!isOver(report)) {
    await sleep(0.5);
    report = tmux("capture-pane", "-t", long, "-e", "-p");
  }
  tmux("kill-session", "-t", long);
  write("report.svg", report.replaceAll(folder, "reports/demo"), "gguf-bench report reports/demo");
} finally {
  tmux("kill-session", "-t", session);
  fs.rmSync(path.dirname(folder), { recursive: true, force: true });
}

/** Black, red, green, yellow, blue, magenta, cyan, white on a dark ground: codes 30 to 37, and 90 to 97 for the bright ones. */
function colour(code) {
  const normal = ["#6b7280", "#f87171", "#4ade80", "#facc15", "#60a5fa", "#c084fc", "#22d3ee", "#d1d5db"];
  const bright = ["#9ca3af", "#fca5a5", "#86efac", "#fde047", "#93c5fd", "#d8b4fe", "#67e8f9", "#ffffff"];
  return (code >= 90 ? bright : normal)[code % 10];
}

/** One screen as text, a tspan for every run of one look. */
function write(name, ansi, command) {
  const lines = ansi.replace(/\s+$/, "").split("\n");
  const width = Math.max(...lines.map((line) => plain(line).length), 60);
  const [cell, height, margin] = [8.4, 18, 16];
  const inXml = (text) => text.replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");
  let look = {};
  const body = lines.map((line, row) => {
    let column = 0;
    const spans = [];
    for (const part of line.split(/(\x1b\[[0-9;]*m)/)) {
      const codes = part.match(/^\x1b\[([0-9;]*)m$/);
      if (codes) look = applied(look, codes[1].split(";").map(Number));
      else if (part) {
        const style = [
          look.bold && 'font-weight="700"',
          look.dim && 'opacity="0.6"',
          look.colour && `fill="${look.colour}"`,
        ];
        if (part.trim()) {
          const x = (margin + column * cell).toFixed(1);
          spans.push(
            `<tspan x="${x}" textLength="${(part.length * cell).toFixed(1)}" ${style.filter(Boolean).join(" ")}>${inXml(part)}</tspan>`,
          );
        }
        column += part.length;
      }
    }
    return `<text y="${margin + 34 + row * height}" xml:space="preserve">${spans.join("")}</text>`;
  });
  const [w, h] = [2 * margin + width * cell, 2 * margin + 34 + lines.length * height];
  const caption = `${command}  (gguf-bench ${version}, ${new Date().toISOString().slice(0, 10)})`;
  fs.writeFileSync(
    path.join(here, name),
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${w.toFixed(0)} ${h}" width="${w.toFixed(0)}" height="${h}" font-family="ui-monospace, 'DejaVu Sans Mono', Menlo, Consolas, monospace" font-size="14" fill="#e5e7eb">
<title>${inXml(caption)}</title>
<rect width="100%" height="100%" rx="10" fill="#111827"/>
<text x="${margin}" y="${margin + 8}" fill="#9ca3af">$ ${inXml(caption)}</text>
${body.join("\n")}
</svg>
`,
  );
  console.log(path.relative(root, path.join(here, name)));
}

function applied(look, codes) {
  const next = { ...look };
  for (const code of codes) {
    if (code === 0 || Number.isNaN(code)) for (const key of Object.keys(next)) delete next[key];
    else if (code === 1) next.bold = true;
    else if (code === 2) next.dim = true;
    else if (code === 22) next.bold = next.dim = false;
    else if (code === 39) delete next.colour;
    else if ((code >= 30 && code <= 37) || (code >= 90 && code <= 97)) next.colour = colour(code);
  }
  return next;
}
