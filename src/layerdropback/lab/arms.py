"""The arms of a comparison: plain training, LayerDropBack, and the controls of both."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import yaml

from ..errors import UsageError, explain
from ..training.config import Dropping, TrainConfig
from ..training.images.data import ImageData
from ..training.loop import Trainer
from ..training.settings_file import PLACES, typed

PLAIN, LDB = "plain", "ldb"

# What all arms share: the images, the machine, and what a process has only once.
SHARED = frozenset(
    {"data", "data_dir", "download", "in_memory", "image_size", "limit_train", "limit_test"}
    | {"seed", "device", "threads", "tf32"}
    | {"checkpoint_every", "checkpoints", "tensorboard"}
    | set(PLACES)
)

# The last argument is a state that will be loaded, if there is one; see `Trainer`.
MakeTrainer = Callable[[TrainConfig, ImageData, Mapping[str, Any] | None], Trainer]


@dataclass(frozen=True)
class Arm:
    """One way to train, to be run with every seed.

    Attributes:
        name: for tables, plots and files; no two are alike.
        config: its settings, but for the seed.
        role: ``"plain"``, ``"method"``, ``"no-drop"`` (a method's learning-rate and batch changes
            with nothing dropped), ``"same time"`` (plain training, given a method's time) or
            ``"shorter"`` (plain training of fewer epochs).
        of: the method whose control it is.
        make: makes its trainer.
    """

    name: str
    config: TrainConfig
    role: str
    of: str | None = None
    make: MakeTrainer = Trainer

    @property
    def says(self) -> str:
        """What it is, in words.

        Example:
            >>> Arm("plain", TrainConfig(), "plain").says
            'plain training'
        """
        dropping = self.config.dropping
        return {
            "plain": "plain training",
            "method": f"{dropping.strategy}, unit {dropping.unit}, {_how(dropping)}",
            "no-drop": f"the LR and batch changes of {self.of}, nothing dropped",
            "same time": f"plain training, given the time of {self.of}",
            "shorter": "plain training",
        }[self.role]


def _how(dropping: Dropping) -> str:
    """How much is dropped and when, as far as it is not the usual."""
    parts = [f"rate {dropping.drop_rate:g}"]
    if dropping.target_saving is not None:
        parts = [f"to spare {dropping.target_saving:g}"]
    parts += [f"{dropping.depth} depth"] if dropping.depth != "uniform" else []
    parts += [f"by {dropping.allocate}"] if dropping.allocate != "even" else []
    parts += [dropping.ramp] if dropping.ramp != "constant" else []
    parts += [f"the last {dropping.anneal:.0%} in full"] if dropping.anneal else []
    return ", ".join(parts)


def make_arms(config: TrainConfig, more: Sequence[str] = ()) -> list[Arm]:
    """Plain training, the settings' own method, those of `more`, and the controls of each method.

    A method whose drop epochs have no other learning rate and batch gets no no-drop control: that
    would be plain training bit for bit.

    Args:
        config: the method's settings.
        more: of further methods, as `parse_arm` reads them.

    Raises:
        UsageError: nothing is compared, or a method's settings cannot be used.

    Example:
        >>> [arm.name for arm in make_arms(TrainConfig(epochs=4))]
        ['plain', 'ldb', 'no-drop@ldb', 'plain@ldb']
    """
    methods = [(LDB, config)] if config.dropping.settings().schedule.ever_drops else []
    methods += [parse_arm(text, config) for text in more]
    names = [name for name, _ in methods]
    for name in names:
        if names.count(name) > 1 or name == PLAIN:
            fact, cause = f"two arms are called {name!r}", "the tables would not tell them apart"
            raise UsageError(explain(fact, cause, "give another NAME: before one's settings"))
    for name, method in methods:
        if method.dropping.period_steps is not None:
            fact = f"--period-steps {method.dropping.period_steps} is not usable (arm {name!r})"
            cause = "arms are timed by epochs that drop and epochs that do not"
            raise UsageError(explain(fact, cause, "compare by epochs, with --every and --start"))
    if not methods:
        fact, cause = "--drop-rate 0 leaves nothing to compare", "that is plain training itself"
        raise UsageError(explain(fact, cause, "give another one, or an --arm"))
    return with_controls(plain_of(config), [Arm(name, other, "method") for name, other in methods])


def with_controls(plain: TrainConfig, methods: Sequence[Arm]) -> list[Arm]:
    """Plain training, methods, and the controls of each.

    The plain runs that are given a method's time still have all of their epochs: a pilot tells how
    many they get.
    """
    arms = [Arm(PLAIN, plain, "plain"), *methods]
    for method in methods:
        schedule = method.config.dropping.settings().schedule
        factors = (schedule.lr_scale, schedule.batch_scale)
        if schedule.ever_drops and factors != (1, 1):
            dropping = replace(method.config.dropping, strategy="none")
            nothing = replace(method.config, dropping=dropping)
            arms.append(Arm(f"no-drop@{method.name}", nothing, "no-drop", method.name))
    arms += [Arm(f"{PLAIN}@{method.name}", plain, "same time", method.name) for method in methods]
    return arms


def plain_of(config: TrainConfig) -> TrainConfig:
    """The same settings without LayerDropBack."""
    return replace(config, dropping=Dropping(drop_rate=0.0))


def parse_arm(text: str, base: TrainConfig) -> tuple[str, TrainConfig]:
    """Read ``--arm``.

    Args:
        text: ``KEY=VALUE,...`` or ``NAME:KEY=VALUE,...``; keys are settings.
        base: what the arm has but for these.

    Returns:
        Its name, by default its own text, and its settings.

    Raises:
        UsageError: the text cannot be read, or its settings cannot be used or differ in what all
            arms share.

    Example:
        >>> name, config = parse_arm("drop_rate=0.3,every=1", TrainConfig())
        >>> name, config.dropping.drop_rate, config.dropping.every
        ('drop_rate=0.3,every=1', 0.3, 1)
        >>> parse_arm("half: lr=0.02", TrainConfig())[0]
        'half'
    """
    source = f"--arm {text!r}"
    name, _, rest = text.rpartition(":") if re.match(r"[^=]*:", text) else ("", "", text)
    values = {}
    for part in re.split(r",(?![^\[]*\])", rest):  # not inside of a [list]
        key, equals, value = part.partition("=")
        if not equals or not key.strip():
            cause = "it is KEY=VALUE,... or NAME:KEY=VALUE,..., with settings as keys"
            raise UsageError(explain(f"{source} is not usable", cause, "see ldb train --help"))
        try:
            values[key.strip().replace("-", "_")] = yaml.safe_load(value)
        except yaml.YAMLError:
            cause = f"{value.strip()!r} is no value"
            raise UsageError(explain(f"{source} is not usable", cause, "give another")) from None
    found = typed(values, source)
    common = sorted(SHARED & found.keys())
    if common:
        cause = "all arms share it, or they could not be compared"
        cure = f"give it to all: --{common[0].replace('_', '-')}"
        raise UsageError(explain(f"{source} sets {common[0]}", cause, cure))
    config = TrainConfig.from_dict(_settings_of(base) | found)
    try:
        config.check()
    except UsageError as error:
        raise UsageError(f"{source}: {error}") from None
    return name.strip() or rest.strip(), config


def _settings_of(config: TrainConfig) -> dict[str, Any]:
    """Every setting under its own name, with its own type."""
    flat = {**vars(config), **vars(config.dropping)}
    del flat["dropping"]
    return flat
