"""Atom columns while they come: oriented tilts, layers, the core–shell rule, and parity."""

from __future__ import annotations

import json

import numpy as np
import pytest
from browser import Browser, chromium
from living import ONE, assert_as_offline

from column_tables import batch_of, dot
from stempede.cli import main
from stempede.columns.layers import Layers
from stempede.columns.octahedra import Octahedra
from stempede.columns.tables import CELLS
from stempede.dashboard import words
from stempede.dashboard.board import Board
from stempede.dashboard.serve import Page
from stempede.io.results import Results
from stempede.live import Goal, Watch, Watching
from stempede.live.replay import replay, steps
from stempede.live.tally import Tally, verdict_facts
from stempede.live.tilts import core_shell, oriented_tilts
from stempede.recipe import Recipe
from stempede.session import Session
from stempede.stage import door
from stempede.tables import MISSING, Table

N = 6


def core_and_shell(i: float, j: float) -> float:
    """Return 9 degrees inside of a dot of 9 by 8 sites, 4 in its outermost layer."""
    return 4.0 if i in (-4, 4) or j in (-4, 3) else 9.0


def measured(tilt, n: int = 1, sign=lambda k: 1.0) -> Table:
    """Return the tables of n frames, a dot in each, with the errors of a low dose."""
    rng = np.random.default_rng(5)

    def of(k: int) -> Table:
        parity = sign(k)
        return dot((9, 8), lambda i, j: parity * tilt(i, j)).columns(rng, frame=k)

    parts = [of(k) for k in range(n)]
    return Octahedra()(batch_of(Table.concat(parts))).tables


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_tilts_are_turned_by_the_rest_of_their_dot(sign) -> None:
    octahedra = measured(lambda i, j: sign * 9.0)["octahedra"]
    x = oriented_tilts(octahedra, 0)
    assert len(x) == np.isfinite(octahedra["staggered_tilt_deg"]).sum()
    assert x.mean() == pytest.approx(9.0, abs=0.7)
    assert len(oriented_tilts(octahedra, 1)) == 0


def test_noise_is_not_folded_into_tilt() -> None:
    octahedra = measured(lambda i, j: 0.0, 12)["octahedra"]
    folded = np.abs(octahedra["staggered_tilt_deg"])
    turned = np.concatenate([oriented_tilts(octahedra, k) for k in range(12)])
    assert np.nanmean(folded) > 1.2
    # no dot has a sign to be turned by
    assert len(turned) < 0.1 * len(folded)


@pytest.fixture(scope="module")
def dots(tmp_path_factory):
    """Return a run of dots whose shell is tilted less, of either parity, with its reductions."""
    tables = measured(core_and_shell, N, lambda k: (-1.0) ** k)
    run = tmp_path_factory.mktemp("dots") / "run"
    results = Results.create(run, {"recipe": Recipe.load("columns").to_toml()})
    results.lock.release()
    state = {"state": ["measured"] * N}
    tables = {**tables, "frames": tables["frames"].with_columns(state)}
    for k in range(N):
        results.write_chunk(k, {n: t.take(t["frame"] == k) for n, t in tables.items()})
    made = Layers()({**tables, "cells": Table.empty(CELLS)})
    folder = Results.create(run / "live" / "provisional", {"n_frames": N})
    folder.lock.release()
    for name, table in made.items():
        folder.write_table(name, table)
    return run, made


def again(layers: Table, times: int) -> Table:
    """Return the rows of a session of so many times the frames."""
    rows = layers.take(layers["frame"] != MISSING)
    more = [rows.with_columns({"frame": rows["frame"] + N * k}) for k in range(times)]
    return Table.concat(more)


def test_core_and_shell_are_told_apart_over_dots(dots) -> None:
    run, made = dots
    running = core_shell(made["layers"], lambda frame: frame)
    assert (running.n_frames, running.n_units) == (N, N)
    layers = made["layers"]
    pooled = (layers["frame"] == MISSING) & (layers["quantity"] == "core_minus_shell_deg")
    assert running.estimate().value == pytest.approx(layers["mean"][pooled][0], rel=0.1)
    # frames that show the same dot are one dot
    assert core_shell(made["layers"], lambda frame: frame // 2).n_units == N // 2
    assert core_shell(None, lambda frame: frame).n_units == 0
    tally = Tally(Results(run))
    tally.refresh()
    for text in ("core_shell=20%", "core_shell=significant"):
        goal = Goal.parse(text)
        assert not tally.judge(goal, made).enough, text
        assert tally.judge(goal, {"layers": again(made["layers"], 4)}).enough, text


@pytest.fixture
def board(dots):
    """Return the board of that run, its rules judged."""
    run, made = dots
    tally = Tally(Results(run))
    tally.refresh()
    goals = [tally.judge(Goal.parse(t), made) for t in ("core_shell=20%", "core_shell=0.1%")]
    said = [
        {**verdict_facts(goals[0]), "reached_at": 20},
        {**verdict_facts(goals[1]), "reached_at": None},
    ]
    status = {"state": "watching", "measured": N, "goals": said}
    (run / "live" / "status.json").write_text(json.dumps(status))
    board = Board(run)
    board.refresh()
    return board


def test_the_board_has_tilts_layers_and_rules(board) -> None:
    layers = board.layers()
    assert layers["layer"].tolist() == [0, 1, 2, 3]
    assert layers["mean"] == pytest.approx([4.5, 8.5, 9, 9], abs=1.0)
    assert (layers["low"] < layers["high"]).all()
    curve = board.curve()
    assert curve["n"].tolist() == list(range(1, N + 1))
    width = curve["high"] - curve["low"]
    assert width[-1] > 0
    tilts = board.tilts(board.newest)
    assert len(tilts["tilt"]) == 72
    assert 2 * tilts["radius"][0] == pytest.approx(41.9, abs=2)
    text = words.notices(board)
    assert "Enough: core_shell=20% was reached at 20 frames; now 4." in text
    assert "core_shell=0.1%: now 4." in text
    assert "mean staggered tilt" in words.numbers(board)


def rows_of(tab, column: str) -> int:
    """Return the rows of the page's source that has a column."""
    every = "[...Bokeh.documents[0]._all_models.values()]"
    mine = f"m.type === 'ColumnDataSource' && '{column}' in m.data"
    return tab.eval(f"{every}.filter(m => {mine}).map(m => m.data['{column}'].length)[0]")


@pytest.mark.skipif(chromium() is None, reason="no Chromium on this machine")
def test_the_page_shows_tilts_and_layers(board) -> None:
    with Page(board.run) as page, Browser() as browser:
        tab = browser.open(page.address)
        tab.wait(lambda t: "mean staggered tilt" in t.text() and "was reached" in t.text())
        drawn = {"layer": 4, "radius": 72, "band_low": N}
        tab.wait(lambda t: {name: rows_of(t, name) for name in drawn} == drawn)
        tab.close()


def test_watched_columns_are_those_of_a_run(tmp_path) -> None:
    session, source, run = tmp_path / "session", tmp_path / "in", tmp_path / "run"
    options = ["--frames", 3, "--size", 330, "--dose", 2000, "--seed", 4, "--quiet"]
    changes = [x for given in ("n_a=5", "n_b=6") for x in ("--set", given)]
    arguments = ["simulate", "columns", "--out", session, *options, *changes]
    with pytest.raises(SystemExit) as left:
        main([str(a) for a in arguments])
    assert not left.value.code
    troubles = ("disorder", "duplicates", "partial")
    opened = door("open_frames")(str(session / "session.zarr"))
    replay(opened, source, steps(3, 50, troubles, seed=1))
    how = Watching(quiet_s=0.08, poll_s=0.1, idle_s=0.5)
    Watch(str(source), Recipe.load("columns"), run, ONE, how).run()
    frames, columns = Results(run).read("frames"), Results(run).read("columns")
    accepted = [int(columns["accepted"][columns["frame"] == n].sum()) for n in frames["frame"]]
    assert frames["n_columns"].tolist() == accepted
    assert min(accepted) > 50
    other = Session.open(str(source), Recipe.load("columns"), tmp_path / "offline", ONE)
    other.run()
    assert_as_offline(run, other)
