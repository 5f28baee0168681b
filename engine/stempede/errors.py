"""Errors of stempede: one base class, and leaves that are also the matching builtin.

A message has three parts: what was wanted, what was found, what to do.
"""


class StempedeError(Exception):
    """Base of every error that stempede raises on purpose."""


class RecipeError(StempedeError, ValueError):
    """A recipe cannot be run as written; lists all mistakes at once."""


class InputError(StempedeError, ValueError):
    """A source of images cannot be read or used."""


class BackendError(StempedeError, RuntimeError):
    """The asked-for device or its libraries cannot be had."""


class ModelError(StempedeError, ValueError):
    """A network file or its card does not fit the images."""


class ResultsError(StempedeError, RuntimeError):
    """A run folder cannot be written, read or resumed."""
