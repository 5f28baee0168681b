import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from skimage.measure import regionprops_table

from stempede.backend import Backend
from stempede.errors import RecipeError
from stempede.frames import Batch, FrameRecord, frames_table
from stempede.particles.accept import AGGLOMERATED, Accept
from stempede.particles.usable import usable_area
from stempede.particles.weights import miles_lantuejoul
from stempede.simulate.micrograph import Population, render
from stempede.tables import PARTICLES, Table

CPU = Backend.choose("cpu")


def batch_of(labels, valid=None, contrast=9.0):
    """A batch whose particles table holds what Accept reads, measured by scikit-image."""
    labels = np.asarray(labels, np.int32)
    n, height, width = labels.shape
    parts = []
    for k, frame in enumerate(labels):
        found = regionprops_table(
            frame, properties=("label", "bbox", "equivalent_diameter_area", "area")
        )
        y0, x0, y1, x1 = (found[f"bbox-{c}"] for c in range(4))
        parts.append(
            {
                "frame": np.full(len(y0), k),
                "label": found["label"],
                "particle": found["label"] - 1,
                "bbox_y0_px": y0,
                "bbox_x0_px": x0,
                "bbox_y1_px": y1,
                "bbox_x1_px": x1,
                "touches_edge": (y0 == 0) | (x0 == 0) | (y1 == height) | (x1 == width),
                "equivalent_diameter_px": found["equivalent_diameter_area"],
                "area_px2": found["area"],
                "contrast": np.full(len(y0), contrast),
            }
        )
    columns = {name: np.concatenate([p[name] for p in parts]) for name in parts[0]}
    records = tuple(FrameRecord(k, f"f{k}.tif", 0, (height, width), "uint16") for k in range(n))
    return Batch(
        images=np.zeros(labels.shape, np.float32),
        records=records,
        backend=CPU,
        maps={"labels": labels, "valid": np.ones(labels.shape, bool) if valid is None else valid},
        tables={"particles": Table(PARTICLES, columns), "frames": frames_table(records)},
    )


def discs(shape, centres, radii):
    y, x = np.indices(shape)
    labels = np.zeros(shape, np.int32)
    for k, ((cy, cx), r) in enumerate(zip(centres, radii), start=1):
        labels[np.hypot(y - cy, x - cx) <= r] = k
    return labels


GRID = [(20 + 30 * i, 25 + 30 * j) for i in range(4) for j in range(5)]


def test_every_region_keeps_its_row_with_one_reason():
    labels = discs((140, 180), [*GRID, (0, 90), (70, 171)], [10] * 20 + [8, 1])
    out = Accept()(batch_of(labels[None])).tables
    particles = out["particles"]
    assert len(particles) == 22
    assert particles["accepted"].sum() == 20
    assert set(particles["reject_reason"][~particles["accepted"]]) == {"edge", "too small"}
    assert not particles["reject_reason"][particles["accepted"]].astype(bool).any()
    assert out["frames"]["n_particles"][0] == 22
    assert out["frames"]["n_accepted"][0] == 20
    assert out["frames"]["smallest_px"][0] == pytest.approx(0.2 * 20.1, rel=0.01)


@pytest.mark.parametrize("shape", ["star", "urchin", "triangle", "rod"])
def test_concave_and_long_shapes_are_accepted(shape):
    population = Population(
        height_px=620, width_px=700, coverage=0.12, shapes=shape, touching=0.0, relative_sd=0.3
    )
    _, labels, truth = render(population, 0, seed=1)
    particles = Accept()(batch_of(labels[None])).tables["particles"]
    whole = truth["complete"]
    assert whole.sum() >= 10
    rejected = particles["reject_reason"][~particles["accepted"]]
    assert set(rejected) <= {"edge"}


def test_an_agglomerate_that_was_not_split_is_set_aside():
    labels = discs((140, 230), GRID, [10] * 20)
    clump = discs((140, 230), [(40, 190), (40, 206), (55, 212)], [10, 10, 10])
    labels[clump > 0] = 21
    # as large as the clump, of one piece: a large particle
    labels[discs((140, 230), [(105, 203)], [17]) > 0] = 22
    particles = Accept()(batch_of(labels[None])).tables["particles"]
    assert particles["reject_reason"][20] == AGGLOMERATED
    assert particles["accepted"][21]


def test_an_outlier_is_far_from_the_rest_in_size_and_spread():
    centres = [*GRID, (70, 260)]
    narrow = Accept()(batch_of(discs((150, 330), centres, [8] * 20 + [60])[None]))
    assert narrow.tables["particles"]["reject_reason"][-1] == "outlier"
    rng = np.random.default_rng(0)
    broad_radii = [*np.exp(rng.uniform(np.log(4), np.log(14), 20)), 50]
    broad = Accept()(batch_of(discs((150, 330), centres, broad_radii)[None]))
    assert broad.tables["particles"]["accepted"][-1]


def test_contrast_is_asked_for_only_where_set():
    batch = batch_of(discs((140, 180), GRID, [10] * 20)[None], contrast=1.0)
    assert Accept()(batch).tables["particles"]["accepted"].all()
    reasons = Accept(least_contrast=2.0)(batch).tables["particles"]["reject_reason"]
    assert set(reasons) == {"too faint"}


def test_particles_at_a_caption_are_cut_but_lone_bad_pixels_cut_nothing():
    labels = discs((140, 180), GRID, [10] * 20)[None]
    valid = np.ones(labels.shape, bool)
    valid[0, 115:, 100:] = False
    valid[0, 20, 26] = False
    labels[~valid] = 0
    particles = Accept()(batch_of(labels, valid)).tables["particles"]
    cut = particles["reject_reason"] == "scale bar or excluded area"
    touching = ndimage.binary_dilation(~valid[0], np.ones((3, 3)))
    touching[:40, :40] = False
    assert set(particles["label"][cut]) == set(np.unique(labels[0][touching])) - {0}
    assert 0 < cut.sum() < 4


def test_a_frame_is_judged_alone():
    small = discs((140, 180), GRID, [4] * 20)
    large = discs((140, 180), GRID, [13] * 20)
    alone = Accept()(batch_of(small[None])).tables["particles"]
    together = Accept()(batch_of(np.stack([large, small]))).tables["particles"]
    second = together.take(together["frame"] == 1)
    assert np.array_equal(second["accepted"], alone["accepted"])
    assert np.array_equal(second["weight"], alone["weight"])


def test_a_batch_without_particles_passes():
    out = Accept()(batch_of(np.zeros((2, 40, 50), np.int32))).tables
    assert len(out["particles"]) == 0
    assert list(out["frames"]["n_particles"]) == [0, 0]


def test_ratios_below_one_are_refused():
    with pytest.raises(RecipeError, match="1 or more"):
        Accept(clump_ratio=0.5)


def test_rims_are_cut_off_and_boxes_found():
    valid = np.zeros((60, 80), bool)
    valid[5:58, 3:] = True
    valid[40:58, 50:] = False
    area = usable_area(valid, CPU)
    assert area.window == (5, 3, 58, 80)
    assert area.boxes == ((40, 50, 58, 80),)
    assert usable_area(np.zeros((9, 9), bool), CPU).window == (0, 0, 0, 0)


def test_weight_is_the_formula_without_boxes():
    weight = miles_lantuejoul(100, 200, np.array([10, 50]), np.array([20, 50]))
    assert weight == pytest.approx([100 * 200 / (90 * 180), 100 * 200 / (50 * 150)])


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 3), st.integers(1, 12), st.integers(1, 12))
def test_weight_with_boxes_counts_the_places_that_are_left(seed, n, fy, fx):
    rng = np.random.default_rng(seed)
    h, w = 31, 37
    corners = np.sort(rng.integers(0, (h, w), size=(n, 2, 2)), axis=1)
    boxes = [(a, b, c + 1, d + 1) for (a, b), (c, d) in corners.tolist()]
    free = np.ones((h - fy, w - fx), bool)
    y, x = np.indices(free.shape)
    for y0, x0, y1, x1 in boxes:
        # open rectangles of continuous corners hold as many unit cells as grid points
        free &= ~((y >= y0 - fy) & (y < y1) & (x >= x0 - fx) & (x < x1))
    expected = h * w / max(int(free.sum()), 1)
    assert miles_lantuejoul(h, w, np.array([fy]), np.array([fx]), boxes)[0] == pytest.approx(
        expected
    )
