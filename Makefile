# make demo: the main job, shown in a throwaway copy of this machine's network
# make test: every check and every test
# make unit: the tests that need neither root nor a kernel, in seconds
# make test-lowest: the unit tests and some live ones with exactly the lower bounds of pyproject.toml
# make bench, bench-full: how fast it is, beside the floor, ip and nft

SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Many tests wait for the kernel: three of them keep two cores busy.
WORKERS := $(shell echo $$(($$(nproc) * 3 / 2)))
export PYTHON

.PHONY: demo test test-lowest unit check format venv bench bench-full setup setup-test clean

demo: $(VENV)/.run
	@demo/demo.sh

test: check
	@status=0; $(BIN)/coverage erase; \
	$(BIN)/coverage run -m pytest --numprocesses $(WORKERS) --dist worksteal </dev/null || status=$$?; \
	$(BIN)/coverage combine -q && $(BIN)/coverage report; \
	exit $$status

check: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy --strict
	$(BIN)/lint-imports

unit: $(VENV)/.dev
	$(BIN)/pytest --numprocesses auto --hypothesis-profile quick tests/unit

LOWEST := $(VENV)/lowest
test-lowest: $(LOWEST)/.made
	$(LOWEST)/bin/pytest --numprocesses auto tests/unit tests/live/test_reader.py tests/live/test_writer.py
	$(LOWEST)/bin/pytest --numprocesses auto tests/live/test_situations.py

$(LOWEST)/.made: pyproject.toml scripts/lowest.py | setup-test
	rm -rf $(LOWEST) # another version may be installed there
	$(PYTHON) -m venv $(LOWEST)
	$(LOWEST)/bin/python scripts/lowest.py >$(LOWEST)/constraints.txt
	$(LOWEST)/bin/python -m pip --disable-pip-version-check --quiet install --editable '.[dev]' --constraint $(LOWEST)/constraints.txt
	@touch $@

format: $(VENV)/.dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

venv: $(VENV)/.dev

# Measured is what users install: an editable install starts 30 ms later.
bench: $(VENV)/.bench
	$(VENV)/bench/bin/python bench/scale.py --json bench/results.json
	$(VENV)/bench/bin/python bench/ports.py

bench-full: $(VENV)/.bench
	$(VENV)/bench/bin/python bench/scale.py --full --json bench/results.json --docs docs

$(VENV)/.bench: pyproject.toml $(shell find reconciler schemas -name '*.py' -o -name '*.json') | setup-test
	$(PYTHON) -m venv $(VENV)/bench
	$(VENV)/bench/bin/python -m pip --disable-pip-version-check --quiet install --force-reinstall .
	@touch $@

setup:
	@scripts/setup.sh run

setup-test:
	@scripts/setup.sh test

# .run holds what the program needs, .dev the tools as well; the stamps make a second run quick.
$(VENV)/.run: pyproject.toml | setup
	@scripts/install.sh $(VENV) .
	@touch $@

$(VENV)/.dev: pyproject.toml | setup-test
	@scripts/install.sh $(VENV) '.[dev]'
	@touch $(VENV)/.run $@

clean:
	rm -rf $(VENV) build dist *.egg-info .coverage .coverage.* .mypy_cache .ruff_cache .pytest_cache
