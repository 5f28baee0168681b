"""Labels, calibration and detector facts that the user gives."""

import json

import numpy as np
import pytest
import tifffile

from stempede.errors import InputError
from stempede.frames import Calibration, frames_table
from stempede.io.sources import open_frames

IMAGE = np.zeros((12, 15), np.uint8)


@pytest.fixture
def session(tmp_path):
    for name in ("hot/7 min/a1.tif", "hot/9 min/a2.tif", "larp/7 min/b1.tif", "c.tif"):
        path = tmp_path / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        tifffile.imwrite(path, IMAGE)
    return tmp_path / "in"


def table(tmp_path, text):
    path = tmp_path / "samples.csv"
    path.write_text(text, encoding="utf-8-sig")
    return path


def test_all_matching_rows_apply_in_order(session, tmp_path):
    path = table(
        tmp_path,
        "glob;sample;batch;pixel_size_nm;dose_e_per_A2;series_index;scale_bar_nm\n"
        "*;CsPbBr3;B1;0.5;;;\n"
        "hot/*;;B2;;80.5;;\n"
        "a2.tif;CsPbI3;;0.25;;4;50\n",
    )
    frames = open_frames(session, metadata=path)
    by_name = {r.source.rsplit("/")[-1]: r for r in frames.records}
    assert by_name["a1.tif"].labels == {"sample": "CsPbBr3", "batch": "B2"}
    assert by_name["a2.tif"].labels == {"sample": "CsPbI3", "batch": "B2"}
    assert by_name["b1.tif"].labels == {"sample": "CsPbBr3", "batch": "B1"}
    assert by_name["a2.tif"].calibration == Calibration(0.25, 0.25, "set")
    assert by_name["a2.tif"].instrument == {"dose_e_per_A2": 80.5, "series_index": 4}
    assert by_name["a2.tif"].scale_bar_nm == 50
    assert by_name["b1.tif"].scale_bar_nm is None
    assert frames.label_names == ("sample", "batch")
    rows = frames_table(frames.records, frames.label_names)
    assert list(rows["batch"]) == ["B1", "B2", "B2", "B1"]
    assert list(rows["series_index"]) == [-1, -1, 4, -1]


def test_a_table_wins_over_options_and_a_calibration_over_the_file(session, tmp_path):
    calibration = tmp_path / "cal.json"
    calibration.write_text(
        json.dumps({"pixel_size_y_nm": 0.02, "pixel_size_x_nm": 0.03, "rel_u": 0.004})
    )
    record = open_frames(session, calibration=calibration).records[0]
    assert record.calibration == Calibration(0.02, 0.03, "reference", 0.004)
    record = open_frames(session, calibration=calibration, pixel_size_nm=0.1).records[0]
    assert record.calibration == Calibration(0.1, 0.1, "set")
    path = table(tmp_path, "pattern,pixel_size_y_nm,pixel_size_x_nm,pixel_size_rel_u\n*,1,2,0.01\n")
    frames = open_frames(session, pixel_size_nm=(0.1, 0.2), metadata=path, sample="S")
    assert frames.records[0].calibration == Calibration(1, 2, "set", 0.01)
    assert frames.records[0].labels == {"sample": "S"}


def test_mistakes_of_a_table_are_told_at_once(session, tmp_path):
    path = table(
        tmp_path,
        "name,dose_e_per_A2,source,2nd,sample,sample\n*,many,x,y,a,b\n,1,,,,\n*,1,2,3,4,5,6\n",
    )
    with pytest.raises(InputError) as caught:
        open_frames(session, metadata=path)
    for part in ("'glob'", "'many'", "'source'", "'2nd'", "twice", "no glob", "7 cells"):
        assert part in str(caught.value)


@pytest.mark.parametrize("cell", ["0", "-1", "nan", "inf", "x"])
def test_a_pixel_size_is_a_positive_number(session, tmp_path, cell):
    path = table(tmp_path, f"glob,pixel_size_nm\n*,{cell}\n")
    with pytest.raises(InputError, match="number"):
        open_frames(session, metadata=path)


def test_globs_that_fit_nothing(session, tmp_path):
    path = table(tmp_path, "glob,sample\n*.tif,A\n*.dm3,B\n")
    assert any("*.dm3" in note for note in open_frames(session, metadata=path).notes)
    with pytest.raises(InputError, match=r"no glob that fits.*\*\.dm3"):
        open_frames(session, metadata=table(tmp_path, "glob,sample\n*.dm3,B\n"))
    for text in ("", "glob\n", "\xff"):
        path = table(tmp_path, text)
        if text == "glob\n":
            assert open_frames(session, metadata=path).label_names == ()
        else:
            with pytest.raises(InputError):
                open_frames(session, metadata=path)
    with pytest.raises(InputError, match="cannot be read"):
        open_frames(session, metadata=tmp_path / "none.csv")


def test_folder_names_become_labels(session):
    frames = open_frames(session, pattern="{sample}/{reaction_time} min")
    labels = [dict(r.labels) for r in frames.records]
    assert labels == [
        {},
        {"sample": "hot", "reaction_time": "7"},
        {"sample": "hot", "reaction_time": "9"},
        {"sample": "larp", "reaction_time": "7"},
    ]
    assert any("1 frames lie outside" in note for note in frames.notes)
    named = open_frames(session, pattern="{a}/{b}/{c}{d}")
    assert named.records[1].labels == {"a": "hot", "b": "7 min", "c": "a", "d": "1"}


@pytest.mark.parametrize("pattern", ["sample", "{frame}", "{a}/{a}", "{x}/{y}/{z}/{w}", "{1}"])
def test_patterns_that_cannot_be_used(session, pattern):
    with pytest.raises(InputError, match="pattern"):
        open_frames(session, pattern=pattern)


@pytest.mark.parametrize(
    "content", ["", "{}", '{"pixel_size_y_nm": 0, "pixel_size_x_nm": 1}', "[1]"]
)
def test_calibrations_that_cannot_be_used(session, tmp_path, content):
    (tmp_path / "cal.json").write_text(content)
    with pytest.raises(InputError, match=r"calibration|pixel size"):
        open_frames(session, calibration=tmp_path / "cal.json")


@pytest.mark.parametrize(
    "options", [{"pixel_size_nm": 0}, {"pixel_size_nm": -2}, {"scale_bar_nm": 0}]
)
def test_options_that_cannot_be_lengths(session, options):
    with pytest.raises(InputError, match="wanted, found"):
        open_frames(session, **options)


def test_labels_are_the_same_for_any_part_of_a_session(session, tmp_path):
    path = table(tmp_path, "glob,phase\nhot/*,gamma\n")
    frames = open_frames(session, metadata=path, frames=slice(0, 1))
    assert frames.records[0].labels == {}
    assert frames.label_names == ("phase",)
