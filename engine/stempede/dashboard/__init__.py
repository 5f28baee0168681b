"""Dashboard: the page of a run that is being watched."""
