"""The GPU version of regions on the host, in Triton's interpreter; see test_regions_gpu.py."""

import numpy as np
import pytest
import torch
from drawing_regions import blobs, odd_shapes

from stempede_kernels import regions as package
from stempede_kernels.regions import cpu, gpu, holes, holes_gpu, hull, hull_gpu, regions


def both(monkeypatch, labels, images=None, **parameters):
    """Return the columns of the CPU and of the interpreted GPU version."""
    wanted = regions(labels, images, **parameters)
    monkeypatch.setattr(package, "implementation", lambda _name, _array: _Interpreted)
    return wanted, regions(labels, images, **parameters)


class _Interpreted:
    """Hands host arrays to the GPU version as tensors."""

    @staticmethod
    def accumulate(*arguments):
        return gpu.accumulate(
            *(torch.from_numpy(a) if isinstance(a, np.ndarray) else a for a in arguments)
        )


def assert_same(found, wanted):
    """Counts to the bit; light is added in another order."""
    for name, column in wanted.items():
        if name in {"contrast", "mean_inside", "mean_background"}:
            np.testing.assert_allclose(found[name], column, rtol=1e-12, err_msg=name)
        else:
            np.testing.assert_array_equal(found[name], column, err_msg=name)


CASES = {
    "odd shapes": odd_shapes()[None],
    "blobs": blobs(2, (2, 17, 35), width=2.5),
    "empty": np.zeros((1, 3, 5), np.int32),
}


@pytest.mark.parametrize("labels", CASES.values(), ids=CASES.keys())
def test_shapes_equal_the_cpu(monkeypatch, labels):
    wanted, found = both(monkeypatch, labels)
    assert_same(found, wanted)


@pytest.mark.parametrize("extra", ["ring", "valid", "background"])
def test_light_equals_the_cpu(monkeypatch, extra):
    labels = blobs(3, (2, 15, 22), width=2.5)
    rng = np.random.default_rng(0)
    images = rng.normal(50, 3, labels.shape).astype(np.float32)
    images[0, 4, 5] = np.nan
    images[1, 9, 3] = np.inf
    options = {
        "ring": {},
        "valid": {"valid": rng.random(labels.shape) < 0.7},
        "background": {"background": images + 1},
    }[extra]
    wanted, found = both(
        monkeypatch, labels, images, ring_gap_px=1, ring_width_px=2, noise=2.0, **options
    )
    assert np.isfinite(wanted["contrast"]).any()
    assert_same(found, wanted)


def test_transfers_are_counted_and_hold_no_image(monkeypatch):
    labels = np.zeros((1, 40, 300), np.int32)
    labels[0, 5:9, 7:16] = 1
    moved = {"up": 0, "down": 0}

    def count(way, nbytes):
        moved[way] += nbytes

    both(monkeypatch, labels, on_transfer=count)
    assert moved["up"] == 0
    assert 0 < moved["down"] < 600 < labels.nbytes / 40


def test_hulls_and_calipers_equal_the_cpu():
    """Rows of regions longer than a block, with empty rows, and hulls of more vertices."""
    rng = np.random.default_rng(4)
    shapes = [rng.integers(0, 9, (2, height)) for height in (1, 2, 9, 70)]
    y = np.arange(-33, 34)
    half = np.sqrt(33.4**2 - y**2).astype(np.int64)
    shapes += [np.stack([half, half + 1]), np.stack([y, -y])]
    rows = [np.stack([-a - 10, -b - 10]) for a, b in shapes]
    rows[3][:, 1:-1][:, rng.random(68) < 0.5] = hull.NONE
    begin = np.concatenate([[0], np.cumsum([part.shape[1] for part in rows])])
    extents = np.concatenate(rows, axis=1)
    extents = np.where(extents == hull.NONE, hull_gpu.EMPTY, extents).astype(np.int32)
    corners, first, convex = hull_gpu.wrap(torch.from_numpy(extents), torch.from_numpy(begin))
    longest = hull_gpu.longest(corners, first)
    edges = hull_gpu.calipers(corners, first)
    for k, part in enumerate(rows):
        sides = hull.chain(part[0]), hull.chain(part[1])
        vertices = hull.polygon(*sides)
        np.testing.assert_array_equal(corners[first[k] : first[k + 1]].numpy(), vertices)
        expected = hull.convex_extents(*sides, part.shape[1])
        expected = np.where(expected == hull.NONE, hull_gpu.EMPTY, expected)
        np.testing.assert_array_equal(convex[:, begin[k] : begin[k + 1]].numpy(), expected)
        wanted = np.empty(7)
        wanted[:2] = hull.max_feret(vertices)
        hull.edge_calipers(vertices, wanted[2:])
        found = np.empty((1, 7))
        hull.calipers_of_edges(torch.cat([longest[k], edges[k]])[None].numpy(), found)
        np.testing.assert_array_equal(found[0], wanted)
    assert (np.diff(first.numpy()) > hull_gpu.CORNERS).any()


@pytest.mark.parametrize("share", [0.55, 0.75, 0.95])
def test_holes_equal_the_cpu(share):
    labels = (np.random.default_rng(5).random((2, 19, 27)) < share) * np.int32(3)
    labels[1, :, 9:11] = 0
    labels[1, :, 11:] *= 2
    wanted = cpu.find_runs(labels)
    runs = gpu.find_runs(torch.from_numpy(labels))
    for name, column in vars(wanted).items():
        np.testing.assert_array_equal(getattr(runs, name).numpy(), column, err_msg=name)
    rows = gpu._rows_of(runs)
    found = holes_gpu.hole_areas(*rows)
    for k, box in enumerate(wanted.box):
        part = slice(wanted.begin[k], wanted.begin[k + 1])
        expected = holes.hole_area(
            wanted.rows[part] - box[0],
            wanted.starts[part] - box[1],
            wanted.stops[part] - box[1],
            box[2] - box[0],
        )
        assert found[k] == expected


def test_negative_labels_are_refused():
    with pytest.raises(ValueError, match="0 or positive, found -2"):
        gpu.find_runs(torch.tensor([[[1, -2, 0]]], dtype=torch.int32))
