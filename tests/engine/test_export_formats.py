"""Workbooks and ImageJ outlines of a run, units in Parquet, and readers that open it."""

import csv
import zipfile

import numpy as np
import openpyxl
import pandas as pd
import polars as pl
import pyarrow.parquet as pq
import pytest
import roifile
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from matplotlib.path import Path as Outline
from scipy import ndimage
from test_export import run_of

from stempede.cli import main
from stempede.errors import ResultsError
from stempede.io.export_rois import export_rois, outline
from stempede.io.export_xlsx import FIELDS, export_workbook
from stempede.io.results import Results
from stempede.tables import FRAMES, PARTICLES, Field, Schema, Table

SOURCES = [("/d/a.tif", 0), ("/d/b.tif", 0), ("/d/c.tif", 0)]


@pytest.fixture
def run(tmp_path):
    run_of(tmp_path / "run", SOURCES)
    return tmp_path / "run"


def sheet_of(path, name):
    book = openpyxl.load_workbook(path, read_only=True)
    rows = [list(row) for row in book[name].iter_rows(values_only=True)]
    book.close()
    return rows


def test_a_workbook_has_a_sheet_per_table_with_units(run, tmp_path):
    made = export_workbook(run, tmp_path / "x")
    assert [f.name for f in made.files] == ["run.xlsx"]
    book = openpyxl.load_workbook(made.files[0], read_only=True)
    assert book.sheetnames == [FIELDS, "frames", "particles"]
    book.close()
    rows = sheet_of(made.files[0], "particles")
    names = rows[0]
    assert tuple(names) == PARTICLES.names
    assert rows[1][names.index("area_nm2")] == "nm^2"
    assert len(rows) == 2 + 9
    first = dict(zip(names, rows[2]))
    assert (first["frame"], first["label"], first["accepted"]) == (0, 1, True)
    # missing is empty, not NaN and not -1
    assert first["area_px2"] is None
    assert first["group"] is None
    meanings = {(r[0], r[1]): r[4] for r in sheet_of(made.files[0], FIELDS)[1:]}
    assert meanings["particles", "p"].startswith("superellipse exponent")


def test_long_tables_go_on_in_another_sheet(run, tmp_path):
    made = export_workbook(run, tmp_path, most_rows=6)
    book = openpyxl.load_workbook(made.files[0], read_only=True)
    parts = [n for n in book.sheetnames if n.startswith("particles")]
    book.close()
    assert parts == ["particles", "particles (2)", "particles (3)"]
    rows = [sheet_of(made.files[0], n) for n in parts]
    assert [len(r) - 2 for r in rows] == [4, 4, 1]
    at = rows[0][0].index("label")
    frame = rows[0][0].index("frame")
    keys = [(r[frame], r[at]) for part in rows for r in part[2:]]
    assert keys == [(f, n) for f in range(3) for n in (1, 2, 3)]


def test_texts_are_never_formulas(run, tmp_path):
    schema = Schema("names", (Field("text", "string"), Field("value", "float64", "nm")))
    words = ["=1+1", "http://a.b", "12", "Ä ≤ µ"]
    table = Table(schema, {"text": words, "value": [np.inf, -np.inf, np.nan, 0.1]})
    Results(run).write_table("a_table_whose_name_is_longer_than_a_sheet_s", table)
    made = export_workbook(run, tmp_path)
    book = openpyxl.load_workbook(made.files[0])
    sheet = book[next(n for n in book.sheetnames if n.startswith("a_table"))]
    cells = [sheet.cell(row, 1) for row in range(3, 7)]
    assert [c.value for c in cells] == words
    assert {c.data_type for c in cells} == {"s"}
    book.close()


def test_an_outline_holds_exactly_its_pixels(run, tmp_path):
    made = export_rois(run, tmp_path / "rois")
    assert sorted(f.name for f in made.files) == ["a.zip", "b.zip", "c.zip"]
    with zipfile.ZipFile(made.files[1]) as archive:
        assert sorted(archive.namelist()) == ["00001.roi", "00003.roi"]
    for roi in roifile.roiread(made.files[1]):
        label = int(roi.name)
        y, x = np.mgrid[:31, :47]
        centres = np.stack([x.ravel() + 0.5, y.ravel() + 0.5], axis=1)
        inside = Outline(roi.coordinates()).contains_points(centres).reshape(31, 47)
        wanted = np.zeros((31, 47), bool)
        wanted[6 * label - 4 : 6 * label, 3:10] = True
        assert np.array_equal(inside, wanted)
    everything = export_rois(run, tmp_path / "all", all_regions=True)
    assert len(roifile.roiread(everything.files[0])) == 3


@settings(max_examples=30, deadline=None)
@given(arrays(bool, (9, 13), elements=st.booleans()))
def test_any_region_keeps_its_pixels(noise):
    parts, n = ndimage.label(noise)
    if not n:
        return
    mask = ndimage.binary_fill_holes(parts == 1)
    edge = outline(mask)
    y, x = np.mgrid[:9, :13]
    # x and y are told apart: the frame is not square
    inside = Outline(edge).contains_points(np.stack([y.ravel(), x.ravel()], axis=1))
    assert np.array_equal(inside.reshape(9, 13), mask)


def test_groups_and_classes_travel_with_the_outlines(run, tmp_path):
    results = Results(run)
    particles = results.read("particles")
    schema = particles.schema.extended(Field("class_name", "string"))
    columns = {**particles.columns, "group": np.arange(9) % 3, "class_name": ["a/b"] * 9}
    results.write_table("particles", Table(schema, columns))
    made = export_rois(run, tmp_path / "rois")
    with zipfile.ZipFile(made.files[0]) as archive:
        assert sorted(archive.namelist()) == ["00001 a-b.roi", "00003 a-b.roi"]
    assert [roi.group for roi in roifile.roiread(made.files[0])] == [1, 3]


def test_columns_are_points_by_species(tmp_path):
    from stempede.columns.tables import COLUMNS

    frame = {"frame": 0, "source": "/d/dot.tif", "height_px": 40, "width_px": 60}
    rows = [
        {"frame": 0, "y_px": 3.25, "x_px": 7.5, "species": "Cs", "accepted": True},
        {"frame": 0, "y_px": 9.0, "x_px": 1.0, "species": "Pb+X", "accepted": True},
        {"frame": 0, "y_px": 9.0, "x_px": 2.0, "species": "Pb+X", "accepted": False},
    ]
    results = Results.create(tmp_path / "run", {"state": "done"})
    tables = {
        "frames": Table.from_rows(FRAMES, [{**frame, "state": "measured"}]),
        "columns": Table.from_rows(COLUMNS, rows),
    }
    results.write_chunk(0, tables)
    results.lock.release()
    made = export_rois(tmp_path / "run", tmp_path)
    rois = {roi.name: roi for roi in roifile.roiread(made.files[0])}
    assert set(rois) == {"Cs", "Pb+X"}
    assert np.allclose(rois["Cs"].coordinates(), [[8.0, 3.75]])
    assert rois["Cs"].roitype == roifile.ROI_TYPE.POINT


def test_without_label_maps_there_are_no_outlines(tmp_path):
    run_of(tmp_path / "run", SOURCES, keep=())
    with pytest.raises(ResultsError, match="--keep labels"):
        export_rois(tmp_path / "run", tmp_path / "rois")


@pytest.mark.parametrize("format_", ["csv", "xlsx", "imagej", "tiff"])
def test_every_format_has_its_command(run, format_, capsys):
    with pytest.raises(SystemExit) as left:
        main(["export", str(run), "--format", format_, "--units"])
    assert not left.value.code
    files = list((run / "export" / format_).iterdir())
    assert len(files) == {"csv": 2, "xlsx": 1, "imagej": 3, "tiff": 3}[format_]
    assert not [f for f in files if f.name.startswith(".")]
    if format_ == "csv":
        with (run / "export" / "csv" / "particles.csv").open() as file:
            head, units, *rows = list(csv.reader(file))
        assert units[head.index("area_px2")] == "px^2"
        assert len(rows) == 9
    # what was exported is no table of the run
    assert set(Results(run).tables()) == {"frames", "particles"}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "found none"),
        (["--format", "pdf"], "format is one of csv, xlsx, imagej, tiff"),
        (["--out", "there"], "found no --format"),
    ],
)
def test_a_wrong_export_says_what_there_is(run, arguments, words, capsys):
    with pytest.raises(SystemExit) as left:
        main(["export", str(run), *arguments])
    assert left.value.code == 2
    assert words in capsys.readouterr().err


def test_units_and_meanings_stand_in_parquet(run):
    schema = pq.read_schema(next((run / "particles").glob("part-*.parquet")))
    assert schema.field("area_nm2").metadata[b"unit"] == b"nm^2"
    assert schema.field("p").metadata[b"doc"].startswith(b"superellipse exponent")
    suffixes = {"_px": "px", "_nm": "nm", "_deg": "deg", "_px2": "px^2", "_nm2": "nm^2"}
    for f in PARTICLES.fields:
        wanted = next((u for s, u in suffixes.items() if f.name.endswith(s)), "")
        if f.dtype.startswith("float"):
            assert f.unit == wanted, f.name


def test_readers_open_a_table_in_one_line(run):
    assert len(pd.read_parquet(run / "particles")) == 9
    assert len(pl.read_parquet(run / "particles" / "*.parquet")) == 9
    assert pq.read_table(run / "particles").num_rows == 9
