"""The feature table against closed forms; tolerances follow from pixelation.

A boundary of length P meets P pixels, each inside or outside by its centre: over random positions
the area has a standard deviation of about 0.3 sqrt(P) px, which bounds the moments too.
"""

import numpy as np
import pytest
from scipy.spatial import ConvexHull
from scipy.spatial.distance import pdist

from stempede_kernels.regions import regions

OFFSETS = [(0.0, 0.0), (0.31, -0.17), (0.5, 0.25)]


def draw(radius, inside, angle_deg=0.0, offset=(0.0, 0.0)):
    """Draw a shape given in its own frame (u along the angle), in a frame of unequal sides."""
    half = int(radius) + 4
    y, x = np.mgrid[-half : half + 1, -half - 3 : half + 4].astype(float)
    y, x = y - offset[0], x - offset[1]
    angle = np.radians(angle_deg)
    u, v = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
    return inside(u, v).astype(np.int32)


def measure(*arguments, **parameters):
    return {name: column[0] for name, column in regions(draw(*arguments, **parameters)).items()}


@pytest.mark.parametrize("offset", OFFSETS)
@pytest.mark.parametrize("radius", [6.5, 20.3, 71.0])
def test_disc(radius, offset):
    found = measure(radius, lambda u, v: u**2 + v**2 < radius**2, offset=offset)
    area = np.pi * radius**2
    slack = 1.5 * np.sqrt(2 * np.pi * radius) / area
    assert found["area_px2"] == pytest.approx(area, rel=slack)
    assert found["equivalent_diameter_px"] == pytest.approx(2 * radius, rel=slack)
    assert found["major_axis_px"] == pytest.approx(2 * radius, rel=slack)
    assert found["perimeter_crofton_px"] == pytest.approx(2 * np.pi * radius, rel=0.25 / radius)
    assert 0 < found["max_feret_px"] - (2 * radius - 1) < 3
    assert abs(found["min_feret_px"] - 2 * radius) <= 1
    assert found["aspect_ratio"] == pytest.approx(1, abs=2 * slack)
    assert found["roundness"] == pytest.approx(1, abs=2 * slack)
    assert found["convexity"] == pytest.approx(1, abs=0.01)
    assert found["solidity"] > 1 - 1 / radius
    assert found["hu1"] == pytest.approx(1 / (2 * np.pi), rel=slack)
    assert found["euler_number"] == 1


@pytest.mark.parametrize(("height", "width"), [(1, 7), (9, 4), (12, 12), (31, 50)])
def test_upright_rectangle_is_exact(height, width):
    labels = np.zeros((height + 5, width + 9), np.int32)
    labels[2 : 2 + height, 3 : 3 + width] = 4
    found = {name: column[0] for name, column in regions(labels).items()}
    assert found["area_px2"] == found["convex_area_px2"] == found["bbox_area_px2"] == height * width
    assert (found["y_px"], found["x_px"]) == (2 + (height - 1) / 2, 3 + (width - 1) / 2)
    sides = sorted((4 * np.sqrt((n * n - 1) / 12) for n in (height, width)), reverse=True)
    assert (found["major_axis_px"], found["minor_axis_px"]) == pytest.approx(sides, rel=1e-12)
    assert found["min_feret_px"] == min(height, width)
    assert found["min_rect_length_px"] == max(height, width)
    assert found["min_rect_width_px"] == min(height, width)
    if min(height, width) > 1:
        assert found["perimeter_px"] == 2 * (height + width) - 4
        # sides that end on pixel borders are the worst case: centres spread 1/12 px^2 less
        slack = 1 / min(height, width) ** 2
        assert found["edge_length_px"] == pytest.approx(np.sqrt(height * width), rel=slack)
    if height != width:
        assert found["orientation_deg"] == found["min_rect_angle_deg"] == 90.0 * (height > width)
    assert found["solidity"] == found["extent"] == 1


@pytest.mark.parametrize("angle", [-72, -30, 0, 11, 45, 90])
@pytest.mark.parametrize(("length", "width"), [(30, 13), (81, 40)])
def test_turned_rectangle(length, width, angle):
    found = measure(
        length, lambda u, v: (abs(u) < length / 2) & (abs(v) < width / 2), angle, (0.2, 0.4)
    )
    assert found["area_px2"] == pytest.approx(length * width, rel=1.5 / width)
    assert found["major_axis_px"] == pytest.approx(length * np.sqrt(4 / 3), abs=1.2)
    assert found["minor_axis_px"] == pytest.approx(width * np.sqrt(4 / 3), abs=1.2)
    assert found["min_rect_length_px"] == pytest.approx(length, abs=1.5)
    assert found["min_rect_width_px"] == pytest.approx(width, abs=1.5)
    assert found["min_feret_px"] == pytest.approx(width, abs=1.5)
    assert found["max_feret_px"] == pytest.approx(np.hypot(length, width), abs=1.5)
    assert found["edge_length_px"] == pytest.approx(np.sqrt(length * width), abs=1)
    tolerance = np.degrees(1.5 / length)
    for name in ("orientation_deg", "min_rect_angle_deg"):
        assert abs((found[name] - angle + 90) % 180 - 90) < 2 * tolerance
    across = (found["min_feret_angle_deg"] - angle) % 180 - 90
    assert abs(across) < 2 * tolerance


@pytest.mark.parametrize("angle", [-60, 0, 25, 90])
@pytest.mark.parametrize(("a", "b"), [(12.4, 7.1), (50.0, 21.5)])
def test_ellipse(a, b, angle):
    found = measure(a, lambda u, v: (u / a) ** 2 + (v / b) ** 2 < 1, angle, (0.1, -0.3))
    slack = 2 / b**1.5
    assert found["area_px2"] == pytest.approx(np.pi * a * b, rel=slack)
    assert found["major_axis_px"] == pytest.approx(2 * a, rel=slack)
    assert found["minor_axis_px"] == pytest.approx(2 * b, rel=slack)
    assert found["aspect_ratio"] == pytest.approx(a / b, rel=2 * slack)
    assert found["eccentricity"] == pytest.approx(np.sqrt(1 - (b / a) ** 2), abs=2 * slack)
    assert abs((found["orientation_deg"] - angle + 90) % 180 - 90) < np.degrees(2 / a)
    assert abs((found["max_feret_angle_deg"] - angle + 90) % 180 - 90) < np.degrees(4 / a)
    # the inverse of the ratio is flat at the disc's end: half a per cent of moment is 3 % of edge
    assert found["edge_length_px"] == pytest.approx(2 * np.sqrt(a * b), rel=0.04)


@pytest.mark.parametrize("exponent", [2.5, 4, 10])
@pytest.mark.parametrize("edge", [24, 60])
def test_squircle_edge(edge, exponent):
    found = [
        measure(
            edge, lambda u, v: abs(u) ** exponent + abs(v) ** exponent < (edge / 2) ** exponent,
            angle, offset,
        )["edge_length_px"]
        for angle in (0, 17, 45)
        for offset in OFFSETS
    ]  # fmt: skip
    assert np.mean(found) == pytest.approx(edge, abs=0.25)
    assert np.std(found) < 0.5


def star(arms, depth):
    """Return area, Hu 1, hull area and diameter of r = 1 + depth cos(arms t), by quadrature."""
    t = np.linspace(0, 2 * np.pi, 1440, endpoint=False)
    r, step = 1 + depth * np.cos(arms * t), 2 * np.pi / 1440
    area = np.sum(r**2) / 2 * step
    outline = np.stack([r * np.sin(t), r * np.cos(t)], 1)
    return area, np.sum(r**4) / 4 * step / area**2, ConvexHull(outline).volume, pdist(outline).max()


@pytest.mark.parametrize("angle", [0, 13])
@pytest.mark.parametrize("radius", [18.0, 60.0])
@pytest.mark.parametrize(("arms", "depth"), [(3, 0.2), (5, 0.4), (6, 0.3)])
def test_star(arms, depth, radius, angle):
    def inside(u, v):
        return np.hypot(u, v) < radius * (1 + depth * np.cos(arms * np.arctan2(v, u)))

    found = measure(radius * (1 + depth), inside, angle, (0.3, 0.1))
    area, hu1, hull, diameter = star(arms, depth)
    assert found["area_px2"] == pytest.approx(area * radius**2, rel=2 / radius**1.5)
    assert found["hu1"] == pytest.approx(hu1, rel=2 / radius**1.5)
    assert found["solidity"] == pytest.approx(area / hull, abs=1 / radius)
    assert -1 < found["max_feret_px"] - diameter * radius < 2
    assert found["convexity"] < 1
    assert found["euler_number"] == 1
    assert found["area_px2"] == found["filled_area_px2"], "bays are no holes"


def test_hu_numbers_do_not_change_with_scale_and_angle():
    def inside(size):
        # unequal lobes: all seven invariants differ from zero
        return lambda u, v: (
            (u**2 / 4 + v**2 < size**2) & ((u - size) ** 2 + v**2 > size**2 / 2)
            | ((u + size) ** 2 + (v - size) ** 2 < size**2 / 3)
        )

    reference = measure(600, inside(200))
    for size, angle in ((25, 0), (40, 33), (90, -81)):
        found = measure(3 * size, inside(size), angle, (0.2, 0.3))
        for k in range(1, 8):
            scale = abs(reference[f"hu{k}"])
            assert found[f"hu{k}"] == pytest.approx(reference[f"hu{k}"], abs=8 * scale / size)


@pytest.mark.parametrize("thickness", [1, 3])
def test_ring_is_filled_only_if_closed(thickness):
    radius = 15
    ring = draw(radius, lambda u, v: abs(np.hypot(u, v) - radius + thickness) < thickness)
    disc = draw(radius, lambda u, v: np.hypot(u, v) < radius - thickness)
    closed = regions(ring)
    assert closed["euler_number"][0] == 0
    assert closed["filled_area_px2"][0] == (ring | disc).sum()
    ring[ring.shape[0] // 2, ring.shape[1] // 2 :] = 0
    cut = regions(ring)
    assert cut["euler_number"][0] == 1
    assert cut["filled_area_px2"][0] == cut["area_px2"][0]
