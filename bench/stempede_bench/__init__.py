"""Measures stempede against named peers, in the same run, behind a check that both agree."""
