"""How the report looks: one palette, one style sheet, one small script.

Colours are those of Okabe and Ito, told apart by readers with any colour vision; where
two states differ, line style or text differs too.
"""

from __future__ import annotations

from typing import Any

INK = "#1b1f24"
MUTED = "#57606a"
LINE = "#d0d7de"
BLUE = "#0072B2"
SKY = "#56B4E9"
ORANGE = "#E69F00"
GREEN = "#009E73"
VERMILION = "#D55E00"
PURPLE = "#CC79A7"

FIT_COLOURS = {"normal": VERMILION, "lognormal": GREEN, "lognormal mixture": PURPLE}
FIT_LINES = {"normal": "--", "lognormal": "-", "lognormal mixture": ":"}

RC: dict[str, Any] = {
    "font.family": "sans-serif",
    "font.size": 9.5,
    "axes.labelsize": 9.5,
    "axes.titlesize": 9.5,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "text.color": INK,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    # text stays text: figures can be edited and searched
    "svg.fonttype": "none",
    "svg.hashsalt": "stempede",
    "path.simplify": True,
}
"""Settings of matplotlib for every figure of a report."""

CSS = """
:root { --ink: #1b1f24; --muted: #57606a; --line: #d0d7de; --panel: #f6f8fa; --accent: #0072b2;
  --warn: #b54700; --warn-panel: #fff4e5; }
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; }
body { margin: 0; color: var(--ink); background: #fff;
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif; }
main, body > header, body > footer { max-width: 1120px; margin: 0 auto; padding: 0 28px; }
body > header { padding-top: 36px; }
h1 { font-size: 1.55rem; line-height: 1.25; margin: 0 0 4px; overflow-wrap: anywhere; }
h2 { font-size: 1.2rem; margin: 52px 0 12px; padding-top: 14px; border-top: 1px solid var(--line); }
h3 { font-size: 1rem; margin: 28px 0 8px; }
p { margin: 8px 0; max-width: 72ch; }
a { color: var(--accent); }
.eyebrow { color: var(--muted); font-size: .82rem; margin: 0 0 6px; letter-spacing: .02em; }
.sub, .note { color: var(--muted); font-size: .9rem; }
.sub { overflow-wrap: anywhere; }
.banner { border-left: 4px solid var(--warn); background: var(--warn-panel); padding: 10px 14px;
  margin: 16px 0; max-width: none; }
.banner code { white-space: normal; overflow-wrap: anywhere; }
nav ul { list-style: none; display: flex; flex-wrap: wrap; gap: 2px 16px; margin: 18px 0 0;
  padding: 0; font-size: .9rem; }
.headline { display: grid; grid-template-columns: 1.5fr 1fr 1fr; gap: 0; margin: 24px 0 0;
  border: 1px solid var(--line); border-radius: 8px; overflow: hidden; }
.headline.two { grid-template-columns: 1fr 1fr; }
.headline > div { padding: 18px 20px; border-left: 1px solid var(--line); min-width: 0; }
.headline > div:first-child { background: var(--panel); border-left: 0; }
.headline .name { color: var(--muted); font-size: .85rem; margin: 0; }
.headline .value { font-size: 1.7rem; line-height: 1.2; font-weight: 600; margin: 4px 0;
  font-variant-numeric: tabular-nums; }
.headline > div:first-child .value { font-size: 2.3rem; }
.headline .value small { font-size: .62em; font-weight: 500; }
.headline .detail { color: var(--muted); font-size: .85rem; line-height: 1.45; margin: 2px 0 0; }
.pair { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 400px), 1fr));
  gap: 20px 32px; align-items: start; }
.multiples { display: grid; gap: 8px 16px; margin: 12px 0;
  grid-template-columns: repeat(auto-fill, minmax(180px, 1fr)); }
.multiples.wide { grid-template-columns: repeat(auto-fill, minmax(min(100%, 225px), 1fr)); }
.broad { overflow-x: auto; }
.broad img { min-width: 700px; }
.broad figcaption { position: sticky; left: 0; max-width: min(72ch, calc(100vw - 32px)); }
.group { white-space: nowrap; }
.group::before { content: ""; display: inline-block; width: .75em; height: .75em;
  margin-right: .4em; border-radius: 2px; background: var(--group); }
.turns canvas { display: block; width: 100%; height: 360px; touch-action: pan-y; cursor: grab;
  border: 1px solid var(--line); border-radius: 6px; }
.turns canvas:focus-visible { outline: 2px solid var(--accent); outline-offset: 2px; }
.choices { display: flex; flex-wrap: wrap; gap: 4px 14px; margin-top: 8px; font-size: .88rem; }
.choices label { cursor: pointer; }
figure { margin: 12px 0; min-width: 0; }
figure img { display: block; width: 100%; height: auto; }
.pair figure img.chart { max-width: 520px; }
.table figcaption { margin: 0 0 6px; }
figcaption { color: var(--muted); font-size: .86rem; line-height: 1.45; margin-top: 6px;
  max-width: 72ch; }
.overlays { display: grid; gap: 20px 24px;
  grid-template-columns: repeat(auto-fit, minmax(min(100%, 460px), 1fr)); }
.overlays img { border: 1px solid var(--line); }
.key { display: inline-flex; flex-wrap: wrap; gap: 4px 18px; font-size: .88rem; margin: 0;
  padding: 0; list-style: none; }
.key li::before { content: ""; display: inline-block; width: 22px; margin-right: 7px;
  vertical-align: middle; border-top: 3px solid currentColor; }
.key li.dotted::before { border-top-style: dotted; }
.key span { color: var(--ink); }
.scroll { overflow: auto; border: 1px solid var(--line); border-radius: 6px;
  max-width: 100%; }
.scroll.tall { max-height: 30rem; }
.scroll:focus-visible { outline: 2px solid var(--accent); outline-offset: 2px; }
table { border-collapse: collapse; width: 100%; font-size: .87rem;
  font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: 5px 12px; border-bottom: 1px solid #eaeef2;
  white-space: nowrap; vertical-align: top; }
th { position: sticky; top: 0; background: var(--panel); font-weight: 600; }
th.n, td.n { text-align: right; }
td.wrap, td:has(> .wrap) { white-space: normal; min-width: 18rem; }
tbody tr:last-child td { border-bottom: 0; }
.sortable th { cursor: pointer; }
.sortable th[aria-sort="ascending"]::after { content: " \\2191"; }
.sortable th[aria-sort="descending"]::after { content: " \\2193"; }
.bad { color: var(--warn); font-weight: 600; }
.bar { display: block; height: 8px; min-width: 1px; background: var(--accent); border-radius: 2px; }
td:has(> .bar) { width: 35%; min-width: 110px; vertical-align: middle; }
.facts { margin: 12px 0; font-size: .9rem; max-width: 860px; }
.facts > div { display: grid; grid-template-columns: 9.5rem 1fr; gap: 10px; padding: 4px 0;
  border-bottom: 1px solid #eaeef2; }
.facts dt { color: var(--muted); }
.facts dd { margin: 0; overflow-wrap: anywhere; }
pre { background: var(--panel); border: 1px solid var(--line); border-radius: 6px; overflow: auto;
  padding: 12px 14px; font-size: .82rem; line-height: 1.45; }
code { font-size: .92em; white-space: nowrap; }
details { margin: 12px 0; }
summary { cursor: pointer; color: var(--accent); }
body > footer { color: var(--muted); font-size: .85rem; margin-top: 56px; padding-bottom: 40px; }
@media (max-width: 720px) {
  main, body > header, body > footer { padding-left: 16px; padding-right: 16px; }
  body > header { padding-top: 20px; }
  .headline, .headline.two { grid-template-columns: 1fr; }
  .headline > div { border-left: 0; border-top: 1px solid var(--line); padding: 14px 16px; }
  .headline > div:first-child { border-top: 0; }
  .headline > div:first-child .value { font-size: 2rem; }
  .multiples { grid-template-columns: repeat(2, 1fr); }
  .facts > div { grid-template-columns: 8rem 1fr; }
  h2 { margin-top: 40px; }
  th, td { padding: 5px 9px; }
  td:first-child { white-space: normal; min-width: 5.5rem; }
}
@media print {
  body { font-size: 10.5pt; }
  main, body > header, body > footer { max-width: none; padding: 0; }
  nav { display: none; }
  .scroll, .scroll.tall { overflow: visible; max-height: none; border: 0; }
  th { position: static; }
  table { font-size: 7.5pt; }
  th, td { padding: 3px 6px; }
  figure, tr, .headline { break-inside: avoid; }
  h2, h3 { break-after: avoid; }
  pre { white-space: pre-wrap; }
}
"""
"""Style sheet of the page: desktop, phone and print."""

SORT = """
document.querySelectorAll("table.sortable").forEach(function (table) {
  table.querySelectorAll("th").forEach(function (head, column) {
    function sort() {
      var up = head.getAttribute("aria-sort") !== "ascending";
      var body = table.tBodies[0];
      var key = function (row) {
        var cell = row.cells[column];
        return cell.dataset.sort === undefined ? cell.textContent : parseFloat(cell.dataset.sort);
      };
      var order = function (a, b) {
        var x = key(a), y = key(b);
        if (typeof x !== typeof y) { return typeof x === "number" ? -1 : 1; }
        var less = typeof x === "number" ? x - y : x.localeCompare(y, undefined, {numeric: true});
        return up ? less : -less;
      };
      Array.from(body.rows).sort(order).forEach(function (row) { body.appendChild(row); });
      table.querySelectorAll("th").forEach(function (h) { h.removeAttribute("aria-sort"); });
      head.setAttribute("aria-sort", up ? "ascending" : "descending");
    }
    head.tabIndex = 0;
    head.title = "sort";
    head.addEventListener("click", sort);
    head.addEventListener("keydown", function (event) {
      if (event.key === "Enter" || event.key === " ") { event.preventDefault(); sort(); }
    });
  });
});
"""
"""Sorts tables by a click on a column's title; the page reads the same without it."""
