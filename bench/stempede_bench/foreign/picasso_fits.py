"""Gaussian fits by Picasso's ``fitting.gaussfit`` (0.11), the CPU twin of Gpufit."""

import os
import sys

import numpy as np

# libraries talk on the standard output, which carries the protocol
CHANNEL = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)


def say(word: str) -> None:
    """Answer the bench."""
    CHANNEL.write(word + "\n")
    CHANNEL.flush()


def main() -> None:
    """Fit the spots of the input, once per line."""
    from picasso.fitting import gaussfit

    given = np.load(sys.argv[1])
    start = given["start"]
    model = gaussfit.ROTATED if bool(given["rotated"]) else gaussfit.SPHERICAL
    # [peak, x, y, s, bg] or [peak, x, y, sx, sy, bg, angle]; ours is y, x, peak, s, s', angle, bg
    columns = [2, 1, 0, 3, 4, 6, 5] if model == gaussfit.ROTATED else [2, 1, 0, 3, 6]
    initial = start[:, columns]
    options = {"mle": bool(given["poisson"]), "tolerance": 1e-4, "max_iterations": 20}

    def work() -> tuple[np.ndarray, ...]:
        fitted: tuple[np.ndarray, ...] = gaussfit.fit_spots(model, spots, initial, **options)
        return fitted

    spots = given["images"]
    theta, _, states, iterations = work()
    np.savez(
        sys.argv[2],
        position=theta[:, [2, 1]],
        converged=states == gaussfit.FIT_STATE_CONVERGED,
        iterations=iterations,
    )
    say("ready")
    for _ in sys.stdin:
        work()
        say("done")


if __name__ == "__main__":
    main()
