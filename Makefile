# Gatehouse's two commands are `make serve` and `make test`; `make help` lists the rest.
# They need Python 3.11 or newer and make, and nothing else: no root, no service running.

PYTHON ?= python3
ARGS ?=
SHELL := /bin/sh
BIN := .venv/bin
PIP := $(BIN)/python -m pip -qq --disable-pip-version-check --no-input
COMPILE := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate --no-header

# What a user's shell may hold and would bend an environment of our own. Where packages come from (an index, a
# proxy, a certificate) is left as the user set it. Without compiled files each process of the tests would compile
# all of us anew.
unexport PYTHONDONTWRITEBYTECODE
unexport PYTHONPATH PYTHONHOME PYTHONSTARTUP PIP_TARGET PIP_PREFIX PIP_ROOT PIP_CONSTRAINT PIP_REQUIREMENT PIP_EDITABLE
export PIP_USER := 0
export PIP_REQUIRE_VIRTUALENV := 0

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL:
.PHONY: help serve demo test check docs lock fix clean

help:  ## List what make can do here
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))
	@echo "  ARGS='…' is handed on to serve, demo and test; PYTHON=… chooses the interpreter."

serve: .venv/.main  ## Set everything up and serve on http://127.0.0.1:6458
	@$(BIN)/gatehouse serve $(ARGS)

demo: .venv/.main  ## Play one upload from the sender to the verifying client, in a temporary home
	@$(BIN)/gatehouse demo $(ARGS)

# A process for each processor; the last `-n` counts, so ARGS="-n 0" runs them in one.
test: .venv/.dev  ## Run the tests
	@$(BIN)/python -m pytest -n logical --maxprocesses 8 --dist loadfile --no-loadscope-reorder $(ARGS)

check: .venv/.dev  ## Lint, types, import contracts, licences, documents; no tests
	@$(BIN)/python -m tools.check

docs: .venv/.dev  ## Write docs/reference/ anew from the code
	@$(BIN)/python -m tools.docs

fix: .venv/.dev  ## Let ruff mend and format what it can
	@$(BIN)/ruff check --quiet --fix-only .
	@$(BIN)/ruff format --quiet .

lock: .venv/.dev  ## Lock the requirements anew, with hashes and without addresses
	@$(COMPILE) --output-file requirements/main.txt pyproject.toml requirements/build.in
	@$(COMPILE) --output-file requirements/dev.txt --extra dev --constraint requirements/main.txt \
	    pyproject.toml requirements/build.in

clean:  ## Remove what was made here; gatehouse-data (keys, uploads) stays
	@rm -rf .venv dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	@find src tests tools bench -name __pycache__ -type d -prune -exec rm -rf {} +

# The environment. Each stamp is touched last, so whatever is interrupted is done again.
.venv/pyvenv.cfg:
	@command -v $(PYTHON) >/dev/null 2>&1 || \
	    { echo "There is no '$(PYTHON)' here: install Python 3.11 or newer, or name one with PYTHON=…" >&2; exit 2; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	    { echo "Gatehouse needs Python 3.11 or newer, and '$(PYTHON)' is $$($(PYTHON) -V 2>&1): name another with PYTHON=…" >&2; exit 2; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
	    { echo "'$(PYTHON)' lacks its venv module: install it (Debian, Ubuntu: the package python3-venv), or name another Python with PYTHON=…" >&2; exit 2; }
	@echo "Making .venv with $$($(PYTHON) -V 2>&1)."
	@$(PYTHON) -m venv --clear .venv

.venv/.main: .venv/pyvenv.cfg requirements/main.txt pyproject.toml
	@echo "Installing what Gatehouse runs on (requirements/main.txt)."
	@$(PIP) install --require-hashes --requirement requirements/main.txt
	@$(PIP) install --no-index --no-deps --no-build-isolation --editable .
	@touch $@

.venv/.dev: .venv/.main requirements/dev.txt
	@echo "Installing what its tests and checks need (requirements/dev.txt)."
	@$(PIP) install --require-hashes --requirement requirements/dev.txt
	@touch $@
