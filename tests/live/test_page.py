from __future__ import annotations

import urllib.error
import urllib.request

import pytest
from browser import Browser, chromium
from living import Running, events, put, watched

from stempede.dashboard.board import Board
from stempede.dashboard.serve import Page
from stempede.errors import InputError

needs_browser = pytest.mark.skipif(chromium() is None, reason="no Chromium on this machine")


def fetch(address: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(address, timeout=30) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, ""


def test_the_board_knows_what_the_folder_knows(tmp_path) -> None:
    run = tmp_path / "run"
    board = Board(run)
    board.refresh()
    assert board.version == 0
    assert board.rows()["frame"] == []
    put(tmp_path / "in", 0, 1, 2, 3, 4)
    watched(tmp_path / "in", run).run()
    board = Board(run)
    board.refresh()
    assert board.rows()["frame"] == [4, 3, 2, 1, 0]
    assert board.status["measured"] == 5
    version = board.version
    board._next_s = 0.0
    board.refresh()
    assert board.version == version
    picture, said = board.picture(4)
    assert picture.startswith("data:image/jpeg;base64,")
    assert said.startswith("frame 4: ")
    (tmp_path / "in" / "frame_00002.tif").unlink()
    assert "cannot be shown" in board.picture(2)[1]


def test_other_machines_want_a_token(tmp_path) -> None:
    with pytest.raises(InputError, match="give --token"):
        Page(tmp_path / "run", host="0.0.0.0")


def test_who_has_no_token_sees_nothing(tmp_path) -> None:
    with Page(tmp_path / "run", token="sesame") as page:
        assert fetch(page.address)[0] == 200
        assert fetch(page.address.replace("sesame", "wrong"))[0] == 403
        assert fetch(page.address.partition("?")[0])[0] == 403


def shows(start: str, *words: str):
    """Return a condition: the picture of a frame is there, and so are words."""
    return lambda t: t.picture().startswith(start) and all(w in t.text() for w in words)


def anew(start: str):
    """Return a condition: a page that is not the one that was marked shows a frame."""
    return lambda t: t.eval("!window.marked") and t.picture().startswith(start)


@needs_browser
def test_values_change_as_frames_arrive_and_outlast_reload_and_restart(tmp_path) -> None:
    source, run = tmp_path / "in", tmp_path / "run"
    put(source, 0, 1, 2)
    with Running(watched(source, run, idle_s=None)) as running, Browser() as browser:
        running.measured(3)
        with Page(run) as page:
            port = int(page.address.rstrip("/").rpartition(":")[2])
            tab = browser.open(page.address)
            tab.wait(shows("frame ", "provisional"))
            put(source, 5)
            running.measured(4)
            tab.wait(shows("frame 3", "frame_00005.tif"))
            other = browser.open(page.address, width=420)
            other.wait(shows("frame 3"))
            # nothing is cut off on a narrow screen
            assert other.eval("document.documentElement.scrollWidth") <= 424
            tab.eval("window.marked = true")
            tab.call("Page.reload")
            tab.wait(anew("frame 3"))
            outside = [r for r in tab.requests if not r.startswith((page.address, "data:"))]
            assert not outside
            tab.eval("window.marked = true")
        tab.wait(lambda t: t.eval("document.body.classList.contains('gone')"))
        with Page(run, port=port):
            # the open page finds the server again by itself
            tab.wait(anew("frame 3"))
            assert not tab.eval("document.body.classList.contains('gone')")
        tab.close()
        other.close()
    assert len(events(run, "measured")) == 4


CLICKS = """(() => { const all = (n, s) => [...n.querySelectorAll('*')].flatMap(
  (c) => [...(c.matches(s) ? [c] : []), ...(c.shadowRoot ? all(c.shadowRoot, s) : [])]);
  const found = all(document, %r)[%d]; if (!found) return '';
  for (const kind of ['mousedown', 'mouseup', 'click'])
    found.dispatchEvent(new MouseEvent(kind, {bubbles: true, composed: true}));
  return found.textContent; })()"""


@needs_browser
def test_a_frame_that_is_chosen_stays_chosen(tmp_path) -> None:
    source, run = tmp_path / "in", tmp_path / "run"
    put(source, 0, 1, 2, 3)
    with Running(watched(source, run, idle_s=None)) as running, Browser() as browser:
        running.measured(4)
        with Page(run) as page:
            tab, other = browser.open(page.address), browser.open(page.address)
            tab.wait(shows("frame 3", "following the newest frame"))
            # rows are the newest first
            tab.wait(lambda t: t.eval(CLICKS % (".slick-row .slick-cell.l0", 2)) == "1")
            tab.wait(shows("frame 1", "follow the newest frame"))
            assert "frame=1" in tab.eval("window.location.search")
            put(source, 5)
            running.measured(5)
            other.wait(shows("frame 4"))
            tab.wait(lambda t: "frame_00005.tif" in t.text())
            assert tab.picture().startswith("frame 1")
            tab.eval("window.marked = true")
            tab.call("Page.reload")
            tab.wait(anew("frame 1"))
            tab.wait(shows("frame 1", "follow the newest frame"))
            assert tab.eval(CLICKS % ("button", 0))
            tab.wait(shows("frame 4", "following the newest frame"))
            tab.wait(lambda t: "frame=" not in t.eval("window.location.search"))
            tab.close()
            other.close()
