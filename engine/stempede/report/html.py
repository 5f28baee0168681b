"""HTML by construction: every text is escaped, only ``Html`` passes as it is."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

_VOID = frozenset({"img", "br", "hr", "meta", "link", "col"})


class Html(str):
    """Text that is markup already."""

    __slots__ = ()


def tag(element: str, *children: Any, **attributes: Any) -> Html:
    """Return an element with escaped children and attributes.

    Parameters
    ----------
    element : str
        Name of the element.
    *children : Html, str, number, None or iterables of these
        Anything but ``Html`` is escaped; ``None`` is left out.
    **attributes : str, int, True or None
        ``class_`` is written ``class``, ``data_sort`` is written ``data-sort``; ``None`` is left
        out, ``True`` stands for an attribute without a value.
    """
    written = "".join(_attribute(k, v) for k, v in attributes.items() if v is not None)
    if element in _VOID:
        return Html(f"<{element}{written}>")
    return Html(f"<{element}{written}>{join(*children)}</{element}>")


def _attribute(name: str, value: Any) -> str:
    name = name.rstrip("_").replace("_", "-")
    return f" {name}" if value is True else f' {name}="{escape(str(value))}"'


def join(*children: Any) -> Html:
    """Return children one after the other, escaped where they are not ``Html``."""
    parts: list[str] = []
    for child in children:
        if child is None:
            continue
        if isinstance(child, Html):
            parts.append(child)
        elif isinstance(child, str) or not isinstance(child, Iterable):
            parts.append(escape(str(child)))
        else:
            parts.append(join(*child))
    return Html("".join(parts))


def number(value: float | int | None, digits: int = 3) -> str:
    """Return a number with so many significant digits and commas, ``–`` where missing."""
    if value is None or not math.isfinite(value):
        return "–"
    whole = float(value).is_integer() and abs(value) >= 10 ** (digits - 1)
    if isinstance(value, int) or whole:
        return _signed(f"{int(value):,}")
    if value != 0 and not 1e-4 <= abs(value) < 1e7:
        return _signed(f"{value:.{digits - 1}e}")
    decimals = 0 if value == 0 else max(0, digits - 1 - math.floor(math.log10(abs(value))))
    return _signed(f"{value:,.{decimals}f}")


def _signed(text: str) -> str:
    """Return a number with a true minus sign."""
    return text.replace("-", "−", 1) if text.startswith("-") else text


def counted(n: int, one: str) -> str:
    """Return a number with its noun."""
    return f"{n:,} {one if n == 1 else one + 's'}"


def measured(value: float, half_width: float) -> tuple[str, str]:
    """Return a value and its half-width, both to the second digit of the half-width."""
    if not math.isfinite(value):
        return "–", ""
    if not (math.isfinite(half_width) and half_width > 0):
        return number(value, 4), ""
    decimals = max(0, 1 - math.floor(math.log10(half_width)))
    return f"{value:,.{decimals}f}", f"{half_width:,.{decimals}f}"


def span(low: float, high: float, unit: str = "", scale: float = 1.0) -> str:
    """Return ``low to high unit``, or a dash where there is no interval."""
    if not (math.isfinite(low) and math.isfinite(high)):
        return "–"
    half = (high - low) / 2 * scale
    decimals = max(0, 1 - math.floor(math.log10(half))) if half > 0 else 2
    ends = (_signed(f"{end * scale:,.{decimals}f}") for end in (low, high))
    text = " to ".join(ends)
    return f"{text} {unit}".strip()


def table(
    heads: Sequence[str],
    rows: Iterable[Sequence[Any]],
    *,
    caption: str = "",
    sortable: bool = False,
    tall: bool = False,
    digits: int = 3,
    formats: Mapping[int, str] | None = None,
) -> Html:
    """Return a table in a scrolling box of its own.

    Parameters
    ----------
    heads : sequence of str
        Column titles.
    rows : iterable of sequences
        Cells: ``Html`` and str as they are, numbers right-aligned and formatted.
    caption : str
        What the table shows.
    sortable : bool
        Whether a click on a title sorts.
    tall : bool
        Whether the box also scrolls down.
    digits : int
        Significant digits of numbers.
    formats : mapping of int to str, optional
        Format of the numbers of a column instead, such as ``.2f``.
    """
    rows = [list(row) for row in rows]
    head = tag("tr", *(_head(h, k, rows) for k, h in enumerate(heads)))
    known = formats or {}
    body = [
        tag("tr", *(_cell(value, digits, known.get(k)) for k, value in enumerate(row)))
        for row in rows
    ]
    box = tag(
        "div",
        tag(
            "table",
            tag("thead", head),
            tag("tbody", *body),
            class_="sortable" if sortable else None,
        ),
        class_="scroll tall" if tall else "scroll",
        tabindex=0,
        role="region",
        aria_label=caption or ", ".join(heads),
    )
    return tag("figure", tag("figcaption", caption) if caption else None, box, class_="table")


def _head(title: str, column: int, rows: Sequence[Sequence[Any]]) -> Html:
    numeric = bool(rows) and not isinstance(rows[0][column], str)
    return tag("th", title, scope="col", class_="n" if numeric else None)


def _cell(value: Any, digits: int, form: str | None) -> Html:
    if isinstance(value, str):
        return tag("td", value)
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return tag("td", "–", class_="n")
    text = number(value, digits) if form is None else format(value, form)
    # the attribute sorts by value where the text is rounded or has thousands separators
    return tag("td", text, class_="n", data_sort=repr(float(value)))


def facts(pairs: Iterable[tuple[str, Any]]) -> Html:
    """Return a definition list of names and values; empty values are left out."""
    rows = [
        tag("div", tag("dt", name), tag("dd", value))
        for name, value in pairs
        if value not in (None, "")
    ]
    return tag("dl", *rows, class_="facts")


def section(anchor: str, title: str, *children: Any) -> Html:
    """Return a titled section of the page."""
    return tag("section", tag("h2", title), *children, id=anchor)
