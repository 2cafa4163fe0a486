"""Bytes that are given to collectives, as torch's own debugging mode sees the calls."""

from collections import Counter
from typing import Any

import torch
from torch.distributed.tensor.debug import CommDebugMode
from torch.utils._pytree import tree_leaves


class CommBytes(CommDebugMode):  # type: ignore[no-untyped-call]
    """Counts bytes beside calls: of each call its largest tensor, the one that is whole.

    Attributes:
        bytes: by a part of the collective's name, ``"all_gather"`` or ``"reduce_scatter"``.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.bytes: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        called = str(func).replace("allgather", "all_gather")
        for name in ("all_gather", "reduce_scatter"):
            if called.startswith("c10d.") and name in called:
                tensors = [x for x in tree_leaves((args, kwargs)) if isinstance(x, torch.Tensor)]
                self.bytes[name] += max(tensor.nbytes for tensor in tensors)
        return super().__torch_dispatch__(func, types, args, kwargs)  # type: ignore[no-untyped-call]
