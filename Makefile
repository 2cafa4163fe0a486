# Two commands do everything on a fresh machine with Python 3.11 or newer: make demo, make test.
VENV ?= .venv
PYTHON ?= python3
BIN := $(VENV)/bin

# The oldest torch that pyproject.toml allows, and the tests of what needs no command line.
OLDEST := .venv-oldest
OLDEST_TORCH := torch==2.6.0 torchvision==0.21.0
OLDEST_NEEDS := numpy networkx timm scikit-learn scipy hypothesis pytest pytest-xdist
OLDEST_TESTS := adaptive batching branch checkpointing checks compile controller cost epoch \
	hard_cases layers order sampling schedule state tied truncate verification

.PHONY: demo test test-all test-oldest lint clean

demo: $(VENV)/.installed
	$(BIN)/ldb compare --model resnet10t --data digits --epochs 6 --seeds 3 --out runs/demo --overwrite

test: $(VENV)/.installed
	$(BIN)/python -m pytest -q -n 2

test-all: $(VENV)/.installed test-oldest
	$(BIN)/python -m pytest -q -n 2 -m "not alone"
	$(BIN)/python -m pytest -q -m alone

test-oldest: $(OLDEST)/.installed
	$(OLDEST)/bin/python -m pytest -q -n 2 -m "" $(OLDEST_TESTS:%=tests/test_%.py)

lint: $(VENV)/.installed
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

$(VENV)/.installed: pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[cli,dev]'
	touch $@

$(OLDEST)/.installed: pyproject.toml
	$(PYTHON) -m venv $(OLDEST)
	$(OLDEST)/bin/python -m pip install --quiet --disable-pip-version-check $(OLDEST_TORCH) $(OLDEST_NEEDS)
	$(OLDEST)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps -e .
	touch $@

clean:
	rm -rf $(VENV) $(OLDEST) build dist
