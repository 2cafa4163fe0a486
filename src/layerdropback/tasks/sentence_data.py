"""Sentences with labels: read, turned into tokens, and put into batches."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..errors import UsageError, explain
from ..runs.hub import quick_hub
from ..runs.paths import home
from ..runs.reasons import reason

# So many batches are sorted by length together: what meets in a batch is drawn anew in each epoch.
_GROUP = 25

# Columns of a data set of the Hub, by what they are usually called.
_TEXTS, _LABELS = ("text", "sentence"), ("label", "labels")


@dataclass(frozen=True)
class Sentences:
    """A split.

    Attributes:
        tokens: of each sentence.
        labels: of each sentence, counted from 0.
    """

    tokens: Sequence[Sequence[int]]
    labels: Sequence[int]

    def __len__(self) -> int:
        return len(self.labels)

    def subset(self, indices: Sequence[int]) -> "Sentences":
        """Only these."""
        return Sentences([self.tokens[i] for i in indices], [self.labels[i] for i in indices])

    def fingerprint(self) -> str:
        """Two splits of one fingerprint are the same."""
        content = repr((list(map(list, self.tokens)), list(self.labels)))
        return hashlib.sha256(content.encode()).hexdigest()[:16]


Pairs = list[tuple[str, str]]


def read_sentences(data: str) -> tuple[Pairs, Pairs]:
    """Labels and texts of both splits.

    Args:
        data: a folder with ``train.txt`` and ``test.txt``, whose lines are ``<label> <text>``; or
            ``hf:NAME``, a data set that ``datasets`` can load, with the splits train and test (or
            validation) and the columns text (or sentence) and label.

    Raises:
        UsageError: there is no such data, or it cannot be read; the text names file and line.
    """
    kind, _, name = data.partition(":")
    if kind == "hf" and name:
        return _from_hub(name)
    folder = home(Path(data), "data ")
    return _lines(folder / "train.txt"), _lines(folder / "test.txt")


def _lines(path: Path) -> Pairs:
    try:
        # A mark at the beginning is no part of the first label, and only line feeds end lines.
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        cure = "give a folder with train.txt and test.txt, or hf:NAME"
        raise UsageError(explain(f"cannot read {path}", reason(error), cure)) from None
    found: Pairs = []
    for number, line in enumerate(lines, start=1):
        parts = line.split(maxsplit=1)
        if not parts:
            continue
        if len(parts) < 2:
            cause = f"line {number} has no label and text with a space between them"
            raise UsageError(explain(f"{path} is not usable", cause, "correct the line"))
        found.append((parts[0], parts[1].strip()))
    if not found:
        raise UsageError(explain(f"{path} is not usable", "it has no lines", "give another folder"))
    return found


def _from_hub(name: str) -> tuple[Pairs, Pairs]:
    try:
        import datasets
    except ImportError:
        cure = "pip install 'layerdropback[hf]'"
        raise UsageError(explain(f"hf:{name} cannot be read", "no datasets", cure)) from None
    try:
        with quick_hub(not Path(name).is_dir()):
            splits = datasets.load_dataset(name)
    except Exception as error:  # of the Hub, of Arrow, of a file's reader: of many libraries
        fact = f"hf:{name} cannot be read"
        cure = "check the name and the network, or give a folder"
        raise UsageError(explain(fact, reason(error), cure)) from None
    test = next((split for split in ("test", "validation") if split in splits), None)
    if "train" not in splits or test is None:
        fact, cause = f"hf:{name} is not usable", f"its splits are {', '.join(splits)}"
        raise UsageError(explain(fact, cause, "give one with train and test, or validation"))
    return _rows(splits["train"], name), _rows(splits[test], name)


def _rows(rows: Any, name: str) -> Pairs:
    columns = [
        next((column for column in usual if column in rows.column_names), None)
        for usual in (_LABELS, _TEXTS)
    ]
    if None in columns:
        fact, cause = f"hf:{name} is not usable", f"its columns are {', '.join(rows.column_names)}"
        raise UsageError(explain(fact, cause, "give one with label and text, or sentence"))
    label, text = columns
    return [(str(row[label]), str(row[text])) for row in rows]


def labels_of(pairs: Pairs, data: str) -> list[str]:
    """The labels that there are, in order.

    Args:
        pairs: the sentences to train on.
        data: where they are from, for the error.

    Raises:
        UsageError: there is only one, or so many that they are none.

    Example:
        >>> labels_of([("pos", "a film"), ("neg", "a play")], "mine")
        ['neg', 'pos']
    """
    names = sorted({label for label, _ in pairs})
    fact = f"the training sentences of {data} are not usable"
    if len(names) < 2:
        cause = f"all have the label {names[0]!r}"
        raise UsageError(explain(fact, cause, "give sentences of two labels or more"))
    if len(names) > max(2, len(pairs) // 2):
        cause = f"{len(pairs)} of them have {len(names)} labels, {names[0]!r} and {names[1]!r} say"
        raise UsageError(explain(fact, cause, "begin each line with its label and a space"))
    return names


def tokenized(tokenizer: Any, pairs: Pairs, names: Sequence[str], longest: int) -> Sentences:
    """A split's tokens and the numbers of its labels.

    Raises:
        UsageError: a label is not among the names.
    """
    unknown = sorted({label for label, _ in pairs} - set(names))
    if unknown:
        fact = f"the label {unknown[0]!r} is not known"
        cause = f"training has {', '.join(names[:8])}{' ...' if len(names) > 8 else ''} alone"
        raise UsageError(explain(fact, cause, "correct the test's labels"))
    tokens = tokenizer([text for _, text in pairs], truncation=True, max_length=longest)
    return Sentences(tokens["input_ids"], [names.index(label) for label, _ in pairs])


class Batches:
    """Batches of sentences of similar length, padded to their longest.

    Args:
        sentences: the split.
        size: of a batch; the last one may be smaller.
        pad: token that fills a sentence up.
        seed: of the order, with the epoch; None: as they are, by length.

    Example:
        >>> two = Batches(Sentences([[1, 2, 3], [4]], [0, 1]), 2, pad=0)
        >>> next(iter(two.epoch(0)))[0]["input_ids"].tolist()
        [[4, 0, 0], [1, 2, 3]]
    """

    def __init__(self, sentences: Sentences, size: int, pad: int, seed: int | None = None):
        self._sentences, self._size, self._pad, self._seed = sentences, size, pad, seed

    def __len__(self) -> int:
        return -(-len(self._sentences) // self._size)

    def epoch(self, number: int, skip: int = 0) -> Iterator[tuple[dict[str, Tensor], Tensor]]:
        """The batches of an epoch: a function of seed and number, whatever came before.

        Args:
            number: of the epoch, counted from 0.
            skip: batches that are left out at its beginning.

        Yields:
            A model's keyword arguments, and the labels.
        """
        for chosen in self._chosen(number)[skip:]:
            yield (
                self._padded([self._sentences.tokens[i] for i in chosen]),
                torch.tensor([self._sentences.labels[i] for i in chosen]),
            )

    def _chosen(self, number: int) -> list[list[int]]:
        lengths = [len(tokens) for tokens in self._sentences.tokens]
        if self._seed is None:
            return self._cut(sorted(range(len(lengths)), key=lengths.__getitem__))
        generator = torch.Generator().manual_seed(self._seed * 1_000_003 + number)
        drawn = torch.randperm(len(lengths), generator=generator).tolist()
        span = _GROUP * self._size
        spans = (drawn[start : start + span] for start in range(0, len(drawn), span))
        whole = self._cut([i for one in spans for i in sorted(one, key=lengths.__getitem__)])
        return [whole[i] for i in torch.randperm(len(whole), generator=generator).tolist()]

    def _cut(self, order: list[int]) -> list[list[int]]:
        return [order[start : start + self._size] for start in range(0, len(order), self._size)]

    def _padded(self, tokens: list[Sequence[int]]) -> dict[str, Tensor]:
        longest = max(map(len, tokens))
        ids = torch.full((len(tokens), longest), self._pad)
        mask = torch.zeros_like(ids)
        for row, entries in enumerate(tokens):
            ids[row, : len(entries)] = torch.tensor(entries)
            mask[row, : len(entries)] = 1
        return {"input_ids": ids, "attention_mask": mask}
