"""What is imported before ``ldb`` answers; each needless module is time that a user waits."""

import json
import subprocess
import sys

# Calls ``ldb`` line by line in one process, and says after each how it ended and what is imported.
PROGRAM = """
import json, os, sys
from layerdropback.__main__ import main
lines, words = json.loads(sys.argv[1])
for line in lines:
    sys.argv = ["ldb", *line]
    if not line:
        os.environ.update(words)
    try:
        main()
    except SystemExit as end:
        print(json.dumps([end.code, sorted(sys.modules)]), flush=True)
"""
HEAVY = {"torch", "numpy", "timm", "pydantic", "rich", "networkx", "scipy"}
# To import them takes as long as all else that a wrong flag needs.
SLOW = {"yaml", "tomllib"}


def after(lines, folder, words=None):
    """Exit code, modules and error output after each line, and all that was printed."""
    command = [sys.executable, "-c", PROGRAM, json.dumps([lines, words or {}])]
    result = subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder)
    assert result.returncode == 0, result.stderr
    ends = [json.loads(line) for line in result.stdout.splitlines() if line.startswith("[")]
    assert len(ends) == len(lines), result.stderr
    told = [(code, set(modules)) for code, modules in ends]
    return told, result.stdout, result.stderr


def test_the_first_page_imports_no_command(tmp_path):
    told, output, _ = after([["--help"], ["--version"], ["pain"], ["--x"]], tmp_path)
    ours = {name for name in told[-1][1] if name.split(".")[0] == "layerdropback"}
    own = {"__main__", "errors", "cli", "cli.app", "cli.main", "cli.neighbours"}
    assert ours == {"layerdropback"} | {f"layerdropback.{name}" for name in own}
    assert [code for code, _ in told] == [0, 0, 2, 2]
    assert "Usage: ldb" in output


def test_a_commands_page_and_wrong_flags_import_nothing_heavy(tmp_path):
    lines = [["train", "--help"], ["train", "--opt", "x"], ["train", "--lr", "0"]]
    lines += [["train", "--x"], ["compare", "--help"], ["paper", "--help"], ["memory", "--help"]]
    told, *_ = after(lines, tmp_path)
    for line, (code, modules) in zip(lines, told, strict=True):
        assert not modules & (HEAVY | SLOW), line
        assert code == (0 if line[1] == "--help" else 2), line
    assert "layerdropback.cli.studies" not in told[3][1]


def test_completion_imports_nothing_heavy(tmp_path):
    words = {"COMP_WORDS": "ldb train --strategy ", "COMP_CWORD": "3"}
    told, output, _ = after([[]], tmp_path, words | {"_LDB_COMPLETE": "complete_bash"})
    assert not told[0][1] & (HEAVY | SLOW)
    assert output.splitlines()[:-1] == ["uniform", "truncate", "branch", "blocks", "control"]


REFUSED = """
compare --seeds 0
compare --seeds 1001
compare --margin 0
compare --target 101
compare --tune-seeds 0
compare --lr-grid 0.1,0.2
compare --lr-grid 0.1,x
compare --drop-rate 0
compare --drop-rate 2
compare --epochs 0
compare --arm drop_rate=2
compare --arm data=cifar10
compare --arm nothing=1
compare --arm a:lr=0.1 --arm a:lr=0.2
compare --task-arg size=3
compare --out full
compare --out full --resume
compare --task none
compare --task none:at-all --seeds 0
compare --task none:at-all --margin 0
compare --task none:at-all --out full
compare --task none:at-all --epochs 3
compare --task none:at-all --threads 0
compare --task none:at-all --task-arg 3
compare --task none:at-all --task-arg a=1 --task-arg a=2
compare --task none:at-all --arm a
compare --task none:at-all --arm a:lr=0
compare --task none:at-all --arm a:epochs=x
compare --task none:at-all --arm a:b=1 --arm a:b=2
compare --task sentences --task-arg model=a
compare --task sentences --task-arg model=a,data=b,epochs=0
sweep --rates 0
sweep --rates 1.5
sweep --rates x
sweep --strategies paint
sweep --every 1.5
sweep --seeds 0
sweep --lr-grid 0.3,0.2,0.1
sweep --depth fixed --strategies uniform
sweep --start 100
sweep --out full
sweep --task none
sweep --task none:at-all --rates 0.5
profile --rates 0
profile --rates 0.5,0.5
profile --strategies paint
profile --pairs 1
profile --classes 1
profile --batch-size 0
profile --out full
""".strip().splitlines()


def test_a_wrong_value_of_a_study_is_refused_before_torch_is_imported(tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").touch()
    told, _, errors = after([line.split() for line in REFUSED], tmp_path)
    for line, (code, modules) in zip(REFUSED, told, strict=True):
        assert code == 2, line
        assert not modules & (HEAVY - {"rich"}), line
    texts = errors.splitlines()
    assert len(texts) == len(REFUSED), "each is one line"
    for line, text in zip(REFUSED, texts, strict=True):
        assert text.startswith("ldb: error: "), line
        assert ". Cause: " in text or "Invalid" in text, line
        assert ". Cure: " in text, line
    assert list(tmp_path.iterdir()) == [tmp_path / "full"]
