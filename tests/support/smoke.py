"""Try an installed wheel as a user meets it: ``make check-dist``.

    PYTHON -I tests/support/smoke.py core cli types

Each part runs in an empty folder, and nothing of the checkout but README's text is used.
"""

import os
import re
import subprocess
import sys
import sysconfig
import tempfile
from importlib import metadata
from pathlib import Path

README = Path(__file__).parents[2] / "README.md"
LDB = str(Path(sysconfig.get_path("scripts"), "ldb"))

RIGHT = """\
import torch

from layerdropback import LayerDropBack, Schedule, Truncate


def train(
    model: torch.nn.Module, optimizer: torch.optim.Optimizer, loader: list[torch.Tensor]
) -> int:
    ldb = LayerDropBack(model, optimizer, Truncate(0.5), Schedule(every=1, start=0))
    seen = 0
    for epoch in range(2):
        for batch in ldb.epoch(loader, epoch):
            model(batch).sum().backward()
            seen += batch.numel()
    return seen
"""
# The same with a type that is wrong: without py.typed neither would be looked at.
WRONG = RIGHT.replace("Truncate(0.5)", "Truncate('half')")


def run(*command, code=0):
    """What it prints; it must end with this code."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != code:
        sys.exit(f"{command} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout + done.stderr


def core():
    """torch, numpy and networkx alone; the example of README."""
    import layerdropback

    home = Path(layerdropback.__file__)
    assert home.is_relative_to(sys.prefix), f"{home} is not what was installed"
    assert layerdropback.__version__ == metadata.version("layerdropback")
    (example,) = re.findall(r"^```python\n(.*?)^```", README.read_text("utf-8"), re.M | re.S)
    Path("example.py").write_text(example, encoding="utf-8")
    assert "truncate, share 0.5 (fixed)" in run(sys.executable, "-I", "example.py")
    print(run(LDB, "--version").strip())
    try:
        metadata.version("typer")
    except metadata.PackageNotFoundError:
        assert "the extra 'cli' is not installed" in run(LDB, "train", code=2)


def cli():
    """With the extra: an epoch of the digits, and what can be done with the run."""
    assert "Usage: ldb" in run(LDB, "--help")
    print(run(LDB, "train", "--data", "digits", "--epochs", "1", "--out", "run").splitlines()[-1])
    assert Path("run", "weights.safetensors").exists()
    run(LDB, "report", "run")
    assert "<svg" in Path("run", "report.html").read_text("utf-8")
    assert "No such option" in run(LDB, "train", "--optt", "adamw", code=2)


def types():
    """A user's file under mypy --strict; one that is wrong is refused."""
    for name, text, code in (("right.py", RIGHT, 0), ("wrong.py", WRONG, 1)):
        Path(name).write_text(text, encoding="utf-8")
        said = run(sys.executable, "-m", "mypy", "--strict", name, code=code)
        print(f"{name}: {said.splitlines()[-1]}")
    assert 'Argument 1 to "Truncate" has incompatible type "str"' in said


def main():
    for name in sys.argv[1:]:
        with tempfile.TemporaryDirectory() as folder:
            os.chdir(folder)
            {"core": core, "cli": cli, "types": types}[name]()
            os.chdir(Path(folder).parent)
        print(f"{name}: good, Python {sys.version.split()[0]}")


if __name__ == "__main__":
    main()
