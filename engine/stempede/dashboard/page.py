"""Page: one viewer's document, put together and kept up to date."""

from __future__ import annotations

from typing import Any

from stempede.dashboard import words
from stempede.dashboard.board import Board
from stempede.dashboard.charts import Charts
from stempede.dashboard.style import PAGE_CSS, TEXT_CSS

PERIOD_MS = 200
DRAWING_MS = 20
TABLE_PX = 300
FOLLOWING, PINNED = "following the newest frame", "follow the newest frame"

# a page that is loaded again shows the frame that was chosen in it
REMEMBER = """
const url = new URL(window.location);
if (cb_obj.tags.length) url.searchParams.set("frame", cb_obj.tags[0]);
else url.searchParams.delete("frame");
window.history.replaceState(null, "", url);
"""

# one question at a time, for a file that costs the server nothing: asking for the page would
# have a busy server build one per question
RECONNECT = """
document.body.classList.add("gone");
if (!window.stempede_waits) {
  window.stempede_waits = true;
  const again = () => setTimeout(ask, 500);
  const ask = () => fetch("/static/js/bokeh.min.js", {method: "HEAD", cache: "no-store"})
    .then((answer) => { if (answer.ok) window.location.reload(); else again(); })
    .catch(again);
  again();
}
"""

TEMPLATE = (
    """
{% block postamble %}<style>"""
    + PAGE_CSS
    + """</style>
<meta name="viewport" content="width=device-width, initial-scale=1">
{% endblock %}
{% block contents %}{{ super() }}
<div id="gone" role="status">The server is gone; this page comes back with it.</div>
{% endblock %}
"""
)


class Viewer:
    """One open page.

    Parameters
    ----------
    document : bokeh.document.Document
    board : Board
        Shared by all viewers.
    """

    def __init__(self, document: Any, board: Board) -> None:
        self.document, self.board = document, board
        self._seen = -1
        self._frame, self._is_drawing = _asked_for(document), False
        board.refresh()
        self._columns = board.is_columns
        self._build()
        document.title = "stempede"
        document.template = TEMPLATE
        self.update()
        document.add_periodic_callback(self.update, PERIOD_MS)
        self._reconnect()

    def _build(self) -> None:
        from bokeh.models import Column, CustomJS, Div, Row, Toggle

        self.charts = Charts(columns=self._columns)

        def text(name: str, **styles: str) -> Any:
            return Div(
                name=name, stylesheets=[TEXT_CSS], sizing_mode="stretch_width", styles=styles
            )

        self.heading, self.numbers = text("heading"), text("numbers")
        self.notices, self.image = text("notices"), text("image")
        self.problems, self.groups = text("problems"), text("groups")
        follows = self._frame is None
        self.follow = Toggle(label=_label(follows), active=follows, name="follow")
        self.follow.tags = [] if follows else [self._frame]
        self.follow.on_change("active", self._followed)
        self.follow.js_on_change("tags", CustomJS(code=REMEMBER))
        self.table, self.rows = self._table()
        wrap = {"flex-wrap": "wrap", "gap": "10px"}

        def row(*children: Any) -> Any:
            return Row(*children, sizing_mode="stretch_width", styles=wrap)

        card = {"flex": "1 1 24rem", "min-width": "min(100%, 18rem)"}
        left = Column(
            self.image, self.follow, self.charts.below, sizing_mode="stretch_width", styles=card
        )
        right = Column(*self.charts.figures, self.groups, sizing_mode="stretch_width", styles=card)
        parts = (
            self.heading,
            self.numbers,
            self.notices,
            row(left, right),
            self.table,
            self.problems,
        )
        self.root = Column(*parts, sizing_mode="stretch_width", name="root")
        self.document.add_root(self.root)

    def _table(self) -> tuple[Any, Any]:
        from bokeh.models import ColumnDataSource, DataTable, NumberFormatter, TableColumn

        rows = ColumnDataSource({name: [] for name in self.board.rows()})
        rows.selected.on_change("indices", self._chosen)
        titles = {
            "frame": ("frame", 60),
            "file": ("file", 190),
            "state": ("state", 90),
            "found": ("found", 70),
            "accepted": ("accepted", 80),
            "size": ("mean tilt" if self._columns else "mean size", 90),
            "focus": ("focus", 70),
            "flags": ("flags", 450),
        }
        formats = {"size": "0.00", "focus": "0.000"}
        columns = [
            TableColumn(
                field=name,
                title=title,
                width=width,
                **(
                    {"formatter": NumberFormatter(format=formats[name], nan_format="–")}
                    if name in formats
                    else {}
                ),
            )
            for name, (title, width) in titles.items()
        ]
        table = DataTable(
            source=rows,
            columns=columns,
            index_position=None,
            autosize_mode="none",
            height=TABLE_PX,
            sizing_mode="stretch_width",
            name="frames",
        )
        return table, rows

    def _followed(self, _name: str, _before: bool, _now: bool) -> None:  # noqa: FBT001
        self._look()

    def _chosen(self, _name: str, _before: Any, indices: list[int]) -> None:
        """Show the frame that was chosen in the table, and stay with it."""
        if not indices:
            return
        frame = int(self.rows.data["frame"][indices[0]])
        if frame == self._frame and not self.follow.active:
            return
        self._frame = frame
        if self.follow.active:
            # which looks by itself
            self.follow.active = False
        else:
            self._look()

    def _look(self) -> None:
        """Show what is asked for now, and have the page's address say so."""
        self.follow.label = _label(self.follow.active)
        self.follow.tags = [] if self.follow.active else [self._frame]
        self.update(force=True)

    def _reconnect(self) -> None:
        from bokeh.events import ConnectionLost
        from bokeh.models import CustomJS

        self.document.js_on_event(ConnectionLost, CustomJS(code=RECONNECT))

    def update(self, *, force: bool = False) -> None:
        """Push what is new to this viewer."""
        self.board.refresh()
        if self.board.version == self._seen and not force:
            return
        self._seen = self.board.version
        if self.board.is_columns != self._columns:
            self._columns = self.board.is_columns
            self.document.remove_root(self.root)
            self._build()
        if self.follow.active or self._frame is None:
            self._frame = self.board.newest
        self.heading.text = words.heading(self.board)
        self.numbers.text = words.numbers(self.board)
        self.notices.text = words.notices(self.board)
        self.problems.text = words.problems(self.board)
        self.groups.text = words.groups(self.board)
        self._show()
        self.charts.update(self.board, self._frame)
        self._list()

    def _list(self) -> None:
        """Fill the table; the chosen frame stays chosen when others push it down."""
        rows = self.board.rows()
        if not _same(rows, self.rows.data):
            self.rows.data = rows
        pinned = not self.follow.active and self._frame in rows["frame"]
        chosen = [rows["frame"].index(self._frame)] if pinned else []
        if self.rows.selected.indices != chosen:
            self.rows.selected.indices = chosen

    def _show_late(self) -> None:
        self._is_drawing = False
        self._show()

    def _show(self) -> None:
        found: tuple[str, str] | None = ("", "No frame yet.")
        if self._frame is not None:
            found = self.board.picture_soon(self._frame)
        if found is None:
            # the picture before it stays until then
            if not self._is_drawing:
                self.document.add_timeout_callback(self._show_late, DRAWING_MS)
            self._is_drawing = True
            return
        uri, said = found
        shown = f'<img alt="{_escaped(said)}" src="{uri}">' if uri else ""
        self.image.text = f'{shown}<p class="none" id="caption">{_escaped(said)}</p>'


def _label(follows: bool) -> str:  # noqa: FBT001
    return FOLLOWING if follows else PINNED


def _asked_for(document: Any) -> int | None:
    """Return the frame that the address names, which a page puts there for its next loading."""
    context = document.session_context
    given = context.request.arguments.get("frame", [b""]) if context else [b""]
    return int(given[0]) if given[0].isdigit() else None


def _same(a: Any, b: Any) -> bool:
    """Whether two tables are alike; NaN is like NaN."""
    return repr(a) == repr({name: list(b[name]) for name in b})


def _escaped(text: str) -> str:
    from html import escape

    return escape(text)
