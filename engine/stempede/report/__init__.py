"""Reports: one page and its figures from a run folder, and runs side by side."""

from __future__ import annotations

from stempede.report.page import write_report

__all__ = ["write_report"]
