"""A whole HTML document around a body: one file that needs nothing else."""

from __future__ import annotations

from pathlib import Path

from stempede.report import style
from stempede.report.groups.space import TURN
from stempede.report.html import Html, tag


def document(title: str, body: Html) -> str:
    """Return a complete HTML document around a body."""
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("title", f"{title} · stempede"),
        # the style sheet and the scripts are this package's own text
        tag("style", Html(style.CSS)),
    )
    whole = tag("body", body, tag("script", Html(style.SORT + TURN)))
    return "<!DOCTYPE html>\n" + tag("html", head, whole, lang="en") + "\n"


def write_page(path: Path, text: str) -> Path:
    """Write a page under its name only when it is whole."""
    temporary = path.with_name(f".{path.name}")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)
    return path
