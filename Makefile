# posterkit: make posters, test, check. Every target sets itself up in .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
TORCH := 2.13.0
# PyTorch's own index holds the CPU build; an extra index, so that a machine that cannot reach it uses its own
CPU_INDEX := https://download.pytorch.org/whl/cpu
export OMP_NUM_THREADS ?= 2
# one test process a core, at most four, each on one thread
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n logical --maxprocesses 4 --dist loadfile
export TOKENIZERS_PARALLELISM := false

.DEFAULT_GOAL := help
.PHONY: help poster test check some-slow slow bench docs clean

help:  ## what can be made
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

# without an NVIDIA card the CPU build comes first, so that nothing pulls CUDA packages in
$(VENV)/.torch: | $(BIN)/python
	@if command -v nvidia-smi >/dev/null 2>&1; then \
	  $(BIN)/pip install -q "torch==$(TORCH)"; \
	else \
	  $(BIN)/pip install -q "torch==$(TORCH)" --extra-index-url $(CPU_INDEX) --retries 1 --timeout 15; \
	fi
	@touch $@

$(VENV)/.posterkit: pyproject.toml constraints.txt $(VENV)/.torch
	@echo "installing posterkit into $(VENV) (1.8 GB; some minutes) ..."
	@$(BIN)/pip install -q -c constraints.txt -e .
	@touch $@

$(VENV)/.dev: pyproject.toml constraints.txt $(VENV)/.posterkit
	@echo "installing what the tests need ..."
	@$(BIN)/pip install -q -c constraints.txt -e ".[dev,data]"
	@touch $@

poster: $(VENV)/.posterkit  ## install, make six posters from text and one for each task, print where they are
	@$(BIN)/python examples/make_posters.py --out posters

test: $(VENV)/.dev  ## the fast tests (about 4 minutes on 2 cores)
	$(PYTEST)

check: $(VENV)/.dev  ## lint, format, types, who may import whom
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright
	$(BIN)/lint-imports

some-slow: $(VENV)/.dev  ## the slow tests that .ci/run runs
	$(PYTEST) -m slow @tests/ci_slow.txt

slow: $(VENV)/.dev  ## everything, with the slow tests and, where there is a card, the GPU tests
	$(PYTEST) -m "slow or gpu or not slow"

bench: $(VENV)/.dev  ## speed, memory and quality figures, resumed runs
	$(BIN)/python benchmarks/synthetic_speed.py
	$(BIN)/python benchmarks/pipeline_speed.py
	$(BIN)/python benchmarks/mini_report.py
	$(BIN)/python benchmarks/resume_hashes.py
	$(BIN)/python benchmarks/lopt_memory.py

$(VENV)/.docs: pyproject.toml constraints.txt $(VENV)/.dev
	@$(BIN)/pip install -q -c constraints.txt -e ".[docs]"
	@touch $@

docs: $(VENV)/.docs  ## the site in build/site; a warning is an error. Files, commands and examples of the docs exist
	$(BIN)/python -m pytest -q tests/test_docs.py tests/test_contributing.py
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

clean:  ## remove what the targets made
	rm -rf $(VENV) posters build *.egg-info .pytest_cache .ruff_cache
