"""What a viewer shows of a run, made without napari; and that napari takes it, where it is."""

import sys

import numpy as np
import pytest
from test_export import SHAPES, run_of

from stempede.cli import main
from stempede.columns.tables import COLUMNS, OCTAHEDRA
from stempede.errors import InputError, ResultsError
from stempede.frames import Calibration, FrameRecord, Frames
from stempede.io.records import write_frames
from stempede.io.results import Results
from stempede.report.view import LazyStack, fill, layers, show
from stempede.tables import FRAMES, Table


class Painted:
    """Reads images that say which frame they are."""

    def __call__(self, record):
        return np.full(record.shape, record.frame, np.uint16)


@pytest.fixture
def run(tmp_path, monkeypatch):
    maps = run_of(tmp_path / "run", [(f"/d/{k}.tif", 0) for k in range(3)])
    calibration = Calibration(None, None, "none")
    records = tuple(
        FrameRecord(k, f"/d/{k}.tif", 0, shape, "uint16", calibration)
        for k, shape in enumerate(SHAPES)
    )
    opened = Frames(records, Painted(), origin="drawn")
    write_frames(tmp_path / "run" / "frames.json", opened)
    monkeypatch.setattr(Results, "frames", lambda self, given=None: opened)
    results = Results(tmp_path / "run")
    particles = results.read("particles")
    yx = {"y_px": 6.0 * particles["label"] - 2.5, "x_px": np.full(9, 6.25)}
    results.write_table("particles", particles.with_columns(yx))
    return tmp_path / "run", maps


def test_frames_of_one_shape_are_one_stack(run):
    found = {layer.name: layer for layer in layers(run[0])}
    assert set(found) == {
        f"{what} {shape}"
        for what in ("images", "labels", "particles")
        for shape in ("31×47", "20×65")
    }
    images = found["images 31×47"].data
    assert images.shape == (2, 31, 47)
    assert (images[1] == 1).all()
    assert found["images 20×65"].data[0].max() == 2
    assert np.array_equal(found["labels 20×65"].data[0], run[1][2])
    points = found["particles 20×65"]
    assert np.allclose(points.data[1], [0, 9.5, 6.25])
    assert points.options["shown"].tolist() == [True, False, True]
    assert points.options["features"]["label"].tolist() == [1, 2, 3]


def test_points_lie_on_their_labels(run):
    found = {layer.name: layer for layer in layers(run[0])}
    labels, points = found["labels 31×47"].data, found["particles 31×47"]
    for (k, y, x), label in zip(points.data.tolist(), points.options["features"]["label"]):
        assert labels[int(k)][int(y), int(x)] == label


def test_a_stack_reads_what_is_looked_at():
    seen = []

    def read(k):
        seen.append(k)
        return np.arange(20).reshape(4, 5) + 100 * k

    stack = LazyStack(read, (3, 4, 5), np.int32)
    assert stack[2, 1:3, ::2].tolist() == [[205, 207, 209], [210, 212, 214]]
    assert seen == [2]
    assert stack[-1, 0, 0] == 200
    assert stack[0:2].shape == (2, 4, 5)
    assert stack[1:1].shape == (0, 4, 5)
    assert np.asarray(stack).shape == (3, 4, 5)
    with pytest.raises(IndexError):
        stack[3]


def test_octahedra_are_outlines_through_their_own_columns(tmp_path):
    common = {"frame": 4, "crystal": 0, "accepted": True, "state": "CONVERGED"}
    at = {(0.0, 0.5): (10.0, 14.0), (0.5, 0.0): (13.0, 10.5), (0.0, -0.5): (10.5, 6.0)}
    rows = [
        {**common, "i": i, "j": j, "y_px": y, "x_px": x, "species": "X"}
        for (i, j), (y, x) in at.items()
    ]
    rows.append({**common, "i": 0.0, "j": 0.0, "y_px": 10.0, "x_px": 10.0, "species": "Pb+X"})
    sites = [{"frame": 4, "crystal": 0, "i": i, "j": 0, "staggered_tilt_deg": 5.0} for i in (0, 1)]
    frame = {"frame": 4, "source": "/d/dot.tif", "height_px": 30, "width_px": 20}
    frame |= {"state": "measured", "pixel_size_y_nm": 0.02, "pixel_size_x_nm": 0.03}
    results = Results.create(tmp_path / "run", {"state": "done"})
    tables = {
        "frames": Table.from_rows(FRAMES, [frame]),
        "columns": Table.from_rows(COLUMNS, rows),
        "octahedra": Table.from_rows(OCTAHEDRA, sites),
    }
    results.write_chunk(0, tables)
    results.lock.release()
    calibration = Calibration(0.02, 0.03, "set")
    record = FrameRecord(4, "/d/dot.tif", 0, (30, 20), "uint16", calibration)
    Results.frames, kept = (lambda self, given=None: Frames((record,), Painted())), Results.frames
    try:
        found = {layer.name: layer for layer in layers(tmp_path / "run")}
    finally:
        Results.frames = kept
    # the second site has no column around it, and no outline
    (outline,) = found["octahedra"].data
    assert np.allclose(outline, [[0, 10.0, 14.0], [0, 13.0, 10.5], [0, 10.5, 6.0]])
    assert found["images"].options["scale"] == (1.0, 0.02, 0.03)
    assert len(found["columns"].data) == 4


def test_nothing_to_show_is_said(run):
    with pytest.raises(ResultsError, match="no measured frame"):
        layers(run[0], slice(7, 9))


def test_without_napari_the_command_says_how_to_get_it(run, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "napari", None)
    with pytest.raises(InputError, match=r"stempede\[view\]"):
        show(run[0])
    with pytest.raises(SystemExit) as left:
        main(["view", str(run[0])])
    assert left.value.code == 2
    assert "pip install" in capsys.readouterr().err


def test_napari_takes_the_layers(run):
    components = pytest.importorskip("napari.components", reason="napari is not installed")
    viewer = components.ViewerModel()
    fill(viewer, layers(run[0]))
    assert len(viewer.layers) == 6
    assert viewer.dims.axis_labels == ("frame", "y", "x")
