"""Adapt the denoising network to a session, from nothing but its own noisy frames."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np

from stempede.errors import RecipeError
from stempede.frames import Batch
from stempede.inference import require_torch
from stempede.preprocess.counts import Counts
from stempede.preprocess.denoise_filters import blur_width
from stempede.preprocess.denoise_network import WITHOUT, View, packed, seeded, trainable
from stempede.preprocess.denoise_noise import electrons_of, noise_of
from stempede_kernels.blind_spots import shown

log = logging.getLogger("stempede")

_SIDE, _BATCH, _RATE = 128, 6, 5e-4
_JUDGED_SIDE, _JUDGE_EVERY, _PATIENCE = 256, 25, 4
_HELD = 0.04
"""Share of the pixels that no step sees or learns from: their loss says when to stop."""
_PRIOR_PX = 1.0
"""Width of the prior's denoiser."""


@dataclass(frozen=True)
class Denoiser:
    """Train the denoising network on the first frames of the session; for ``method = "self"``.

    Pixels are hidden at random, in runs along rows, and asked for; what noise does there cannot
    be told from the others, so that the answer is the mean. To that comes regularisation by
    denoising: what a narrow blur takes off an answer is pulled towards nought. It begins at the
    shipped weights, and keeps those whose answers were best for pixels never learnt from: the
    shipped ones, where nothing was gained.

    Parameters
    ----------
    weights : str
        Where it begins: ``denoise``, which is shipped, or a ``.pt`` file with its card.
    steps : int
        Steps at most, of 6 crops of 128 × 128 px.
    minutes : float
        Time at most. Where it runs out, results depend on the machine's speed; the run keeps
        what was found.
    prior : float
        Weight of the regularisation.
    noise : {"auto", "poisson", "poisson-gaussian", "gaussian"}
        That of ``preprocess.counts``.
    seed : int

    References
    ----------
    Quan et al., "Self2Self with dropout", CVPR (2020); Romano et al., "The little engine that
    could: regularization by denoising (RED)", SIAM J. Imaging Sci. 10 (2017).
    """

    weights: str = "denoise"
    steps: int = 200
    minutes: float = 5.0
    prior: float = 0.05
    noise: Literal["auto", "poisson", "poisson-gaussian", "gaussian"] = "auto"
    seed: int = 0

    name: ClassVar[str] = "preprocess.denoiser"

    def __post_init__(self) -> None:
        if self.steps < 1 or not self.minutes > 0 or self.prior < 0 or self.seed < 0:
            raise RecipeError(
                "the denoiser wants steps >= 1, minutes > 0, prior >= 0 and seed >= 0; found "
                f"{self.steps}, {self.minutes:g}, {self.prior:g} and {self.seed}; correct it"
            )

    def __call__(self, batches: Sequence[Batch]) -> dict[str, Any]:
        """Return the weights as text, and what the training took and gained."""
        torch = require_torch(self.weights, WITHOUT)
        backend = batches[0].backend
        module = trainable(self.weights, backend)
        views = [view for batch in batches for view in self._views(batch)]
        if not views:
            return {"weights": packed(module), "steps": 0, "frames": 0}
        with seeded(torch, self.seed):
            lesson = _Lesson(torch, module, views, self.seed, self.prior)
            history = self._train(lesson)
        best = min(history, key=lambda row: row[1])
        return {
            "weights": packed(lesson.module),
            "frames": len(views),
            "steps": history[-1][0],
            "kept_step": best[0],
            "loss_shipped": history[0][1],
            "loss": best[1],
        }

    def _views(self, batch: Batch) -> list[View]:
        counted = Counts(self.noise)(batch)
        views = []
        for k in range(len(counted)):
            image = electrons_of(counted, k)
            noise, _ = noise_of(counted, k, image)
            # a frame of one value teaches nothing
            if noise.variance > 0:
                width = blur_width(image, noise, batch.backend)
                views.append(View.of(image, noise, width, batch.backend))
        return views

    def _train(self, lesson: _Lesson) -> list[tuple[int, float]]:
        """Take steps while they help; return (step, loss of what is held back)."""
        began, history = time.monotonic(), [(0, lesson.judge())]
        best = lesson.state()
        for step in range(1, self.steps + 1):
            lesson.step(_RATE * min(1.0, step / 20))
            late = time.monotonic() - began > 60 * self.minutes
            if step % _JUDGE_EVERY == 0 or step == self.steps or late:
                history.append((step, lesson.judge()))
                if history[-1][1] <= min(loss for _, loss in history):
                    best = lesson.state()
            if late:
                log.warning("denoiser: %g minutes are over after %d steps", self.minutes, step)
            waited = [loss for _, loss in history[-_PATIENCE:]]
            if late or (len(history) > _PATIENCE and min(waited) > min(h[1] for h in history)):
                break
        lesson.module.load_state_dict(best)
        return history


class _Lesson:
    """The module that learns, what it learns from, and what is held back."""

    def __init__(
        self, torch: Any, module: Any, views: Sequence[View], seed: int, prior: float
    ) -> None:
        self.torch, self.module, self.prior = torch, module, prior
        self._rng = np.random.default_rng([seed, 1])
        self._views = [np.asarray(_on_host(v.values)) for v in views]
        held = np.random.default_rng([seed, 0])
        self._open = [shown(v.shape, held, share=_HELD) for v in self._views]
        for parameter in module.parameters():
            parameter.requires_grad_(True)
        self._place = next(module.parameters()).device
        self._optimiser = torch.optim.Adam(module.parameters(), _RATE)
        offsets = torch.arange(-3, 4, dtype=torch.float32, device=self._place)
        line = torch.exp(-0.5 * (offsets / _PRIOR_PX) ** 2)
        self._kernel = (line[:, None] * line / line.sum() ** 2)[None, None]

    def state(self) -> dict[str, Any]:
        """Return a copy of the weights."""
        return {name: value.detach().clone() for name, value in self.module.state_dict().items()}

    def step(self, rate: float) -> None:
        """Learn from one batch of crops."""
        crops = [self._crop() for _ in range(_BATCH)]
        side = [min(c[0].shape[axis] for c in crops) for axis in (0, 1)]
        seen, open_ = (np.stack([c[k][: side[0], : side[1]] for c in crops]) for k in (0, 1))
        keep = shown(seen.shape, self._rng)
        values, kept = self._tensor(seen), self._tensor(keep * open_)
        asked = self._tensor((1 - keep) * open_)
        found = self.module.guess(values, kept)
        loss = (asked * (found - values) ** 2).sum() / asked.sum()
        loss = loss + self.prior * (found * (found - self._blurred(found)).detach()).mean()
        for group in self._optimiser.param_groups:
            group["lr"] = rate
        self._optimiser.zero_grad()
        loss.backward()
        self._optimiser.step()

    def judge(self) -> float:
        """Return the mean squared error at the pixels held back, in the middle of each frame."""
        total, n = 0.0, 0.0
        state = self.torch.get_rng_state()
        self.torch.manual_seed(0)
        with self.torch.no_grad():
            for view, open_ in zip(self._views, self._open, strict=True):
                at = tuple(_middle(length, _JUDGED_SIDE) for length in view.shape)
                values, kept = (self._tensor(a[at][None]) for a in (view, open_))
                found = self.module.guess(values, kept)
                total += float(((1 - kept) * (found - values) ** 2).sum())
                n += float((1 - kept).sum())
        self.torch.set_rng_state(state)
        return total / max(n, 1.0)

    def _crop(self) -> tuple[np.ndarray, np.ndarray]:
        k = int(self._rng.integers(len(self._views)))
        view, open_ = self._views[k], self._open[k]
        at = [int(self._rng.integers(max(1, length - _SIDE + 1))) for length in view.shape]
        window = slice(at[0], at[0] + _SIDE), slice(at[1], at[1] + _SIDE)
        return view[window], open_[window]

    def _tensor(self, array: np.ndarray) -> Any:
        return self.torch.from_numpy(np.ascontiguousarray(array, np.float32)).to(self._place)

    def _blurred(self, found: Any) -> Any:
        pad = self.torch.nn.functional.pad(found[:, None], (3, 3, 3, 3), mode="replicate")
        return self.torch.nn.functional.conv2d(pad, self._kernel)[:, 0]


def _middle(length: int, side: int) -> slice:
    first = max(0, (length - side) // 2)
    return slice(first, first + side)


def _on_host(values: Any) -> Any:
    return values.get() if hasattr(values, "get") else values
