# One way in. `make help` lists the targets.
SHELL := /bin/bash
.DEFAULT_GOAL := help
PY := .venv/bin/python
UV := .venv/bin/uv
export PYTHONPATH := services:operator:tools/devcluster:tests

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
lock: .venv/.stamp ## write requirements/*.txt anew from pyproject.toml
	$(LOCK) --group dev -o requirements/dev.txt
	for group in services training operator; do $(LOCK) --group $$group -c requirements/dev.txt -o requirements/$$group.txt; done
	echo uv | $(LOCK) - -o requirements/uv.txt
