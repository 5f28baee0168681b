import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from stempede.errors import InputError
from stempede.simulate.micrograph import Population, frames, render, scale_bar_box
from stempede.simulate.noise import expose
from stempede.simulate.placement import build_agglomerate, outline_points, place
from stempede.simulate.population import SHAPES, draw_sizes, shape_shares
from stempede.simulate.superellipse import axes, radius, unit_outlines

QUIET = {
    "noise": "low",
    "texture": 0.0,
    "contamination": 0,
    "gradient": 0.0,
    "edge_darkening": 0.0,
    "thickness_contrast": 0.0,
    "contrast_spread": 0.0,
}


def test_radius_is_equation_one_at_hand_computed_points():
    # ellipse of half axes 1/2 (along u = 0) and 1
    assert radius(np.array(0.0), 2.0, 2.0, 2.0) == pytest.approx(0.5)
    assert radius(np.array(np.pi / 2), 2.0, 2.0, 2.0) == pytest.approx(1.0)
    # a five-lobed body repeats every 72 degrees, not every 36
    u = np.array([0.1, 0.1 + 2 * np.pi / 5, 0.1 + np.pi / 5])
    r = radius(u, 1.4, 5.0, 2.0)
    assert r[0] == pytest.approx(r[1])
    assert abs(r[0] - r[2]) > 0.1


def test_axes_of_disc_ellipse_and_square_are_the_closed_forms():
    p, d = np.array([2.0, 2.0, 400.0]), np.full(3, 2.0)
    outlines = unit_outlines(p, d, np.array([1.0, 1.7, 1.0]))
    major, minor = axes(outlines)
    assert major[:2] == pytest.approx([1.0, np.sqrt(1.7)], rel=2e-4)
    assert minor[:2] == pytest.approx([1.0, 1 / np.sqrt(1.7)], rel=2e-4)
    edge = np.sqrt(np.pi / 4)
    assert major[2] == pytest.approx(edge * 2 / np.sqrt(3), rel=3e-3)


def test_a_frame_depends_on_seed_and_number_alone():
    population = Population(height_px=200, width_px=260, count=8)
    later = list(frames(population, 2, seed=5))[1]
    alone = render(population, 1, seed=5)
    assert np.array_equal(later[0], alone[0])
    assert np.array_equal(later[1], alone[1])
    assert not np.array_equal(alone[0], render(population, 1, seed=6)[0])


@pytest.mark.parametrize("shape", SHAPES)
def test_labels_agree_with_the_closed_form_areas(shape):
    population = Population(height_px=400, width_px=330, count=10, shapes=shape, touching=0.0)
    _, labels, truth = render(population, 0, seed=2)
    area = np.bincount(labels.ravel(), minlength=len(truth) + 1)[1:]
    whole = truth["complete"]
    assert whole.sum() >= 3
    tolerance = 0.05 if shape in ("urchin", "star") else 0.02
    assert area[whole] == pytest.approx(truth["area_px2"][whole], rel=tolerance)
    assert np.all(truth["visible"][~whole] < 1.0 + tolerance)
    centres = np.array(ndimage.center_of_mass(labels > 0, labels, truth["label"]))
    expected = np.stack([truth["y_px"], truth["x_px"]], axis=1)
    assert np.abs(centres[whole] - expected[whole]).max() < 0.5


def test_labels_are_in_raster_order_and_match_the_rows():
    _, labels, truth = render(Population(height_px=300, width_px=410, count=14), 3, seed=1)
    flat = labels.ravel()
    firsts = [int(np.argmax(flat == k)) for k in truth["label"]]
    assert firsts == sorted(firsts)
    assert np.array_equal(truth["particle"], np.arange(len(truth)))


@pytest.mark.parametrize(("polarity", "sign"), [("dark", -1), ("bright", 1)])
def test_contrast_has_the_polarity_and_strength_asked_for(polarity, sign):
    population = Population(
        height_px=256, width_px=300, count=6, polarity=polarity, contrast=0.3, **QUIET
    )
    image, labels, _ = render(population, 0, seed=4)
    inside = ndimage.binary_erosion(labels > 0, iterations=4)
    outside = ~ndimage.binary_dilation(labels > 0, iterations=4)
    step = image[inside].mean() - image[outside].mean()
    assert step == pytest.approx(sign * 3000, rel=0.03)


def test_touching_particles_meet_and_single_ones_do_not():
    population = Population(height_px=500, width_px=460, count=24, touching=0.5, gap_px=6)
    _, labels, truth = render(population, 0, seed=3)
    clumps, _ = ndimage.label(labels > 0, np.ones((3, 3)))
    clump = np.array(ndimage.maximum(clumps, labels, truth["label"]), dtype=int)
    _, members = np.unique(clump, return_counts=True)
    single = ~truth["touching"]
    assert np.all(members[np.searchsorted(np.unique(clump), clump[single])] == 1)
    # an agglomerate is one clump unless the border cut it
    for a in np.unique(truth["agglomerate"][truth["touching"]]):
        rows = truth["agglomerate"] == a
        if truth["complete"][rows].all():
            assert len(set(clump[rows])) <= 1 + int(truth["visible"][rows].min() < 0.9)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 5), st.floats(0.0, 4.0))
def test_discs_of_an_agglomerate_are_pushed_in_as_asked(seed, n, overlap):
    rng = np.random.default_rng(seed)
    diameters = rng.uniform(20, 40, n)
    outlines = unit_outlines(*np.full((3, n), [[2.0], [2.0], [1.0]])) * diameters[:, None]
    points = outline_points(outlines, np.zeros(n))
    centres = build_agglomerate(points, np.full(n, overlap), rng)
    apart = np.hypot(*(centres[:, None] - centres[None]).transpose(2, 0, 1))
    gap = apart - 0.5 * (diameters[:, None] + diameters[None])
    np.fill_diagonal(gap, np.inf)
    # pushed along the line of flight, which may pass a neighbour at a slant
    assert gap.min() >= -overlap - 0.3
    assert np.all(gap.min(axis=1) <= 0.3)


def test_touching_fraction_is_the_one_asked_for():
    population = Population(height_px=1200, width_px=1100, count=150, touching=0.4)
    _, _, truth = render(population, 0, seed=9)
    assert truth["touching"].mean() == pytest.approx(0.4, abs=0.1)


@pytest.mark.parametrize("law", ["lognormal", "normal"])
def test_sizes_have_the_mean_spread_and_frame_correlation(law):
    population = Population(mean_size_nm=9.0, relative_sd=0.2, size_law=law, icc=0.3)
    rng = np.random.default_rng(0)
    sizes = np.stack([draw_sizes(population, 50, rng) for _ in range(3000)])
    assert sizes.mean() == pytest.approx(9.0, rel=0.01)
    assert sizes.std() == pytest.approx(1.8, rel=0.03)
    between = sizes.mean(axis=1).var() - sizes.var(axis=1, ddof=1).mean() / 50
    assert between / sizes.var() == pytest.approx(0.3, abs=0.04)


def test_shot_noise_has_poisson_mean_variance_and_skewness():
    rng = np.random.default_rng(1)
    counts = expose(np.full((900, 1000), 0.5, np.float32), 200.0, rng).astype(float)
    electrons = (counts - 100) * 200 / 10_000
    assert electrons.mean() == pytest.approx(100, rel=1e-3)
    assert electrons.var() == pytest.approx(104, rel=0.01)
    third = ((electrons - electrons.mean()) ** 3).mean()
    assert third == pytest.approx(100, rel=0.2)


def test_the_border_cuts_large_particles_more_often():
    population = Population(
        height_px=160, width_px=200, count=5, touching=0.0, relative_sd=0.3, icc=0.0
    )
    kept = [t.take(t["complete"]) for _, _, t in frames(population, 60, seed=8)]
    sizes = np.concatenate([t["equivalent_diameter_nm"] for t in kept])
    h, w = 640 / 4, 800 / 4
    reach = np.concatenate([t["equivalent_diameter_px"] for t in kept])
    weights = h * w / ((h - reach) * (w - reach))
    assert sizes.mean() < 11.5
    assert np.average(sizes, weights=weights) == pytest.approx(12.0, abs=0.6)


def test_the_scale_bar_is_burned_in_and_hides_particles():
    population = Population(height_px=300, width_px=320, scale_bar_nm=20, pixel_size_nm=0.3)
    y0, x0, y1, x1 = scale_bar_box(population)
    image, labels, _ = render(population, 0, seed=0)
    bar = image[y0:y1, x0:x1] == 65_535
    assert bar.sum(axis=1).max() == round(20 / 0.3)
    assert set(np.unique(image[y0:y1, x0:x1])) == {0, 65_535}
    assert not labels[y0:y1, x0:x1].any()


def test_mistakes_are_told_all_at_once():
    with pytest.raises(InputError, match=r"polarity.*noise.*height_px"):
        Population(polarity="grey", noise="none", height_px=0)
    with pytest.raises(InputError, match="name:share"):
        shape_shares("cubes:1")
    with pytest.raises(InputError, match="no share above 0"):
        shape_shares("cube:0")


def test_a_frame_too_full_says_so():
    with pytest.raises(InputError, match="no room"):
        render(Population(height_px=256, width_px=256, count=200), 0)
    with pytest.raises(InputError, match="no room"):
        place([np.zeros((1, 2))] * 3, [np.full(1, 9.0)] * 3, (20.0, 22.0), np.random.default_rng(0))
