# Batchyard's commands. `make` alone lists them.
#   PYTHON=...  the interpreter to set up with (default: the newest of python3.13, 3.12, 3.11, python3 that will do)
#   ARGS=...    more arguments for what a target runs: make test ARGS="tests/core -x"
#   WORKERS=... how many tests run at a time (default 3)

.DEFAULT_GOAL := help
.PHONY: help setup demo test kill hunt lint bench docs screenshots up lock clean

SHELL := /bin/sh
VENV := .venv
RUN := $(VENV)/bin/python
PYTHON ?=
ARGS ?=
KILLS ?= 300
WORKERS ?= 3
SEEDS ?= 1000
SECONDS ?= 600
FROM ?= 500
export PYTHON

help: ## list the commands
	@sed -n 's/^\([a-z]*\):[^#]*## \(.*\)/  make \1|\2/p' Makefile | while IFS='|' read -r name text; do \
	    printf '%-14s %s\n' "$$name" "$$text"; done

setup: ## make .venv with everything needed (does nothing when up to date)
	@scripts/setup.sh

demo: setup ## watch a real pipeline run, from nothing to its result
	@$(RUN) demo/run.py $(ARGS)

test: setup ## run every test in a random order, WORKERS at a time (default 3: many wait for processes and containers)
	@$(RUN) -m pytest -rs -n $(WORKERS) --dist loadfile --no-loadscope-reorder $(ARGS)

kill: setup ## kill server and supervisor KILLS times each (default 300) while clients submit
	@BATCHYARD_KILLS=$(KILLS) $(RUN) -m pytest tests/kill/test_kill.py tests/kill/test_nodes.py tests/kill/test_consumables.py tests/kill/test_executions.py $(ARGS)

hunt: setup ## look for bugs: SEEDS simulated worlds (default 1000) from FROM on (500), then SECONDS of hostile requests (600), changed state machines, all MPIs, every link and picture of the console, a real Slurm
	@$(RUN) -m batchyard.simulator --seeds $(FROM)..$$(($(FROM) + $(SEEDS) - 1))
	@$(RUN) -m tests.hostile.fuzzer --seconds $(SECONDS) $(ARGS)
	@$(RUN) -m tests.evaluators.states.definition_mutations --count 10000
	@BATCHYARD_QUERY_EXAMPLES=5000 $(RUN) -m pytest -n0 tests/evaluators/insights/test_batches.py
	@BATCHYARD_ALL_MPI=1 $(RUN) -m pytest tests/server/test_pypi_mpi.py
	@BATCHYARD_HUNT=1 $(RUN) -m pytest tests/hosts tests/bench/test_scale.py tests/browser
	@$(RUN) -m tests.browser.crawl

lint: setup ## check style, format and types
	@$(RUN) -m ruff check
	@$(RUN) -m ruff format --check
	@$(RUN) -m mypy --strict

bench: setup ## measure 10,000 jobs against this machine's floor
	@$(RUN) -m bench.run $(ARGS)

docs: setup ## generate the reference, the compatibility page and the charts of docs/scaling.md from the code
	@$(RUN) -m batchyard.docsgen.reference
	@$(RUN) -m batchyard.simulator.scenarios docs/scenarios

screenshots: setup ## make the kept pictures of the console's pages, and those of the docs, anew (with Chromium)
	@$(RUN) -m tests.browser.pictures docs/images

up: setup ## run the service in the foreground
	@exec $(VENV)/bin/batchyard up $(ARGS)

lock: ## resolve requirements/*.in anew into requirements/*.txt
	@scripts/lock.sh $(ARGS)

clean: ## remove .venv, caches and everything built
	rm -rf $(VENV) .setup.lock build dist bench/build src/*.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .demo
	find src tests bench demo scripts -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true
