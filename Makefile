# `make demo` and `make test` make .venv from nothing; a second call installs nothing and needs no network. Of pip only
# errors are shown: its remarks on the machine's own settings would stand above the result.
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --quiet --disable-pip-version-check --constraint constraints.txt

.PHONY: demo test lint format docs clean

demo: .venv/.run
	@PATH="$(CURDIR)/$(BIN):$$PATH" examples/demo.sh build/demo

test: lint
	$(BIN)/python -m pytest --numprocesses=auto --dist=worksteal --quiet

lint: .venv/.dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/pyright
	$(BIN)/lint-imports

format: .venv/.dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/python scripts/code_links.py
	$(BIN)/python scripts/reference.py

docs: .venv/.docs
	$(BIN)/python scripts/code_links.py --check
	$(BIN)/python scripts/reference.py --check
	$(BIN)/zensical build --clean --strict

clean:
	rm -rf .venv build dist site

# What the demonstration needs: the package, and what draws attention. PyTorch comes first and alone, so that its large download is not repeated when
# something after it fails. A stamp is written only after everything before it succeeded.
.venv/.run: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "error: $(PYTHON) is older than 3.11; try make PYTHON=python3.11" >&2; exit 1; }
	@echo "Installing PyTorch and this package into .venv, once; this takes minutes."
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@$(PIP) setuptools torch
	@$(PIP) --no-build-isolation --editable '.[explain]'
	@touch $@

.venv/.dev: .venv/.run
	@$(PIP) --no-build-isolation --editable '.[dev]'
	@touch $@

.venv/.docs: .venv/.run
	@$(PIP) --no-build-isolation --editable '.[docs]'
	@touch $@
