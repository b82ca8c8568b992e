# Run `make` for the list of targets. Nothing but git, make and Python 3.11+ is needed.
# Set on the command line: PYTHON (interpreter), ARGS (demo, test, bench, chaos, chaos-state, halts), SEEDS and FIRST (sim), SEED (chaos, chaos-state), UPGRADE=1 (requirements).

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory
.NOTPARALLEL:

BIN := .venv/bin
UV := $(BIN)/uv
STAMP := .venv/.synced
SEEDS ?= 500
FIRST ?= 0

SAY := @printf '\033[1m%s\033[0m\n'
ifneq ($(NO_COLOR)$(CI),)
SAY := @printf '%s\n'
endif

COMPILE := $(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes \
  --no-emit-index-url --no-emit-find-links --custom-compile-command "make requirements" $(if $(UPGRADE),--upgrade)

.PHONY: help sync check lint types layers rules test test-core test-fast test-slow test-kafka wheel-test image-check helm-check sim mutants chaos chaos-state halts bench bench-dashboard demo docs build requirements clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

# ------------------------------------------------------------------------------ environment

sync: $(STAMP) ## create or update .venv from requirements/ (PYTHON=... chooses the interpreter)

# The interpreter is tried, not only looked up: shims of version managers exist without a version behind them.
$(BIN)/python:
	@found=; \
	for candidate in $(or $(PYTHON),python3 python3.13 python3.12 python3.11); do \
	  if "$$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then found="$$candidate"; break; fi; \
	done; \
	if [ -z "$$found" ]; then \
	  echo "make sync: Python 3.11 or newer is needed, and none of these is one: $(or $(PYTHON),python3 python3.13 python3.12 python3.11)." >&2; \
	  echo "  Install one (Debian: apt-get install python3 python3-venv) or name it: make sync PYTHON=/path/to/python3.12" >&2; \
	  exit 1; \
	fi; \
	if ! "$$found" -c 'import ensurepip, venv' 2>/dev/null; then \
	  echo "make sync: $$found cannot create virtual environments (Debian: apt-get install python3-venv)." >&2; \
	  exit 1; \
	fi; \
	echo "creating .venv with $$("$$found" --version)"; \
	"$$found" -m venv .venv

$(STAMP): pyproject.toml requirements/bootstrap.txt requirements/dev.txt | $(BIN)/python
	@want=$$(sed -n 's/^uv==\([^ ]*\).*/\1/p' requirements/bootstrap.txt); \
	if [ "$$($(UV) --version 2>/dev/null | cut -d' ' -f2)" != "$$want" ]; then \
	  echo "installing uv $$want into .venv"; \
	  $(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/bootstrap.txt; \
	fi
	@echo "syncing .venv with requirements/dev.txt"
	@$(UV) pip sync --python $(BIN)/python --require-hashes requirements/dev.txt 2>&1 | sed -u '/^ [-+~] /d'
	@$(UV) pip install --python $(BIN)/python --quiet --no-deps --no-build-isolation --editable .
	@touch $@

requirements: $(BIN)/python ## recompile requirements/*.txt from pyproject.toml (UPGRADE=1 takes newer versions)
	$(COMPILE) --group bootstrap --output-file requirements/bootstrap.txt
	$(COMPILE) pyproject.toml --output-file requirements/runtime.txt
	$(COMPILE) pyproject.toml --extra procurement --constraint requirements/runtime.txt --output-file requirements/image.txt
	$(COMPILE) pyproject.toml --extra procurement --group dev --constraint requirements/runtime.txt --output-file requirements/dev.txt
	$(COMPILE) --group build --constraint requirements/dev.txt --output-file requirements/build.txt
	$(COMPILE) --group kubernetes --no-deps --output-file requirements/kubernetes.txt
	$(COMPILE) --group go --output-file requirements/go.txt
	@if grep -n '://' requirements/*.txt; then echo "requirements: an address got in" >&2; exit 1; fi

# ----------------------------------------------------------------------------------- checks

check: lint types layers rules ## lint, format, types, layers, house rules; `make -k check` goes on after a failure

lint: $(STAMP)
	$(SAY) "== ruff"
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

types: $(STAMP)
	$(SAY) "== mypy --strict"
	@$(BIN)/mypy $(wildcard mesh agents bench image tests)

layers: $(STAMP)
	$(SAY) "== layers"
	@$(BIN)/lint-imports --no-logo

rules: $(STAMP)
	$(SAY) "== house rules"
	@$(BIN)/python -m pytest -q $(wildcard tests/test_tidy.py tests/test_exports.py tests/test_schemas.py tests/test_docs.py)

test: test-core test-fast test-slow test-page test-kafka wheel-test image-check helm-check ## every test: core, fast, slow, the page in Chromium, real Kafka (needs java and mvn; else says so), built wheel, image, chart
	$(SAY) "== make test: passed"

# Coverage is asked of core and wire, and of their own tests: what only a whole mesh reaches is not tested there.
# The other tests mostly wait, for a broker or for a process, so two of them run at a time (unless ARGS say otherwise).
MEASURED := tests/unit/core tests/unit/wire tests/property
PAIRED := -n 2 --dist

test-core: $(STAMP) ## tests of core and wire, with their branch coverage
	$(SAY) "== core and wire, with branch coverage"
	@$(BIN)/coverage run -m pytest -m "not slow and not broker" $(or $(ARGS),$(MEASURED))
	@$(if $(ARGS),true,$(BIN)/coverage report)

test-fast: $(STAMP) ## the other tests of seconds, in memory and on the embedded broker
	$(SAY) "== fast tests"
	@$(BIN)/python -m pytest -m "not slow and not broker" $(or $(ARGS),$(PAIRED) loadfile $(addprefix --ignore=,$(MEASURED)))

test-slow: $(STAMP) ## simulator seeds, guards, the command in subprocesses
	$(SAY) "== slow tests: simulator seeds, guards, the command in subprocesses"
	@$(BIN)/python -m pytest -m "slow and not broker and not shipped and not browser" $(or $(ARGS),$(PAIRED) worksteal)

# By themselves: the browser's driver runs a loop of its own in the process of the tests.
test-page: $(STAMP) ## the dashboard's page in Chromium, over logs and over real meshes
	$(SAY) "== the page, in Chromium"
	@$(BIN)/python -m pytest -m browser $(or $(ARGS),tests/page)

# Whether a missing broker skips or fails is decided by --kafka (tests/conftest.py): `require` under CI.
test-kafka: $(STAMP) ## every test on real Kafka: the contract, killed processes, foreign clients, the command
	$(SAY) "== tests on real Kafka"
	@$(BIN)/python -m pytest -m "broker and not shipped and not browser" $(or $(ARGS),$(PAIRED) loadfile)

# The tree's own mesh/ is out of reach there: what passes was in the wheel.
wheel-test: build ## smoke tests on the built wheel, from another directory
	$(SAY) "== the wheel, elsewhere"
	@$(BIN)/python tests/wheel.py dist/parley_mesh-*.whl

# The Dockerfile's own lines and the compose file's services, in a root of their own: needs no Docker, but `unshare`.
image-check: $(STAMP) ## the image's contents, its processes, the compose file on real Kafka
	$(SAY) "== the image, without Docker"
	@$(BIN)/python -m pytest -m shipped tests/image $(ARGS)

# Go builds Helm once, into the user's cache; where there is no Go this says so, and fails under CI.
helm-check: $(STAMP) ## lint the chart, render it, hold it against the schemas of Kubernetes
	$(SAY) "== the chart"
	@$(BIN)/python -m pytest -m shipped tests/helm $(ARGS)

sim: $(STAMP) ## SEEDS=N simulated runs from seed FIRST=M on
	@$(BIN)/python -m mesh.testing.sim --seeds $(SEEDS) --first $(FIRST)

mutants: $(STAMP) ## planted bugs that the simulator must find
	@$(BIN)/python -m tests.simulation.mutants

chaos: $(STAMP) ## kill everything on real Kafka (SEED=N)
	@$(BIN)/python -m bench.chaos $(if $(SEED),--seed $(SEED)) $(ARGS)

chaos-state: $(STAMP) ## kill who keeps shared state, on real Kafka (SEED=N, ARGS="--small")
	@$(BIN)/python -m bench.chaos_state $(if $(SEED),--seed $(SEED)) $(ARGS)

halts: $(STAMP) ## halt 500 running tasks in six processes 100 times, on real Kafka (ARGS="--small")
	@$(BIN)/python -m bench.halts $(ARGS)

bench: $(STAMP) ## the goals of docs/performance.md, beside bare confluent-kafka (ARGS="--only suspended")
	@$(BIN)/python -m bench $(ARGS)

bench-dashboard: $(STAMP) ## what the dashboard folds, keeps and costs, without a broker
	@$(BIN)/python -m bench.dashboard

bench-page: $(STAMP) ## what the dashboard's page costs a browser; needs Chromium (ARGS="--facts 100000")
	@$(BIN)/python -m bench.page $(ARGS)

demo: $(STAMP) ## procurement on the embedded broker (ARGS="--broker kafka ...")
	@$(BIN)/mesh dev --example procurement $(ARGS)

# ------------------------------------------------------------------------------- deliverables

docs: $(STAMP) ## rewrite what is generated in docs/, check the links
	@$(BIN)/python -m pytest -q tests/test_docs.py tests/test_monitoring.py tests/test_asyncapi.py --rewrite

build: $(STAMP) ## wheel and sdist into dist/
	@rm -rf dist
	@$(UV) build --quiet --no-build-isolation --python $(BIN)/python --out-dir dist
	@ls -1 dist

clean: ## remove what was built and every cache (not .venv)
	@rm -rf build dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis .coverage .coverage.*
	@find mesh agents bench tests docs -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true
