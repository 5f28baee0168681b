"""Networks and how they are trained; a run needs only the files in ``weights``."""
