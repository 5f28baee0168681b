"""View: down which kind of axis a crystal is seen (METHODS 1.5).

Down a c+ axis the octahedra of a column turn together: the projected square is turned, X
columns stay round. Down an a- axis they turn to and fro: the projection is not turned, and X
columns are drawn out across their bonds. Only crystals of one view are to be compared.
"""

from __future__ import annotations

import numpy as np

IN_PHASE, OUT_OF_PHASE, UNDECIDED = "c+-like", "a--like", "undecided"


def view_of(
    tilt: tuple[float, float],
    elongation: tuple[float, float],
    bond_px: float,
    *,
    least_sigma: float = 3.0,
    least_tilt_deg: float = 0.5,
) -> str:
    """Return ``c+-like``, ``a--like`` or ``undecided``.

    Parameters
    ----------
    tilt : (float, float)
        Mean staggered tilt over the domains, each in its own sign, and its error; degrees.
    elongation : (float, float)
        Mean excess second moment of the X columns across their bonds, and its error; px², NaN
        where columns share their widths.
    bond_px : float
        Mean Pb-X distance.
    least_sigma : float
        Errors by which a tilt or an elongation must stand out.
    least_tilt_deg : float
        Smallest angle that counts, projected or out of phase.

    Notes
    -----
    Where both stand out, the one that displaces X more names the view. Without widths of their
    own, a crystal without a tilt is undecided: it may be untilted or seen down a- axes.
    """
    angle, se_angle = abs(tilt[0]), tilt[1]
    turned = angle > max(least_sigma * se_angle, least_tilt_deg)
    drawn = (
        elongation[0] > least_sigma * elongation[1]
        and elongation[0] > (bond_px * np.radians(least_tilt_deg)) ** 2
    )
    if turned and drawn:
        return (
            IN_PHASE
            if bond_px * np.tan(np.radians(angle)) > np.sqrt(elongation[0])
            else OUT_OF_PHASE
        )
    if turned:
        return IN_PHASE
    return OUT_OF_PHASE if drawn else UNDECIDED
