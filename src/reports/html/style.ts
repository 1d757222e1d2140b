/** The style of report.html. Colours of light and dark have a contrast of 4.5 : 1 or more with what they stand on. */
export const style = `
:root {
  color-scheme: light dark; --back: #fff; --ink: #1b1f24; --soft: #57606a; --line: #d0d7de;
  --band: #f6f8fa; --link: #0550ae; --good: #116329; --bad: #a40e26; --maybe: #7d4e00; --shade: rgb(87 96 106 / 40%);
}
@media screen and (prefers-color-scheme: dark) {
  :root {
    --back: #0d1117; --ink: #e6edf3; --soft: #9da7b3; --line: #3d444d; --band: #161b22;
    --link: #79c0ff; --good: #56d364; --bad: #ff8e86; --maybe: #e3b341;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0 auto; padding: 1.5rem 1rem 4rem; max-width: 80rem; background: var(--back);
  color: var(--ink);
  font: 1rem/1.5 system-ui, -apple-system, "Segoe UI", "Noto Sans", "Noto Sans SC", sans-serif;
  overflow-wrap: anywhere;
}
h1 { margin: 0; font-size: 1.6rem; line-height: 1.25; }
h2 {
  margin: 2.5rem 0 0.75rem; font-size: 1.25rem; border-bottom: 1px solid var(--line);
  padding-bottom: 0.3rem;
}
h3 { margin: 1.5rem 0 0.5rem; font-size: 1.05rem; }
h4 { margin: 1rem 0 0.5rem; font-size: 1rem; }
p, ul, ol { margin: 0.5rem 0; max-width: 65ch; }
ul, ol { padding-left: 1.3rem; }
a { color: var(--link); }
code, pre { font: 0.875em ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; }
pre { padding: 0.75rem; background: var(--band); overflow-x: auto; white-space: pre-wrap; }
:focus-visible { outline: 2px solid var(--link); outline-offset: 2px; }
.soft { color: var(--soft); }
.small { font-size: 0.875rem; }
.answer {
  margin: 1rem 0 0; padding: 0.75rem 1rem; background: var(--band);
  border-left: 4px solid var(--link);
}
.answer p { margin: 0.25rem 0; font-size: 1.1rem; max-width: 110ch; }
nav ul {
  display: flex; flex-wrap: wrap; gap: 0.25rem 1rem; margin: 1rem 0 0; padding: 0; list-style: none;
  max-width: none;
}
/* A shade at the side where columns are hidden. */
.scroll {
  overflow-x: auto; margin: 0.5rem 0; position: relative;
  background:
    linear-gradient(to right, var(--back) 50%, transparent) 0 0 / 3rem 100% no-repeat local,
    linear-gradient(to left, var(--back) 50%, transparent) 100% 0 / 3rem 100% no-repeat local,
    linear-gradient(to right, var(--shade), transparent) 0 0 / 0.75rem 100% no-repeat scroll,
    linear-gradient(to left, var(--shade), transparent) 100% 0 / 0.75rem 100% no-repeat scroll;
}
table { border-collapse: collapse; font-size: 0.9rem; font-variant-numeric: tabular-nums; }
caption { text-align: left; color: var(--soft); font-size: 0.875rem; padding: 0 0 0.25rem; }
th, td {
  padding: 0.3rem 0.5rem; border-bottom: 1px solid var(--line); text-align: left;
  vertical-align: top; overflow-wrap: normal;
}
thead th { vertical-align: bottom; white-space: nowrap; }
tbody th { font-weight: 600; min-width: 7rem; max-width: 16rem; overflow-wrap: anywhere; }
tbody th[scope="row"] { position: sticky; left: 0; background: var(--back); }
tbody th[scope="rowgroup"] { background: var(--band); max-width: none; }
.number { text-align: right; white-space: nowrap; }
tbody tr:hover { background: var(--band); }
.change { display: block; font-size: 0.8rem; font-weight: 400; color: var(--soft); }
.over { display: block; font-weight: 400; }
th button {
  all: unset; display: block; cursor: pointer; font-weight: 600; min-height: 1.6rem;
  min-width: 1.6rem; border-bottom: 1px dotted var(--soft);
}
.number button { margin-left: auto; width: max-content; }
th button:focus-visible { outline: 2px solid var(--link); outline-offset: 2px; }
th[aria-sort="ascending"] button::after { content: " \\2191"; }
th[aria-sort="descending"] button::after { content: " \\2193"; }
.nowrap { white-space: nowrap; }
.good { color: var(--good); }
.bad { color: var(--bad); }
.maybe { color: var(--maybe); }
.strong { font-weight: 700; }
.plots {
  display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 30rem), 1fr));
  gap: 1.5rem; align-items: start;
}
figure { margin: 0; break-inside: avoid; min-width: 0; }
figure svg { display: block; width: 100%; max-width: 40rem; height: auto; }
figcaption { font-size: 0.875rem; color: var(--soft); }
figcaption strong { display: block; color: var(--ink); font-size: 1rem; }
details { margin: 0.5rem 0; }
summary { cursor: pointer; font-weight: 600; padding: 0.2rem 0; }
label { cursor: pointer; }
input[type="checkbox"] { width: 1.1rem; height: 1.1rem; vertical-align: -0.15rem; }
dl { display: grid; grid-template-columns: minmax(6rem, max-content) minmax(0, 1fr); gap: 0.25rem 1rem; }
dt { color: var(--soft); }
dd { margin: 0; }
.unseen {
  position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%);
  white-space: nowrap;
}
[hidden] { display: none !important; }
@media (max-width: 40rem) {
  body { padding: 1rem 0.75rem 3rem; }
  /* Room for the shade, and for a scroll bar, which 100vw counts in. */
  caption { max-width: calc(100vw - 3.25rem); }
  th, td { padding: 0.3rem 0.4rem; }
  tbody th { min-width: 5.5rem; max-width: 9rem; font-size: 0.8rem; }
  dl { grid-template-columns: minmax(0, 1fr); }
  dd { margin-bottom: 0.4rem; }
}
@media print {
  body { max-width: none; padding: 0; font-size: 10pt; }
  nav, .control { display: none; }
  .scroll { overflow: visible; }
  th button { border: 0; }
  tr { break-inside: avoid; }
}
`;
