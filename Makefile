# Every target does the set-up it needs; `make help` lists them.
VENV   := .venv
BIN    := $(VENV)/bin
# Extras of pyproject.toml to install besides what development needs: make setup EXTRAS=warp
EXTRAS ?=
STAMP  := $(VENV)/.air3d-setup$(EXTRAS:%=-%)
# The first Python that is new enough; name another with PYTHON=...
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && exit; done; echo python3)
# Tests run in as many processes as there are cores, at most four.
PYTEST_ARGS ?= -n auto --maxprocesses 4

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-slow test-browser torture soak audit check docs format assets clean

help:  ## list the targets
	@sed -n 's/^\([a-z-]*\):.*  ## \(.*\)/make \1|\2/p' $(MAKEFILE_LIST) | awk -F'|' '{printf "%-16s %s\n", $$1, $$2}'

setup: $(STAMP)  ## make .venv, install what constraints.txt pins, and see that MuJoCo can draw
	@:

$(STAMP): pyproject.toml constraints.txt scripts/setup_venv.sh scripts/setup_gl.py
	@scripts/setup_venv.sh $(VENV) "$(PYTHON)" "$(EXTRAS)"
	@$(BIN)/python scripts/setup_gl.py
	@touch $(VENV)/.air3d-setup $@

demo: setup  ## the whole chain in a few minutes; the report is demo/report.html
	@$(BIN)/air3d demo --out demo

test: setup  ## the fast tests
	@$(BIN)/python -m pytest $(PYTEST_ARGS)

test-slow: setup  ## the tests that train
	@$(BIN)/python -m pytest -m slow

test-browser: setup  ## the tests that open the viewer in Chromium
	@$(BIN)/python -m pytest -m browser

torture: setup  ## kill, damage and fuzz: a table of what was tried and what was lost
	@AIR3D_TORTURE_TABLE=torture.md $(BIN)/python -m pytest $(PYTEST_ARGS) -m torture tests/torture -q --no-header

soak: setup  ## watch memory, processes and files for AIR3D_SOAK_MINUTES (30) each: generating, rendering, the viewer
	@$(BIN)/python benchmarks/soak.py

audit: setup  ## ask the vulnerability service about the pinned packages; skipped where it cannot be reached
	@$(BIN)/python scripts/audit.py

check: setup  ## ruff, the layer order, mypy
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/lint-imports
	@$(BIN)/mypy

docs: setup  ## the documentation as a site in build/site; warnings and dead links are errors
	@NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --quiet --clean
	@echo "open build/site/index.html"

format: setup  ## rewrite the sources in the house format
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

assets: setup  ## make the meshes and textures anew
	@$(BIN)/python -m air3d.scene3d.meshes.build

clean:  ## remove the environment, caches and the demo's output
	rm -rf $(VENV) demo build dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
