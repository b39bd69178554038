# make demo: install, then run the digits protocol into demo/.   make test, make lint: in the same environment.
# make test-all: every preset of every method, and more kills.
# make test-cluster: on a real Slurm (as root, with Debian's packages) and a real Ray, which the tests start on this machine.
PYTHON ?= python3
VENV ?= .venv
STAMP := $(VENV)/.installed
PYTEST := $(VENV)/bin/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

.PHONY: demo test test-all test-cluster lint install
install: $(STAMP)

# --no-deps: the lock is complete; without it pip would pull the QP solvers that avalanche-lib's extra names.
$(STAMP): requirements.lock
	$(PYTHON) -c 'import sys; assert (3, 11, 4) <= sys.version_info < (3, 14), "fscil-bench needs Python 3.11.4 to 3.13"'
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --no-deps --require-hashes -r requirements.lock
	touch $(STAMP)

demo: $(STAMP)
	$(VENV)/bin/python run_all.py --results demo

test: $(STAMP)
	$(PYTEST)

test-all: $(STAMP)
	$(PYTEST) --all-presets --kills 60

# Beside the environment, not in it: its packages are those of the lock.
CLUSTER := $(VENV)-cluster
test-cluster: $(STAMP)
	test -d $(CLUSTER)/ray || $(VENV)/bin/python -m pip install --quiet --target $(CLUSTER) 'submitit>=1.5,<2' 'ray>=2.40,<3'
	PYTHONPATH=$(abspath $(CLUSTER)) $(VENV)/bin/python -m pytest -m cluster tests/cluster

lint: $(STAMP)
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check --diff . >/dev/null || (echo "run: $(VENV)/bin/ruff format ."; exit 1)
	$(VENV)/bin/mypy
