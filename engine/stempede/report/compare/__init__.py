"""Comparisons: runs side by side, or samples and batches within one run."""

from __future__ import annotations

from stempede.report.compare.comparison import compare, told
from stempede.report.compare.headline import compare_runs
from stempede.report.compare.page import write_comparison

__all__ = ["compare", "compare_runs", "told", "write_comparison"]
