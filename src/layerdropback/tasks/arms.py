"""The arms of ``ldb compare`` on images: methods as settings, and the controls of each."""

from collections.abc import Sequence
from dataclasses import replace

from ..errors import UsageError, explain
from ..lab.arms import PLAIN, Arm, require_other_names, with_equal_time
from ..training.config import PLACES, TrainConfig
from ..training.dropping import Dropping, over
from ..training.settings_file import typed
from .keys import name_and_values

LDB = "ldb"

# What all arms share: the images, the machine, and what a process has only once.
SHARED = frozenset(
    {"data", "data_dir", "download", "in_memory", "image_size", "limit_train", "limit_test"}
    | {"seed", "device", "threads", "tf32", "unreadable"}
    | {"checkpoint_every", "checkpoints", "tensorboard"}
    | set(PLACES)
)


def arm_of(name: str, config: TrainConfig, role: str = "method", of: str | None = None) -> Arm:
    """An arm whose way are these settings."""
    return Arm(name, config, config.epochs, config.lr, role, of)


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
        >>> config = TrainConfig(epochs=4, dropping=Dropping(lr_scale=2.0))
        >>> [arm.name for arm in make_arms(config)]
        ['plain', 'ldb', 'no-drop@ldb', 'plain@ldb']
    """
    methods = [(LDB, config)] if config.drop_settings().ever_drops else []
    methods += [parse_arm(text, config) for text in more]
    if not methods:
        fact, cause = "--drop-rate 0 leaves nothing to compare", "that is plain training itself"
        raise UsageError(explain(fact, cause, "give another one, or an --arm"))
    return with_controls(plain_of(config), [arm_of(name, other) for name, other in methods])


def with_controls(plain: TrainConfig, methods: Sequence[Arm]) -> list[Arm]:
    """Plain training, methods, and the controls of each.

    Args:
        plain: plain training's settings.
        methods: arms whose ways are settings, too.
    """
    arms = [arm_of(PLAIN, plain, "plain"), *methods]
    require_other_names(arms)
    for method in methods:
        settings = method.way.drop_settings()
        factors = (settings.lr_scale, settings.batch_scale)
        if settings.ever_drops and factors != (1, 1):
            nothing = replace(method.way, dropping=_control_of(method.way.dropping))
            arms.append(arm_of(f"no-drop@{method.name}", nothing, "no-drop", method.name))
    return with_equal_time(arms)


def _control_of(method: Dropping) -> Dropping:
    """The same drop epochs with the same factors, and nothing dropped."""
    values = method.values()
    lr_scale = values["lr_scale"]
    if lr_scale == "inverse":  # of the method's rate: the control has none
        lr_scale = 1 / (1 - values["drop_rate"])
    return method.changed(strategy="control", lr_scale=lr_scale)


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
        >>> name, config.dropping
        ('drop_rate=0.3,every=1', Dropping(drop_rate=0.3, every=1))
        >>> parse_arm("half: lr=0.02", TrainConfig())[0]
        'half'
    """
    source = f"--arm {text!r}"
    name, values = name_and_values(text, source)
    found = typed(values, source)
    common = sorted(SHARED & found.keys())
    if common:
        cause = "all arms share it, or they could not be compared"
        cure = f"give it to all: --{common[0].replace('_', '-')}"
        raise UsageError(explain(f"{source} sets {common[0]}", cause, cure))
    config = TrainConfig.from_dict(over(base.given(), found))
    try:
        config.check()
    except UsageError as error:
        raise UsageError(f"{source}: {error}") from None
    return name, config
