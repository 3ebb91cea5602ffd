# The two commands of the README. Everything else is `mlflow run` and pytest.
PYTHON ?= python3
BIN := .venv/bin

quickstart: .venv/run
	PATH="$(CURDIR)/$(BIN):$$PATH" mlflow run . -e quickstart

test: .venv/test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/pyright --pythonpath $(BIN)/python
	$(BIN)/python -m pytest -n 2 --cov -m "not long"

test-all: .venv/test
	$(BIN)/python -m pytest -n 2

.venv/run: setup.cfg constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install -q -c constraints.txt -e .
	touch $@

.venv/test: .venv/run
	$(BIN)/pip install -q -c constraints.txt -e ".[test]"
	touch $@

.PHONY: quickstart test test-all
