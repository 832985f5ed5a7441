# Each target creates .venv on first use. constraints.txt keeps torch on a release with a plain CPU build.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
ARGS ?=

# Two workers of one thread each: threads that wait for each other's core cost more than they save.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q

.PHONY: compare test test-all test-min lint format docs clean

compare: $(VENV)/.installed
	$(BIN)/geomclip compare --out runs/compare $(ARGS)

test: $(VENV)/.installed
	$(PYTEST) -n 2 $(ARGS)

test-all: $(VENV)/.installed
	$(PYTEST) -n 2 -m "slow or not slow" $(ARGS)

# The oldest releases that pyproject.toml admits, in an environment of their own.
test-min: constraints-min.txt pyproject.toml
	test -x .venv-min/bin/python || $(PYTHON) -m venv .venv-min
	.venv-min/bin/python -m pip install -q -c constraints-min.txt -e ".[test]"
	OMP_NUM_THREADS=1 .venv-min/bin/python -m pytest -q -n 2 $(ARGS)

lint: $(VENV)/.installed-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: $(VENV)/.installed-dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

docs: $(VENV)/.installed-docs
	$(BIN)/sphinx-build -W --keep-going -b html docs docs/_build/html

$(VENV)/.installed: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q -c constraints.txt -e ".[test]"
	touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	$(BIN)/python -m pip install -q -c constraints.txt -e ".[test,dev,build]"
	touch $@

$(VENV)/.installed-docs: $(VENV)/.installed
	$(BIN)/python -m pip install -q -c constraints.txt -e ".[docs]"
	touch $@

clean:
	rm -rf $(VENV) .venv-min runs docs/_build .pytest_cache .mypy_cache .ruff_cache
