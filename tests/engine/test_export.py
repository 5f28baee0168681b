"""Label TIFFs and CSV tables of a run: names, values, what is left out, what is refused."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from stempede.errors import InputError, ResultsError
from stempede.io.export import export_labels, export_tables
from stempede.io.results import Results
from stempede.tables import FRAMES, PARTICLES, Table

SHAPES = [(31, 47), (31, 47), (20, 65)]


def run_of(
    folder: Path,
    sources: list[tuple[str, int]],
    *,
    keep: tuple[int, ...] = (0, 1, 2),
) -> dict[int, np.ndarray]:
    """Make a run of three frames with three regions each, the second set aside; return maps."""
    maps = {}
    rows: list[dict[str, Any]] = []
    for frame, shape in enumerate(SHAPES):
        labels = np.zeros(shape, dtype=np.int32)
        for label in (1, 2, 3):
            y = 6 * label - 4
            labels[y : y + 4, 3 : 9 + frame] = label
            rows.append(
                {"frame": frame, "particle": label - 1, "label": label, "accepted": label != 2}
            )
        maps[frame] = labels
    frames = [
        {"frame": k, "source": s, "page": p, "height_px": h, "width_px": w, "state": "measured"}
        for k, ((s, p), (h, w)) in enumerate(zip(sources, SHAPES))
    ]
    results = Results.create(folder, {"state": "done"})
    results.write_chunk(
        0,
        {
            "frames": Table.from_rows(FRAMES, frames),
            "particles": Table.from_rows(PARTICLES, rows),
        },
    )
    for frame in keep:
        results.maps.write("labels", [frame], maps[frame][None])
    results.lock.release()
    return maps


def names(folder: Path) -> list[str]:
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())


def test_one_uint32_map_per_image_with_accepted_particles(tmp_path: Path) -> None:
    sources = [("/s/a.01.dm4", 0), ("/s/b.tif", 0), ("/t/c.png", 0)]
    maps = run_of(tmp_path / "run", sources)
    done = export_labels(tmp_path / "run", tmp_path / "out")
    assert names(tmp_path / "out") == ["a.01.tif", "b.tif", "c.tif"]
    assert (len(done), done.n_skipped) == (3, 0)
    for path, labels in zip(done.files, maps.values()):
        found = tifffile.imread(path)
        assert found.dtype == np.uint32
        np.testing.assert_array_equal(found, np.where(labels == 2, 0, labels))
    export_labels(tmp_path / "run", tmp_path / "out", all_regions=True)
    for path, labels in zip(done.files, maps.values()):
        np.testing.assert_array_equal(tifffile.imread(path), labels)
    assert all(not name.startswith(".") for name in names(tmp_path / "out"))


def test_pages_of_a_stack_are_numbered(tmp_path: Path) -> None:
    run_of(tmp_path / "run", [("/s/stack.mrc", 0), ("/s/stack.mrc", 11), ("/s/one.mrc", 0)])
    export_labels(tmp_path / "run", tmp_path / "out")
    assert names(tmp_path / "out") == ["one.tif", "stack_0000.tif", "stack_0011.tif"]


def test_frames_without_a_map_are_skipped_and_counted(tmp_path: Path) -> None:
    run_of(tmp_path / "run", [("/s/a.tif", 0), ("/s/b.tif", 0), ("/s/c.tif", 0)], keep=(0, 2))
    done = export_labels(tmp_path / "run", tmp_path / "out")
    assert names(tmp_path / "out") == ["a.tif", "c.tif"]
    assert done.n_skipped == 1
    assert "2 label maps" in str(done)
    assert "1 frames without a map" in str(done)


def test_stems_that_collide_ask_for_the_tree(tmp_path: Path) -> None:
    run_of(tmp_path / "run", [("/s/day1/a.tif", 0), ("/s/day2/A.tif", 0), ("/s/b.tif", 0)])
    with pytest.raises(ResultsError, match=r"day1/a.tif' and '/s/day2/A.tif'.*--tree"):
        export_labels(tmp_path / "run", tmp_path / "out")
    assert not (tmp_path / "out").exists()
    export_labels(tmp_path / "run", tmp_path / "out", tree=True)
    assert names(tmp_path / "out") == ["b.tif", "day1/a.tif", "day2/A.tif"]


def test_two_formats_of_one_name_collide_in_a_tree_as_well(tmp_path: Path) -> None:
    run_of(tmp_path / "run", [("/s/a.tif", 0), ("/s/a.png", 0), ("/s/b.tif", 0)])
    with pytest.raises(ResultsError, match="rename one"):
        export_labels(tmp_path / "run", tmp_path / "out", tree=True)


def test_urls_and_steps_upwards_stay_inside(tmp_path: Path) -> None:
    run_of(
        tmp_path / "run",
        [("s3://lab/x/../../../a.tif", 0), ("s3://lab/x/b.tif", 0), ("s3://lab/y/b.tif", 0)],
    )
    done = export_labels(tmp_path / "run", tmp_path / "out", tree=True)
    assert names(tmp_path / "out") == ["x/a.tif", "x/b.tif", "y/b.tif"]
    assert all((tmp_path / "out") in path.parents for path in done.files)


def test_a_run_without_maps_says_how_to_keep_them(tmp_path: Path) -> None:
    run_of(tmp_path / "run", [("/s/a.tif", 0), ("/s/b.tif", 0), ("/s/c.tif", 0)], keep=())
    with pytest.raises(ResultsError, match="--keep labels"):
        export_labels(tmp_path / "run", tmp_path / "out")
    with pytest.raises(ResultsError, match="folder of a run"):
        export_labels(tmp_path, tmp_path / "out")


def test_tables_as_csv(tmp_path: Path) -> None:
    run_of(tmp_path / "run", [('/s/with, comma "q".tif', 0), ("/s/b.tif", 0), ("/s/c.tif", 0)])
    done = export_tables(tmp_path / "run", tmp_path / "csv")
    assert names(tmp_path / "csv") == ["frames.csv", "particles.csv"]
    with done.files[0].open(newline="", encoding="utf-8") as lines:
        rows = list(csv.DictReader(lines))
    assert list(rows[0]) == list(FRAMES.names)
    assert rows[0]["source"] == '/s/with, comma "q".tif'
    assert rows[2]["width_px"] == "65"
    assert rows[0]["pixel_size_nm"] == ""
    export_tables(tmp_path / "run", tmp_path / "csv", units=True)
    with (tmp_path / "csv" / "particles.csv").open(newline="", encoding="utf-8") as lines:
        header, units, first, *_ = csv.reader(lines)
    assert dict(zip(header, units))["area_nm2"] == "nm^2"
    assert dict(zip(header, first))["label"] == "1"


def test_other_formats_are_refused(tmp_path: Path) -> None:
    run_of(tmp_path / "run", [("/s/a.tif", 0), ("/s/b.tif", 0), ("/s/c.tif", 0)])
    with pytest.raises(InputError, match="found format 'xlsx'"):
        export_tables(tmp_path / "run", tmp_path / "csv", "xlsx")
