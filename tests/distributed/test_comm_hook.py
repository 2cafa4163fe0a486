"""The communication hook packs what is kept, and leaves the rest where it is."""

import pytest
import torch
from torch import nn

from attached import sgd
from layerdropback import AttachError, LayerDropBack
from layerdropback.distributed.ddp import KeptBucket, Traffic, kept_only, register
from parallel import Parallel, needs_distributed

pytestmark = needs_distributed


class Bucket:
    """As DDP gives one to its hooks: gradients are views of a buffer."""

    def __init__(self, *shapes):
        self.flat = torch.arange(sum(torch.Size(s).numel() for s in shapes), dtype=torch.float32)
        self.own = [nn.Parameter(torch.zeros(shape)) for shape in shapes]

    def buffer(self):
        return self.flat

    def parameters(self):
        return self.own

    def gradients(self):
        parts = self.flat.split([p.numel() for p in self.own])
        return [part.view(p.shape) for part, p in zip(parts, self.own, strict=True)]

    def index(self):
        return 4

    def is_last(self):
        return True


def doubling(seen):
    """A hook that notes what it is given, and doubles it."""

    def hook(state, bucket):
        seen.append((state, bucket))
        future = torch.futures.Future()
        future.set_result(bucket.buffer() * 2)
        return future

    return hook


def reduced(bucket, dropped):
    """What DDP gets, what the inner hook was given, and the bytes that were counted."""
    seen, traffic = [], Traffic()
    gone = {id(bucket.own[place]) for place in dropped}
    future = kept_only(lambda: gone, doubling(seen), traffic)("state", bucket)
    return future.wait(), seen, traffic.bytes


def test_a_packed_bucket_has_the_face_of_ddps():
    bucket = Bucket((2,), (2, 2), (3,))
    part = KeptBucket(bucket, [0, 2])
    assert part.buffer().tolist() == [0, 1, 6, 7, 8]
    assert part.parameters() == [bucket.own[0], bucket.own[2]]
    assert [gradient.shape for gradient in part.gradients()] == [(2,), (3,)]
    part.gradients()[1].fill_(9)
    assert part.buffer().tolist() == [0, 1, 9, 9, 9]
    assert (part.index(), part.is_last()) == (4, True)
    part.set_buffer(torch.ones(5))
    assert part.buffer().tolist() == [1] * 5


def test_unpacking_writes_to_where_ddp_looks():
    bucket = Bucket((2,), (2, 2), (3,))
    whole = KeptBucket(bucket, [0, 2]).unpack(torch.full((5,), 7.0))
    assert whole is bucket.flat
    assert whole.tolist() == [7, 7, 2, 3, 4, 5, 7, 7, 7]


def test_a_bucket_that_is_kept_goes_to_the_hook_as_it_is():
    bucket = Bucket((2,), (2, 2))
    result, seen, sent = reduced(bucket, dropped=[])
    assert seen == [("state", bucket)]
    assert result.tolist() == [0, 2, 4, 6, 8, 10]
    assert sent == 4 * 6


def test_a_bucket_that_is_dropped_goes_nowhere():
    bucket = Bucket((2,), (2, 2))
    result, seen, sent = reduced(bucket, dropped=[0, 1])
    assert (seen, sent) == ([], 0)
    assert result is bucket.flat


def test_of_a_bucket_in_part_only_what_is_kept_is_reduced():
    bucket = Bucket((2,), (2, 2), (3,))
    result, seen, sent = reduced(bucket, dropped=[1])
    assert seen[0][0] == "state"
    assert result.tolist() == [0, 2, 2, 3, 4, 5, 12, 14, 16]
    assert sent == 4 * 5


def test_a_result_in_a_list_is_taken_too():
    """As torch's own compressing hooks give it."""
    bucket = Bucket((2,), (2,))

    def hook(state, given):
        future = torch.futures.Future()
        future.set_result([given.buffer() * 3])
        return future

    gone = {id(bucket.own[0])}
    result = kept_only(lambda: gone, hook, Traffic())(None, bucket).wait()
    assert result.tolist() == [0, 1, 6, 9]


def test_without_a_controller_everything_is_sent():
    """One that was let go answers nothing at all."""
    bucket, traffic = Bucket((2,), (2,)), Traffic()
    kept_only(lambda: None, doubling([]), traffic)(None, bucket)
    assert traffic.bytes == 4 * 4


# ---- registering ---------------------------------------------------------------------------------


class Registering(Parallel):
    """Takes hooks as DDP does."""

    def __init__(self, module, *hooks):
        super().__init__(module, group="its group")
        self._comm_hooks = list(hooks)

    def register_comm_hook(self, state, hook):
        self._comm_hooks.append((hook, state))


def test_every_parallel_model_inside_gets_the_hook():
    models = [Registering(nn.Linear(2, 2)) for _ in range(2)]
    register(models, set, None, None)
    assert [len(model._comm_hooks) for model in models] == [1, 1]
    (hook, state), _ = (model._comm_hooks[0] for model in models)
    assert state == "its group"
    assert not hook.__annotations__, "DDP takes its own types, or none"
    (model,) = [Registering(nn.Linear(2, 2))]
    register([model], set, lambda state, bucket: None, "the user's")
    assert model._comm_hooks[0][1] == "the user's"


def test_a_model_of_one_process_takes_no_communication_hook():
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    ldb = LayerDropBack(model, sgd(model))
    text = (
        "cannot register a communication hook: 1 problem\n  1. Sequential takes no communication "
        "hook. Cause: no DistributedDataParallel is around it, or none that it has been called in "
        "so far. Cure: attach to the DDP model; or leave the call out (fully_shard sends no "
        "gradients of what is dropped anyway)."
    )
    with pytest.raises(AttachError) as error:
        ldb.register_comm_hook()
    assert str(error.value) == text
    assert ldb.stats()["gradient_bytes"] is None


def test_a_second_communication_hook_is_refused():
    model = Registering(nn.Linear(2, 2), "a hook")
    with pytest.raises(AttachError) as error:
        register([model], set, None, None)
    assert error.value.problems == (
        "the DDP model has a communication hook already. Cause: DDP takes only one. Cure: "
        "register yours through this method: ldb.register_comm_hook(hook, state).",
    )
