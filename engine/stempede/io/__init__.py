"""Reading sessions and writing runs: the only room that touches files."""
