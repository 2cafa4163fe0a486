"""What the ranks that train one model must have in common, so that their masks are the same."""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import torch
from torch import nn

from ..errors import AttachError, LayerDropBackError, explain
from ..interop.wrappers import data_parallels

Value = TypeVar("Value")


class Ranks:
    """The ranks of one model, which this process is one of; alone where it is one process's own.

    Around the model or in it is ``DistributedDataParallel``, or ``fully_shard`` has sharded it. It
    does not show DDP models that were `adopted`, of which more may come.
    """

    def __init__(self, model: nn.Module, adopted: Sequence[nn.Module] = ()):
        self._model, self._adopted = model, adopted

    @property
    def alone(self) -> bool:
        """Whether the model is this process's own."""
        return not self._groups()

    def gathered(self, value: Value) -> list[Value]:
        """Every rank's value, the first one's first; every rank must call it."""
        values: list[Any] = [value]
        for group in self._groups():
            lists: list[Any] = [None] * torch.distributed.get_world_size(group)
            torch.distributed.all_gather_object(lists, values, group=group)
            values = [entry for entries in lists for entry in entries]
        return values

    def first_of(self, work: Callable[[], Value]) -> Value:
        """Do the same work on every rank, and take the first rank's result.

        The others' may differ: they are of other batches, maybe of other lengths. A
        `LayerDropBackError` on some rank is raised on all, so that none waits for another.
        """
        try:
            found: tuple[Any, LayerDropBackError | None] = (work(), None)
        except LayerDropBackError as error:
            found = (None, error)
        everyone = self.gathered(found)
        failed = next((error for _, error in everyone if error is not None), None)
        if failed is not None:
            raise found[1] or failed
        first: Value = everyone[0][0]
        return first

    def require_agreement(
        self, facts: Mapping[str, Any], consequence: str, problems: tuple[str, ...] = ()
    ) -> None:
        """Make sure that facts are the same on all ranks; every rank must call it.

        Facts come by name, in levels, and are compared by their ``repr``. An `AttachError`, on
        every rank alike, names those that differ, and on which ranks, or `problems` that some rank
        has found by itself. The `consequence` is what cannot be done then.
        """
        rank = torch.distributed.get_rank() if self._groups() else 0
        texts = dict(_flat(facts))
        everyone = self.gathered((rank, texts, problems))
        if problems:
            raise AttachError(problems, consequence)
        for number, _, theirs in everyone:
            if theirs:
                raise AttachError([f"on rank {number}: {text}" for text in theirs], consequence)
        names = dict.fromkeys(name for _, theirs, _ in everyone for name in theirs)
        found = [text for name in names for text in _difference(name, everyone)]
        if found:
            fact = f"the ranks disagree: {'; '.join(found)}"
            cause = "masks are drawn from it, and the ranks would train different models"
            cure = "give every rank the same seed, settings and model, and load the same state"
            raise AttachError([explain(fact, cause, f"{cure} on all")], consequence)

    def _groups(self) -> list[Any]:
        """The process groups that together hold all ranks; none for one process's own model."""
        wrappers = data_parallels(self._model, *self._adopted)
        if wrappers:
            return list({id(w.process_group): w.process_group for w in wrappers}.values())
        for parameter in self._model.parameters():
            mesh = getattr(parameter, "device_mesh", None)  # a DTensor's
            if mesh is not None:
                return list(mesh.get_all_groups())
        return []


def _flat(facts: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for name, value in facts.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield prefix + name, repr(value)


def digest(value: object) -> str:
    """A few letters that differ where the texts of two values do."""
    return hashlib.sha256(repr(value).encode()).hexdigest()[:8]


def _difference(name: str, everyone: list[tuple[int, dict[str, str], Any]]) -> list[str]:
    ranks: dict[str, list[int]] = {}
    for number, theirs, _ in everyone:
        ranks.setdefault(theirs.get(name, "unknown"), []).append(number)
    if len(ranks) == 1:
        return []
    each = [
        f"{value} on rank{'s' * (len(numbers) > 1)} {', '.join(map(str, sorted(numbers)))}"
        for value, numbers in ranks.items()
    ]
    return [f"{name} is {', '.join(each)}"]
