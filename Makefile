# `make demo` and `make test` each work as the first command on a machine with Python 3.11+, pip and make.

PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
VENV := .venv
RUN := $(VENV)/bin/python
PIP := $(PYTHON) -m pip --python $(RUN) --disable-pip-version-check --quiet
SOURCES := PYTHONPATH=generated:.
# What `make test` runs. What it leaves out needs tools of the developer, or takes its time.
QUICK := not regen and not peers and not browser and not kill and not slow and not scale
# Who has nothing left to do takes over from the others: some tests take a minute.
ALL_CORES := -n auto --dist worksteal
# Programs that tests start, again and again, do not compile everything anew.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help demo test test-scale scale-run random-run reconcile-run check check-rest rules lint types layers regen follow drift regen-check lint-contract bench lock locks-check newest lowest docs clean

help: ## show this
	@grep -hE '^[a-z -]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

demo: $(VENV)/run.stamp ## make pictures without a key and without a network
	@$(SOURCES) $(RUN) tools/demo.py

test: $(VENV)/test.stamp ## run the tests
	@$(RUN) -m pytest -q $(ALL_CORES) -m "$(QUICK)" $(if $(MEASURE),--cov --cov-report=)

COVERED := --cov --cov-report=term-missing:skip-covered --cov-fail-under=95

check: rules ## everything that has to hold before a change lands
	@$(RUN) -m pytest $(ALL_CORES) -m "not scale" $(COVERED)

check-rest: rules ## the same after `make test MEASURE=1`: what that has not run, and the coverage of both
	@$(RUN) -m pytest $(ALL_CORES) -m "not ($(QUICK)) and not scale" $(COVERED) --cov-append

rules: lint types layers regen-check lint-contract $(VENV)/dev.stamp

test-scale: ## the tests of several machines: a real PostgreSQL and a real Ray, where they are installed
	@$(MAKE) --no-print-directory VENV=.venv-scale scale-run

scale-run: $(VENV)/scale.stamp
	@$(RUN) -m pytest -q -n auto --dist loadgroup -m scale

random-run: $(VENV)/test.stamp ## thousands of random interruptions against the emulator: nothing paid twice, nothing lost (minutes)
	@$(SOURCES) $(RUN) tools/random_run --episodes 5000 --seed 1 --jobs 2

reconcile-run: $(VENV)/test.stamp ## fifty batches whose answers get lost: every verdict is right, nothing is paid twice, the sums agree (minutes)
	@$(SOURCES) $(RUN) tools/reconcile_run.py --seeds 50 --rows 1000

lint: $(VENV)/dev.stamp ## style and format
	@$(VENV)/bin/ruff check .
	@$(VENV)/bin/ruff format --check .

types: $(VENV)/dev.stamp ## strict type check
	@$(VENV)/bin/mypy

layers: $(VENV)/dev.stamp ## which room may import which
	@$(VENV)/bin/lint-imports

regen: $(VENV)/dev.stamp ## after an edit of openapi.yaml: write generated/, and say what changed
	@$(RUN) tools/regen.py

# Other people's linters and a mock server, where node is present. Their versions are pinned here.
NODE_TOOLS := @redocly/cli@2.77.0 @stoplight/spectral-cli@6.16.3 @stoplight/prism-cli@5.14.2
NODE_BIN := $(VENV)/node/node_modules/.bin
HAS_NODE := $(shell command -v node >/dev/null && command -v npm >/dev/null && echo yes)

lint-contract: $(if $(HAS_NODE),$(VENV)/node.stamp) ## redocly and spectral, where node is present
ifeq ($(HAS_NODE),yes)
	@REDOCLY_TELEMETRY=off REDOCLY_SUPPRESS_UPDATE_NOTICE=true $(NODE_BIN)/redocly lint openapi.yaml --config tools/redocly.yaml \
	  >$(VENV)/redocly.log 2>&1 || { cat $(VENV)/redocly.log; exit 1; }
	@$(NODE_BIN)/spectral lint openapi.yaml --ruleset tools/spectral.yaml --fail-severity=warn --quiet
else
	@echo "node is not present: redocly and spectral are left out"
endif

$(VENV)/node.stamp: Makefile | $(RUN)
	@echo "Installing other people's linters into $(VENV)/node ..."
	@npm install --prefix $(VENV)/node --no-audit --no-fund --no-package-lock --silent $(NODE_TOOLS)
	@touch $@

follow: $(VENV)/dev.stamp ## SPEC=FILE: what a vendor's own document says that openapi.yaml does not
	@$(RUN) tools/follow.py $(SPEC)

drift: $(VENV)/dev.stamp ## LIVE=URL or FOLDER: what the API answers and openapi.yaml does not say; free requests only
	@$(RUN) tools/drift.py $(LIVE)

regen-check: $(VENV)/dev.stamp ## fail if what is generated is not what the contract gives
	@$(RUN) tools/regen.py --check

bench: $(VENV)/dev.stamp ## the measured comparisons (docs/performance.md)
	@for b in benchmarks/[a-z]*.py; do $(RUN) $$b || exit 1; done

lock: ## pin the dependencies again (needs uv)
	@for f in "run" "test --group test" "dev --group dev"; do set -- $$f; \
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links \
	  --no-header --no-annotate --no-strip-extras pyproject.toml --extra all $$2 $$3 -o tools/locks/$$1.txt || exit 1; done
	@uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links \
	  --no-header --no-annotate --no-strip-extras --group docs -o tools/locks/docs.txt

locks-check: ## resolve the locks with old and new pips, on every Python here
	@$(PYTHON) tools/environments.py locks

newest lowest: ## run the tests on the newest, or the lowest, versions of everything (the lowest need uv)
	@$(PYTHON) tools/environments.py $@

docs: .venv-docs/stamp ## the manual as a site, with its links checked: site/index.html
	@.venv-docs/bin/python tools/manual.py

.venv-docs/stamp: tools/locks/docs.txt
	@$(PYTHON) -m venv --without-pip .venv-docs
	@$(PYTHON) -m pip --python .venv-docs/bin/python --disable-pip-version-check --quiet install --require-hashes -r $<
	@touch $@

clean: ## remove what make made
	rm -rf .venv .venv-* site demo-output .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .coverage

$(RUN):
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed; set PYTHON=/path/to/python3.11"; exit 1; }
	@$(PYTHON) -m venv --without-pip $(VENV)

# Each lock holds the ones before it, in the same versions, so one environment grows as it is needed.
$(VENV)/run.stamp: tools/locks/run.txt | $(RUN)
	@echo "Installing into $(VENV) ..."
	@$(PIP) install --require-hashes -r $<
	@touch $@

# Ray is large and its locks would be, too: what these tests need besides is not pinned. What is not installed is not tested.
SCALE := .[postgres,ray] dask[dataframe] celery procrastinate

$(VENV)/scale.stamp: $(VENV)/test.stamp
	@$(PIP) install --no-build-isolation --editable $(foreach one,$(SCALE),'$(one)')
	@touch $@

$(VENV)/test.stamp $(VENV)/dev.stamp: $(VENV)/%.stamp: tools/locks/%.txt pyproject.toml | $(RUN)
	@echo "Installing into $(VENV) ..."
	@$(PIP) install --require-hashes -r $<
	@$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@ $(VENV)/run.stamp
