"""How many wrong inputs there are: ``pytest tests/reliability/bad_input -q`` runs them all."""

import ast
from pathlib import Path


def rows_of(file):
    """Entries of a file's own tables, dictionaries called ROWS or ..._ROWS."""
    tables = [
        statement.value.right if isinstance(statement.value, ast.BinOp) else statement.value
        for statement in ast.parse(file.read_text()).body
        if isinstance(statement, ast.Assign) and statement.targets[0].id.endswith("ROWS")
    ]
    return sum(len(table.keys) for table in tables)


def test_there_are_more_than_two_hundred_rows():
    counts = {file.name: rows_of(file) for file in Path(__file__).parent.glob("test_*.py")}
    assert sum(counts.values()) >= 200, counts
