# Two commands do everything on a fresh machine with Python 3.11 or newer: make demo, make test.
VENV ?= .venv
PYTHON ?= python3
BIN := $(VENV)/bin

# The oldest of everything that pyproject.toml allows, and the tests that are run with it. What it
# says of packages that it needs, and that are newer than itself, is no fault of ours.
OLDEST := .venv-oldest
OLD_WARNINGS := -W ignore::DeprecationWarning
OLDEST_TESTS := tests/contracts tests/engine tests/integrations tests/interop tests/model tests/parity \
	tests/strategies tests/distributed/test_agreement.py tests/distributed/test_comm_hook.py \
	tests/distributed/test_ddp.py tests/distributed/test_sync_watch.py tests/lab/test_cost.py \
	tests/lab/test_branches.py tests/lab/test_branches_leave_no_trace.py \
	tests/lab/test_calling.py tests/lab/test_corrections.py tests/lab/memory \
	tests/test_controller.py tests/test_epoch.py tests/test_option.py \
	tests/test_presets.py tests/test_schedule.py tests/test_settings.py tests/test_state.py \
	tests/test_summary.py tests/test_errors.py

# What all runs of the demo share. Of 861 training images 600 are trained on, so that learning rates
# are tuned on others, which costs none of them.
DEMO := examples/digits-finetune.yaml
TUNED := --limit-train 600 --lr-grid 0.0005,0.001,0.002,0.004

# How many `make networks` and `make kills` make, with seeds from SEED on.
SEED := 0
networks: COUNT ?= 10000
kills: COUNT ?= 1000

# What makes and checks a release; the last is the environment that it is tried in.
TOOLS := .venv-release
TRIED := .venv-dist

.PHONY: demo test test-all test-oldest coverage networks kills lint docs commands dist check-dist audit clean

demo: $(VENV)/.installed
	mkdir -p runs
	@echo "A small ResNet learns the digits 0 to 3: the weights that fine-tuning starts from."
	$(BIN)/ldb train --config $(DEMO) --data digits:0123 --epochs 6 --drop-rate 0 --out runs/demo-weights --overwrite > runs/demo-weights.log
	$(BIN)/ldb compare --config $(DEMO) --data digits:456789 --init runs/demo-weights/weights.safetensors --epochs 3 --seeds 10 --margin 1 $(TUNED) --out runs/demo --overwrite

test: $(VENV)/.installed
	$(BIN)/python -m pytest -q -n 2

test-all: $(VENV)/.installed-docs test-oldest
	$(BIN)/python -m pytest -q -n 2 --hypothesis-profile=default -m "not alone"
	$(BIN)/python -m pytest -q -m alone

test-oldest: $(OLDEST)/.installed
	$(OLDEST)/bin/python -m pytest -q -n 2 -m "not alone" $(OLD_WARNINGS) $(OLDEST_TESTS)

# Lines of src that the tests of `make test` run, those that they miss by file; at least 95 %. What
# counts the modules that ldb imports is left out: counting lines imports more.
coverage: $(VENV)/.installed
	$(BIN)/python -m pytest -q -n 2 --cov --cov-report=term --deselect tests/cli/test_start_up.py

networks: $(VENV)/.installed
	$(BIN)/python tests/support/many_networks.py --count $(COUNT) --seed $(SEED)

# Runs of every kind, killed at any moment and resumed.
kills: $(VENV)/.installed
	$(BIN)/python tests/support/many_kills.py --count $(COUNT) --seed $(SEED)

lint: $(VENV)/.installed
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -q tests/test_house.py

# The site of the docs, in build/site: nothing in it comes from a network.
docs: $(VENV)/.installed-docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict

# The lines of README and docs, in order, in a fresh clone of what is committed.
commands: $(VENV)/.installed
	$(BIN)/python tests/support/run_lines.py

dist: $(TOOLS)/.installed
	rm -rf dist
	$(TOOLS)/bin/python -m build --quiet
	$(TOOLS)/bin/python -m twine check --strict dist/*
	$(PYTHON) tests/support/contents.py dist

# The wheel in an environment of its own (6 GB): first alone, then with the command line.
check-dist: dist
	rm -rf $(TRIED)
	$(PYTHON) -m venv $(TRIED)
	$(TRIED)/bin/python -m pip install --quiet --disable-pip-version-check dist/*.whl
	$(TRIED)/bin/python -I tests/support/smoke.py core
	$(TRIED)/bin/python -m pip install --quiet --disable-pip-version-check "$$(ls dist/*.whl)[cli]" mypy
	$(TRIED)/bin/python -I tests/support/smoke.py cli types

# Known vulnerabilities of what is installed; it asks the package registry.
audit: $(VENV)/.installed $(TOOLS)/.installed
	$(TOOLS)/bin/python tests/support/audit.py $$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')

$(VENV)/.installed: pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[cli,dev]'
	touch $@

$(VENV)/.installed-docs: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[docs]'
	touch $@

# What pyproject.toml names in its oldest version, what that needs in its newest.
$(OLDEST)/.installed: pyproject.toml | $(TOOLS)/.installed
	$(PYTHON) -m venv $(OLDEST)
	$(TOOLS)/bin/python -m uv pip compile --quiet --resolution lowest-direct --all-extras --python $(OLDEST)/bin/python --output-file $(OLDEST)/lowest.txt pyproject.toml
	$(OLDEST)/bin/python -m pip install --quiet --disable-pip-version-check -r $(OLDEST)/lowest.txt
	$(OLDEST)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps -e .
	touch $@

$(TOOLS)/.installed:
	$(PYTHON) -m venv $(TOOLS)
	$(TOOLS)/bin/python -m pip install --quiet --disable-pip-version-check build twine uv pip-audit
	touch $@

clean:
	rm -rf $(VENV) $(OLDEST) $(TOOLS) $(TRIED) build dist
