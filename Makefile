# Each target sets up .venv itself on a fresh machine: Python 3.11 or newer and pip are all it needs.
PYTHON ?= python3
SIZE ?= small
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: help setup demo docs test pytest test-slow perf lint format results results-live clean

help: ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

$(READY): pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade pip
	$(BIN)/pip install --quiet --editable ".[dev]"
	@touch $@

setup: $(READY) ## create .venv with everything that demo and tests need

demo: $(READY) ## the whole loop with a real local model; SIZE=large does more
	$(BIN)/fama demo --size $(SIZE)

lint: $(READY) ## ruff, mypy --strict and the layering of imports
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# The site with its links is built strictly by a test (tests/eval/test_site.py).
test: $(READY) ## ruff, mypy, layering and pytest, side by side: what CI runs
	$(MAKE) --jobs=2 lint pytest

# Bytecode is kept, else each process compiles all modules again. One thread per process: those of two processes that
# share two cores wait for each other.
pytest: export PYTHONDONTWRITEBYTECODE =
pytest: export OMP_NUM_THREADS = 1
pytest: export OPENBLAS_NUM_THREADS = 1
pytest: $(READY) ## the tests alone, in two processes
	$(BIN)/pytest -n 2 --dist worksteal

test-slow: $(READY) ## the slow tier: long trainings, full sweeps, real models
	$(BIN)/pytest -m slow -rs

perf: $(READY) ## every timing script once, on a machine that does nothing else: an hour
	$(BIN)/python perf/tier/run.py --folder runs/perf

format: $(READY) ## let ruff fix what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(READY) ## the documentation site, links checked, into build/site
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

results: $(READY) ## every table and figure of docs/results.md and its neighbours, from the committed data
	$(BIN)/python -m eval.publish.build

results-live: $(READY) ## the experiments behind them with the real model: many hours, resumable
	PATH="$(CURDIR)/$(BIN):$$PATH" eval/publish/live.sh

clean: ## remove .venv, caches and run folders
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis runs demo build dist *.egg-info
