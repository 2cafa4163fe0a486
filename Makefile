# Two commands do everything on a fresh machine with Python 3.11 or newer: make demo, make test.
VENV ?= .venv
PYTHON ?= python3
BIN := $(VENV)/bin

.PHONY: demo test test-all lint clean

demo: $(VENV)/.installed
	$(BIN)/ldb compare --model resnet10t --data digits --epochs 6 --seeds 3 --out runs/demo --overwrite

test: $(VENV)/.installed
	$(BIN)/python -m pytest -q -n 2

test-all: $(VENV)/.installed
	$(BIN)/python -m pytest -q -n 2 -m ""

lint: $(VENV)/.installed
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

$(VENV)/.installed: pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[cli,dev]'
	touch $@

clean:
	rm -rf $(VENV) build dist
