"""The Hugging Face Hub where it cannot be reached: an answer in seconds, and not in a minute."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

# Seconds to wait for its answer; its own retries take three quarters of a minute.
PATIENCE = 5.0

_COPIES = ("datasets.config",)


@contextmanager
def quick_hub(asked: bool = True) -> Iterator[None]:
    """While something is loaded: from the cache alone where the Hub cannot be reached.

    Args:
        asked: whether it may come from the Hub at all; else nothing is done.
    """
    if not asked:
        yield
        return
    from huggingface_hub import constants

    # `datasets` has copied the switch.
    switches: list[Any] = [
        constants,
        *(sys.modules[name] for name in _COPIES if name in sys.modules),
    ]
    before = [switch.HF_HUB_OFFLINE for switch in switches]
    offline = constants.HF_HUB_OFFLINE or not _answers()
    try:
        for switch in switches:
            switch.HF_HUB_OFFLINE = offline or switch.HF_HUB_OFFLINE
        yield
    finally:
        for switch, value in zip(switches, before, strict=True):
            switch.HF_HUB_OFFLINE = value


def _answers() -> bool:
    from huggingface_hub import constants, get_session

    try:
        get_session().head(constants.ENDPOINT, timeout=PATIENCE)
    except Exception:  # of whatever HTTP library this release of the hub's client uses
        return False
    return True
