# Everything a developer does here; `make` alone lists it. Works with GNU make 3.81 and any sh.

VENV ?= .venv
PYTHON ?= python3
ARGS ?=
FUZZ_SEED ?= 7

PY := $(VENV)/bin/python
PIP := $(PY) -m pip install --require-hashes --disable-pip-version-check --quiet --quiet
DATA_DIR = $(or $(OPSLEDGER_DATA_DIR),.data)
LOCK := uv pip compile --universal --python-version 3.11 --generate-hashes --no-header -q

.DEFAULT_GOAL := help
.PHONY: help run test check bench chaos fuzz lock flask clean

help: ## list the commands
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/\1|\2/p' Makefile | \
	    while IFS='|' read -r name text; do printf '  make %-7s %s\n' "$$name" "$$text"; done

run: $(VENV)/.installed-run ## start everything here until Ctrl-C (PORT=8000 OPSLEDGER_DATA_DIR=.data)
	@exec $(PY) -m app.dev --die-with-parent

test: $(VENV)/.installed-dev ## run the tests (ARGS="-k cursor" goes to pytest)
	@exec $(PY) -m pytest $(if $(ARGS),$(ARGS),-n auto --cov --cov-report=term)

check: $(VENV)/.installed-dev ## lint, types, import law, security, migrations, links in the docs
	$(PY) -m ruff check
	$(PY) -m ruff format --check
	$(PY) -m mypy app tasks
	$(VENV)/bin/lint-imports
	$(PY) -m bandit -q -c pyproject.toml -r app tasks 2>/dev/null # it counts the lines of each nosec
	$(PY) -m tests.checks

bench: $(VENV)/.installed-bench ## measure (ARGS=ingest for one benchmark)
	@exec $(PY) -m benchmarks $(ARGS)

chaos: $(VENV)/.installed-dev ## kill, freeze and cut under load, then count (ARGS="--seed 7")
	@exec $(PY) -m benchmarks.chaos $(ARGS)

fuzz: $(VENV)/.installed-dev ## hostile payloads and made-up requests by the thousand (FUZZ_SEED=7, FUZZ_S=600 for each of the two)
	@FUZZ_PAYLOADS=$(or $(FUZZ_PAYLOADS),10000) FUZZ_SEED=$(FUZZ_SEED) $(if $(FUZZ_S),FUZZ_S=$(FUZZ_S)) \
	    $(PY) -m pytest tests/integration/test_hostile.py -s $(ARGS)
	@exec $(PY) -m tests.fuzzing --seed $(FUZZ_SEED) $(if $(FUZZ_S),--seconds $(FUZZ_S))

flask: $(VENV)/.installed-run ## a command against the running stack (ARGS="tenants list")
	@if test -r "$(DATA_DIR)/env"; then set -a; . "$(abspath $(DATA_DIR))/env"; set +a; \
	elif test -z "$$DATABASE_URL"; then \
	    echo "Nothing runs here: start it by 'make run' in another shell, or set DATABASE_URL." >&2; \
	    exit 1; \
	fi; exec $(PY) -m flask --app wsgi $(ARGS)

lock: ## pin the requirements anew, with hashes (needs uv)
	@command -v uv >/dev/null || { echo "make lock needs uv on the PATH: pip install uv." >&2; exit 1; }
	$(LOCK) -o requirements.txt requirements/runtime.in
	$(LOCK) -o requirements/embedded.txt requirements/embedded.in
	$(LOCK) -o requirements/providers.txt requirements/providers.in
	$(LOCK) -o requirements/dev.txt requirements/dev.in
	$(LOCK) -o requirements/bench.txt requirements/bench.in

clean: ## remove the virtual environment and all caches (the data in .data stay)
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis .coverage*
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# What is installed is noted by empty files, so that pip runs only after a requirement changed.

$(VENV)/.installed-run: requirements.txt requirements/embedded.txt requirements/providers.txt $(VENV)/.made
	@echo "installing pinned packages (about 30 s, first time only)"
	@$(PIP) -r requirements.txt -r requirements/embedded.txt -r requirements/providers.txt
	@touch $@

$(VENV)/.installed-dev: requirements/dev.txt $(VENV)/.installed-run
	@echo "installing pinned packages for tests and checks (about 30 s, first time only)"
	@$(PIP) -r requirements/dev.txt
	@touch $@

# Without these, the benchmarks run too: what they compare with is left out, and says so.
$(VENV)/.installed-bench: requirements/bench.txt $(VENV)/.installed-dev
	@echo "installing pinned packages for the benchmarks (about 30 s, first time only)"
	@if $(PIP) -r requirements/bench.txt; then touch $@; else \
	    echo "they cannot be had here: no django-auditlog to compare with, no pictures" >&2; fi

$(VENV)/.made:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	    echo "Opsledger needs Python 3.11 or later: install it, or name one: make PYTHON=python3.12." >&2; \
	    exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { \
	    echo "$(PYTHON) has no venv module: install it (on Debian: apt install python3-venv)." >&2; \
	    exit 1; }
	@$(PY) -m pip --version >/dev/null 2>&1 || { \
	    echo "making a virtual environment in $(VENV)"; $(PYTHON) -m venv --clear "$(VENV)"; }
	@touch $@
