"""``DistributedDataParallel`` that was put around the model, or a part of it, after the attachment.

It shows in the first forward pass that runs inside of it, and counts from then on as if it had been
there when LayerDropBack was attached. Accelerate's ``prepare`` makes one, say.
"""

from ..distributed.agreement import Ranks
from ..distributed.sync_watch import SyncWatch
from ..interop.private import active_parallel
from .agreed import facts_of_attachment, facts_of_epoch
from .buckets import warn_of_buckets
from .checks import wrapper_problems
from .windows import Windows


def adopt(windows: Windows) -> None:
    """A forward pass begins: see whether it is one of a DDP that nobody knew of.

    An `AttachError`, on all ranks alike, says what is wrong with it, or how the ranks disagree.
    """
    parallel = active_parallel()
    if parallel is None or windows.syncs.knows(parallel):
        return
    target = windows.target
    facts = facts_of_attachment(target, windows.settings) | facts_of_epoch(windows)
    problems = tuple(wrapper_problems(parallel))
    Ranks(parallel).require_agreement(facts, "cannot drop layers in this DDP model", problems)
    # One that wrapped the same before is of no use any more.
    others = [other for other in target.adopted if other.module is not parallel.module]
    target.adopted[:] = [*others, parallel]
    windows.syncs = SyncWatch(target.model, target.adopted)
    warn_of_buckets(target, windows.settings.strategy)
