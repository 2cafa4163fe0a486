"""Run the lines for a shell of README and docs, page by page, each page in a fresh clone.

    make commands
    python tests/support/run_lines.py [--quick] [PAGE ...]

What is cloned is what is committed. The environment is the one that runs this file; nothing is
installed. What a page takes for the reader's own (images, sentences, weights) is made, and small.
"""

import argparse
import importlib.metadata
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from docs_lines import LINES, as_run
from docs_pages import ROOT

# Seconds for a line.
LONGEST = 900
_ONE_AT_A_TIME = threading.Lock()
BIN = Path(sys.executable).parent


@dataclass(frozen=True)
class Done:
    """A line that was run.

    Attributes:
        page: where it stands.
        line: as it was run.
        seconds: that it took.
        code: its exit code.
        output: all that it printed.
    """

    page: str
    line: str
    seconds: float
    code: int
    output: str

    def __str__(self):
        state = "good" if self.code == 0 else f"FAILED with {self.code}"
        said = "" if self.code == 0 else "\n" + "\n".join(self.output.splitlines()[-30:])
        return f"{self.page}: {state}, {self.seconds:.0f} s: {self.line}{said}"


def provide(clone):
    """What is the reader's own on the pages; by threads one at a time: it imports."""
    import timm
    from safetensors.torch import save_file
    from transformers import LlamaConfig

    import folders
    import tiny_language

    for name, size in (("DIR", (40, 36)), ("pictures", (40, 36)), ("squares", (32, 32))):
        folders.make_folder(clone / name, ("ants", "bees"), train=40, test=20, size=size)
    tiny_language.make_folder(clone / "FOLDER")
    tiny_language.make_sentences(clone / "sentences", train=224)
    for file in (clone / "sentences").iterdir():
        shutil.copy(file, clone / "FOLDER")
        shutil.copy(file, clone)
    shutil.copytree(clone / "FOLDER", clone / "minilm")
    weights = timm.create_model("test_resnet", num_classes=2).state_dict()
    save_file(weights, clone / "FILE.safetensors")
    sizes = {"hidden_size": 64, "intermediate_size": 128, "num_attention_heads": 4}
    sizes |= {"num_hidden_layers": 4, "num_key_value_heads": 2}
    LlamaConfig(**sizes, architectures=["LlamaForCausalLM"]).save_pretrained(clone / "llama-3.1-8b")
    shutil.copy(clone / "tests" / "support" / "made_up_task.py", clone / "mine.py")
    shutil.copy(clone / "examples" / "cifar10-cpu.yaml", clone / "my.yaml")


def environment(clone):
    """Of a shell in the clone: its code, this environment's programs, no network."""
    own = {"PYTHONPATH": str(clone / "src"), "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"}
    own |= {"VENV": str(BIN.parent), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    return os.environ | own


def execute(page, line, clone):
    """Run one line there."""
    began = time.monotonic()
    try:
        done = subprocess.run(
            line,
            shell=True,
            cwd=clone,
            env=environment(clone),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=LONGEST,
        )
        code, output = done.returncode, done.stdout
    except subprocess.TimeoutExpired:
        code, output = 124, f"it took over {LONGEST} s"
    return Done(page, line, time.monotonic() - began, code, output)


def run_page(page, quick=False, say=lambda done: None):
    """Run a page's lines in order; with `quick` those that take seconds."""
    lines = [(line, how) for line, how in LINES[page] if how.reason is None]
    chosen = [as_run(line, how) for line, how in lines if not (quick and how.slow)]
    if not chosen:
        return []
    found = []
    with tempfile.TemporaryDirectory() as folder:
        clone = Path(folder).resolve() / "clone"
        subprocess.run(["git", "clone", "--quiet", str(ROOT), str(clone)], check=True)
        os.utime(clone / "pyproject.toml", (0, 0))  # make installs where it is the newer one
        with _ONE_AT_A_TIME:
            provide(clone)
        where = "python -c 'import layerdropback; print(layerdropback.__file__)'"
        home = execute(page, where, clone).output.strip()
        if not Path(home).is_relative_to(clone):
            raise RuntimeError(f"the clone's code is not what is imported: {home}")
        installed = installation()
        for line in chosen:
            found.append(execute(page, line, clone))
            say(found[-1])
        if installation() != installed:
            raise RuntimeError(f"a line of {page} has installed something else")
    return found


def installation():
    """Where the environment has the library from, whatever the directory."""
    spec = importlib.metadata.distribution("layerdropback").read_text("direct_url.json")
    return json.loads(spec or "{}").get("url")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pages", nargs="*", metavar="PAGE", help="all by default")
    parser.add_argument("--quick", action="store_true", help="without those that take minutes")
    parser.add_argument("--jobs", type=int, default=2, help="pages at a time")
    given = parser.parse_args()
    unknown = [page for page in given.pages if page not in LINES]
    if unknown:
        parser.error(f"{unknown[0]} has no lines: give some of {', '.join(LINES)}")
    pages = given.pages or list(LINES)
    for page in pages:
        for line, how in LINES[page]:
            if how.reason or (given.quick and how.slow):
                print(f"{page}: not run ({how.reason or 'it takes minutes'}): {line}")
    began = time.monotonic()
    with ThreadPoolExecutor(given.jobs) as pool:
        each = pool.map(
            lambda page: run_page(page, given.quick, lambda d: print(d, flush=True)), pages
        )
        found = [done for page in each for done in page]
    failed = [done for done in found if done.code]
    seconds = time.monotonic() - began
    print(f"{len(found) - len(failed)} lines run, {len(failed)} failed, {seconds:.0f} s")
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
