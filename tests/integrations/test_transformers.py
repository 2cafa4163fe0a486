"""The callback for Trainer: right, silent where nothing drops, and the plain loop's masks."""

import itertools

import pytest
import torch
from transformers import TrainerCallback

from by_hand import seed_all
from layerdropback import (
    Branch,
    Control,
    LayerDropBack,
    Schedule,
    Truncate,
    Uniform,
)
from layerdropback.integrations.transformers import LayerDropBackCallback
from layerdropback.interop.compiling import compile_ignores_flags
from trainer_runs import MODELS, QUIET, SAMPLES, Steps, assert_same_runs, made, run, samples

pytestmark = [pytest.mark.filterwarnings(text) for text in QUIET]

ALL = [Uniform(0.5), Truncate(0.3, "uniform"), Branch(0.3), Uniform(0.5, unit="block")]
each_strategy = pytest.mark.parametrize(
    "strategy", ALL, ids=["uniform", "truncate", "branch", "block"]
)
QUICK = ("bert", "gpt2")
each_model = pytest.mark.parametrize(
    "name", [pytest.param(n, marks=[] if n in QUICK else [pytest.mark.slow]) for n in MODELS]
)
PER_EPOCH = SAMPLES // 2


@pytest.mark.in_turn("strategy")
@each_model
@pytest.mark.parametrize(
    "strategy",
    [
        *(pytest.param(s, marks=pytest.mark.slow) for s in (Uniform(0), Branch(0))),
        Truncate(0),
        Control(),
    ],
)
def test_a_rate_of_zero_is_trainers_own_run(tmp_path, name, strategy):
    mine, plain = Steps(), Steps()
    ours = run(name, tmp_path, LayerDropBackCallback(strategy), mine)
    theirs = run(name, tmp_path, plain)
    assert_same_runs(mine, plain)
    times = ("train_runtime", "train_samples_per_second", "train_steps_per_second")
    logs = [
        [
            {k: v for k, v in line.items() if k not in times and "ldb/" not in k}
            for line in trainer.state.log_history
        ]
        for trainer in (ours, theirs)
    ]
    assert logs[0] == logs[1]


@pytest.mark.in_turn("strategy")
@each_model
@each_strategy
def test_only_what_is_kept_moves_with_its_state(tmp_path, name, strategy):
    callback = LayerDropBackCallback(strategy, verify=True, seed=1)
    steps = Steps(callback)
    trainer = run(name, tmp_path, steps, callback, gradient_accumulation_steps=2)
    stats = callback.ldb.stats()
    assert stats["step"] == trainer.state.global_step >= 10
    assert stats["drop_steps"] == stats["step"] - 1
    assert stats["share_dropped"] > 0.05
    assert any(steps.dropped)
    pairs = zip(
        steps.dropped[1:],
        itertools.pairwise(steps.weights),
        itertools.pairwise(steps.states),
        strict=True,
    )
    for dropped, weights, states in pairs:
        for before, after in (weights, states):
            still = {n for n in before if before[n] is after[n] or torch.equal(before[n], after[n])}
            assert still >= dropped & before.keys()
            assert not {n for n in still - dropped if n in weights[0] and moves(n)}


def moves(name):
    """All do, but for a bias of keys: softmax does not feel it."""
    return not name.endswith(("key.bias", "c_attn.bias"))


def batches(name):
    data = samples(name)
    for start in range(0, SAMPLES, 2):
        pair = data[start : start + 2]
        labels = [torch.as_tensor(sample["labels"]) for sample in pair]
        yield torch.stack([sample["input_ids"] for sample in pair]), torch.stack(labels)


class InOrder:
    """A trainer whose batches come in order, so that a loop by hand has the same."""

    def __new__(cls, **settings):
        from torch.utils.data import SequentialSampler
        from transformers import Trainer

        class Ordered(Trainer):
            def _get_train_sampler(self, *_):
                return SequentialSampler(self.train_dataset)

        return Ordered(**settings)


@pytest.mark.parametrize("name", [pytest.param("bert", marks=pytest.mark.slow), "gpt2"])
@each_strategy
def test_masks_and_weights_are_those_of_the_plain_loop(tmp_path, name, strategy):
    schedule = Schedule(every=2, start=1)
    callback, steps = LayerDropBackCallback(strategy, schedule, seed=5), Steps()
    settings = {"max_grad_norm": 0.0, "lr_scheduler_type": "constant"}
    run(name, tmp_path, callback, steps, kind=InOrder, **settings)
    model = made(name)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2, weight_decay=0.0)
    seed_all(0)
    # TrainingArguments' own seed is set when a Trainer is made.
    torch.manual_seed(42)
    ldb = LayerDropBack(model, optimizer, strategy, schedule, seed=5)
    model.train()
    for epoch in range(2):
        for words, labels in ldb.epoch(list(batches(name)), epoch):
            model(input_ids=words, labels=labels).loss.backward()
            optimizer.step()
            optimizer.zero_grad()
    assert callback.ldb.stats()["times_dropped"] == ldb.stats()["times_dropped"]
    assert callback.ldb.stats()["drop_steps"] == PER_EPOCH


def test_what_trains_decides_about_the_loss(tmp_path):
    """LMFlow#726, ms-swift#10140: curves were the same whatever the number of layers."""
    losses = []
    for share in (0.0, 0.3, 0.6):
        trainer = run("bert", tmp_path, LayerDropBackCallback(Truncate(share)))
        losses.append(tuple(line["loss"] for line in trainer.state.log_history if "loss" in line))
    assert len(set(losses)) == 3


class Requiring(TrainerCallback):
    """Which blocks' outputs require a gradient, in each step."""

    def __init__(self, blocks):
        self.seen = [[] for _ in blocks]
        for block, seen in zip(blocks, self.seen, strict=True):
            block.register_forward_hook(lambda m, a, out, seen=seen: self._note(seen, out))

    def _note(self, seen, out):
        out = out[0] if isinstance(out, tuple) else out
        if torch.is_grad_enabled():
            seen.append(out.requires_grad)


BLOCKS = {
    "bert": lambda model: model.bert.encoder.layer,
    "gpt2": lambda model: model.transformer.h,
    "llama": lambda model: model.model.layers,
    "lora": lambda model: model.base_model.model.model.layers,
}


@each_model
def test_nothing_is_computed_below_the_cut(tmp_path, name):
    model = made(name)
    seen = Requiring(BLOCKS[name](model))
    run(name, tmp_path, LayerDropBackCallback(), seen, model=model, num_train_epochs=1)
    cut = [sum(block) for block in seen.seen]
    assert cut[0] == 1, "the first step is a full one"
    assert cut[-1] == PER_EPOCH
    assert cut == sorted(cut)


@each_model
def test_the_cut_holds_under_gradient_checkpointing(tmp_path, name):
    """Trainer makes the embedding's output require a gradient by itself there."""
    model = made(name)
    blocks, calls = BLOCKS[name](model), []
    blocks[0].register_forward_hook(
        lambda *_: calls.append(torch._C._current_graph_task_id() != -1)
    )
    run(
        name,
        tmp_path,
        LayerDropBackCallback(verify=True),
        model=model,
        num_train_epochs=1,
        gradient_checkpointing=True,
        gradient_checkpointing_kwargs={"use_reentrant": False},
    )
    assert calls.count(False) == PER_EPOCH
    # The first two: one full step, and one in which the source is found as it is cut.
    assert calls.count(True) <= 2


@pytest.mark.parametrize(
    "changes",
    [
        {"bf16": True},
        {"max_steps": 7},
        {"num_train_epochs": 1, "gradient_accumulation_steps": 4},
        {"eval_strategy": "steps", "eval_steps": 3},
        {"eval_strategy": "epoch", "save_strategy": "epoch", "load_best_model_at_end": True},
        {"optim": "adafactor"},
        {"optim": "sgd"},
        {"max_grad_norm": 0.01},
        {"label_smoothing_factor": 0.1},
        {"lr_scheduler_type": "cosine", "warmup_steps": 3},
        pytest.param(
            {"torch_compile": True, "torch_compile_backend": "eager", "num_train_epochs": 1},
            marks=[
                pytest.mark.skipif(compile_ignores_flags(), reason="refused before torch 2.12"),
                pytest.mark.slow,  # compiled blocks and models are tests/contracts/test_compile.py
            ],
        ),
        {"dataloader_drop_last": True},
        {"neftune_noise_alpha": 1.0},
    ],
    ids=lambda changes: next(iter(changes)),
)
@pytest.mark.filterwarnings("ignore:The .grad attribute")  # the compiler's own
def test_the_trainers_own_features(tmp_path, changes):
    callback = LayerDropBackCallback(verify="bf16" not in changes)
    run("bert", tmp_path, callback, **changes)
    stats = callback.ldb.stats()
    assert stats["drop_steps"] == stats["step"] > 0
    assert stats["share_dropped"] > 0
