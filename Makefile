# Isocenter: `make run` on any machine with Python 3.11 or later. Everything is made inside this folder.
# (As root, PostgreSQL and Redis keep their data under /var/lib/isocenter; docs/operations.md says why.)

PYTHON ?= $(shell for p in python3.11 python3.12 python3.13 python3; do \
	$$p -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 && { echo $$p; break; }; done)
PY := .venv/bin/python
PIP := $(PY) -m pip install -qq --disable-pip-version-check --require-hashes --no-deps --no-compile --only-binary :all:
LAUNCH := $(PY) -m rcm.embedded.launch

# Modules are compiled once, also where the surroundings say otherwise: each of the product's processes starts two seconds sooner.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: run test check bench reset stop status install dev lock help

run: .venv/runtime.stamp  ## start everything; the first time builds a demo
	@exec $(LAUNCH) run

test: .venv/dev.stamp  ## the whole suite; ARGS="tests/ar -x" for a part
	@exec $(LAUNCH) test -- $(ARGS)

check: .venv/dev.stamp  ## lint, format, templates, styles, types, floors, dead code, migrations
	@exec $(LAUNCH) check

bench: .venv/dev.stamp  ## figures: posting, queues, aging; ARGS names some of them
	@exec $(LAUNCH) bench -- $(ARGS)

reset: .venv/runtime.stamp  ## delete all data of this checkout, after a question (RESET=yes: without)
	@exec $(LAUNCH) reset

stop: .venv/runtime.stamp  ## stop PostgreSQL and Redis that were started by hand
	@$(PY) -m rcm.embedded stop

status: .venv/runtime.stamp
	@$(PY) -m rcm.embedded status

install: .venv/runtime.stamp  ## the virtual environment, for running

dev: .venv/dev.stamp  ## the virtual environment, for developing

.venv/python.stamp:
	@test -n "$(PYTHON)" || { echo "Isocenter needs Python 3.11 or later with its venv module (on Debian: apt install python3 python3-venv)."; exit 1; }
	@echo "  Virtual environment ..."
	@$(PY) -c 'import pip' >/dev/null 2>&1 || $(PYTHON) -m venv --clear .venv
	@touch $@

.venv/runtime.stamp: .venv/python.stamp requirements.lock
	@test -e .venv/dev.stamp && test ! .venv/dev.stamp -ot requirements.lock || { \
		echo "  Installing the pinned wheels (once) ..."; began=$$(date +%s); \
		$(PIP) -r requirements.lock || { echo "The wheels of requirements.lock could not be installed: the lines above say which. Is the package index reachable?"; exit 1; }; \
		echo "  Pinned wheels: $$(( $$(date +%s) - began )) s"; }
	@touch $@

.venv/dev.stamp: .venv/python.stamp requirements-dev.lock
	@echo "  Installing the pinned wheels for development (once) ..."; began=$$(date +%s); \
		$(PIP) -r requirements-dev.lock || { echo "The wheels of requirements-dev.lock could not be installed: the lines above say which. Is the package index reachable?"; exit 1; }; \
		echo "  Pinned wheels: $$(( $$(date +%s) - began )) s"
	@touch .venv/runtime.stamp $@

# Resolve the versions of pyproject.toml anew. The machine's own pip settings stay out of it.
COMPILE = env -u PIP_FIND_LINKS -u PIP_EXTRA_INDEX_URL PIP_CONFIG_FILE=/dev/null .venv/bin/pip-compile --quiet --upgrade \
	--generate-hashes --strip-extras --allow-unsafe --no-header --no-annotate \
	--no-emit-index-url --no-emit-find-links --no-emit-trusted-host

lock: .venv/dev.stamp  ## write both lock files anew from pyproject.toml
	@$(PY) -m pip install --quiet pip-tools
	$(COMPILE) -o requirements.lock pyproject.toml
	$(COMPILE) --extra dev -c requirements.lock -o requirements-dev.lock pyproject.toml

help:
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## */\t/'
