"""Errors about feature files."""

from __future__ import annotations

import os


class EarmarkError(Exception):
    """A feature file cannot be used: `path` names it, `problem` says why."""

    def __init__(self, path: str | os.PathLike[str], problem: str) -> None:
        # Both are arguments, so that the error can be sent from a worker process.
        super().__init__(os.fspath(path), problem)
        self.path = os.fspath(path)
        self.problem = problem

    def __str__(self) -> str:
        return f"{self.path}: {self.problem}"


class ForeignFileError(EarmarkError):
    """Not a feature file, or of a schema that this version does not know."""


class DamagedFileError(EarmarkError):
    """The file differs from what was written."""


class IncompleteFileError(EarmarkError):
    """The run that wrote the file did not end, or has not ended yet."""


def missing(package: str, extra: str, purpose: str) -> ImportError:
    """The error for an optional package that is not installed."""
    return ImportError(f"{purpose} needs {package}, which is not installed here: pip install 'earmark[{extra}]'")
