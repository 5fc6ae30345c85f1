# One way in. `make help` lists the targets.
SHELL := /bin/bash
.DEFAULT_GOAL := help
PY := .venv/bin/python
UV := .venv/bin/uv
export PYTHONPATH := services:operator:tools/devcluster:tools/environments:tools/generate:tools/gate:tools/bench:tools/soak:tests
# Byte code is kept, whatever the machine says: without it every process compiles thousands of modules again.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help
help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*##/\t/' | expand -t 14

.venv/.stamp: requirements/dev.txt requirements/uv.txt
	@python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "bellwether needs Python 3.11 or newer: python3 is $$(python3 --version)"; exit 1; }
	@test -x $(PY) || python3 -m venv .venv
	@.venv/bin/pip install --quiet --require-hashes --no-deps -r requirements/uv.txt
	@echo "installing the locked packages into .venv"
	@VIRTUAL_ENV=.venv $(UV) pip install --quiet --require-hashes --no-deps -r requirements/dev.txt
	@echo "$(CURDIR)/services" > $$($(PY) -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/bellwether.pth
	@echo "$(CURDIR)/operator" >> $$($(PY) -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/bellwether.pth
	@printf '#!/usr/bin/env bash\nexec "%s/.venv/bin/python" -m bellwether "$$@"\n' "$(CURDIR)" > .venv/bin/bellwether && chmod +x .venv/bin/bellwether
	@touch $@

.PHONY: venv
venv: .venv/.stamp ## the locked virtual environment in .venv

LOCK := $(UV) pip compile --quiet --generate-hashes --no-header --no-annotate --python-version 3.11
.PHONY: lock
lock: .venv/.stamp ## write requirements/*.txt again from pyproject.toml
	$(LOCK) --group dev -o requirements/dev.txt
	for group in services training operator; do $(LOCK) --group $$group -c requirements/dev.txt -o requirements/$$group.txt; done
	$(LOCK) --group bridge -c requirements/dev.txt -o requirements/bridge.txt
	$(LOCK) --no-deps --group evaluation -o requirements/evaluation.txt
	for peer in zipline backtrader; do $(LOCK) --group peer-$$peer -o requirements/peer-$$peer.txt; done
	echo uv | $(LOCK) - -o requirements/uv.txt

.PHONY: up
up: venv ## the whole system on a cluster (kind, embedded, or BELLWETHER_CLUSTER=current), Ready, with a sample
	@$(PY) -m environments up

.PHONY: down
down: venv ## end what `make up` started
	@$(PY) -m environments down

FILE ?= manifests/samples/asx-banks.yaml
SIGNAL ?= 0
.PHONY: yahoo
yahoo: venv ## a stand-in for Yahoo with made-up bars, for FILE=system.yaml; SIGNAL=0.3 plants one
	@$(PY) -m harness.yahoo $(FILE) --signal $(SIGNAL)

IG ?= manifests/samples/ig-demo.yaml
.PHONY: ig
ig: venv ## a stand-in for IG Markets with made-up quotes, for IG=system.yaml
	@$(PY) -m harness.ig $(IG)

REGISTRY ?=
TAG ?=
.PHONY: images
images: venv ## both images, by Docker or Podman; REGISTRY=... pushes them there
	@$(PY) -m environments images --registry "$(REGISTRY)" --tag "$(TAG)"

.PHONY: wheel
wheel: venv ## the command line and the services as one wheel in dist/, for `uv tool install` or pip
	@.venv/bin/hatchling build -t wheel

.PHONY: generate
generate: venv ## write the custom resource definitions, reference pages and session tables again
	@$(PY) -m generate

.PHONY: models
models: venv ## train every recipe on recorded bars, and write docs/models.md
	@.venv/bin/pip install --quiet --require-hashes --no-deps -r requirements/evaluation.txt
	@$(PY) -m generate.models

.PHONY: check
check: venv ## formatting, lint, types, import directions, generated files
	@.venv/bin/ruff format --check --quiet . && .venv/bin/ruff check --quiet .
	@.venv/bin/mypy --no-error-summary services operator tools tests
	@.venv/bin/lint-imports --no-cache | tail -n 3
	@$(PY) -m generate --check

.PHONY: unit
unit: venv ## pure tests: no network, no server
	@.venv/bin/pytest -q -n 2 --dist loadfile tests/unit tools/devcluster/tests/unit

.PHONY: integration
integration: venv ## tests with a real NATS server, real databases and a real API server
	@.venv/bin/pytest -q -n 3 --dist loadfile --no-loadscope-reorder tests/integration tools/devcluster/tests/integration

.PHONY: e2e
e2e: venv ## tests of the whole system on a whole node
	@BELLWETHER_KEEP_NODE=1 .venv/bin/pytest -q -m apart tests/e2e; apart=$$?; \
		.venv/bin/pytest -q -n 2 --dist loadfile --no-loadscope-reorder -m "not apart" tests/e2e && exit $$apart

.PHONY: test
test: venv ## everything that guards a change: check, unit, integration, e2e
	@$(PY) -m gate

.PHONY: test-changed
test-changed: venv ## the unit and integration tests that your edit can reach (since BASE=main)
	@$(PY) -m gate.changed

.PHONY: soak
soak: venv ## the crash tests in full numbers; writes docs/reliability.md and docs/reliability-ig.md
	@$(PY) -m gate.always
	@$(PY) -m soak.hashes
	@$(PY) -m soak
	@$(PY) -m soak.ig
	@$(PY) -m soak.backups
	@$(PY) -m soak.gate 20 500

.PHONY: bench
bench: venv ## measure, and write docs/performance.md with target, value, met or missed
	@$(PY) -m bench
