"""Groups and shapes on the page: drawn where their tables are, absent where they are not."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest

from grouped_runs import write_run
from stempede.io.results import Results
from stempede.report import write_report
from stempede.report.findings import gather
from stempede.report.folder import RunFolder
from stempede.report.groups import crops, outlines, space, structure
from stempede.report.groups.classified import classes
from stempede.report.groups.colours import COLOURS, colour, line
from stempede.report.groups.findings import Grouped
from stempede.report.groups.network import network
from stempede.report.groups.page import of_groups
from stempede.report.groups.tables import natural
from stempede.report.pixels import Pixels
from stempede.report.sketch import Sketch
from stempede.tables import Table


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return write_run(tmp_path_factory.mktemp("grouped"))


@pytest.fixture(scope="module")
def page(run):
    return write_report(run).read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def grouped(run):
    return Grouped.gather(gather(RunFolder.open(run)))


def test_every_figure_is_there_as_svg_and_png(run, page):
    for ending in ("svg", "png"):
        names = {p.stem for p in (run / "figures").glob(f"*.{ending}")}
        assert {
            *("group-sizes", "parallel-coordinates", "group-histogram-major_axis_nm"),
            *("group-histogram-p", "montage-population", "montage-group-0", "montage-group-1"),
            *("shape-space", "shape-outlines", "shape-jaccard", "dendrogram", "components"),
        } <= names
        assert any(n.startswith("groups-frame-") for n in names)
    for name in ("groups", "group-overlays", "montages", "shapes", "grouping"):
        assert f'<section id="{name}">' in page
    assert len(page) < 5e6


def test_sizes_on_axes_have_names_and_units(run, page):
    text = (run / "figures" / "group-histogram-major_axis_nm.svg").read_text()
    assert "major axis, nm" in text
    assert re.search(r"N = \d+ grouped particles in 12 frames", page)


def test_the_turning_cloud_needs_nothing_from_outside(page):
    (found,) = re.findall(r'<script type="application/json">(.*?)</script>', page)
    cloud = json.loads(found)
    assert len(cloud["points"]) == 3 * len(cloud["group"])
    assert -0.2 < min(cloud["points"]) < max(cloud["points"]) < 1.2
    assert not re.search(r"(src|href)=.https?:", page)


def test_what_is_drawn_by_chance_is_drawn_alike_each_time(run, grouped):
    first, again = (crops.read_crops(grouped, Pixels.of(run))[1] for _ in range(2))
    np.testing.assert_array_equal(first.rows, again.rows)
    np.testing.assert_array_equal(first.images, again.images)
    clouds = [space.turning(space.Cloud.of(grouped), grouped.groups) for _ in range(2)]
    assert clouds[0] == clouds[1]


def test_a_run_without_groups_and_shapes_shows_none(tmp_path):
    path = write_run(tmp_path, n_frames=2, per_frame=6, grouped=False, fitted=False)
    parts = of_groups(gather(RunFolder.open(path)), Sketch(tmp_path))
    assert not any(parts.values())


def test_shares_are_those_of_the_groups_table(run, grouped):
    rows = RunFolder.open(run).columns("groups").rows()
    for group in grouped.groups:
        share = next(r["fraction"] for r in rows if r["group"] == group.number)
        assert group.share.value == pytest.approx(share)
        assert group.share.low < share < group.share.high
    assert sum(g.n for g in grouped.groups) == grouped.n


def test_crops_show_the_particle_in_the_middle_at_the_scale_they_say(tmp_path, grouped):
    image = np.zeros((200, 300), np.float32)
    image[80:100, 140:180] = 1
    centre = np.array([89.5, 159.5])
    cell = crops._cut((255 * image).astype(np.uint8), centre, 80.0, np.uint8(0))
    y, x = np.nonzero(cell > 127)
    step = 80 / crops.CELL_PX
    assert (y.max() - y.min() + 1) * step == pytest.approx(20, abs=2 * step)
    assert (x.max() - x.min() + 1) * step == pytest.approx(40, abs=2 * step)
    assert [y.mean(), x.mean()] == pytest.approx([(crops.CELL_PX - 1) / 2] * 2, abs=0.6)


def test_crops_at_the_border_are_filled(grouped):
    cell = crops._cut(np.full((40, 50), 9, np.uint8), np.array([-20.0, 70.0]), 30.0, np.uint8(77))
    assert (cell == 77).all()


def test_crops_are_at_most_210_of_a_group(run, grouped):
    by_group, everyone = crops.read_crops(grouped, Pixels.of(run))
    counts = np.bincount(grouped.number[by_group.rows])
    assert counts.max() <= 210
    assert len(everyone.rows) <= 210
    assert (np.diff(by_group.rows) > 0).all()
    assert by_group.unit == "nm"


def test_outline_lies_at_the_fitted_place(grouped):
    row = int(np.flatnonzero(grouped.particles["aspect_ratio"] > 2)[0])
    y, x = outlines.outline_px(grouped, row)
    at = [float(grouped.particles[k][row]) for k in ("shape_y_px", "shape_x_px")]
    assert [y[:-1].mean(), x[:-1].mean()] == pytest.approx(at, abs=0.05)
    far = np.hypot(y - at[0], x - at[1]).argmax()
    turned = np.degrees(np.arctan2(y[far] - at[0], x[far] - at[1]))
    angle = float(grouped.particles["shape_angle_deg"][row])
    # with L > 1 the long way is where the cosine vanishes
    assert (turned - angle - 90 + 30) % 180 == pytest.approx(30, abs=20)


def test_ranked_outlines_rise_from_the_worst(grouped, run):
    by_group, _ = crops.read_crops(grouped, Pixels.of(run))
    places = outlines.ranked(grouped, by_group, 0)
    jaccard = grouped.particles["jaccard"][by_group.rows[places]]
    assert len(places) == outlines.ACROSS
    assert (np.diff(jaccard) >= 0).all()


def test_cloud_is_projected_as_a_turned_cube():
    corners = space.project(space._CORNERS, 0.7, 0.3)
    distance = np.linalg.norm(corners[:, None] - corners[None], axis=2)
    np.testing.assert_allclose(
        distance, np.linalg.norm(space._CORNERS[:, None] - space._CORNERS[None], axis=2)
    )


def test_branches_of_one_group_have_its_colour():
    # leaves 0 1 | 2 3, joined at last
    linkage = np.array([[0, 1, 1.0, 2], [2, 3, 1.5, 2], [4, 5, 9.0, 4]])
    found = structure.colours_of_branches(linkage, np.array([0, 0, 1, 1]), {0: "a", 1: "b"})
    assert (found[4], found[5], found[2]) == ("a", "b", "b")
    assert 6 not in found


def test_many_groups_stay_apart():
    seen = {(colour(k), line(k)) for k in range(2 * len(COLOURS))}
    assert len(seen) == 2 * len(COLOURS)


def test_classifier_is_worded_as_what_it_is(tmp_path, run):
    from stempede.particles.classify.tables import CLASS_SCORES, CONFUSION

    path = write_run(tmp_path, n_frames=2, per_frame=6, grouped=False)
    results = Results(path)
    common = {"origin": "train group", "judged_against": "group", "split": "particle"}
    results.write_table(
        "confusion",
        Table.from_rows(
            CONFUSION,
            [
                {**common, "features": "all", "actual": a, "predicted": p, "n": n}
                for a, p, n in (("0", "0", 90), ("0", "1", 10), ("10", "10", 7), ("1", "1", 40))
            ],
        ),
    )
    score = {"measure": "10-fold", "score": "accuracy", "says": "separable: <not> correct"}
    results.write_table(
        "class_scores",
        Table.from_rows(
            CLASS_SCORES,
            [
                {**common, **score, "features": f, "value": v, "chance": 0.6, "n": 147}
                for f, v in (("all", 0.93), ("without shape", 0.74))
            ],
        ),
    )
    shown = classes(RunFolder.open(path), Sketch(tmp_path))
    assert "separable: &lt;not&gt; correct" in shown
    assert "137 of 147 particles named as labelled (93.2 %)" in shown
    assert (tmp_path / "confusion.svg").is_file()
    assert (tmp_path / "class-accuracy.svg").is_file()
    assert natural(["10", "2", "rod"]) == ["2", "10", "rod"]


def test_the_network_is_shown_where_fits_start_from_it(tmp_path):
    path = write_run(tmp_path, n_frames=2, per_frame=6, grouped=False)
    results = Results(path)
    particles = results.read("particles")
    said = {f"{k}_network": 1.1 * particles[k] for k in ("p", "d", "l_ratio")}
    results.write_table("particles", particles.with_columns(said))
    opened = RunFolder.open(path)
    assert network(Grouped.gather(gather(opened)), Sketch(tmp_path)) is None
    recipe = '[[stage]]\nuse = "particles.shapes"\nstart = "network"\n'
    asked = replace(opened, document={**opened.document, "recipe": recipe})
    shown = network(Grouped.gather(gather(asked)), Sketch(tmp_path))
    assert "d right" in shown
    assert "stempede train shape" in shown
    assert {"network-answers.svg", "network-confusion.png"} <= {p.name for p in tmp_path.iterdir()}
