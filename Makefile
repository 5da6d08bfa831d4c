# Two commands that do all their own set-up:
#   make demo   analyse the example clip: report on the terminal, page and JSON in demo/
#   make test   the whole quality gate: ruff, mypy, pytest
# What is done stays done: a second run starts at once. `make clean` removes it.
#
# Overridable: PYTHON (3.11 or later), VENV, CLIP, and TORCH, which is what pip is asked to install.
# On Linux pip may choose a build of PyTorch with CUDA (several GB); the small one comes with the CPU
# index that PyTorch's "Get started" page names:
#   make demo TORCH="torch==2.13.0 --index-url ADDRESS"

PYTHON ?= python3
VENV ?= .venv
TORCH ?= torch==2.13.0
CLIP ?= examples/surprise-and-joy.mp4
BIN := $(VENV)/bin
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check

.PHONY: demo test clean

demo: $(VENV)/installed
	$(BIN)/openaffect analyze $(CLIP) --out demo --html
	@echo "The page with the timeline: demo/$(basename $(notdir $(CLIP))).html"

test: $(VENV)/installed-for-tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy src/openaffect
	$(BIN)/python -m pytest

$(VENV)/installed: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "openaffect needs Python 3.11 or later; name one: make PYTHON=python3.12" >&2; exit 2; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing PyTorch and openaffect into $(VENV), once; this takes a few minutes."
	$(INSTALL) $(TORCH)
	$(INSTALL) --editable .
	@touch $@

$(VENV)/installed-for-tests: $(VENV)/installed
	@echo "Installing what the tests need into $(VENV), once."
	$(INSTALL) --editable '.[dev]'
	@touch $@

clean:
	rm -rf $(VENV) demo
