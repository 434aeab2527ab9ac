# Each target does its whole set-up itself and can be run twice. `make help` lists them.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

# The first Python that is new enough; `make PYTHON=/path/to/python3` takes another.
PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
# Options for pytest, or the soak: make test ARGS='-k ranges -x'
ARGS ?=

# PyTorch is 5 GB on disk, CUDA's libraries with it, so only tests of torchrun need it, in an environment of its own.
TORCH := .venv-torch/.installed
# Other loggers, to compare with; what they need must not decide what we install.
PEERS := .venv-peers/.installed

BIN := .venv/bin
MEMBERS := schemas producer consumer analytics cli
SOURCES := $(MEMBERS:%=%/src) tests bench examples
INSTALLED := .venv/.installed

.PHONY: help demo demo-kafka test test-docker lint soak bench bench-peers kafka torch constraints clean

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | column -t -s "$$(printf '\t')"

demo: $(INSTALLED) ## train for real, collect, report: no server, no Docker, no Java
	@$(BIN)/trailhouse demo

demo-kafka: $(INSTALLED) ## the same over a real broker and schema registry
	@$(BIN)/trailhouse demo --kafka

test: $(INSTALLED) ## run all tests; with a real broker and registry where Java or Docker is there
	@$(BIN)/python -m trailhouse_cli.servers fetch
	@# Hundreds of processes import the same modules: where the environment forbids bytecode, each would compile them anew.
	@PYTHONDONTWRITEBYTECODE= $(BIN)/pytest --numprocesses auto --dist worksteal $(ARGS)

test-docker: $(INSTALLED) ## start both compose files, kill parts of them, count: takes Docker with compose, and minutes
	@DOCKER_TESTS=1 PYTHONDONTWRITEBYTECODE= $(BIN)/pytest tests/in_docker $(ARGS)

lint: $(INSTALLED) ## check style, types and the arrows between the members
	@echo "ruff check" && $(BIN)/ruff check .
	@echo "ruff format --check" && $(BIN)/ruff format --check .
	@echo "mypy" && $(BIN)/mypy $(wildcard $(SOURCES))
	@echo "import-linter" && $(BIN)/lint-imports

soak: $(INSTALLED) ## kill collectors, broker and warehouse (or ranks: ARGS=--producers) at random, then count
	@$(BIN)/python -m trailhouse_cli.servers fetch
	@PYTHONPATH=tests $(BIN)/python -m soak $(ARGS)

bench: $(INSTALLED) ## measure; the last line is one JSON object
	@$(BIN)/python bench/run.py

bench-peers: $(INSTALLED) $(PEERS) ## compare run.log with other loggers, installed into .venv-peers
	@.venv-peers/bin/python bench/peers/run.py $(ARGS)

kafka: $(INSTALLED) ## run a broker and a schema registry until Ctrl-C
	@$(BIN)/python -m trailhouse_cli.servers run

torch: $(TORCH) ## install PyTorch (5 GB) into .venv-torch, for the tests of torchrun

constraints: $(BIN)/uv ## choose the versions anew, after a change of dependencies
	@$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --no-header --no-annotate --no-emit-index-url \
		$(CHOOSE) --output-file constraints.txt requirements-dev.txt
	@sed -i.old -e '/^-e /d' -e 's/^\([A-Za-z0-9._-]*\)\[[^]]*\]/\1/' constraints.txt && rm constraints.txt.old

clean: ## remove what the targets have made
	@rm -rf .venv .venv-torch .venv-peers .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis demo-output
	@find $(MEMBERS) tests -name __pycache__ -type d -prune -exec rm -rf {} +

$(INSTALLED): requirements-dev.txt constraints.txt $(MEMBERS:%=%/pyproject.toml) | $(BIN)/uv
	@echo "Installing Trailhouse and its tools into .venv"
	@VIRTUAL_ENV=.venv $(BIN)/uv pip install --python $(BIN)/python -r requirements-dev.txt -c constraints.txt
	@touch $@

$(TORCH): schemas/pyproject.toml producer/pyproject.toml | $(BIN)/uv
	@echo "Installing PyTorch and the producer into .venv-torch"
	@$(BIN)/uv venv --quiet --allow-existing --python $(BIN)/python .venv-torch
	@VIRTUAL_ENV=.venv-torch $(BIN)/uv pip install --compile-bytecode --python .venv-torch/bin/python \
		'torch>=2.6' -e ./schemas -e ./producer -c constraints.txt
	@touch $@

$(PEERS): bench/peers/requirements.txt producer/pyproject.toml schemas/pyproject.toml | $(INSTALLED)
	@echo "Installing other loggers into .venv-peers"
	@$(BIN)/uv venv --quiet --allow-existing --python $(BIN)/python .venv-peers
	@VIRTUAL_ENV=.venv-peers $(BIN)/uv pip install --compile-bytecode --python .venv-peers/bin/python \
		-r bench/peers/requirements.txt -e ./schemas -e ./producer
	@touch $@

$(BIN)/uv: | $(BIN)/python
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt uv

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is missing: install it, or name it: make PYTHON=/path/to/python3" >&2; exit 2; }
	@echo "Making .venv with $$($(PYTHON) --version)"
	@$(PYTHON) -m venv .venv >/dev/null || { rm -rf .venv; \
		echo "$(PYTHON) cannot make a virtual environment: install its venv module (Debian: apt install python3-venv)" >&2; exit 2; }
