# Every target does its own set-up: type one on a fresh machine and wait.
# The distribution's own Python comes first where it will do: one built from source without profile
# is a tenth slower.
PYTHON ?= $(shell /usr/bin/python3 -c 'import sys, ensurepip; sys.exit(sys.version_info < (3, 11))' \
  2>/dev/null && echo /usr/bin/python3 || echo python3)
VENV := .venv
READY := $(VENV)/.ready
BIN := $(VENV)/bin
PARTS := .parts
PROOFS = tests/contract $(addprefix tests/system/test_,alertmanager.py chat_ways.py hostile_pages.py live.py mail.py \
  mutants.py rules.py runbooks.py) $(wildcard tests/*/test_dashboard*.py)
CLIENTS := .clients/sdks .clients/frameworks .clients/fuzz

.DEFAULT_GOAL := help
.PHONY: help up test check observability fmt bench render image clients lock recordings

help: ## what can be typed here
	@awk -F ': .*## ' '/^[a-z]+:.* ## / {printf "  make %-13s %s\n", $$1, $$2}' Makefile

up: $(READY) ## the whole stack on this machine, with a real model (make up ARGS="--demo-nodes 2")
	@exec $(BIN)/dpl up --data-dir .dpl --parts-dir $(PARTS) $(ARGS)

test: $(READY) $(CLIENTS:=/.ready) ## all tests, with the real programs (make test ARGS="-k lease")
	@$(BIN)/dpl stack fetch --parts-dir $(PARTS) --browser
	@command -v cc >/dev/null || { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && { \
	  echo "installing gcc with apt-get (a GPU driver that is none is compiled)"; apt-get update -qq && \
	  apt-get install -y -qq gcc libc6-dev >/dev/null; }; } || { \
	  echo "the tests compile a stand-in for a GPU driver. Install a C compiler: sudo apt-get install gcc libc6-dev" >&2; exit 1; }
	@$(BIN)/python -m tests.versions
	@$(BIN)/python -m pytest -n 2 --dist loadfile $(ARGS)
	@$(if $(ARGS),,$(BIN)/python -m tests.mutants)

check: $(READY) ## format, lint, types, imports, sizes, promises between parts, generated files
	@failed=; step() { name=$$1; shift; "$$@" || failed="$$failed $$name"; }; \
	step format $(BIN)/ruff format --check . ; \
	step lint $(BIN)/ruff check . ; \
	step types $(BIN)/mypy ; \
	step imports $(BIN)/lint-imports --no-cache ; \
	step promises $(BIN)/python -m pytest tests/contract -p no:randomly ; \
	[ -z "$$failed" ] || { echo "make check failed in:$$failed (make fmt mends format and some of lint)" >&2; exit 1; }

observability: $(READY) ## rules, alerts, runbooks, routes and mail, proved with every version that can be had
	@$(BIN)/dpl stack fetch --parts-dir $(PARTS)
	@$(BIN)/python -m tests.versions
	@$(BIN)/python -m pytest -n 3 --dist loadfile $(PROOFS)
	@$(BIN)/python -m tests.mutants

fmt: $(READY) ## put the code in shape
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

bench: $(READY) ## the data path beside nginx, in the same run
	@$(BIN)/python -m bench $(ARGS)

render: $(READY) ## write the generated files anew
	@$(BIN)/dpl config schema > nodes.schema.json
	@$(BIN)/python -m grafana.build
	@$(BIN)/python -m tests.catalogue
	@$(BIN)/python -m tests.compose.rendered

image: $(READY) ## the images of exporter and router, and docker-compose.yml run with podman (root on Debian; three minutes)
	@$(BIN)/python -m tests.compose.images
	@$(BIN)/python -m pytest tests/compose/in_containers.py $(ARGS)

clients: $(READY) $(CLIENTS:=/.ready) ## run every client and write the table in docs/clients.md anew
	@$(BIN)/dpl stack fetch --parts-dir $(PARTS) --browser
	@$(BIN)/python -m tests.clients.table

recordings: $(READY) ## every parser and rule over recordings (make recordings RECORDINGS=folder)
	@$(BIN)/dpl stack fetch --parts-dir $(PARTS)
	@$(BIN)/python -m tests.recordings_run "$(RECORDINGS)"

lock: $(READY) ## resolve the lock files anew (needs uv)
	@uv pip compile --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --no-strip-extras \
	  exporter/pyproject.toml router/pyproject.toml --extra demo --group dev -o requirements.lock
	@cd tests/clients && for kind in sdks frameworks fuzz; do uv pip compile --universal --python-version 3.11 \
	  --generate-hashes --no-header --no-annotate --no-strip-extras requirements-$$kind.in -o requirements-$$kind.lock || exit 1; done

.clients/%/.ready: tests/clients/requirements-%.lock | $(READY)
	@echo "making .clients/$* from its lock file (half a minute, once)"
	@$(BIN)/python -m venv --clear .clients/$*
	@.clients/$*/bin/pip install -q --disable-pip-version-check --require-hashes -r $<
	@touch $@

$(READY): requirements.lock exporter/pyproject.toml router/pyproject.toml
	@command -v $(PYTHON) >/dev/null || { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && { \
	  echo "installing python3-venv with apt-get"; apt-get update -qq && apt-get install -y -qq python3-venv >/dev/null; }; } || true
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  echo "DPL needs Python 3.11 or later (Debian 12, Ubuntu 24.04); '$(PYTHON)' is: $$($(PYTHON) --version 2>&1 || echo missing). Install one, or name it: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	@echo "making $(VENV) from requirements.lock (about a minute, once)"
	@$(PYTHON) -m venv --clear $(VENV) >/dev/null 2>&1 || { \
	  [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && \
	    apt-get update -qq && apt-get install -y -qq python3-venv >/dev/null && $(PYTHON) -m venv --clear $(VENV); } || { \
	  echo "Python's venv is missing. Install it: sudo apt-get install python3-venv (Fedora: dnf install python3; macOS: brew install python)" >&2; exit 1; }
	@$(BIN)/pip install -q --disable-pip-version-check --require-hashes -r requirements.lock
	@$(BIN)/pip install -q --disable-pip-version-check --no-deps --no-build-isolation --no-index -e exporter -e router
	@touch $@
