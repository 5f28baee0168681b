"""Vendor formats: DM3, SER/EMI, MRC, EMD and hspy, as tiny files written by the tests."""

import h5py
import numpy as np
import pytest
from rsciio.emd import file_writer as write_emd
from rsciio.hspy import file_writer as write_hspy
from rsciio.tia import file_reader as read_tia

from stempede.io.instrument import instrument_facts, mapped, plain
from stempede.io.sources import open_frames
from vendor_files import signal, write_dm3, write_mrc, write_ser, write_zspy

RNG = np.random.default_rng(3)
IMAGE = RNG.integers(0, 999, (21, 34), np.uint16)
STACK = RNG.integers(0, 999, (3, 12, 19), np.uint16)


def test_dm3_image_with_instrument_facts(tmp_path):
    write_dm3(tmp_path / "a.dm3", {"HAADF": IMAGE}, (0.02, 0.03), "µm")
    frames = open_frames(tmp_path / "a.dm3")
    (record,) = frames.records
    assert record.problem == ""
    assert (record.shape, record.dtype) == ((21, 34), "uint16")
    assert record.calibration.pixel_size_y_nm == pytest.approx(20)
    assert record.calibration.pixel_size_x_nm == pytest.approx(30)
    assert record.instrument == {
        "instrument": "Simulated",
        "kV": 300,
        "magnification": 2e6,
        "dwell_us": 12.5,
    }
    np.testing.assert_array_equal(frames.reader(record), IMAGE)
    assert frames.reader.facts(record)["signal"] == "HAADF"


def test_one_of_several_signals_is_chosen_by_name(tmp_path):
    write_dm3(tmp_path / "two.dm3", {"ADF": IMAGE, "ABF": IMAGE + 1}, (1, 1), "nm")
    first = open_frames(tmp_path / "two.dm3")
    assert any("'ADF', 'ABF'" in note for note in first.notes)
    np.testing.assert_array_equal(first.reader(first.records[0]), IMAGE)
    second = open_frames(tmp_path / "two.dm3", signal="abf")
    assert second.notes == ()
    np.testing.assert_array_equal(second.reader(second.records[0]), IMAGE + 1)
    (record,) = open_frames(tmp_path / "two.dm3", signal="EELS").records
    assert "'ADF', 'ABF'" in record.problem
    assert "--signal" in record.problem


def test_dm3_stack_becomes_pages(tmp_path):
    write_dm3(tmp_path / "s.dm3", {"stack": STACK}, (1, 0.1, 0.2), "nm")
    frames = open_frames(tmp_path / "s.dm3")
    assert len(frames) == 3
    np.testing.assert_array_equal(frames.reader(frames.records[2]), STACK[2])


def test_ser_series_and_its_time(tmp_path):
    write_ser(tmp_path / "x_1.ser", STACK, (2e-9, 3e-9), 1318987126)
    frames = open_frames(tmp_path)
    assert len(frames) == 3
    record = frames.records[1]
    assert record.calibration.pixel_size_y_nm == pytest.approx(2)
    assert record.calibration.pixel_size_x_nm == pytest.approx(3)
    assert record.instrument["acquired_at"] == "2011-10-19T01:18:46+00:00"
    np.testing.assert_array_equal(frames.reader(record), STACK[1])


EMI = (
    "<ObjectInfo><ExperimentalDescription><Root>"
    "<Data><Label>High tension</Label><Value>80</Value><Unit>kV</Unit></Data>"
    "<Data><Label>Microscope</Label><Value>Titan</Value><Unit></Unit></Data>"
    "</Root></ExperimentalDescription>"
    "<AcquireInfo><DwellTimePath>0.00003</DwellTimePath></AcquireInfo></ObjectInfo>"
)


def test_the_emi_beside_a_series_tells_of_the_instrument(tmp_path):
    write_ser(tmp_path / "x_1.ser", STACK[:1], (1e-9, 1e-9), 1318987126)
    (tmp_path / "x.emi").write_bytes(b"\x00\xff" * 9 + EMI.encode() + b"\x00")
    frames = open_frames(tmp_path)
    (record,) = frames.records
    assert record.instrument == {
        "instrument": "Titan",
        "kV": 80,
        "dwell_us": pytest.approx(30),
        "acquired_at": "2011-10-19T01:18:46+00:00",
    }
    assert frames.reader.facts(record)["emi"]["High tension_kV"] == "80"


def test_one_cut_image_of_a_series_leaves_the_others(tmp_path):
    write_ser(tmp_path / "x_1.ser", STACK, (1e-9, 1e-9), 1)
    content = (tmp_path / "x_1.ser").read_bytes()
    (tmp_path / "x_1.ser").write_bytes(content[:-40])
    frames = open_frames(tmp_path)
    assert [bool(r.problem) for r in frames.records] == [False, False, True]
    np.testing.assert_array_equal(frames.reader(frames.records[1]), STACK[1])


def test_our_ser_reader_agrees_with_rosettasciio(tmp_path):
    write_ser(tmp_path / "x_1.ser", STACK, (2e-9, 3e-9), 1)
    (theirs,) = read_tia(str(tmp_path / "x_1.ser"))
    frames = open_frames(tmp_path)
    for record, image in zip(frames.records, theirs["data"], strict=True):
        np.testing.assert_array_equal(frames.reader(record), image)
    scales = [axis["scale"] for axis in theirs["axes"][-2:]]
    assert scales == pytest.approx([2, 3])


def test_emi_and_its_ser_are_read_once_and_alone_either_opens(tmp_path):
    write_ser(tmp_path / "x_1.ser", STACK[:1], (2e-9, 3e-9), 1)
    (tmp_path / "x.emi").write_bytes(b"\x00" * 16)
    frames = open_frames(tmp_path)
    assert len(frames) == 1
    assert frames.records[0].source.endswith("x_1.ser")
    assert any("read once" in note for note in frames.notes)
    (tmp_path / "alone.emi").write_bytes(b"\x00" * 16)
    (record,) = open_frames(tmp_path / "alone.emi").records
    assert ".ser" in record.problem


@pytest.mark.parametrize("angstrom", [0, -1])
def test_mrc_with_a_scale_that_means_none(tmp_path, angstrom):
    write_mrc(tmp_path / "x.mrc", STACK, angstrom)
    frames = open_frames(tmp_path / "x.mrc")
    assert [r.calibration.source for r in frames.records] == [""] * 3
    np.testing.assert_array_equal(frames.reader(frames.records[0]), STACK[0])


def test_mrc_scale(tmp_path):
    write_mrc(tmp_path / "x.mrc", STACK, 2.5)
    record = open_frames(tmp_path / "x.mrc").records[0]
    assert record.calibration.pixel_size_y_nm == pytest.approx(0.25)


@pytest.mark.parametrize("n", [None, 3])
def test_berkeley_emd(tmp_path, n):
    data = IMAGE if n is None else STACK
    write_emd(tmp_path / "x.emd", signal(data, "ADF", "n_m"))
    frames = open_frames(tmp_path / "x.emd")
    assert [r.problem for r in frames.records] == [""] * (n or 1)
    assert frames.records[0].calibration.pixel_size_x_nm == pytest.approx(0.5)
    expected = data if n is None else data[-1]
    np.testing.assert_array_equal(frames.reader(frames.records[-1]), expected)


@pytest.mark.parametrize("name", ["x.hspy", "x.zspy"])
def test_hspy_and_zspy(tmp_path, name):
    if name == "x.hspy":
        write_hspy(tmp_path / name, signal(STACK, "HAADF", "Å", 2.0))
    else:
        write_zspy(tmp_path / name, STACK, "HAADF", "Å", 2.0)
    frames = open_frames(tmp_path)
    assert [r.problem for r in frames.records] == [""] * 3
    assert frames.records[0].calibration.pixel_size_y_nm == pytest.approx(0.2)
    np.testing.assert_array_equal(frames.reader(frames.records[1]), STACK[1])


def test_hspy_without_units_has_no_calibration(tmp_path):
    write_hspy(tmp_path / "x.hspy", signal(IMAGE, "", "nm"))
    with h5py.File(tmp_path / "x.hspy", "a") as file:
        experiment = next(iter(file["Experiments"].values()))
        for axis in ("axis-0", "axis-1"):
            del experiment[axis].attrs["units"]
    frames = open_frames(tmp_path / "x.hspy")
    assert frames.records[0].problem == ""
    assert frames.records[0].calibration.source == ""
    assert any("no unit" in note for note in frames.notes)


def test_diffraction_data_are_a_problem_that_says_so(tmp_path):
    four = signal(np.zeros((4, 5), np.uint8), "4D", "nm")
    four["data"] = np.zeros((2, 3, 4, 5), np.uint8)
    four["axes"] = [
        {**four["axes"][0], "size": s, "navigate": k < 2, "index_in_array": k, "name": f"a{k}"}
        for k, s in enumerate((2, 3, 4, 5))
    ]
    write_hspy(tmp_path / "x.hspy", four)
    (record,) = open_frames(tmp_path / "x.hspy").records
    assert "virtual images" in record.problem
    assert record.shape == (0, 0)


def test_mapping_tolerates_missing_tags_and_functions_that_fail():
    def fails(value):
        raise ValueError

    original = {"A": {"Beam energy_kV": 200, "Mag": "x"}, "B": 4}
    mapping = {
        "A.Beam_energy_kV": ("Acquisition_instrument.TEM.beam_energy", None),
        "A.Mag": ("Acquisition_instrument.TEM.magnification", fails),
        "C.D": ("General.title", None),
    }
    found = mapped({"General": {"date": "2020-02-30"}}, original, mapping)
    assert found["Acquisition_instrument"]["TEM"] == {"beam_energy": 200}
    assert instrument_facts(found, original) == {"kV": 200}


def test_metadata_become_json_without_large_arrays():
    found = plain(
        {"a": np.arange(3), "b": np.zeros(99), 3: b"x", "c": float("nan"), "d": (1, None)}
    )
    assert found == {
        "a": [0, 1, 2],
        "b": "<array (99,) float64>",
        "3": "x",
        "c": "nan",
        "d": [1, None],
    }
