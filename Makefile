# Everything starts here, on a machine with Python 3.11 or newer and nothing else: `make run`, `make test`.
# PYTHON=… names another Python; ARGS=… goes on to the command behind run, test, test-real and bench.
PYTHON ?= python3
export PYTHON
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help setup setup-dev setup-real setup-clients setup-agents run test check coverage conformance test-clients test-real \
  test-live bench image lock clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z][a-z-]*:.*## / {printf "  make %-13s %s\n", $$1, $$2}' Makefile

setup: ## install what the gateway runs on into .venv, by hash; at once when it is there
	@deploy/install .venv runtime build --project

setup-dev: ## the same with what tests and checks need
	@deploy/install .venv dev build --project

setup-real: setup-dev tests/real/node/node_modules/.package-lock.json ## what make test-real runs against, each in an environment of its own
	@deploy/install .venv-real real
	@deploy/install .venv-mocks mocks

tests/real/node/node_modules/.package-lock.json: tests/real/node/package-lock.json
	@echo "install: Node packages into tests/real/node"
	@npm --prefix tests/real/node ci --loglevel=error
	@touch $@

run: setup ## a gateway to try: three stand-in models, a key, a curl to copy
	@exec .venv/bin/gateway serve --dev $(ARGS)

test: setup-dev ## every test that needs nothing from outside, then every check
	.venv/bin/python -m pytest -m "not real" $(ARGS)
	@tests/check

check: setup-dev ## format, lint, types, floors, configuration
	@tests/check

coverage: setup-dev ## branches that no test takes: none in the pure rooms, at most one in twenty elsewhere
	.venv/bin/python -m pytest -m "not real" --cov --cov-report= $(ARGS)
	.venv/bin/python -m coverage report --include='gateway/wire/*,gateway/routing/*,gateway/errors.py' --fail-under=100
	.venv/bin/python -m coverage report --skip-covered --fail-under=95

setup-clients: setup-dev ## the official clients that make conformance asks with
	@deploy/install .venv-clients clients

conformance: setup-clients ## recorded traffic of every provider through every language, heard by official clients
	@.venv/bin/python -m tests.conformance.recorded.run $(ARGS)

setup-agents: setup-clients tests/clients/node/node_modules/.package-lock.json ## what else make test-clients runs
	@deploy/install .venv-agents agents

tests/clients/node/node_modules/.package-lock.json: tests/clients/node/package-lock.json
	@echo "install: Node packages into tests/clients/node"
	@npm --prefix tests/clients/node ci --loglevel=error
	@touch $@

test-clients: setup-agents ## what callers use, as others wrote it, each against models of other languages
	@.venv/bin/python -m tests.clients.run $(ARGS)

test-real: setup-real ## real models, and clients and stand-ins that others wrote
	.venv/bin/python -m pytest -m real tests/real $(ARGS)

test-live: setup-dev ## three POPs and six model servers, far from each other, that are slowed, overloaded and killed (root)
	.venv/bin/python -m pytest -m real -rs tests/live $(ARGS)

bench: setup-dev ## the benchmarks: needs nginx and wrk; prints a table, asserts nothing
	.venv/bin/python -m tests.bench.run $(ARGS)

image: ## build the container image without a container engine, start it, chat with it (root)
	@deploy/image/base
	@deploy/image/build
	@deploy/image/smoke

lock: ## write every lock anew
	@deploy/lock $(ARGS)

clean: ## remove what make made
	rm -rf .venv .venv-* build dist tests/*/node/node_modules .mypy_cache .ruff_cache .pytest_cache .hypothesis \
	  .import_linter_cache .grimp_cache .coverage
