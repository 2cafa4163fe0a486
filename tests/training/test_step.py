"""One step: in parts, under memory pressure, in lower precision (issue 3)."""

import copy

import pytest
import torch
from torch import nn

from layerdropback import LayerDropBack
from layerdropback.training.phases import PhaseTimer
from layerdropback.training.precision import Precision
from layerdropback.training.step import Step

CPU = torch.device("cpu")
WORDS = "DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"


class Tight(nn.Module):
    """Has no memory for more than so many images, and fails where it is told to."""

    def __init__(self, most, where):
        super().__init__()
        self.most, self.where, self.calls = most, where, 0

    def forward(self, images):
        self.calls += 1
        return _Tight.apply(images, len(images) > self.most, self.where)


class _Tight(torch.autograd.Function):
    @staticmethod
    def forward(context, images, too_many, where):
        context.fails = too_many and where == "backward"
        if too_many and where == "forward":
            raise RuntimeError(WORDS)
        return images.clone()

    @staticmethod
    def backward(context, gradient):
        if context.fails:
            raise RuntimeError(WORDS)
        return gradient, None, None


def make_model(most=1000, where="forward", norm=True, dropout=0.0):
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Linear(6, 16),
        nn.BatchNorm1d(16) if norm else nn.LayerNorm(16),
        nn.ReLU(),
        nn.Dropout(dropout),
        Tight(most, where),
        nn.Linear(16, 16),
        nn.ReLU(),
        nn.Linear(16, 3),
    )


def make_step(model, parts=1, precision="fp32", clip=0.0, momentum=0.9):
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=momentum)
    phases = PhaseTimer(CPU)
    phases.start()
    loss = nn.CrossEntropyLoss()
    step = Step(model, optimizer, loss, Precision(precision, CPU, clip), phases, parts)
    return step, optimizer


def batch(count=16):
    generator = torch.Generator().manual_seed(1)
    images = torch.randn(count, 6, generator=generator)
    return images, torch.randint(3, (count,), generator=generator)


@pytest.mark.parametrize("parts", [2, 3, 5])
def test_parts_are_the_same_update_up_to_rounding(parts):
    whole, other = make_model(norm=False), make_model(norm=False)
    for model, number in ((whole, 1), (other, parts)):
        step, _ = make_step(model, number, clip=0.5)
        for _ in range(3):
            totals = step(*batch(), large=False)
    assert totals.dtype == torch.float64
    torch.testing.assert_close(whole.state_dict(), other.state_dict())


def test_totals_are_the_sum_of_losses_and_the_right_answers():
    model = make_model(norm=False)
    images, labels = batch()
    with torch.no_grad():
        outputs = model(images)
        expected = nn.functional.cross_entropy(outputs, labels, reduction="sum").double()
        right = (outputs.argmax(1) == labels).sum().double()
    totals = make_step(model, 4)[0](images, labels, large=False)
    torch.testing.assert_close(totals, torch.stack([expected, right]))


@pytest.mark.parametrize("where", ["forward", "backward"])
def test_a_batch_that_does_not_fit_is_accumulated_and_leaves_no_trace(where):
    """As if it had been in parts from the start: buffers, random numbers, gradients, momentum."""
    tight, roomy = make_model(5, where, dropout=0.5), make_model(dropout=0.5)
    step, optimizer = make_step(tight)
    torch.manual_seed(3)
    with pytest.warns(UserWarning, match="a drop epoch's batch of 16 images does not fit") as told:
        totals = step(*batch(), large=True)
    assert [str(w.message).partition("accumulated in ")[2][:7] for w in told] == [
        "2 parts",
        "4 parts",
    ]
    assert "can't allocate memory" in str(told[0].message)
    after = torch.get_rng_state()

    expected, other = make_step(roomy, 4)
    torch.manual_seed(3)
    torch.testing.assert_close(totals, expected(*batch(), large=True), rtol=0, atol=0)
    assert torch.equal(after, torch.get_rng_state())
    torch.testing.assert_close(tight.state_dict(), roomy.state_dict(), rtol=0, atol=0)
    momenta = optimizer.state_dict()["state"], other.state_dict()["state"]
    torch.testing.assert_close(*momenta, rtol=0, atol=0)


def test_it_is_said_once_and_remembered(recwarn):
    model = make_model(8)
    step, _ = make_step(model)
    for _ in range(3):
        step(*batch(), large=True)
    assert len(recwarn) == 1
    assert step.parts_of_large == 2
    assert model[4].calls == 1 + 3 * 2, "only the first attempt was in vain"
    assert step.parts == 1, "a batch of the user's own size stays whole"
    with pytest.raises(RuntimeError, match="allocate"):
        step(*batch(), large=False)


@pytest.mark.slow
def test_where_no_part_fits_it_stops():
    step, _ = make_step(make_model(1))
    with (
        pytest.warns(UserWarning, match="does not fit in memory") as told,
        pytest.raises(RuntimeError, match="can't allocate memory"),
    ):
        step(*batch(), large=True)
    assert [str(w.message).partition("accumulated in ")[2][0] for w in told] == ["2", "4", "8"]


def test_other_errors_are_not_mistaken():
    model = make_model()
    model[4].forward = lambda images: images[:, :3]
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        make_step(model)[0](*batch(), large=True)


@pytest.mark.parametrize("where", ["forward", "backward"])
def test_the_masks_are_the_same_after_a_failed_attempt(where):
    """The window stays open, flags are the user's, and dropped layers stand still."""
    tight, roomy = make_model(1000, where, norm=False), make_model(norm=False)
    masks = []
    for model, parts in ((tight, 1), (roomy, 2)):
        step, optimizer = make_step(model, parts)
        ldb = LayerDropBack(model, optimizer, verify=True, seed=2)
        for epoch in range(2):
            drawn = []
            model[4].most = 9 if epoch == 1 and model is tight else 1000
            for _ in ldb.epoch(range(6), epoch):
                drawn.append(None if ldb.mask is None else ldb.mask.tolist())
                before = copy.deepcopy(model.state_dict())
                with pytest.MonkeyPatch.context() as patch:
                    patch.setattr("warnings.warn", lambda *_, **__: None)
                    step(*batch(), large=epoch == 1)
                assert all(p.requires_grad for p in model.parameters())
                if drawn[-1] is not None:
                    for layer, dropped in zip(ldb.layers, drawn[-1], strict=True):
                        same = [
                            torch.equal(before[n], model.state_dict()[n])
                            for n in layer.parameter_names
                        ]
                        assert all(same) == dropped
        masks.append(drawn)
    assert masks[0] == masks[1]
    torch.testing.assert_close(tight.state_dict(), roomy.state_dict(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_lower_precision_computes_in_it_and_keeps_weights_in_float32(precision):
    model, plain = make_model(norm=False), make_model(norm=False)
    seen = []
    model[5].register_forward_hook(lambda m, args, out: seen.append(out.dtype))
    step, _ = make_step(model, precision=precision)
    other, _ = make_step(plain)
    for _ in range(2):
        step(*batch(), large=False)
        other(*batch(), large=False)
    assert set(seen) == {torch.bfloat16 if precision == "bf16" else torch.float16}
    torch.testing.assert_close(model.state_dict(), plain.state_dict(), rtol=0.05, atol=0.05)


def test_clipping_sees_unscaled_gradients():
    model, plain = make_model(norm=False), make_model(norm=False)
    for part, precision in ((model, "fp16"), (plain, "fp32")):
        step, _ = make_step(part, precision=precision, clip=1e-3, momentum=0)
        step(*batch(), large=False)
    moved = [
        torch.cat([(p - q).flatten() for p, q in zip(m.parameters(), start, strict=True)]).norm()
        for m in (model, plain)
        for start in [list(make_model(norm=False).parameters())]
    ]
    torch.testing.assert_close(torch.stack(moved), torch.full((2,), 1e-4), rtol=0.05, atol=0)
