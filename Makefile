# `make` or `make help` lists what a person can do here.
.DEFAULT_GOAL := help
SHELL := /bin/bash
BIN := .venv/bin
# One BLAS thread per process: processes run side by side instead.
export OMP_NUM_THREADS := 1
export OPENBLAS_NUM_THREADS := 1
# OMP_NUM_THREADS limits what nproc says, and is set above for the programs alone.
WORKERS ?= $(shell env -u OMP_NUM_THREADS nproc)

.PHONY: help
help:  ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## */\t/' | expand -t 12

.PHONY: setup
setup:  ## install system libraries (where allowed) and packages into .venv
	@./install.sh

.PHONY: demo
demo: setup  ## build a small dataset of synthetic captures, verify it, name the report
	$(BIN)/fg3d build tasks/demo.toml --workers $(WORKERS)
	$(BIN)/fg3d verify build/demo/dataset
	@$(BIN)/fg3d report build/demo

.PHONY: train
train: demo  ## train a small network on the demo's dataset, compare it with the 3DMM fit
	$(BIN)/luigi --module fg3d_builder.tasks EvaluateFGNet --preset tasks/demo.toml \
	  --settings tiny --run-folder build/demo/training --device cpu

.PHONY: pack
pack: demo  ## one file with dataset and code for a machine with a GPU, see docs/guides/gpu-machine.md
	$(BIN)/fg3d pack build/demo/dataset --out build/demo/pack.tar

.PHONY: test
test: setup lint  ## lint, types and all tests but the slow ones
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadscope -m "not slow"

.PHONY: test-all
test-all: setup lint  ## every test
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadscope

.PHONY: lint
lint: setup  ## formatting, lint, types, and the arrows between folders
	$(BIN)/ruff format --check fg3d_builder tests benchmarks docs
	$(BIN)/ruff check fg3d_builder tests benchmarks docs
	$(BIN)/mypy
	$(BIN)/lint-imports

.PHONY: docs
docs: setup  ## the documentation as a site, build/site/index.html; checks every link of it
	$(BIN)/python docs/make_settings.py
	$(BIN)/python docs/make_commands.py
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet
	$(BIN)/python -m docs.check_site build/site
	@echo "open build/site/index.html"

.PHONY: bench
bench: setup  ## accuracy on real data and timings, written to build/bench
	$(BIN)/python -m benchmarks.run

.PHONY: notebooks
notebooks: setup  ## run the notebooks of docs/notebooks and store what they show; NAMES="..." some
	$(BIN)/python -m docs.make_notebooks $(NAMES)

.PHONY: pictures
pictures: setup  ## make the documentation's pictures, say which were left out; NAMES="..." some
	$(BIN)/python -m docs.make_pictures $(NAMES)

.PHONY: clean
clean:  ## remove builds; keeps .venv
	rm -rf build
