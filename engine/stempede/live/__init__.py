"""Live: a run over frames that are still being acquired."""
