"""What the blocks of each page take for the reader's own, and what must hold when they have run."""

import re
from collections.abc import Callable
from dataclasses import asdict, dataclass

import torch
from PIL import Image
from torch import nn
from torch.nn.parallel import DistributedDataParallel

import layerdropback
import recipes
from docs_pages import blocks_of
from layerdropback import LayerDropBack
from layerdropback.training.export import export_weights
from layerdropback.training.inputs import Inputs
from layerdropback.training.models import ModelSpec, build_model

LIBRARY = {name: getattr(layerdropback, name) for name in layerdropback.__all__}


class Skip(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = nn.Linear(8, 8)

    def forward(self, x):
        return x + self.inner(x)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.blocks = nn.Sequential(*(Skip() for _ in range(4)))
        self.head = nn.Linear(8, 3)

    def forward(self, x):
        return self.head(self.blocks(x))


def yours():
    model = Net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    data = torch.utils.data.TensorDataset(torch.randn(24, 8), torch.randint(3, (24,)))
    mine = {"torch": torch, "nn": nn, "model": model, "optimizer": optimizer, "device": "cpu"}
    mine |= {"loader": torch.utils.data.DataLoader(data, batch_size=3)}
    return LIBRARY | mine | {"criterion": nn.functional.cross_entropy}


def nothing(code, folder):
    return {}


def attached(names):
    always = layerdropback.Schedule(every=1, start=0)
    return names | {"ldb": LayerDropBack(names["model"], names["optimizer"], "truncate", always)}


def check_readme(code, names, output, folder):
    stats = names["ldb"].stats()
    assert stats["drop_steps"] == stats["step"] == 3 * 8
    assert "truncate, share 0.5 (fixed)" in output


def of_library(code, folder):
    """Each by itself, as a loop that begins with it."""
    names = yours()
    return attached(names) if "ldb = " not in code or "ldb.detach()" in code else names


def check_library(code, names, output, folder):
    trains = "backward()" in code or "autograd.grad(" in code
    assert (names["ldb"].stats()["drop_steps"] > 0) == trains


def of_recipe(code, folder):
    return recipes.yours(heading_of(code))


def heading_of(code):
    (heading,) = [name for name, block in recipes.blocks().items() if block == code]
    return heading


def check_recipe(code, names, output, folder):
    """What else holds of them is in tests/contracts/test_recipes.py and tests/integrations."""
    stats = names["ldb"].stats()
    assert 0 < stats["drop_steps"] < stats["step"]


def of_questions(code, folder):
    names = attached(yours())
    names["model"].norm = nn.BatchNorm1d(8)
    return names


def check_questions(code, names, output, folder):
    if "summary" in code:
        assert re.search(r"\n0 \S+ \S+\n$", output), "no step was made"
    else:
        assert names["model"].training
        assert not names["model"].norm.training


def check_compiling(code, names, output, folder):
    assert not names["ldb"].is_drop_epoch


def of_ranks(code, folder):
    names = yours() | {"DistributedDataParallel": DistributedDataParallel}
    return names | {"network": names["model"]}


def check_ranks(code, names, output, folder):
    assert names["ldb"].stats()["gradient_bytes"] == 0


def exported(folder, classes, image_size=160, name="test_vit"):
    """A run's weights, as its end leaves them."""
    spec = ModelSpec(name, len(classes), 3, image_size, False, {})
    model, _ = build_model(spec)
    folder.mkdir(parents=True)
    notes = asdict(Inputs([0.5] * 3, [0.5] * 3))
    export_weights(model, folder / "weights.safetensors", spec, {"classes": classes, **notes})
    return model


def of_weights(code, folder):
    exported(folder / "runs" / "NAME", ["a"] * 10)
    return {}


def check_weights(code, names, output, folder):
    assert names["notes"]["classes"] == ["a"] * 10
    assert names["transform"](Image.new("RGB", (200, 300))).shape == (3, 160, 160)


def of_images(code, folder):
    names = {"expected": exported(folder / "runs" / "first", ["ants", "bees"]).eval()}
    shown = folder / "pictures" / "test" / "bees" / "1.jpg"
    shown.parent.mkdir(parents=True)
    Image.new("RGB", (200, 180), (90, 60, 30)).save(shown)
    return names


def check_images(code, names, output, folder):
    assert re.fullmatch(r"(ants|bees) [01]\.\d\d\n", output)
    with torch.no_grad():
        scores = names["expected"](names["image"][None]).softmax(1)[0]
    torch.testing.assert_close(names["scores"], scores, rtol=0, atol=0)


def check_profile(code, names, output, folder):
    assert "| uniform 0.5 (tensor) " in output
    assert "backward, weights" in output


def check_memory(code, names, output, folder):
    full, cut = names["full"], names["cut"]
    assert full.peak > cut.peak > full.kinds["parameters"] > 2**30
    assert f"{full.gib:.2f} GiB; {cut.gib:.2f} GiB from" in output


def check_comparison(code, names, output, folder):
    record = names["record"]
    assert record.names() == ["plain", "half", "plain@half"]
    assert record.finished_seeds() == [0, 1, 2]
    assert record.verdicts()["half"].text in output
    assert (folder / "runs" / "mine" / "report.html").exists()


def unchecked(code, names, output, folder):
    pass


@dataclass(frozen=True)
class Page:
    """How the blocks of a page run.

    Attributes:
        names: makes what a block takes for the reader's own, from its code and an empty folder.
        check: what must hold then; it gets the code, the names, the output and the folder.
        fixtures: of the tests that run them.
    """

    names: Callable = nothing
    check: Callable = unchecked
    fixtures: tuple[str, ...] = ()


RUN = {
    "README.md": Page(check=check_readme),
    "docs/library.md": Page(of_library, check_library),
    "docs/recipes.md": Page(of_recipe, check_recipe, ("forgotten",)),
    "docs/faq.md": Page(of_questions, check_questions),
    "docs/compile.md": Page(lambda code, folder: yours(), check_compiling, ("eager",)),
    "docs/distributed.md": Page(of_ranks, check_ranks, ("group",)),
    "docs/command-line.md": Page(of_weights, check_weights),
    "docs/start-images.md": Page(of_images, check_images),
    "docs/profile.md": Page(check=check_profile),
    "docs/memory.md": Page(check=check_memory),
    "docs/compare.md": Page(check=check_comparison, fixtures=("known_times", "no_drawings")),
}

# These need a framework, and are run by a test file that names all of their blocks.
ELSEWHERE = {
    "docs/integrations.md": "tests/integrations/test_page.py",
    "docs/start-text.md": "tests/integrations/test_page.py",
}

CASES = [(page, code) for page in RUN for code in blocks_of(page)]
