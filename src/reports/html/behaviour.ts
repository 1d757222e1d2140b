/**
 * The script of report.html: tables sort by their heads, and the verdicts show differences alone when asked to. Without it the page
 * holds all the same. It reads what is in the page and asks for nothing.
 */
export const behaviour = `
"use strict";
const say = (text) => { document.getElementById("said").textContent = text; };
for (const table of document.querySelectorAll("table.sortable")) {
  const body = table.tBodies[0];
  const given = [...body.rows];
  const heads = [...table.querySelectorAll("thead th")].filter((head) => head.querySelector("button"));
  for (const head of heads) head.querySelector("button").addEventListener("click", () => {
    const index = Number(head.dataset.column);
    const first = head.dataset.first || "ascending";
    const second = first === "ascending" ? "descending" : "ascending";
    const now = head.getAttribute("aria-sort");
    const next = now === first ? second : now === second ? "none" : first;
    for (const other of heads) other.removeAttribute("aria-sort");
    if (next !== "none") head.setAttribute("aria-sort", next);
    const sign = next === "ascending" ? 1 : -1;
    const key = (row) => row.cells[index].dataset.value ?? "";
    const rows = next === "none" ? given : [...given].sort((a, b) => {
      const [x, y] = [key(a), key(b)];
      if (x === "" || y === "") return x === y ? 0 : x === "" ? 1 : -1;
      return sign * (head.dataset.text ? x.localeCompare(y, "en", { numeric: true }) : Number(x) - Number(y));
    });
    body.append(...rows);
    const name = head.querySelector("button").textContent;
    say(next === "none" ? "In the order of the benchmark" : "Sorted by " + name + ", " + next);
  });
}
const filter = document.getElementById("different");
if (filter) {
  const rows = [...document.querySelectorAll("[data-different]")];
  const show = () => {
    for (const row of rows) row.hidden = filter.checked && row.dataset.different === "no";
    // What the box is ticked for is there to see.
    if (filter.checked) for (const row of rows) if (row.dataset.different === "yes") row.closest("details").open = true;
    for (const part of document.querySelectorAll("[data-compared]"))
      part.hidden = filter.checked && !part.querySelector('[data-different="yes"]');
    const count = rows.filter((row) => !row.hidden).length;
    document.getElementById("shown").textContent = count + " of " + rows.length + " comparisons shown";
  };
  filter.addEventListener("change", show);
  show();
}
`;
