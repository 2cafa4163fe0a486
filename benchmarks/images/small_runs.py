"""Several comparisons of small networks, one after another: what `families` and `stem` share."""

import argparse
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from layerdropback.errors import UsageError
from layerdropback.lab.arms import Arm
from layerdropback.lab.packed import PACKED, RECORD
from layerdropback.lab.plan import Plan
from layerdropback.lab.record import Record
from layerdropback.lab.verdict import Compared
from layerdropback.runs.atomic import write_atomically
from layerdropback.tasks.arms import arm_of, plain_of, with_controls
from layerdropback.tasks.images import compare_images
from layerdropback.training.config import TrainConfig
from layerdropback.training.dropping import Dropping
from layerdropback.training.model_args import parse_model_args
from layerdropback.training.models import ModelSpec, build_model, choose_stem

from ..common import card_files
from ..common.flags import out, set_up_machine, threads
from ..common.stopped import goes_on

SIZE, CLASSES = 32, 10


@dataclass(frozen=True)
class Network:
    """One comparison's network.

    Attributes:
        settings: of the trainer, by name.
        rates: learning rates to begin with.
        stem: modules that are its stem, by the beginnings of their names.
    """

    settings: Mapping[str, Any]
    rates: tuple[float, ...]
    stem: tuple[str, ...] = ()

    def config(self, **shared: Any) -> TrainConfig:
        """The trainer's settings of plain training."""
        common = {"image_size": SIZE, "in_memory": "yes", "lr": self.rates[1]}
        return plain_of(TrainConfig.from_dict({**common, **self.settings, **shared}))

    def build(self) -> nn.Module:
        """The network as the trainer builds it, with new weights."""
        config = self.config()
        small = choose_stem(config.model, SIZE, config.stem)
        args = parse_model_args(config.model_args)
        return build_model(ModelSpec(config.model, CLASSES, 3, SIZE, small, args))[0].train()


@dataclass(frozen=True)
class Done:
    """What is known of one network.

    Attributes:
        record: of its comparison.
        counted: on the network by itself, without training it.
    """

    record: Record
    counted: dict[str, Any]

    def between(self, arm: str, other: str) -> Compared:
        """One arm against another, paired by seed."""
        measured = (self.record.measured(name) for name in (arm, other))
        return Compared.between(*measured, 100 / self.record.data["test"])


@dataclass(frozen=True)
class Study:
    """What one benchmark compares.

    Attributes:
        networks: by name.
        methods: makes each method's settings of LayerDropBack, by name, for so many epochs.
        count: counts on a network what the card says of it.
        card: makes the text from what is done.
    """

    networks: Mapping[str, Network]
    methods: Callable[[int], Mapping[str, Dropping]]
    count: Callable[[Network], dict[str, Any]]
    card: Callable[[str, Mapping[str, Done]], str]


def add_flags(
    parser: argparse.ArgumentParser,
    which: str,
    names: Sequence[str],
    *,
    seeds: int,
    epochs: int,
    train: int,
    batch: int,
) -> None:
    """The flags of both; `which` names the one that chooses networks."""
    parser.add_argument("--data", required=True, help="folder:DIR with CIFAR-10, or cifar10")
    out(parser)
    parser.add_argument("--work", type=Path, help="for the comparisons; runs/NAME by default")
    parser.add_argument(f"--{which}", dest="chosen", nargs="+", choices=names, default=names)
    parser.add_argument("--seeds", type=int, default=seeds, help="runs of each arm")
    parser.add_argument("--tune-seeds", type=int, default=1, help="runs of each learning rate")
    parser.add_argument("--epochs", type=int, default=epochs)
    parser.add_argument("--limit-train", type=int, default=train, help="training images")
    parser.add_argument("--limit-test", type=int, default=5000, help="test images")
    parser.add_argument("--batch-size", type=int, default=batch)
    threads(parser)


def go(args: argparse.Namespace, study: Study) -> None:
    """Compare each network that is chosen, or go on with it, and write the card after each.

    Raises:
        SystemExit: a comparison failed, after the others were made; or the process was stopped.
    """
    set_up_machine(args)
    work = args.work or Path("runs") / args.out.name
    failed = []
    for name in args.chosen:
        print(f"== {name}", flush=True)
        try:
            with goes_on(args.command):
                compare(args, study, name, work)
        except UsageError as error:
            failed.append(f"{name}: {error}")
        finally:
            write_card(args, study, work)
    if failed:
        sys.exit("\n".join(failed))


def compare(args: argparse.Namespace, study: Study, name: str, work: Path) -> None:
    """One network's comparison, in a folder of its name."""
    network = study.networks[name]
    counted = work / f"{name}-counted.json"
    if not counted.exists():
        work.mkdir(parents=True, exist_ok=True)
        write_atomically(counted, json.dumps(study.count(network)))
    names = ("data", "epochs", "limit_train", "limit_test", "batch_size")
    shared = {each: getattr(args, each) for each in names}
    config = network.config(**shared, out=work / name, resume=True)
    plan = Plan(tuple(range(args.seeds)), lr_grid=network.rates, tune_seeds=args.tune_seeds)
    compare_images(config, arms_of(config, study.methods(args.epochs)), plan)


def arms_of(config: TrainConfig, methods: Mapping[str, Dropping]) -> list[Arm]:
    """Plain training, the methods, and the controls of each."""
    ways = {name: replace(config, dropping=method) for name, method in methods.items()}
    return with_controls(config, [arm_of(name, way) for name, way in ways.items()])


def done_in(work: Path, names: Sequence[str]) -> dict[str, Done]:
    """The networks with which at least one seed is finished."""
    found = {}
    for name in names:
        if not any((work / name / file).exists() for file in (RECORD, PACKED)):
            continue
        record = Record.read(work / name)
        if record.finished_seeds():
            counted = json.loads((work / f"{name}-counted.json").read_text())
            found[name] = Done(record, counted)
    return found


def write_card(args: argparse.Namespace, study: Study, work: Path) -> None:
    """From all that is finished in the folder, also by an earlier process."""
    done = done_in(work, list(study.networks))
    if not done:  # a card has a table
        print("no seed is finished yet: no card is written", flush=True)
        return
    text = study.card(args.command, done)
    whole = {
        name: {"record": json.loads(each.record.as_text()), "counted": each.counted}
        for name, each in done.items()
    }
    card_files.write(args.out, text, {"command": args.command, "networks": whole})
    print(text, flush=True)


def random_images(count: int = 2) -> torch.Tensor:
    """For counting, where only shapes matter."""
    return torch.zeros(count, 3, SIZE, SIZE)
