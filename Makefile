# Two commands for a newcomer: `make demo` and `make test`. Both install what they need into .venv.
# Paths are relative: make cannot hold a path with a blank as a target. From another folder: make -C FOLDER.
VENV := .venv
BIN := $(VENV)/bin
PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3; do command -v $$p >/dev/null 2>&1 && $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$p; break; }; done)
UV := uv==0.13.9
LINT = $(BIN)/ruff format --check . && $(BIN)/ruff check . && $(BIN)/python -m mypy
# Python keeps what it has compiled, also where the environment says otherwise: each of the tests' processes would
# compile all tests and all of recsys again, 14 s of processor time each.
export PYTHONDONTWRITEBYTECODE :=

.DEFAULT_GOAL := help
.PHONY: help demo test test-unit test-integration test-e2e test-hosts lint bench docs types soak report pictures lock down clean

help:  ## show this list
	@grep -hE '^[a-z0-9-]+:.*## ' Makefile | sed 's/:.*## /\t/' | sort | while IFS="$$(printf '\t')" read -r name text; do printf '  make %-16s %s\n' "$$name" "$$text"; done

demo: $(VENV)/.demo  ## real purchases to served recommendations; Ctrl-C stops everything
	@exec $(BIN)/recsys demo $(DEMO_FLAGS)

# lint uses one processor: it runs beside the tests, and what it says stands at the end
test: $(VENV)/.test  ## every check: format, lint, types, and all tests on real servers
	@log=$$(mktemp) && trap 'rm -f $$log' EXIT && { ($(LINT)) >$$log 2>&1 & lint=$$!; \
	  OPENBLAS_NUM_THREADS=1 $(BIN)/python -m pytest -n 3 --dist loadfile $(TEST_FLAGS); tests=$$?; \
	  wait $$lint; lint=$$?; cat $$log; [ $$tests -eq 0 ] && [ $$lint -eq 0 ]; }

test-unit: $(VENV)/.test  ## the tests that need no server; `test-integration` and `test-e2e` run the others
	@OPENBLAS_NUM_THREADS=1 $(BIN)/python -m pytest -n 3 --dist loadfile -m unit $(TEST_FLAGS)

test-integration: $(VENV)/.test
	@OPENBLAS_NUM_THREADS=1 $(BIN)/python -m pytest -n 3 --dist loadfile -m integration $(TEST_FLAGS)

test-e2e: $(VENV)/.test
	@OPENBLAS_NUM_THREADS=1 $(BIN)/python -m pytest -n 3 --dist loadfile -m e2e $(TEST_FLAGS)

test-hosts: $(VENV)/.test  ## tests of keys, caches and streams on a Redis Cluster, and of the database behind PgBouncer and on several servers
	@TESTS_REDIS=cluster OPENBLAS_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile tests/recsys/cache tests/recsys/events \
	  tests/recsys/domains tests/recsys/write_buffer tests/recsys/privacy tests/serving/batch tests/serving/state $(TEST_FLAGS)
	@TESTS_BEHIND_PGBOUNCER=1 OPENBLAS_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile tests/recsys/jobs tests/recsys/events \
	  tests/recsys/domains tests/recsys/write_buffer tests/recsys/privacy tests/recsys/search tests/features $(TEST_FLAGS)
	@TESTS_DATABASES=several OPENBLAS_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile tests/recsys tests/features tests/serving \
	  tests/training/online tests/training/off_policy tests/training/commands tests/journeys/test_everything.py $(TEST_FLAGS)

lint: $(VENV)/.test  ## format, lint and types only
	@$(LINT)

bench: $(VENV)/.test $(VENV)/.demo  ## the benchmarks, each printing its ratio to a floor of the same run
	@for bench in $$(find tests/performance -name 'bench_*.py' | sort); do \
	  name=$$(echo $${bench%.py} | tr / .); echo "== $$name"; $(BIN)/python -m $$name || exit 1; done

docs: $(VENV)/.docs  ## the site of docs/ in var/site, built offline; a warning is an error
	@$(BIN)/python -m mkdocs build --strict
	@echo "the site: $(CURDIR)/var/site/index.html"

types: $(VENV)/.test  ## TypeScript types and the page of operations, written from the OpenAPI document
	@$(BIN)/python -m serving.api.reference

report: $(VENV)/.test $(VENV)/.demo  ## a report on real purchases in $CI_ARTIFACTS or var/artifacts, looked at in Chromium
	@$(BIN)/python -m pytest -n0 -q tests/training/report/test_real_report.py
	@echo "the report: $${CI_ARTIFACTS:-$(CURDIR)/var/artifacts}/real-report/report.html"

down: ## stop the embedded servers
	@$(BIN)/recsys down

pictures: $(VENV)/.test $(VENV)/.demo  ## the pictures of the README, of the demo that runs on this machine
	@$(BIN)/python -m tests.support.web.readme_pictures

soak: $(VENV)/.test $(VENV)/.demo  ## four minutes of mixed load with parts killed, ten at 70% of the most with a model switch each minute
	@$(BIN)/python -m tests.performance.load.soak_mix && exec $(BIN)/python -m tests.performance.load.soak $(SOAK_FLAGS)

lock: $(VENV)/bin/python  ## write the pinned requirements from pyproject.toml
	@$(BIN)/python -m pip install --quiet $(UV)
	@for kind in test demo docs image; do \
	  $(BIN)/uv pip compile pyproject.toml --extra build --extra $$kind --universal --python-version 3.11 --generate-hashes \
	    --no-emit-index-url --no-emit-find-links --no-annotate --no-header --quiet \
	    $$([ $$kind = test ] || echo --constraint requirements/test.txt) -o requirements/$$kind.txt; done

clean: ## remove the virtual environment and all run-time data
	@[ ! -x $(BIN)/recsys ] || $(BIN)/recsys down
	rm -rf $(VENV) var

$(VENV)/bin/python:
	@[ -n "$(PYTHON)" ] || { echo "recsys needs Python 3.11 or newer; install one, or say which: make PYTHON=/path/to/python3" >&2; exit 2; }
	@$(PYTHON) -m venv $(VENV) || { echo "could not make a virtual environment with $(PYTHON); on Debian and Ubuntu install the package python3-venv" >&2; rm -rf $(VENV); exit 2; }

$(VENV)/.demo $(VENV)/.docs $(VENV)/.test: $(VENV)/.%: requirements/%.txt pyproject.toml | $(VENV)/bin/python
	@echo "installing the pinned dependencies of '$*' into .venv (about 1.3 GB, for the tests 2 GB; once)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $<
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@$(BIN)/python -c 'import ctypes; ctypes.CDLL("libgomp.so.1")' 2>/dev/null || [ "$$(uname)" != Linux ] || \
	  { echo "the library libgomp.so.1 is missing, which the package implicit needs; on Debian and Ubuntu: apt-get install libgomp1" >&2; exit 1; }
	@touch $@
