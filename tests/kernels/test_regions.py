"""The feature table against scikit-image, against the reference, and under symmetries."""

import numpy as np
import pytest
from drawing_regions import blobs, odd_shapes
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from skimage.measure import regionprops_table

from stempede_kernels.regions import FEATURES, reference, regions

SKIMAGE = {
    "label": "label",
    "bbox-0": "bbox_y0_px",
    "bbox-1": "bbox_x0_px",
    "bbox-2": "bbox_y1_px",
    "bbox-3": "bbox_x1_px",
    "centroid-0": "y_px",
    "centroid-1": "x_px",
    "area": "area_px2",
    "area_filled": "filled_area_px2",
    "area_convex": "convex_area_px2",
    "area_bbox": "bbox_area_px2",
    "perimeter": "perimeter_px",
    "perimeter_crofton": "perimeter_crofton_px",
    "equivalent_diameter_area": "equivalent_diameter_px",
    "axis_major_length": "major_axis_px",
    "axis_minor_length": "minor_axis_px",
    "feret_diameter_max": "max_feret_px",
    "eccentricity": "eccentricity",
    "solidity": "solidity",
    "extent": "extent",
    "euler_number": "euler_number",
    **{f"moments_hu-{k}": f"hu{k + 1}" for k in range(7)},
}
PROPERTIES = [name for name in SKIMAGE if "-" not in name] + [
    "bbox",
    "centroid",
    "moments_hu",
    "orientation",
]

# Features that a quarter turn or a transposition leaves alone. Not Hu 7 under a transposition,
# which mirrors: its sign changes.
INVARIANT = [
    name
    for name in (*FEATURES, "min_rect_length_px", "min_rect_width_px", "edge_length_px")
    if not name.endswith("_deg") and name not in {"hu7", "contrast"}
]


def assert_columns_close(found, wanted, names, rtol=1e-9, atol=1e-12):
    for name in names:
        np.testing.assert_allclose(
            np.asarray(found[name], float),
            np.asarray(wanted[name], float),
            rtol=rtol,
            atol=atol,
            equal_nan=True,
            err_msg=name,
        )


@pytest.mark.parametrize(
    "labels",
    [
        pytest.param(blobs(1, (1, 151, 97))[0], id="blobs"),
        pytest.param(blobs(2, (1, 151, 97), width=0.7, connectivity=2)[0], id="lace"),
        pytest.param(blobs(3, (1, 97, 151), width=4)[0], id="large"),
        pytest.param(odd_shapes(), id="odd shapes"),
        pytest.param(np.random.default_rng(5).integers(0, 4, (31, 23)), id="scattered labels"),
        pytest.param(np.ones((7, 12), np.int64), id="full frame"),
    ],
)
def test_equals_scikit_image(labels):
    found = regions(labels.astype(np.int32))
    wanted = regionprops_table(labels, properties=PROPERTIES)
    # Hu's cubic numbers vanish for symmetric shapes; there scikit-image is left with rounding
    assert_columns_close(found, {SKIMAGE[k]: wanted[k] for k in SKIMAGE}, SKIMAGE.values())
    angle = 90 - np.degrees(wanted["orientation"])
    difference = (angle - found["orientation_deg"] + 90) % 180 - 90
    assert np.nanmax(np.abs(difference)) < 1e-9


def test_orientation_is_undefined_only_for_isotropic_regions():
    found = regions(odd_shapes())
    isotropic = np.isin(found["label"], [1, 6, 15, 16])
    np.testing.assert_array_equal(np.isnan(found["orientation_deg"]), isotropic)
    assert found["orientation_deg"][found["label"] == 4] == 45
    assert found["orientation_deg"][found["label"] == 3] == 90


@pytest.mark.parametrize("labels", [blobs(4, (2, 29, 37)), odd_shapes()[None]])
def test_equals_reference(labels):
    rng = np.random.default_rng(0)
    images = (rng.normal(500, 9, labels.shape) - 40 * (labels > 0)).astype(np.float32)
    found, wanted = regions(labels, images), reference.regions(labels, images)
    assert set(wanted) == set(found) - {"mean_inside", "mean_background", "noise"}
    assert_columns_close(found, wanted, set(wanted) - {"edge_length_px"})
    assert_columns_close(found, wanted, ["edge_length_px"], rtol=1e-4)


def test_every_feature_is_a_float_column():
    found = regions(blobs(6), np.ones((3, 61, 47), np.float32))
    assert len(FEATURES) == 30
    assert all(found[name].dtype == np.float64 for name in FEATURES)
    assert len({len(column) for column in found.values()}) == 1


def test_no_region_gives_empty_columns():
    found = regions(np.zeros((2, 5, 9), np.int32), np.ones((2, 5, 9), np.float32))
    assert all(len(column) == 0 for column in found.values())
    assert all(len(c) == 0 for c in regions(np.zeros((0, 5, 9), np.int32)).values())


def test_labels_far_apart_and_large_cost_no_memory():
    labels = np.zeros((2, 6, 7), np.int32)
    labels[0, 1:3, 2] = 2**31 - 1
    labels[1, 4, 4:] = 5
    found = regions(labels)
    assert found["label"].tolist() == [2**31 - 1, 5]
    assert found["frame_index"].tolist() == [0, 1]
    assert found["first_px"].tolist() == [1 * 7 + 2, 4 * 7 + 4]


def test_far_from_the_origin_the_numbers_are_the_same():
    near, far = np.zeros((1, 60, 70), np.int32), np.zeros((1, 4100, 4200), np.int32)
    shape = blobs(7, (1, 31, 41), width=5)[0] == 1
    near[0, 5:36, 6:47] = shape
    far[0, 4005:4036, 4106:4147] = shape
    assert_columns_close(regions(far), regions(near), FEATURES, rtol=0, atol=0)


def test_contrast_counts_noise_of_the_background():
    rng = np.random.default_rng(8)
    labels = np.zeros((1, 200, 170), np.int32)
    labels[0, 40:60, 30:70] = 1
    labels[0, 100:140, 90:110] = 2
    # a slope across the frame that neither the noise nor the local background may see
    slope = np.linspace(0, 300, 170)
    images = rng.normal(1000, 8, labels.shape) + slope - 40.0 * (labels == 1) + 80 * (labels == 2)
    found = regions(labels, images)
    np.testing.assert_allclose(found["noise"], 8, rtol=0.05)
    np.testing.assert_allclose(found["contrast"], [-5, 10], rtol=0.06)
    given_noise = regions(labels, images, noise=[4.0])
    np.testing.assert_allclose(given_noise["contrast"], [-10, 20], rtol=0.03)
    flat = regions(labels, images, background=np.full(labels.shape, 1000.0), noise=1.0)
    np.testing.assert_allclose(flat["mean_background"], 1000)


def test_ring_keeps_out_neighbours_invalid_and_missing_pixels():
    labels = np.zeros((1, 31, 33), np.int32)
    labels[0, 10:14, 10:15] = 1
    labels[0, 10:14, 18:22] = 2
    images = np.full(labels.shape, 5.0)
    images[labels == 2] = 900
    images[0, 4:9, :] = 700
    images[0, 16, 12] = np.nan
    valid = np.ones(labels.shape, bool)
    valid[0, 4:9, :] = False
    found = regions(labels, images, valid=valid, ring_gap_px=1, ring_width_px=3)
    assert found["mean_background"].tolist() == [5, 5]
    assert found["mean_inside"].tolist() == [5, 900]
    assert np.isnan(found["contrast"]).all(), "a background without noise has no unit"


def test_crowded_region_takes_the_level_of_the_frame():
    labels = np.ones((1, 40, 40), np.int32)
    labels[0, 10:20, 10:20] = 2
    labels[0, 35:, :] = 0
    images = np.where(labels == 0, 7.0, 3.0)
    assert regions(labels, images)["mean_background"][1] == 7


@pytest.mark.parametrize("name", ["noise", "images", "labels", "valid", "shape", "ring"])
def test_bad_arguments_are_named(name):
    labels = np.ones((1, 9, 12), np.int32)
    cases = {
        "labels": (TypeError, (labels * 1.0,), {}),
        "images": (TypeError, (labels, labels > 0), {}),
        "valid": (TypeError, (labels, labels), {"valid": labels}),
        "shape": (ValueError, (labels, labels[:, 1:]), {}),
        "ring": (ValueError, (labels, labels), {"ring_width_px": 0}),
        "noise": (ValueError, (-labels,), {}),
    }
    error, arguments, parameters = cases[name]
    with pytest.raises(error, match=r"found|equal"):
        regions(*arguments, **parameters)


def maps():
    """Small label maps, dense and sparse, of unequal sides."""
    return hnp.arrays(
        np.int32,
        hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=9),
        elements=st.sampled_from([0, 0, 1, 1, 2, 3]),
    )


@settings(max_examples=60, deadline=None)
@given(maps(), st.integers(0, 5), st.integers(0, 5))
def test_shift(labels, down, right):
    before = regions(labels)
    after = regions(np.pad(labels, ((down, 3), (right, 2))))
    assert_columns_close(after, before, set(FEATURES) | {"edge_length_px"}, rtol=0, atol=0)
    np.testing.assert_allclose(after["y_px"], before["y_px"] + down, rtol=1e-14)
    np.testing.assert_allclose(after["x_px"], before["x_px"] + right, rtol=1e-14)


@settings(max_examples=60, deadline=None)
@given(maps())
def test_transposition(labels):
    before, after = regions(labels), regions(labels.T)
    assert_columns_close(after, before, INVARIANT)
    np.testing.assert_allclose(after["hu7"], -before["hu7"], rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(after["y_px"], before["x_px"], rtol=1e-14)
    turned = (after["orientation_deg"] + before["orientation_deg"]) % 180
    np.testing.assert_allclose(turned[~np.isnan(turned)], 90, atol=1e-9)


@settings(max_examples=60, deadline=None)
@given(maps())
def test_quarter_turn(labels):
    before, after = regions(labels), regions(np.rot90(labels))
    assert_columns_close(after, before, [*INVARIANT, "hu7"])
    turned = (after["orientation_deg"] - before["orientation_deg"]) % 180
    np.testing.assert_allclose(turned[~np.isnan(turned)], 90, atol=1e-9)


@settings(max_examples=40, deadline=None)
@given(maps(), st.permutations([4, 1, 7]))
def test_label_permutation(labels, names):
    before = regions(labels)
    after = regions(np.array([0, *names], np.int32)[labels])
    order = np.argsort(np.array([0, *names])[before["label"]])
    assert_columns_close(after, {k: v[order] for k, v in before.items() if k != "label"}, FEATURES)


@settings(max_examples=30, deadline=None)
@given(hnp.arrays(np.int32, (3, 6, 8), elements=st.integers(0, 2)), st.integers(0, 2**32 - 1))
def test_batch_equals_single(labels, seed):
    images = np.random.default_rng(seed).normal(9, 1, labels.shape).astype(np.float32)
    together = regions(labels, images)
    singles = [regions(frame, image) for frame, image in zip(labels, images)]
    for name in set(together) - {"frame_index"}:
        np.testing.assert_array_equal(together[name], np.concatenate([s[name] for s in singles]))


def test_threads_do_not_change_a_bit(monkeypatch):
    labels = blobs(9)
    images = np.random.default_rng(0).normal(5, 1, labels.shape).astype(np.float32)
    results = []
    for threads in (1, 2):
        monkeypatch.setattr("stempede_kernels.threads.get_num_threads", lambda n=threads: n)
        results.append(regions(labels, images))
    for name, column in results[0].items():
        np.testing.assert_array_equal(column, results[1][name], err_msg=name)
