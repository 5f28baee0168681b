"""Style of the live page: no font, script or picture from elsewhere."""

PAGE_CSS = """
html, body { margin: 0; background: #fff; color: #1b1f24; -webkit-text-size-adjust: 100%;
  font: 15px/1.45 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif; }
body { padding: 12px clamp(8px, 2vw, 28px); box-sizing: border-box; }
#gone { display: none; position: fixed; inset: auto 0 0 0; background: #b54700; color: #fff;
  padding: 8px 16px; z-index: 9; }
body.gone #gone { display: block; }
"""

TEXT_CSS = """
:host { font: 15px/1.45 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif;
  color: #1b1f24; }
:host > div { width: 100%; }
h1 { font-size: 1.25rem; margin: 0 4px 0 0; overflow-wrap: anywhere; }
h2 { font-size: 1rem; margin: 4px 0; }
h2 small { color: #57606a; font-weight: 400; }
.top { display: flex; flex-wrap: wrap; gap: 6px; align-items: center; }
.state { border: 1px solid #d0d7de; border-radius: 9px; padding: 0 9px; color: #57606a; }
.state.watching { background: #009e73; border-color: #009e73; color: #fff; }
.state.provisional { background: #fff4e5; border-color: #e69f00; color: #7a4100; }
.tiles { display: flex; flex-wrap: wrap; gap: 6px 22px; }
.tile span { display: block; color: #57606a; font-size: .8rem; }
.tile b { font-size: 1.15rem; font-weight: 600; white-space: nowrap; }
.tile.large b { font-size: 1.5rem; }
.tile.late b { color: #b54700; }
.tile small { color: #57606a; font-weight: 400; font-size: .75em; }
p { margin: 3px 0; padding: 3px 9px; border-left: 4px solid #d0d7de; background: #f6f8fa; }
p.warn { border-color: #e69f00; background: #fff4e5; }
p.enough { border-color: #009e73; background: #e6f5f0; font-weight: 600; }
p.none { background: none; border: 0; padding: 0; color: #57606a; }
img { width: 100%; height: auto; display: block; background: #f6f8fa; }
.scroll { max-height: 260px; overflow: auto; }
table { border-collapse: collapse; font-size: .85rem; }
td { padding: 2px 10px 2px 0; vertical-align: top; overflow-wrap: anywhere; }
.bar { display: flex; gap: 8px; align-items: center; }
.bar span { width: 5em; } .bar i { background: #0072b2; height: 12px; }
"""

BLUE, SKY, ORANGE, GREEN, GREY = "#0072B2", "#56B4E9", "#E69F00", "#009E73", "#57606a"
TILT_RANGE_DEG = 15
"""Tilts beyond it have the last colours."""
