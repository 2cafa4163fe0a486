"""Frameworks that are there, that are not, and that are broken."""

import sys

import pytest

from layerdropback.integrations.optional import framework


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Where a test writes packages that can be imported."""
    monkeypatch.syspath_prepend(tmp_path)
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        del sys.modules[name]


def write(folder, name, text=""):
    (folder / name).mkdir()
    (folder / name / "__init__.py").write_text(text)


def test_the_first_that_is_installed_is_taken(folder):
    write(folder, "ldb_second")
    write(folder, "ldb_third")
    found = framework("ldb_first", "ldb_second", "ldb_third", extra="x")
    assert found.__name__ == "ldb_second"
    assert "ldb_third" not in sys.modules


def test_a_module_inside_a_package_may_be_named(folder):
    write(folder, "ldb_second")
    (folder / "ldb_second" / "inner.py").touch()
    assert framework("ldb_first.inner", "ldb_second.inner", extra="x").__name__.endswith(".inner")


def test_without_any_the_error_names_the_extra():
    with pytest.raises(ModuleNotFoundError) as error:
        framework("ldb_first.inner", "ldb_first.other", "ldb_second", extra="lightning")
    assert str(error.value) == (
        "this callback needs the package ldb_first or ldb_second. Cause: the extra 'lightning' is "
        "not installed. Cure: pip install 'layerdropback[lightning]'."
    )


def test_what_the_framework_itself_misses_is_its_own_error(folder):
    write(folder, "ldb_broken", "import ldb_needed")
    write(folder, "ldb_second")
    with pytest.raises(ModuleNotFoundError, match="No module named 'ldb_needed'"):
        framework("ldb_broken", "ldb_second", extra="x")


def test_other_errors_of_the_framework_are_its_own(folder):
    write(folder, "ldb_broken", "raise ImportError('too old a torch')")
    with pytest.raises(ImportError, match="too old a torch"):
        framework("ldb_broken", extra="x")
