"""Live: a run over frames that are still being acquired.

watch = stempede.live.Watch("images/", Recipe.load("particles"), "run")
watch.run()
stempede.live.resume("run")
"""

from stempede.live.settle import is_watched, resume, settle
from stempede.live.stopping import Goal
from stempede.live.watch import Watch, Watching

__all__ = ["Goal", "Watch", "Watching", "is_watched", "resume", "settle"]
