"""The support vector machine: its search for C and gamma, its fit, its probabilities.

Radial kernel on standardised features. C and gamma come from Bayesian optimisation (a
tree-structured Parzen estimator, Optuna) of the accuracy over five folds; probabilities are
Platt's, fitted on predictions for particles that were left out.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

C_RANGE = (1e-2, 3e2)
GAMMA_RANGE = (1e-4, 1e1)
LEAST_TO_FIT = 5
"""Members that a class must have where a machine is fitted."""

_MOST_TO_SEARCH = 800
_FOLDS = 5
# a machine that has not converged by then is a bad choice of C and gamma
_MOST_STEPS = 30_000
_ROWS = 20_000

Folds = list[tuple[np.ndarray, np.ndarray]]


@dataclass(frozen=True)
class Choice:
    """C and gamma as searched for, with the accuracy that chose them."""

    C: float
    gamma: float
    trials: int
    accuracy: float


def machine(C: float, gamma: float) -> Any:
    """Return an unfitted machine that standardises its features."""
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from sklearn.svm import SVC

    return make_pipeline(StandardScaler(), SVC(C=C, gamma=gamma, max_iter=_MOST_STEPS))


def predict_folds(x: np.ndarray, y: np.ndarray, folds: Folds, choice: Choice) -> np.ndarray:
    """Return (n,) the class of each row by a machine that has not seen its fold.

    Parameters
    ----------
    x : (n, features) float64 array
    y : (n,) int64 array
    folds : list of (train, test) index arrays
    choice : Choice

    Returns
    -------
    (n,) int64 array
        -1 in rows of no fold.
    """
    predicted = np.full(len(y), -1, dtype=np.int64)
    for train, test in folds:
        classes = np.unique(y[train])
        if len(classes) < 2:
            predicted[test] = classes[0] if len(classes) else -1
            continue
        fitted = _fitted(machine(choice.C, choice.gamma), x[train], y[train])
        predicted[test] = fitted.predict(x[test])
    return predicted


def search(
    x: np.ndarray, y: np.ndarray, image: np.ndarray | None, trials: int, seed: int
) -> Choice:
    """Find C and gamma by Bayesian optimisation of the accuracy over folds.

    Parameters
    ----------
    x : (n, features) float64 array
    y : (n,) int64 array
    image : (n,) int64 array, optional
        Keeps the particles of an image in one fold.
    trials : int
        Pairs that are tried.
    seed : int
        Decides the trials, the folds and, above 800 rows, the rows that are looked at.
    """
    import optuna

    rows = some_of_each(y, _MOST_TO_SEARCH, seed, 2 * _FOLDS)
    x, y = x[rows], y[rows]
    folds = folds_of(y, None if image is None else image[rows], _FOLDS, seed)

    def accuracy(trial: Any) -> float:
        C = trial.suggest_float("C", *C_RANGE, log=True)
        gamma = trial.suggest_float("gamma", *GAMMA_RANGE, log=True)
        predicted = predict_folds(x, y, folds, Choice(C, gamma, 0, 0.0))
        return float((predicted == y).mean())

    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        study = optuna.create_study(
            direction="maximize", sampler=optuna.samplers.TPESampler(seed=seed)
        )
        study.enqueue_trial({"C": 1.0, "gamma": 1.0 / x.shape[1]})
        study.optimize(accuracy, n_trials=trials)
    finally:
        optuna.logging.set_verbosity(before)
    best = study.best_params
    return Choice(best["C"], best["gamma"], trials, float(study.best_value))


def fit(x: np.ndarray, y: np.ndarray, choice: Choice, seed: int) -> Any:
    """Return a machine with probabilities, fitted on rows of at least two classes."""
    from sklearn.calibration import CalibratedClassifierCV
    from sklearn.model_selection import StratifiedKFold

    folds = StratifiedKFold(_FOLDS, shuffle=True, random_state=seed)
    model = CalibratedClassifierCV(machine(choice.C, choice.gamma), ensemble=False, cv=folds)
    # the folds were for fitting; a saved model has no need of them
    return _fitted(model, x, y).set_params(cv=_FOLDS)


def _fitted(model: Any, x: np.ndarray, y: np.ndarray) -> Any:
    """Fit; a machine that stops early scores badly, which the search takes care of."""
    from sklearn.exceptions import ConvergenceWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return model.fit(x, y)


def predict(model: Any, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return (n,) class codes and (n,) their probabilities, in blocks that bound the memory."""
    codes, p = np.zeros(len(x), dtype=np.int64), np.zeros(len(x))
    for start in range(0, len(x), _ROWS):
        block = slice(start, start + _ROWS)
        likely = model.predict_proba(x[block])
        best = likely.argmax(axis=1)
        codes[block] = model.classes_[best]
        p[block] = likely[np.arange(len(best)), best]
    return codes, p


def folds_of(y: np.ndarray, image: np.ndarray | None, n: int, seed: int) -> Folds:
    """Return up to n folds with the classes spread evenly, images whole where given.

    Fewer where a class has fewer members, or where there are fewer images; none below two.
    """
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

    counts = np.unique(y, return_counts=True)[1]
    most = int(counts.min()) if image is None else len(np.unique(image))
    n = min(n, most)
    if n < 2:
        return []
    if image is None:
        splitter: Any = StratifiedKFold(n, shuffle=True, random_state=seed)
        return list(splitter.split(y, y))
    splitter = StratifiedGroupKFold(n, shuffle=True, random_state=seed)
    with warnings.catch_warnings():
        # of classes with fewer members than folds, which images decide, not we
        warnings.filterwarnings("ignore", message="The least populated class")
        return list(splitter.split(y, y, image))


def images_left_out(image: np.ndarray, chosen: Iterable[int]) -> Folds:
    """Return a fold for each chosen image: all other images against it."""
    return [(np.flatnonzero(image != k), np.flatnonzero(image == k)) for k in chosen]


def some_of_each(y: np.ndarray, most: int, seed: int, floor: int) -> np.ndarray:
    """Return rising rows, about ``most`` in all: classes by their shares, none below ``floor``.

    A class of fewer members than the floor keeps all it has.
    """
    if len(y) <= most:
        return np.arange(len(y))
    rng = np.random.default_rng(seed)
    rows = []
    for code, count in zip(*np.unique(y, return_counts=True)):
        wanted = min(int(count), max(floor, round(most * count / len(y))))
        rows.append(rng.choice(np.flatnonzero(y == code), wanted, replace=False))
    return np.sort(np.concatenate(rows))
