"""Figures as journals want them: widths of a column, vector text, source data, a Methods text."""

from __future__ import annotations

from stempede.report.paper.write import write_paper

__all__ = ["write_paper"]
