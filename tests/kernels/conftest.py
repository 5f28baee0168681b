"""Masks of odd sizes, extremes and long thin regions, for every kernel."""

import pytest
from drawing import PATTERNS, draw

SHAPES = [(1, 1), (1, 7), (7, 1), (17, 29), (66, 35)]


@pytest.fixture(params=SHAPES, ids=lambda shape: f"{shape[0]}x{shape[1]}")
def shape(request):
    return request.param


@pytest.fixture(params=PATTERNS)
def mask(request, shape):
    return draw(request.param, shape)
