"""The library's errors: what happened, why, and what to do about it."""

from collections.abc import Sequence


class LayerDropBackError(Exception):
    """Base of every error that this library raises on purpose."""


class AttachError(LayerDropBackError, ValueError):
    """LayerDropBack cannot work with this model, optimizer or setting.

    Args:
        problems: every problem that was found, one text each.
        subject: what was being done, for the first line.
    """

    def __init__(self, problems: Sequence[str], subject: str = "cannot attach LayerDropBack"):
        self.problems, self._subject = tuple(problems), subject
        count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
        lines = "\n".join(f"  {number}. {text}" for number, text in enumerate(problems, start=1))
        super().__init__(f"{subject}: {count}\n{lines}")

    def __reduce__(self) -> tuple[type["AttachError"], tuple[tuple[str, ...], str]]:
        return type(self), (self.problems, self._subject)  # it is sent from rank to rank


class LoaderError(LayerDropBackError, ValueError):
    """The batch factor cannot be applied to this loader."""


class EpochError(LayerDropBackError, RuntimeError):
    """An epoch was begun, iterated or ended in a way that makes no sense."""


class StateError(LayerDropBackError, ValueError):
    """A saved state does not belong to this model, or is no state at all."""


class VerificationError(LayerDropBackError, RuntimeError):
    """A step did not do what LayerDropBack promises: see the text for the layer."""


class UsageError(LayerDropBackError, ValueError):
    """What was given on the command line cannot be used; the text is one line."""


class Diverged(UsageError):
    """The loss of a run is no number any more."""


class WorkerError(UsageError):
    """What went wrong in one of several workers; other errors are those of all, told by one."""


def explain(fact: str, cause: str, cure: str) -> str:
    """Put an error's three parts into one line, whatever the user's own words in them hold."""
    return " ".join(f"{fact}. Cause: {cause}. Cure: {cure}.".splitlines())


def name_some(names: Sequence[str], most: int = 5) -> str:
    """List names for an error text, the first few of many."""
    shown = ", ".join(repr(name) for name in names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"
