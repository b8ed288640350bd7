# Every target works on a fresh machine that has Python 3.11 or newer.

PYTHON ?= $(shell for name in python3.11 python3.12 python3.13 python3.14 python3 python; do \
	command -v $$name >/dev/null 2>&1 && $$name -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
	&& echo $$name && break; done)
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes
LOCK := $(BIN)/uv pip compile --quiet --python-version 3.11 --universal --generate-hashes \
	--no-emit-index-url --no-emit-find-links --custom-compile-command 'make lock'
PYTEST_OPTIONS ?= -n 3 --dist loadfile

.PHONY: run test check services bench lock native test-native
.DELETE_ON_ERROR:

run: .venv/base.stamp
	@exec $(BIN)/python scripts/run.py

# Where PYTHONDEVMODE asks for more checks, those of memory in C are left out: no C here is ours.
# The byte code of the tests is kept in any case: each worker would make it anew, for seconds.
test: .venv/test.stamp
	PYTHONMALLOC=$${PYTHONMALLOC:-default} PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest $(PYTEST_OPTIONS)

check: .venv/dev.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy .
	$(BIN)/lint-imports
	ENVIRONMENT=dev ENV_FILE=/dev/null $(BIN)/python manage.py check
	ENVIRONMENT=dev ENV_FILE=/dev/null $(BIN)/python manage.py makemigrations --check --dry-run
	$(BIN)/djlint --lint --quiet templates

services:
	@bash scripts/services.sh

# The data plane as machine code, and the fast path: a C compiler, and Rust for the second, which nothing else needs.
native: .venv/native.stamp
	$(BIN)/python scripts/compile.py
	$(BIN)/python scripts/fastpath.py

test-native: native
	COMPILED_DATA_PLANE=required $(MAKE) test

bench: .venv/bench.stamp
	$(BIN)/python -m benchmarks $(BENCH_OPTIONS)

lock: .venv/dev.stamp
	for name in base production mysql test dev bench native; do \
		$(LOCK) requirements/$$name.in -o requirements/$$name.txt || exit 1; done

.venv/bin/python:
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed, and none was found"; exit 1; }
	$(PYTHON) -m venv .venv

# Each list holds all of the one before it, so installing the larger also marks the smaller.
.venv/base.stamp: requirements/base.txt | .venv/bin/python
	$(PIP) -r $<
	@touch $@

.venv/test.stamp: requirements/test.txt | .venv/bin/python
	$(PIP) -r $<
	@touch .venv/base.stamp $@

.venv/dev.stamp: requirements/dev.txt | .venv/bin/python
	$(PIP) -r $<
	@touch .venv/base.stamp .venv/test.stamp $@

.venv/bench.stamp: requirements/bench.txt | .venv/bin/python
	$(PIP) -r $<
	@touch .venv/base.stamp $@

.venv/native.stamp: requirements/native.txt | .venv/bin/python
	$(PIP) -r $<
	@touch .venv/base.stamp $@
