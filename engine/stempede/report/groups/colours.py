"""One colour per group, the same in every figure; groups also carry their number.

The first seven are those of Okabe and Ito that show on white and on grey micrographs, the rest
from Tol's muted set; beyond twelve, line styles tell groups of one colour apart.
"""

from __future__ import annotations

from stempede.report import style

COLOURS = (
    style.BLUE,
    style.ORANGE,
    style.GREEN,
    style.PURPLE,
    style.VERMILION,
    style.SKY,
    "#B8A800",
    "#882255",
    "#332288",
    "#999933",
    "#44AA99",
    "#777777",
)
LINES = ("-", "--", ":", "-.")


def colour(group: int) -> str:
    """Return the colour of a group as a hexadecimal triple."""
    return COLOURS[group % len(COLOURS)]


def line(group: int) -> str:
    """Return the line style of a group: solid for the first twelve."""
    return LINES[group // len(COLOURS) % len(LINES)]


def rgb8(group: int) -> tuple[int, int, int]:
    """Return the colour of a group as three bytes."""
    r, g, b = bytes.fromhex(colour(group)[1:])
    return r, g, b
