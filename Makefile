# One command each: `make demo` and `make test` set everything up first. `make` alone lists the targets.

VENV := .venv
PYTHON := $(VENV)/bin/python
INSTALLED := $(VENV)/.installed
GPU_INSTALLED := $(VENV)/.gpu-installed

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help install demo browser test test-slow lint format docs notebooks gpu-check constraints environment clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

install: $(INSTALLED) ## create .venv and install the project into it

# The first of these that runs, is 3.12 or newer and can make an environment. A name may exist and still not run
# (a pyenv shim of a version that is switched off), so each is asked.
# The stamp is written last: an install that broke off is taken up again.
PROBE := import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 12))
$(INSTALLED): pyproject.toml constraints.txt
	@set -e; \
	if ! $(PYTHON) -c "$(PROBE)" 2>/dev/null || ! $(PYTHON) -m pip --version >/dev/null 2>&1; then \
	  found=; \
	  for candidate in python3.12 python3.13 python3.14 python3; do \
	    if $$candidate -c "$(PROBE)" >/dev/null 2>&1; then found=$$candidate; break; fi; \
	  done; \
	  if [ -z "$$found" ]; then \
	    echo "Python 3.12 or newer, with its venv module, is needed: install it and run make again." >&2; exit 1; \
	  fi; \
	  echo "Creating $(VENV) with $$found ($$($$found --version))"; \
	  $$found -m venv --clear $(VENV); \
	fi; \
	rm -f $(GPU_INSTALLED); \
	echo "Installing the project and what it needs into $(VENV); the first time takes a few minutes"; \
	$(PYTHON) -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev]"; \
	touch $@

demo: $(INSTALLED) ## simulate, fit with NUTS, check, route: the main job on made-up data, into runs/demo
	$(VENV)/bin/birt demo --output runs/demo

browser: ## install Chromium for the test of the report's page, where apt-get and the right to use it are there
	@if command -v chromium >/dev/null; then echo "Chromium is here."; \
	elif command -v apt-get >/dev/null && [ "$$(id -u)" = 0 ]; then \
	  apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium >/dev/null; \
	else echo "No apt-get, or not root: the test of the report's page will be skipped."; fi

# A process a core, but no more than four: each holds JAX and what it compiled, a gigabyte or two. A file's tests stay
# together, because they share fits.
PYTEST := $(PYTHON) -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile

test: $(INSTALLED) ## all tests but the slow ones
	$(PYTEST)

test-slow: $(INSTALLED) ## the slow tests only: recovery, simulation-based calibration
	$(PYTEST) -m slow

lint: $(INSTALLED) ## ruff (rules and format) and mypy
	$(VENV)/bin/ruff check
	$(VENV)/bin/ruff format --check
	$(VENV)/bin/mypy

format: $(INSTALLED) ## let ruff mend what it can
	$(VENV)/bin/ruff check --fix
	$(VENV)/bin/ruff format

docs: $(INSTALLED) ## build the documentation into docs/_build/html; every warning is an error
	$(PYTHON) -m sphinx --quiet --fail-on-warning --keep-going -b html docs docs/_build/html
	@echo "The documentation is in docs/_build/html/index.html."

notebooks: $(INSTALLED) ## run the notebooks again and keep their outputs; a few minutes
	$(PYTHON) scripts/notebooks.py

gpu-check: $(GPU_INSTALLED) ## fit on one GPU and on the CPU, and print the ratio
	$(PYTHON) benchmarks/gpu_check.py

$(GPU_INSTALLED): $(INSTALLED)
	@if nvidia-smi >/dev/null 2>&1; then \
	  echo "Installing JAX for NVIDIA GPUs into $(VENV)"; \
	  $(PYTHON) -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev,gpu]"; \
	else \
	  echo "nvidia-smi finds no GPU here; JAX stays as it is."; \
	fi
	@touch $@

constraints: ## write constraints.txt from what .venv holds
	$(PYTHON) scripts/constraints.py

environment: ## write environment.yml (conda) from pyproject.toml
	$(PYTHON) scripts/environment.py --write

clean: ## remove caches, builds and the demo's output; .venv and other runs stay
	rm -rf runs/demo docs/_build build dist .pytest_cache .ruff_cache .mypy_cache .hypothesis
	find . -name $(VENV) -prune -o -name __pycache__ -type d -exec rm -rf {} +
