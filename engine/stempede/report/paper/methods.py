"""A Methods paragraph, written from what a run did and with what."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from typing import Any

from stempede.report.findings import Findings, calibration
from stempede.report.html import counted, number, span

_SENTENCES = {
    "preprocess.annotations": "Burned-in scale bars and captions were found and kept out of the "
    "search.",
    "preprocess.defects": "Defective pixels were replaced from their neighbours.",
    "preprocess.background": "Uneven background was taken off.",
    "preprocess.normalise": "Images were scaled to the noise of their support, particles bright.",
    "particles.segment": "Particles were found as regions whose outlines have the steepest mean "
    "gradient (method {method}), their outlines drawn at full resolution.",
    "particles.split": "Touching particles were separated.",
    "particles.features": "Of each region 30 features of size, shape and contrast were measured.",
    "particles.accept": "Regions that touch the edge of the frame, are too small or too faint, "
    "agglomerated or outlying were set aside.",
    "particles.shapes": "A superellipse, R(θ) = [(L |cos(dθ/2)|)^p + |sin(dθ/2)|^p]^(−1/p) "
    "(Williamson et al., Nanoscale 14 (2022) 15327), was fitted to the outline of each accepted "
    "particle, starting from the {start}.",
    "particles.ensemble": "Means carry Miles–Lantuéjoul weights against edge bias; 95 % intervals "
    "take the frame, or the specimen area where given, as the sampling unit (delete-one "
    "jackknife, Student's t).",
    "particles.groups": "Accepted particles were grouped without labels by {method} on the feature "
    "set '{feature_set}', all samples together, one group being tested against several first.",
    "particles.sensitivity": "Sizes were measured again on some frames with the threshold changed "
    "by ± 10 %.",
}


def methods(found: Findings, n_groups: int = 0) -> str:
    """Return a Methods paragraph in Markdown, and what was changed from the defaults.

    Parameters
    ----------
    found : Findings
        The run.
    n_groups : int
        Groups that were found.
    """
    document = found.run.document
    recipe = tomllib.loads(str(document.get("recipe", "")))
    said = [_data(found), *_steps(recipe), *_results(found, n_groups)]
    version = document.get("versions", {})
    stempede = version.get("stempede", "") if isinstance(version, Mapping) else ""
    said.append(
        f"All was done with stempede {stempede} (recipe {recipe.get('name', 'unnamed')}, hash "
        f"{str(document.get('recipe_hash', ''))[:12]})."
    )
    text = " ".join(s for s in said if s)
    changed = document.get("recipe_overrides") or []
    lines = ["# Methods", "", text, ""]
    if changed:
        lines += ["Settings that differ from the shipped recipe:", ""]
        lines += [f"- `{c}`" for c in changed]
    return "\n".join(lines).rstrip() + "\n"


def _data(found: Findings) -> str:
    states = found.run.frames.text("state")
    failed = sum(s == "problem" for s in states)
    source, u = calibration(found.run.frames)
    scale = f"Pixel sizes were taken from: {source}" if source else "No pixel size was known"
    trust = f" (relative standard uncertainty {100 * u:.2g} %)" if u == u and source else ""
    kinds = sorted({k for k in found.run.frames.text("polarity") if k})
    contrast = f" with particles {' and '.join(kinds)}" if kinds else ""
    lost = f"; {counted(failed, 'image')} could not be measured" if failed else ""
    measured = counted(len(states) - failed, "image")
    return f"{measured}{contrast} were analysed{lost}. {scale}{trust}."


def _steps(recipe: Mapping[str, Any]) -> list[str]:
    """Return a sentence per step, its parameters filled in from the recipe and the defaults."""
    said = []
    for kind in ("stage", "reduce"):
        for entry in recipe.get(kind, []):
            use = str(entry["use"])
            sentence = _SENTENCES.get(use, f"A step of our own, {use}, was run.")
            said.append(sentence.format_map(_Parameters(kind, use, entry)))
    return said


class _Parameters(dict[str, Any]):
    """Parameters of a step: as the recipe gives them, else the step's default."""

    def __init__(self, kind: str, use: str, entry: Mapping[str, Any]) -> None:
        super().__init__(entry)
        self._kind, self._use = kind, use

    def __missing__(self, name: str) -> Any:
        from stempede.stage import find

        fields = getattr(find(self._kind, self._use), "__dataclass_fields__", {})
        return fields[name].default if name in fields else "the default"


def _results(found: Findings, n_groups: int) -> list[str]:
    summary = found.headline
    aside = [f"{n:,} {reason}" for reason, n in found.outcomes.items() if reason != "accepted"]
    said = [
        f"Of {counted(len(found.particles), 'region')} {found.outcomes.get('accepted', 0):,} were "
        f"accepted{' (set aside: ' + ', '.join(aside) + ')' if aside else ''}."
    ]
    if summary is not None:
        interval = ""
        if summary.mean.known:
            interval = f" (95 % CI {span(summary.mean.low, summary.mean.high, summary.unit)})"
        said.append(
            f"Size means the {summary.name}: {number(summary.mean.value, 4)} {summary.unit}"
            f"{interval}, σ/d {number(100 * summary.rel_sd.value)} %."
        )
    if n_groups:
        said.append(f"{counted(n_groups, 'group')} {'was' if n_groups == 1 else 'were'} found.")
    return said
