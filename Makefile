# Two commands do everything on a fresh machine with Python 3.11 or newer: make demo, make test.
VENV ?= .venv
PYTHON ?= python3
BIN := $(VENV)/bin

# The oldest torch and the oldest frameworks that pyproject.toml allows, and the tests of what needs
# no command line.
OLDEST := .venv-oldest
OLDEST_TORCH := torch==2.6.0 torchvision==0.21.0
OLDEST_NEEDS := numpy networkx timm scikit-learn scipy hypothesis pytest pytest-xdist datasets \
	transformers==4.51.3 accelerate==1.6.0 peft==0.14.0 lightning==2.5.6 pytorch_lightning==2.5.6
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

.PHONY: demo test test-all test-oldest networks kills lint docs clean

demo: $(VENV)/.installed
	mkdir -p runs
	@echo "A small ResNet learns the digits 0 to 3: the weights that fine-tuning starts from."
	$(BIN)/ldb train --config $(DEMO) --data digits:0123 --epochs 6 --drop-rate 0 --out runs/demo-weights --overwrite > runs/demo-weights.log
	$(BIN)/ldb compare --config $(DEMO) --data digits:456789 --init runs/demo-weights/weights.safetensors --epochs 3 --seeds 10 --margin 1 $(TUNED) --out runs/demo --overwrite

test: $(VENV)/.installed
	$(BIN)/python -m pytest -q -n 2 --dist loadfile

test-all: $(VENV)/.installed-docs test-oldest
	$(BIN)/python -m pytest -q -n 2 --dist loadfile -m "not alone"
	$(BIN)/python -m pytest -q -m alone

test-oldest: $(OLDEST)/.installed
	$(OLDEST)/bin/python -m pytest -q -n 2 --dist loadfile -m "not alone" $(OLDEST_TESTS)

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

$(VENV)/.installed: pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[cli,dev]'
	touch $@

$(VENV)/.installed-docs: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[docs]'
	touch $@

$(OLDEST)/.installed: pyproject.toml
	$(PYTHON) -m venv $(OLDEST)
	$(OLDEST)/bin/python -m pip install --quiet --disable-pip-version-check $(OLDEST_TORCH) $(OLDEST_NEEDS)
	$(OLDEST)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps -e .
	touch $@

clean:
	rm -rf $(VENV) $(OLDEST) build dist
