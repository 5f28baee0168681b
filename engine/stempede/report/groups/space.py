"""The space of shapes: (p, d, L) of particles by group, standing and turning."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from stempede.report import style
from stempede.report.figures import start
from stempede.report.groups.findings import Group, Grouped

MOST_POINTS = 3000
STANDING = 1200
_AZIMUTH, _ELEVATION = -0.62, 0.42
_P_TICKS = (0.3, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0)
_L_TICKS = (1.0, 1.5, 2.0, 3.0, 5.0)


@dataclass(frozen=True)
class Cloud:
    """Points in the unit cube, with what the axes say.

    Parameters
    ----------
    points : (n, 3) float64 array
        log p, d and log L, each from 0 to 1.
    number : (n,) int64 array
        Group of each.
    axes : tuple of (title, ticks)
        Of p, d and L; ticks as (place, text).
    n_all : int
        Particles that these were drawn from.
    """

    points: np.ndarray
    number: np.ndarray
    axes: tuple[tuple[str, tuple[tuple[float, str], ...]], ...]
    n_all: int

    @classmethod
    def of(cls, grouped: Grouped, seed: int = 0) -> Cloud | None:
        """Draw a seeded choice of the particles that have a shape; None where fewer than 3 do."""
        p, d, l_ratio = (np.asarray(grouped.particles[k], float) for k in ("p", "d", "l_ratio"))
        known = np.isfinite(p) & np.isfinite(d) & np.isfinite(l_ratio) & (p > 0) & (l_ratio > 0)
        rows = np.flatnonzero(known)
        if len(rows) < 3:
            return None
        rng = np.random.default_rng(seed)
        chosen = np.sort(rng.permutation(rows)[:MOST_POINTS])
        # whole numbers of d would hide each other
        shift = rng.uniform(-0.16, 0.16, len(chosen))
        apart = d[chosen] + shift * (d[chosen] == np.round(d[chosen]))
        spans = (_span(np.log(p[rows])), (0.5, 6.5), _span(np.log(l_ratio[rows])))
        values = (np.log(p[chosen]), apart, np.log(l_ratio[chosen]))
        points = np.stack([(v - s[0]) / (s[1] - s[0]) for v, s in zip(values, spans)], axis=1)
        axes = (
            ("p", _ticks(_P_TICKS, spans[0])),
            ("d", tuple(((k - 0.5) / 6, str(k)) for k in range(1, 7))),
            ("L", _ticks(_L_TICKS, spans[2])),
        )
        return cls(points, grouped.number[chosen], axes, len(rows))


def _span(values: np.ndarray) -> tuple[float, float]:
    low, high = np.quantile(values, (0.002, 0.998))
    pad = 0.05 * (high - low) or 0.1
    return float(low - pad), float(high + pad)


def _ticks(values: Sequence[float], span: tuple[float, float]) -> tuple[tuple[float, str], ...]:
    places = [(float((np.log(v) - span[0]) / (span[1] - span[0])), f"{v:g}") for v in values]
    return tuple((at, text) for at, text in places if 0 <= at <= 1)


def project(points: np.ndarray, azimuth: float, elevation: float) -> np.ndarray:
    """Return (right, up, towards the reader) of points in the unit cube, seen from a direction."""
    x, y, z = (points - 0.5).T
    across = x * np.cos(azimuth) - y * np.sin(azimuth)
    along = x * np.sin(azimuth) + y * np.cos(azimuth)
    up = z * np.cos(elevation) + along * np.sin(elevation)
    near = z * np.sin(elevation) - along * np.cos(elevation)
    return np.stack([across, up, near], axis=1)


_CORNERS = np.array([[x, y, z] for x in (0, 1) for y in (0, 1) for z in (0, 1)], float)
_EDGES = [
    (a, b)
    for a in range(8)
    for b in range(a + 1, 8)
    if np.abs(_CORNERS[a] - _CORNERS[b]).sum() == 1
]
# which corner each axis starts and ends at: the near lower edges, and an upright one
_RULERS = ((0, 4), (4, 6), (0, 1))


def standing(cloud: Cloud, groups: Sequence[Group]) -> Any:
    """Draw the cloud from one direction."""
    figure, axes = start((4.7, 4.0), layout=None)
    figure.subplots_adjust(left=0.02, right=0.98, bottom=0.04, top=0.88)
    corners = project(_CORNERS, _AZIMUTH, _ELEVATION)
    for a, b in _EDGES:
        axes.plot(*corners[[a, b], :2].T, color=style.LINE, linewidth=0.8, zorder=0)
    for (title, ticks), ruler in zip(cloud.axes, _RULERS, strict=True):
        _ruler(axes, title, ticks, _CORNERS[list(ruler)])
    points = cloud.points[:STANDING]
    seen = project(points, _AZIMUTH, _ELEVATION)
    number = cloud.number[:STANDING]
    order = np.argsort(seen[:, 2])
    known = {g.number: g.colour for g in groups}
    colours = np.array([known.get(int(n), style.MUTED) for n in number])
    axes.scatter(*seen[order, :2].T, s=7, c=colours[order], alpha=0.75, linewidths=0)
    for group in groups:
        axes.plot([], [], "o", color=group.colour, markersize=5, label=group.name)
    if groups:
        figure.legend(loc="upper left", ncols=5, columnspacing=0.8, handletextpad=0.2)
    axes.set_aspect("equal")
    axes.axis("off")
    return figure


def _ruler(axes: Any, title: str, ticks: Sequence[tuple[float, str]], ends: np.ndarray) -> None:
    centre = project(np.full((1, 3), 0.5), _AZIMUTH, _ELEVATION)[0, :2]
    middle = project(ends.mean(axis=0)[None], _AZIMUTH, _ELEVATION)[0, :2]
    out = (middle - centre) / np.linalg.norm(middle - centre)
    for at, text in ticks:
        place = project((ends[0] + at * (ends[1] - ends[0]))[None], _AZIMUTH, _ELEVATION)[0, :2]
        axes.plot(*np.stack([place, place + 0.02 * out]).T, color=style.MUTED, linewidth=0.8)
        axes.text(
            *(place + 0.055 * out),
            text,
            ha="center",
            va="center",
            fontsize="small",
            color=style.MUTED,
        )
    axes.text(*(middle + 0.15 * out), title, ha="center", va="center", fontweight="bold")


def turning(cloud: Cloud, groups: Sequence[Group]) -> str:
    """Return the cloud as JSON for the script that turns it."""
    return json.dumps(
        {
            "points": np.round(cloud.points, 3).ravel().tolist(),
            "group": cloud.number.tolist(),
            "colours": {str(g.number): g.colour for g in groups},
            "axes": [
                {"title": t, "ticks": [[round(a, 4), s] for a, s in k]} for t, k in cloud.axes
            ],
            "azimuth": _AZIMUTH,
            "elevation": _ELEVATION,
        },
        separators=(",", ":"),
    ).replace("<", "\\u003c")


TURN = """
document.querySelectorAll("figure.turns").forEach(function (figure) {
  var cloud = JSON.parse(figure.querySelector("script").textContent);
  var canvas = figure.querySelector("canvas"), pen = canvas.getContext("2d");
  if (!pen) { return; }
  var shown = {}, azimuth = cloud.azimuth, elevation = cloud.elevation, held = null;
  Object.keys(cloud.colours).forEach(function (g) { shown[g] = true; });
  var rulers = [[[0,0,0],[1,0,0]], [[1,0,0],[1,1,0]], [[0,0,0],[0,0,1]]];
  function seen(x, y, z) {
    x -= .5; y -= .5; z -= .5;
    var ca = Math.cos(azimuth), sa = Math.sin(azimuth);
    var ce = Math.cos(elevation), se = Math.sin(elevation);
    var along = x * sa + y * ca;
    return [x * ca - y * sa, z * ce + along * se, z * se - along * ce];
  }
  function draw() {
    var wide = canvas.clientWidth, tall = canvas.clientHeight, dense = window.devicePixelRatio || 1;
    canvas.width = wide * dense; canvas.height = tall * dense;
    pen.setTransform(dense, 0, 0, dense, 0, 0);
    pen.clearRect(0, 0, wide, tall);
    var scale = Math.min(wide, tall) / 1.72;
    function at(x, y, z) {
      var s = seen(x, y, z);
      return [wide / 2 + scale * s[0], tall / 2 - scale * s[1], s[2]];
    }
    pen.strokeStyle = "#d0d7de"; pen.lineWidth = 1; pen.beginPath();
    [0, 1].forEach(function (a) { [0, 1].forEach(function (b) {
      [[at(0,a,b), at(1,a,b)], [at(a,0,b), at(a,1,b)], [at(a,b,0), at(a,b,1)]
      ].forEach(function (e) {
        pen.moveTo(e[0][0], e[0][1]); pen.lineTo(e[1][0], e[1][1]);
      });
    }); });
    pen.stroke();
    pen.textAlign = "center"; pen.textBaseline = "middle"; pen.fillStyle = "#57606a";
    rulers.forEach(function (r, k) {
      function along(t) {
        return at(r[0][0] + t * (r[1][0] - r[0][0]), r[0][1] + t * (r[1][1] - r[0][1]),
                  r[0][2] + t * (r[1][2] - r[0][2]));
      }
      var middle = along(.5), dx = middle[0] - wide / 2, dy = middle[1] - tall / 2;
      var far = Math.hypot(dx, dy) || 1;
      pen.font = "12px system-ui, sans-serif";
      cloud.axes[k].ticks.forEach(function (tick) {
        var p = along(tick[0]);
        pen.fillText(tick[1], p[0] + 14 * dx / far, p[1] + 14 * dy / far);
      });
      pen.font = "bold 14px system-ui, sans-serif";
      pen.fillText(cloud.axes[k].title, middle[0] + 34 * dx / far, middle[1] + 34 * dy / far);
    });
    var points = cloud.group.map(function (g, k) {
      var p = at(cloud.points[3 * k], cloud.points[3 * k + 1], cloud.points[3 * k + 2]);
      p.push(g); return p;
    });
    points.sort(function (a, b) { return a[2] - b[2]; });
    points.forEach(function (p) {
      if (shown[p[3]] === false) { return; }
      pen.globalAlpha = Math.max(.25, Math.min(.95, .6 + .4 * p[2]));
      pen.fillStyle = cloud.colours[p[3]] || "#57606a";
      pen.beginPath(); pen.arc(p[0], p[1], 2.2 + .7 * p[2], 0, 7); pen.fill();
    });
    pen.globalAlpha = 1;
  }
  function turn(across, up) {
    azimuth += across;
    elevation = Math.max(-1.5, Math.min(1.5, elevation + up));
    draw();
  }
  canvas.addEventListener("pointerdown", function (event) {
    held = [event.clientX, event.clientY]; canvas.setPointerCapture(event.pointerId);
  });
  canvas.addEventListener("pointermove", function (event) {
    if (!held) { return; }
    turn((held[0] - event.clientX) * -.01, (event.clientY - held[1]) * .01);
    held = [event.clientX, event.clientY];
  });
  ["pointerup", "pointercancel"].forEach(function (name) {
    canvas.addEventListener(name, function () { held = null; });
  });
  canvas.addEventListener("keydown", function (event) {
    var step = {ArrowLeft: [-.1, 0], ArrowRight: [.1, 0], ArrowUp: [0, .1], ArrowDown: [0, -.1]};
    if (step[event.key]) { event.preventDefault(); turn.apply(null, step[event.key]); }
  });
  figure.querySelectorAll("input").forEach(function (box) {
    box.addEventListener("change", function () { shown[box.value] = box.checked; draw(); });
  });
  window.addEventListener("resize", draw);
  draw();
});
"""
"""Turns the cloud by drag or arrow keys; without it the standing figure says the same."""
