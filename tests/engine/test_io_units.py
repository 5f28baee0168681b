"""Pixel sizes as files spell them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stempede.frames import Calibration
from stempede.io.units import calibration, nm_per_unit


@pytest.mark.parametrize(
    ("unit", "nm"),
    [
        ("m", 1e9),
        ("meters", 1e9),
        ("mm", 1e6),
        ("µm", 1e3),
        ("μm", 1e3),
        ("\\u00B5m", 1e3),
        ("micron", 1e3),
        ("um", 1e3),
        ("nm", 1),
        ("n_m", 1),
        (b"nm", 1),
        (" NM\x00", 1),
        ("Å", 0.1),
        ("\u212b", 0.1),
        ("Angstrom", 0.1),
        ("pm", 1e-3),
    ],
)
def test_units_of_length_are_known_in_every_spelling(unit, nm):
    assert nm_per_unit(unit) == pytest.approx(nm)
    found, note = calibration(2.0, unit, 3.0, unit)
    if 2 * nm <= 1e6:
        assert found == Calibration(2 * nm, 3 * nm, "file")
        assert note == ""


@pytest.mark.parametrize("unit", ["1/nm", "1 / nm", "nm^-1", "mrad", "s", "inch"])
def test_what_is_no_length_is_no_pixel_size_and_says_so(unit):
    found, note = calibration(0.5, unit)
    assert found == Calibration()
    assert note


@pytest.mark.parametrize("unit", [None, "", "px", "pixel", "<undefined>"])
def test_a_scale_without_unit_is_not_used(unit):
    assert calibration(0.0093, unit)[0] == Calibration()
    assert "no unit" in calibration(0.0093, unit)[1]
    assert calibration(1.0, unit) == (Calibration(), "")
    # MRC writers leave 0 or -1 where they know no scale
    assert calibration(-1, unit) == calibration(0, unit) == (Calibration(), "")


@given(st.one_of(st.floats(max_value=0), st.floats(min_value=1.1e6), st.just(float("nan"))))
def test_absurd_pixel_sizes_are_never_used(size):
    found, note = calibration(size, "nm")
    assert found == Calibration()
    assert "cannot be right" in note


@given(st.floats(1e-4, 9e5), st.floats(1e-4, 9e5))
def test_anisotropic_pixels_are_kept(y, x):
    found, _ = calibration(y, "nm", x, "nm")
    assert (found.pixel_size_y_nm, found.pixel_size_x_nm) == (y, x)
