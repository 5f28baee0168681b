"""Refinement of columns by Atomap's 2-D Gaussians (0.4.2)."""

import os
import sys
import warnings

import numpy as np

# libraries talk on the standard output, which carries the protocol
CHANNEL = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)


def say(word: str) -> None:
    """Answer the bench."""
    CHANNEL.write(word + "\n")
    CHANNEL.flush()


def main() -> None:
    """Refine the columns of the input, once per line."""
    warnings.simplefilter("ignore")
    import atomap.api  # noqa: F401  (its modules import one another in this order only)
    from atomap.sublattice import Sublattice

    given = np.load(sys.argv[1])
    image, start = given["image"].astype(float), given["start"]

    def work() -> np.ndarray:
        sublattice = Sublattice(start[:, [1, 0]].tolist(), image)
        sublattice.find_nearest_neighbors()
        sublattice.refine_atom_positions_using_2d_gaussian(
            percent_to_nn=0.4, rotation_enabled=True, show_progressbar=False
        )
        return np.array([sublattice.y_position, sublattice.x_position]).T

    np.savez(sys.argv[2], position=work())
    say("ready")
    for _ in sys.stdin:
        work()
        say("done")


if __name__ == "__main__":
    main()
