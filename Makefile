# make bench   set up, measure the suite, write the report
# make test    set up, lint, run the tests
# make help    everything else

SUITE  ?= suites/digits.yaml
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready

export PIP_DISABLE_PIP_VERSION_CHECK := 1
export SUITE  # the shell reads it from there: a path may hold spaces and quotes

.DEFAULT_GOAL := help
.PHONY: help setup bench report showcase test unit lint format perf clean

help: ## this list
	@grep -hE '^[a-z-]+:.*?## ' $(MAKEFILE_LIST) | awk -F ':.*?## ' '{printf "  make %-8s %s\n", $$1, $$2}'
	@echo "  SUITE=path picks a suite (now $$SUITE); ARGS=\"…\" is handed to harness run or pytest"

setup: $(READY) ## make the virtual environment and install everything, pinned

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo 'error: Python 3.11 or newer is needed; set PYTHON=python3.11'; exit 2; }
	@test -x $(BIN)/python || { echo 'setting up $(VENV) …'; $(PYTHON) -m venv $(VENV); }
	@echo 'installing (minutes the first time) …'
	@$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	@touch $@

bench: $(READY) ## measure SUITE on this machine and write its report
	@name=$$(basename -- "$$SUITE"); $(BIN)/harness run "$$SUITE" --report "reports/$${name%.*}" $(ARGS)

report: $(READY) ## write the reports of the Runs that are there, without measuring
	@$(BIN)/harness report $(ARGS)

showcase: $(READY) ## write the site of the committed Runs of the digits into reports/showcase
	@rm -rf .cache/showcase && mkdir -p .cache/showcase
	@git archive HEAD results | tar -x -C .cache/showcase
	@$(BIN)/harness report digits --results .cache/showcase/results --out reports/showcase $(ARGS)

test: lint unit ## lint, then all tests

unit: $(READY) ## all tests, without lint; a file's tests share a process, those marked `alone` have the machine
	@$(BIN)/python -m pytest -n logical --maxprocesses 4 --dist loadscope --no-loadscope-reorder $(ARGS)

lint: $(READY) ## format check, ruff, mypy --strict, who may import whom
	@$(BIN)/ruff format --check --quiet harness tests
	@$(BIN)/ruff check --quiet harness tests
	@$(BIN)/mypy --no-error-summary
	@out=$$($(BIN)/lint-imports --no-logo 2>&1) || { echo "$$out"; exit 1; }
	@echo 'lint: clean'

format: $(READY) ## format the code
	@$(BIN)/ruff format --quiet harness tests
	@$(BIN)/ruff check --quiet --fix harness tests

perf: $(READY) ## time the harness itself (pytest-benchmark)
	@$(BIN)/python -m pytest tests/perf --benchmark-enable --benchmark-only --benchmark-columns=min,median,max,rounds $(ARGS)

clean: ## remove caches and generated reports; Runs and the environment stay
	rm -rf .cache .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .benchmarks build dist
	find reports -mindepth 1 -maxdepth 1 ! -name showcase ! -name .gitkeep -exec rm -rf {} +
	find . -name __pycache__ -not -path './.venv/*' -exec rm -rf {} +
