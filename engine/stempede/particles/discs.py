"""Discs: round particles in clumps, found by edges that agree on one circle.

Where particles overlap their thicknesses add, so the rim of each is an edge whose bright side
is its own, inside a clump as well as on its outline. Each edge votes for centres at a range of
radii along its gradient (Kimme, Ballard and Sklansky, Commun. ACM 18 (1975) 120); a circle
counts where enough of it lies on edges that face its centre. Shapes with corners or arms have
no such circle. All lengths are in blocks, all images frames of blocks, particles bright.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from stempede.particles.blocks import Blocks, extreme
from stempede_kernels.circles import apart, edges_on, vote

# radii looked for; smaller ones are found by any few edges
SMALLEST, LARGEST = 6.0, 16.0
RADII = np.array([SMALLEST * 1.12**k for k in range(9)])
# an edge faces the centre within 25 degrees, and lies within this share of the radius
FACING, NEAR = 0.9, 0.12
# share of a circle on edges: of itself, and of one as large as the others of its frame
CLEAR, LIKELY, ALIKE = 0.6, 0.43, 1.25
# clear circles that must be seen nearly whole, and their share
FEWEST, MANY = 4, 0.3
# blocks of a frame from which votes are counted in cells of two by two, to save time, and
# beyond which no finer view is tried
MANY_BLOCKS = 1 << 20
# share of half the circle that votes must show before it is looked at
VOTED = 0.4
# centres of two discs are this many radii of the larger one apart
APART = 0.85
# share of the inside of a disc that lies in regions: a few blocks of its rim may not
INSIDE = 0.92
# finer views: how many, by how much, and where regions are this many typical ones large
FINER, FINER_STEP, CLUMP = 3, 0.6, 3.0
# typical radius, in smallest ones, at which a view shows what there is
LARGE_ENOUGH = 1.25
ANGLES = 2 * np.pi * np.arange(32) / 32
ON_CIRCLE = np.linspace(1 - 1.2 * NEAR, 1 + 1.2 * NEAR, 7)
# an edge at up to 40 degrees to the circle leaves it slantwise, and does so this far out
SLANT, BEYOND = 0.75, np.linspace(1.15, 1.5, 6)
# a corner is seen in few directions: each counts this much
SLANTED = 3.0
# rounds of fitting, and the share of a circle on edges below which the next is not tried
ROUNDS, HOPELESS = 3, 0.3


@dataclass(frozen=True)
class Round:
    """Round particles of a frame.

    Parameters
    ----------
    blocks : Blocks
        The view they are seen in.
    discs : (n, 4) float64 array
        As of ``find_discs``.
    """

    blocks: Blocks
    discs: np.ndarray = field(default_factory=lambda: np.zeros((0, 4)))

    @property
    def length_px(self) -> float:
        """Length of the edges that clear discs lie on."""
        clear = self.discs[self.discs[:, 3] >= CLEAR]
        return float(2 * np.pi * self.blocks.factor * (clear[:, 2] * clear[:, 3]).sum())


def round_view(image: np.ndarray, regions: np.ndarray, blocks: Blocks, seen: float) -> Round:
    """Return the view in which most of the outlines of round particles is seen.

    The first view's blocks are a share of how thick regions typically are; where there are
    regions that may be clumps of smaller particles, finer ones are tried too.

    Parameters
    ----------
    image : (y, x) float32 array
    regions : (y, x) int32 array
        0 on the background.
    blocks : Blocks
        The first view.
    seen : float
        As of ``find_discs``.
    """
    best = Round(blocks, find_discs(blocks, seen))
    if len(best.discs) and np.median(best.discs[:, 2]) > LARGE_ENOUGH * SMALLEST:
        return best
    area = np.bincount(regions[:: blocks.factor, :: blocks.factor].ravel())[1:]
    # a typical region is about 20 blocks wide
    if area.max(initial=0) < CLUMP * np.pi * (LARGEST * 0.6) ** 2:
        return best
    for step in range(1, FINER + 1):
        factor = round(blocks.factor * FINER_STEP**step)
        if factor in (0, blocks.factor) or image.size > MANY_BLOCKS * factor**2:
            break
        finer = Blocks.of(image, regions, factor)
        found = Round(finer, find_discs(finer, seen))
        if found.length_px > best.length_px:
            best = found
    return best


def find_discs(blocks: Blocks, seen: float) -> np.ndarray:
    """Return the discs of a frame of round particles, those seen best first.

    Rods' caps and rounded corners lie on half a circle or a little more. Only where a good
    share of the circles is seen from nearly all sides are they taken for particles; then
    those of which less is seen count too, if they are as large as the others.

    Parameters
    ----------
    blocks : Blocks
    seen : float
        Share of a circle on edges that is nearly all of it; 0 turns the search off.

    Returns
    -------
    (n, 4) float64 array
        Centre y and x, radius, and the share of the circle that lies on edges; none where
        particles are not round.
    """
    none = np.zeros((0, 4))
    if seen <= 0 or not blocks.comparable:
        return none
    circles = _fit(_candidates(blocks), blocks)
    circles = circles[(circles[:, 2] > SMALLEST) & (circles[:, 2] < LARGEST)]
    circles = circles[_inside(circles, blocks.mask) >= INSIDE]
    circles = circles[np.argsort(-(circles[:, 3] ** 2) * circles[:, 2], kind="stable")]
    clear = _apart(circles[circles[:, 3] >= CLEAR])
    whole = int((clear[:, 3] >= seen).sum())
    if whole < FEWEST or whole < MANY * len(clear):
        return none
    typical = np.median(clear[:, 2])
    alike = np.maximum(circles[:, 2] / typical, typical / circles[:, 2]) < ALIKE
    others = circles[alike & (circles[:, 3] >= LIKELY) & (circles[:, 3] < CLEAR)]
    return _apart(np.concatenate([clear, others]))


def _candidates(blocks: Blocks) -> np.ndarray:
    """Return the (n, 3) circles for which many edges vote."""
    y, x = np.nonzero(blocks.edges & blocks.near)
    down, right = blocks.slopes
    inward = np.stack([down[y, x], right[y, x]], axis=1) / blocks.rise[y, x, None]
    cell = 1 if blocks.mask.size <= MANY_BLOCKS else 2
    # votes beyond the rim of the frame are taken too
    rim = int(LARGEST / cell) + 2
    best, radius = vote(
        np.column_stack([y, x, inward]).astype(np.float64),
        blocks.mask.shape,
        RADII,
        cell=cell,
        rim=rim,
        near=NEAR,
        least=VOTED,
    )
    y, x = np.nonzero(radius)
    rank = np.argsort(-best[y, x], kind="stable")
    y, x = y[rank], x[rank]
    # one circle to a square a third of the smallest radius wide, that of most votes
    side = max(1, int(SMALLEST / (3 * cell)))
    _, first = np.unique(y // side * best.shape[1] + x // side, return_index=True)
    y, x = y[first], x[first]
    highest = extreme(best, np.maximum)[y, x]
    y, x = y[best[y, x] == highest], x[best[y, x] == highest]
    middle = (cell - 1) / 2
    cy, cx = (cell * (at - rim) + middle for at in (y, x))
    return np.stack([cy, cx, radius[y, x]], axis=1).astype(np.float64)


def _fit(circles: np.ndarray, blocks: Blocks) -> np.ndarray:
    """Return (n, 4) circles moved to the edges around them, and how much of them is seen.

    That is the share of directions with an edge on the circle, less ``SLANTED`` times the
    share with none but, a little farther out, one that runs slantwise: there a rod's side, a
    corner or the end of an ellipse leaves the circle. Where one disc ends at another the
    outline turns away at once. Circles on few edges are left out.
    """
    sine, cosine = np.sin(ANGLES), np.cos(ANGLES)
    hit = np.ones((len(circles), len(ANGLES)), bool)
    for _ in range(ROUNDS):
        # several candidates end at one circle
        _, first = np.unique(circles.round(), axis=0, return_index=True)
        circles = circles[first[hit[first].mean(axis=1) >= HOPELESS]]
        r = circles[:, 2]
        place = _edges(circles, ON_CIRCLE, FACING, blocks)
        hit = place >= 0
        dr, dy, dx = _moved(
            np.where(hit, r[:, None] * (ON_CIRCLE[place] - 1), 0), hit, sine, cosine
        )
        r = np.clip(r + dr, SMALLEST, LARGEST)
        moved = np.clip(np.stack([dy, dx]), -r / 3, r / 3)
        circles = np.column_stack([circles[:, :2] + moved.T, r])
    slant = (_edges(circles, BEYOND, SLANT, blocks) >= 0) & ~hit
    return np.column_stack([circles, hit.mean(axis=1) - SLANTED * slant.mean(axis=1)])


def _edges(circles: np.ndarray, at: np.ndarray, facing: float, blocks: Blocks) -> np.ndarray:
    """Return (n, angles) which of the shares of the radius has the steepest edge; -1 if none."""
    return edges_on(
        circles, at, blocks.slopes, directions=len(ANGLES), floor=blocks.floor, facing=facing
    )


def _moved(
    excess: np.ndarray, hit: np.ndarray, sine: np.ndarray, cosine: np.ndarray
) -> tuple[np.ndarray, ...]:
    """Return the change of radius, y and x that takes most of the excess (n, angles) away."""
    basis = np.stack([np.ones_like(sine), sine, cosine])
    normal = np.einsum("na,ia,ja->nij", hit.astype(float), basis, basis)
    # a short arc does not tell the centre from the radius: stay rather than run away
    normal += np.eye(3)
    change = np.linalg.solve(normal, (excess @ basis.T)[..., None])[..., 0]
    return tuple(change.T)


def _inside(circles: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Return the share of each (n, 4) circle's inside that lies in the mask."""
    y, x, r, _ = circles.T[:, :, None, None]
    distance = r * np.array([0.5, 0.9])
    iy = np.rint(y + np.sin(ANGLES)[:, None] * distance).astype(np.int64)
    ix = np.rint(x + np.cos(ANGLES)[:, None] * distance).astype(np.int64)
    known = (iy >= 0) & (iy < mask.shape[0]) & (ix >= 0) & (ix < mask.shape[1])
    iy, ix = np.clip(iy, 0, mask.shape[0] - 1), np.clip(ix, 0, mask.shape[1] - 1)
    return np.asarray((mask[iy, ix] & known).mean(axis=(1, 2)))


def _apart(circles: np.ndarray) -> np.ndarray:
    """Return the circles, best first, that are not too close to a better one."""
    return circles[apart(circles[:, :3], APART)]
