# Needed beforehand: Python 3.11 or newer with venv, and the registries of PyPI and npm.
# As root on Debian, `make test` also installs Chromium for the console's tests, nginx for the gates', pgbouncer, strace and
# faketime for the faults, and the benches install wrk.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
UV_VERSION := 0.13.9
SOURCES := server.py settings.py bench cli core models resolvers schema tests web
TYPED := $(SOURCES) clients/verifier supply

export UV_COMPILE_BYTECODE := 1
export UV_PROJECT_ENVIRONMENT := $(CURDIR)/$(VENV)

.PHONY: install serve test soak bench bench-quick lint schema console client audit audited sbom debian debian-bench
.DEFAULT_GOAL := install

install: $(BIN)/latchkey console

$(BIN)/uv:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)

$(VENV)/.synced: pyproject.toml uv.lock | $(BIN)/uv
	$(BIN)/uv sync --frozen --quiet
	touch $@

$(BIN)/latchkey: $(VENV)/.synced
	printf '#!/bin/sh\nexec "%s" "%s" "$$@"\n' '$(CURDIR)/$(BIN)/python' '$(CURDIR)/server.py' > $@
	chmod +x $@
	$(BIN)/python -m compileall -q $(SOURCES)

console: $(VENV)/.synced
	$(BIN)/python console/build

serve: install
	$(BIN)/latchkey serve

lint: $(VENV)/.synced
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy $(TYPED)
	$(BIN)/lint-imports

# The Python client is a project of its own. tests/clients runs this.
client: export UV_PROJECT_ENVIRONMENT := $(CURDIR)/clients/python/.venv
client: export UV_COMPILE_BYTECODE := 0
client: $(VENV)/.synced
	$(BIN)/uv sync --project clients/python --python $(BIN)/python --frozen --quiet
	cd clients/python && .venv/bin/mypy . && .venv/bin/pytest

# What is known to be vulnerable; `make test` does the same, and only says so where no registry tells: docs/supply.md.
audit: $(VENV)/.synced
	$(BIN)/python -m supply.audit

# Bills of what is delivered.
sbom: $(VENV)/.synced
	$(BIN)/python -m supply.bill sbom

# What failed runs once more by itself, where nothing else takes its time: what is broken fails again.
test:
	$(MAKE) --jobs=3 install debian lint audited
	$(BIN)/pytest -n 4 --dist loadfile --no-loadscope-reorder -m "not soak" || \
	  { [ $$? = 1 ] && $(BIN)/pytest --last-failed --last-failed-no-failures none; }

audited: $(VENV)/.synced
	$(BIN)/python -m supply.audit --offline-is-fine

soak: install debian
	LATCHKEY_TEST_EFFORT=10 $(BIN)/pytest -n 2 --dist loadfile
	$(BIN)/python -m tests.faults.figures

bench-quick: install debian-bench
	$(BIN)/python -m bench.quick

bench: install debian-bench
	$(BIN)/uv sync --frozen --quiet --group bench
	$(BIN)/python -m bench

schema: $(VENV)/.synced
	$(BIN)/python -m schema.print

# Programs of Debian's, installed where they are missing and may be.
debian: PROGRAMS := chromium faketime nginx pgbouncer strace
debian-bench: PROGRAMS := wrk
debian debian-bench:
	@missing=$$(for each in $(PROGRAMS); do command -v $$each > /dev/null || echo $$each; done); \
	  [ -z "$$missing" ] || { [ "$$(id -u)" = 0 ] && command -v apt-get > /dev/null; } || \
	  { echo please install first: $$missing; exit 1; }; \
	  [ -z "$$missing" ] || \
	  { apt-get update --quiet=2 && apt-get install --quiet=2 --yes --no-install-recommends $$missing; }
