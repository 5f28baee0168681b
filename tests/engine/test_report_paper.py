"""Figures for a paper: widths, text as text, source data that is what was drawn, Methods."""

import csv
import re

import numpy as np
import pytest
from typer.testing import CliRunner

from grouped_runs import write_run
from stempede.cli import app
from stempede.errors import InputError
from stempede.report.figures import size_histogram, start
from stempede.report.findings import gather
from stempede.report.folder import RunFolder
from stempede.report.groups.distributions import ridges_sheet
from stempede.report.groups.findings import Group
from stempede.report.paper import write_paper
from stempede.report.paper.methods import methods
from stempede.report.paper.sketch import PaperSketch
from stempede.report.paper.source import write_source
from stempede.report.sizes import Interval


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return write_run(tmp_path_factory.mktemp("paper"), grouped=False, fitted=False)


def width_mm(svg: str) -> float:
    found = re.search(r'<svg[^>]* width="([\d.]+)pt"', svg)
    return float(found.group(1)) / 72 * 25.4


def test_figures_have_the_width_of_a_column_or_a_page(tmp_path):
    sketch = PaperSketch(tmp_path, ("left-",))
    for name, inches in (("narrow", (4.7, 3.1)), ("broad", (9.6, 3.0)), ("left-out", (2, 2))):
        sketch(name, "Alt", "N = 3.", lambda size: start(size)[0], inches)
    assert width_mm((tmp_path / "narrow.svg").read_text()) == pytest.approx(85, abs=0.1)
    assert width_mm((tmp_path / "broad.svg").read_text()) == pytest.approx(170, abs=0.1)
    assert not (tmp_path / "left-out.svg").exists()
    assert sketch.captions == {"narrow": "Alt. N = 3.", "broad": "Alt. N = 3."}


def test_text_is_text_and_source_data_is_what_is_drawn(tmp_path):
    rng = np.random.default_rng(1)
    sizes, weights = rng.normal(10, 1, 300), rng.uniform(1, 1.4, 300)
    mean = Interval(10.0, 9.8, 10.2)
    PaperSketch(tmp_path)(
        "sizes", "Alt", None, size_histogram, sizes, weights, "major axis, nm", (), mean
    )
    svg = (tmp_path / "sizes.svg").read_text()
    assert re.search(r"<text[^>]*>major axis, nm</text>", svg)
    assert b"/Type3" not in (tmp_path / "sizes.pdf").read_bytes()
    with (tmp_path / "sizes.csv").open() as file:
        rows = [r for r in csv.DictReader(file) if r["kind"] == "bin"]
    edges = sorted({float(r["x"]) for r in rows})
    area = sum(float(r["y"]) * (float(r["x_end"]) - float(r["x"])) for r in rows) / 2
    assert area == pytest.approx(1, abs=1e-6)
    # edges are written to eight digits
    inside = (sizes >= edges[0] - 1e-6) & (sizes < edges[1])
    width = edges[1] - edges[0]
    expected = weights[inside].sum() / weights.sum() / width
    assert float(rows[0]["y"]) == pytest.approx(expected, rel=1e-6)


def test_source_data_of_bars_points_and_cells(tmp_path):
    figure, axes = start()
    axes.barh(["a", "b"], [3.0, 5.0])
    axes.scatter([1, 2], [3, 4], label="points")
    axes.imshow(np.array([[1.5, 2.5]]))
    write_source(figure, tmp_path / "x.csv")
    with (tmp_path / "x.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [float(r["x_end"]) for r in rows if r["kind"] == "bar"] == [3, 5]
    assert [(r["x"], r["y"]) for r in rows if r["kind"] == "point"] == [("1", "3"), ("2", "4")]
    assert [r["series"] for r in rows if r["kind"] == "cell"] == ["1.5", "2.5"]


def test_methods_say_what_was_done(run):
    found = gather(RunFolder.open(run))
    text = methods(found, 2)
    assert "12 images were analysed" in text
    assert "set, 0.5 nm per px" in text
    accepted = found.outcomes["accepted"]
    assert f"Of 168 regions {accepted:,} were accepted (set aside: {168 - accepted} edge)" in text
    assert "starting from the network" in text
    assert "by modes on the feature set 'default'" in text
    assert "2 groups were found" in text
    assert "95 % CI" in text
    assert not re.search(r"\bnan\b|\{", text)


def test_every_predictor_stands_in_one_figure():
    rng = np.random.default_rng(3)
    number = np.repeat([0, 1], 40)
    groups = [Group(g, 40, 5, Interval(0.5)) for g in (0, 1)]
    values = [(f"feature {k}", rng.normal(k, 1, 80)) for k in range(5)]
    figure = ridges_sheet(values, np.ones(80), number, groups)
    assert [a.get_title(loc="left") for a in figure.axes] == [name for name, _ in values]
    assert figure.get_size_inches()[0] > 6


def test_a_folder_for_a_paper(run, tmp_path):
    folder = write_paper(run, tmp_path / "paper")
    names = {p.name for p in folder.iterdir()}
    assert {"methods.md", "captions.md", "size-histogram.pdf", "size-histogram.csv"} <= names
    captions = (folder / "captions.md").read_text()
    assert re.search(r"size-histogram.*N = \d+ particles in 12 frames", captions)
    wrong = CliRunner().invoke(app, ["report", str(run), "--style", "poster"])
    assert isinstance(wrong.exception, InputError)
