"""The house: its rooms, which way imports go, and how long files, functions and classes may be.

Read from the source alone, so that ``make lint`` can run it, too.
"""

import ast
from collections import defaultdict
from functools import cache
from pathlib import Path

import pytest

import layerdropback

SOURCE = Path(layerdropback.__file__).parent
TESTS = Path(__file__).parent

# What stands in a later line may import what stands in an earlier one, and never the other way.
FLOORS = (
    ("errors",),
    ("option",),
    ("interop",),
    ("model",),
    ("schedule", "strategies"),
    ("settings",),
    ("presets", "distributed"),
    ("engine",),
    ("state", "epoch", "summary"),
    ("controller",),
    ("runs",),
    ("integrations", "lab"),
    ("training",),
    ("tasks",),
    ("cli",),
)
FLOOR = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}
OUTSIDE_THE_CORE = {"runs", "lab", "training", "tasks", "cli", "integrations"}

LINES_OF_A_FILE, LINES_OF_A_FUNCTION, ATTRIBUTES_OF_A_CLASS = 300, 40, 10


def room_of(module):
    """The room of a module's path inside the package; ``python -m`` is the command line's door."""
    first = module[0] if module else "__init__"
    first = layerdropback._HOME.get(first, first).split(".")[0]  # ``from layerdropback import ...``
    return "cli" if first == "__main__" else first


@cache
def modules():
    """Every module's path inside the package, with its source."""
    files = sorted(SOURCE.rglob("*.py"))
    return [(file.relative_to(SOURCE).with_suffix("").parts, file.read_text()) for file in files]


def core():
    return [(module, text) for module, text in modules() if room_of(module) not in OUTSIDE_THE_CORE]


def core_and_integrations():
    """What users build on: its files are short, and each is tested by itself."""
    return [*core(), *((m, text) for m, text in modules() if room_of(m) == "integrations")]


def name_of(module):
    return "/".join(module)


def run_imports(node):
    """The import statements inside a node that run; ``if TYPE_CHECKING:`` is left out."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and ast.unparse(child.test).endswith("TYPE_CHECKING"):
            for other in child.orelse:
                yield from run_imports(other)
        elif isinstance(child, ast.Import | ast.ImportFrom):
            yield child
        else:
            yield from run_imports(child)


def imported(module, text):
    """The modules of this package that a module imports, functions' own imports among them."""
    for statement in run_imports(ast.parse(text)):
        if isinstance(statement, ast.Import):
            names = [alias.name.split(".") for alias in statement.names]
        elif statement.level:
            names = [["layerdropback", *module[: len(module) - statement.level]]]
            names[0] += statement.module.split(".") if statement.module else []
        else:
            names = [statement.module.split(".")]
        for name in names:
            if name[0] == "layerdropback" and name[1:]:
                yield tuple(name[1:])
            elif name[0] == "layerdropback" and isinstance(statement, ast.ImportFrom):
                yield from ((alias.name,) for alias in statement.names)


@cache
def arrows():
    """From each room to the rooms that it imports, with the modules that do."""
    found = defaultdict(list)
    for module, text in modules():
        for other in imported(module, text):
            if room_of(other) not in (room_of(module), "__version__"):
                found[room_of(module), room_of(other)].append(name_of(module))
    return dict(found)


def test_the_arrows_are_seen():
    found = arrows()
    pairs = (("controller", "engine"), ("engine", "model"), ("cli", "training"))
    for pair in (*pairs, ("integrations", "controller")):
        assert found[pair], pair
    assert "engine/engine" in found["engine", "interop"], "``from ..interop.compiling import``"
    assert "controller" in found["controller", "state"], "``from . import state``"
    branch = "from ..option import a\nif TYPE_CHECKING:\n    from .odds import b\n"
    assert list(imported(("strategies", "branch"), branch)) == [("option",)]
    inside = (
        "def f():\n    from layerdropback import Uniform\n    import layerdropback.model.order\n"
    )
    assert list(imported(("lab", "x"), inside)) == [("Uniform",), ("model", "order")]
    assert room_of(("Uniform",)) == "strategies"


def test_every_module_is_in_a_room():
    assert {room_of(module) for module, _ in modules()} - FLOOR.keys() == {"__init__"}


def test_imports_go_one_way():
    wrong = {
        pair: names
        for pair, names in arrows().items()
        if FLOOR.get(pair[0], 0) <= FLOOR.get(pair[1], len(FLOORS))
    }
    assert not wrong


def test_integrations_stand_on_the_core_alone_and_nothing_on_them():
    assert not OUTSIDE_THE_CORE & {to for room, to in arrows() if room == "integrations"}
    assert not {room for room, to in arrows() if to == "integrations"}


def test_the_lab_knows_tasks_alone():
    assert not {"training", "tasks", "cli"} & {to for room, to in arrows() if room == "lab"}


def functions(tree):
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    return [node for node in ast.walk(tree) if isinstance(node, kinds)]


def length(function):
    """Lines of a function, its docstring not counted."""
    documentation = ast.get_docstring(function, clean=False)
    lines = function.end_lineno - function.lineno + 1
    return lines - len(documentation.splitlines()) if documentation else lines


def attributes(kind):
    """What a class's own methods set on ``self``, and the fields of a dataclass."""
    own = {
        node.attr
        for node in ast.walk(kind)
        if isinstance(node, ast.Attribute)
        and isinstance(node.ctx, ast.Store)
        and isinstance(node.value, ast.Name)
        and node.value.id == "self"
    }
    return own | {ast.unparse(node.target) for node in kind.body if isinstance(node, ast.AnnAssign)}


@pytest.mark.parametrize(
    ("module", "text"), [pytest.param(*c, id=name_of(c[0])) for c in core_and_integrations()]
)
def test_files_functions_and_classes_of_the_core_are_short(module, text):
    lines = len(text.splitlines())
    assert lines <= LINES_OF_A_FILE
    tree = ast.parse(text)
    assert not {f.name: length(f) for f in functions(tree) if length(f) > LINES_OF_A_FUNCTION}
    kinds = [node for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
    assert not [k.name for k in kinds if len(attributes(k)) > ATTRIBUTES_OF_A_CLASS]


def test_every_module_of_the_core_has_a_test_file_of_its_name():
    everything = [module for module, _ in core_and_integrations()]
    own = [module for module in everything if not module[-1].startswith("__")]
    files = [TESTS.joinpath(*module[:-1], f"test_{module[-1]}.py") for module in own]
    assert [str(file.relative_to(TESTS)) for file in files if not file.exists()] == []


def test_no_test_imports_another():
    for file in TESTS.rglob("test_*.py"):
        for statement in run_imports(ast.parse(file.read_text())):
            names = [alias.name for alias in statement.names]
            names += [statement.module or ""] if isinstance(statement, ast.ImportFrom) else []
            wrong = [name for name in names if name.split(".")[-1].startswith("test_")]
            assert not wrong, file.name
