"""Small runs of the Trainer of transformers."""

import os
from functools import partial
from unittest import mock

os.environ |= {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_VERBOSITY": "error"}

import torch
import transformers
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import (
    PreTrainedTokenizerFast,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)

from by_hand import seed_all
from equal import assert_equal
from language import LABELS, WORDS, bert, gpt2, llama, lora

# Before 5 the trainer leaves an epoch's last, shorter window for the next one.
OLD = int(transformers.__version__.partition(".")[0]) < 5

LENGTH, SAMPLES = 8, 22

# What transformers, accelerate and torch say to small runs on the CPU.
QUIET = [
    "ignore:.*pin_memory.*:UserWarning",
    "ignore:.*use_reentrant.*:UserWarning",
    "ignore:.*gradient_checkpointing.*:FutureWarning",
    "ignore:.torch.cpu.amp.autocast:FutureWarning",
]

# As their users have them, with dropout.
MODELS = {"bert": partial(bert, 0.1), "gpt2": partial(gpt2, 0.1), "llama": llama, "lora": lora}


def made(name):
    seed_all(0)
    return MODELS[name]()


def samples(name, count=SAMPLES):
    generator = torch.Generator().manual_seed(1)
    words = torch.randint(WORDS, (count, LENGTH), generator=generator)
    labels = (
        torch.randint(LABELS, (count,), generator=generator).tolist() if name == "bert" else words
    )
    return [{"input_ids": w, "labels": label} for w, label in zip(words, labels, strict=True)]


class Steps(TrainerCallback):
    """Weights, optimizer states and masks after each step; it comes before the callback of ours.

    Attributes:
        weights: by name, after each step.
        states: first moments by name, after each step.
        dropped: the names of the parameters that each step dropped.
    """

    def __init__(self, ours=None):
        self.weights, self.states, self.dropped = [], [], []
        self._ours = ours

    def on_pre_optimizer_step(self, args, state, control, **_):
        ldb = None if self._ours is None else self._ours.ldb
        if ldb is not None:
            mask = [False] * len(ldb.layers) if ldb.mask is None else ldb.mask
            layers = (layer for layer, gone in zip(ldb.layers, mask, strict=True) if gone)
            self.dropped.append({name for layer in layers for name in layer.parameter_names})

    def on_step_end(self, args, state, control, model=None, optimizer=None, **_):
        named = {n: p for n, p in model.named_parameters() if p.requires_grad}
        self.weights.append({n: p.detach().clone() for n, p in named.items()})
        moments = {n: optimizer.state.get(p, {}).get("exp_avg") for n, p in named.items()}
        self.states.append({n: None if m is None else m.clone() for n, m in moments.items()})


def arguments(folder, **changes):
    settings = {
        "output_dir": str(folder),
        "num_train_epochs": 2,
        "per_device_train_batch_size": 2,
        "learning_rate": 1e-2,
        "save_strategy": "no",
        "report_to": "none",
        "disable_tqdm": True,
        "use_cpu": True,
        "logging_steps": 5,
    }
    return TrainingArguments(**(settings | changes))


def run(name, folder, *callbacks, model=None, resume=None, kind=Trainer, **changes):
    """Train; the trainer. What its arguments put into the environment is taken out again."""
    with mock.patch.dict(os.environ):
        return _run(name, folder, callbacks, model, resume, kind, changes)


def _run(name, folder, callbacks, model, resume, kind, changes):
    model = made(name) if model is None else model
    seed_all(0)
    trainer = kind(
        model=model,
        args=arguments(folder, **changes),
        train_dataset=samples(name),
        eval_dataset=samples(name, 4),
        callbacks=list(callbacks),
    )
    trainer.train(resume_from_checkpoint=resume)
    return trainer


def assert_same_runs(one, other):
    assert len(one.weights) == len(other.weights) > 0
    for mine, theirs in zip(one.weights, other.weights, strict=True):
        assert_equal(mine, theirs)


def tiny_bert(folder):
    """A model folder with a tokenizer of a few words, and sentences of these."""
    words = {"<pad>": 0, "<unk>": 1, "good": 2, "bad": 3, "a": 4, "film": 5}
    plain = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    plain.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=plain, pad_token="<pad>", unk_token="<unk>"
    )
    tokenizer.save_pretrained(folder)
    bert(words=len(words), labels=2).save_pretrained(folder)
    text = folder / "sentences.txt"
    text.write_text("pos a good film\nneg a bad film\n" * 160)
    return text
