"""The check of the kernels on a device: its frames, its comparison and its table, on the host.

The device's side of it is not run here: host and "device" are the same code.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from stempede_bench import device_kernels, gpu_check

torch = pytest.importorskip("torch")


def test_frames_hold_particles_that_touch():
    maps = device_kernels.frame(side=301)
    assert maps["mask"].shape == maps["labels"].shape == (301, 301)
    assert 0 < maps["mask"].mean() < 1
    np.testing.assert_array_equal(maps["labels"] > 0, maps["mask"])
    regions = device_kernels.kernels()[2].call(maps["mask"])[0].max()
    assert maps["labels"].max() > regions


def test_every_kernel_is_compared_and_timed():
    found = device_kernels.check(side=151, repeats=2, device="cpu")
    assert found["passed"]
    names = [row["kernel"] for row in found["kernels"]]
    assert {"watershed", "maxima", "regions", "distance"} <= set(names)
    assert all(0 < row["best_s"] <= row["median_s"] for row in found["kernels"])
    assert len(device_kernels.table(found["kernels"]).splitlines()) == len(names)


def test_kernels_that_differ_or_fail_are_named(monkeypatch):
    first, second, *_ = device_kernels.kernels()

    def wrong(image):
        return first.call(image) + (0 if isinstance(image, np.ndarray) else 1)

    def broken(mask):
        raise RuntimeError("no such luck")

    changed = (
        dataclasses.replace(first, call=wrong),
        dataclasses.replace(second, call=broken),
    )
    monkeypatch.setattr(device_kernels, "kernels", lambda: changed)
    found = device_kernels.check(side=64, repeats=1, device="cpu")
    assert not found["passed"]
    assert "smooth, masks.fill_holes" in found["summary"]
    text = device_kernels.table(found["kernels"])
    assert "DIFFERS" in text
    assert "RuntimeError: no such luck" in text


def test_the_tests_of_a_device_are_found(monkeypatch):
    asked = []

    def run(command, **_):
        asked.append(command)
        return type("Done", (), {"returncode": 0, "stdout": "1 passed", "stderr": ""})

    monkeypatch.setattr(gpu_check.subprocess, "run", run)
    for expression in ("gpu", "interpreter"):
        assert gpu_check._pytest(expression) == {"passed": True, "summary": "1 passed"}
    for command in asked:
        assert any(word.endswith("test_floods_gpu.py") for word in command)
        assert not any(word.endswith("test_split.py") for word in command)
