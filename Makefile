# The two commands that matter: make run, make test. Both start from a clean clone on a machine with Python 3.11.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps
MODEL ?= replies
export APPROVER REASON

.PHONY: help run demo install test test-cluster test-sagemaker soak stop lock clean

help:
	@echo "make run      install, then take the example data to an approved, served model"
	@echo "              unattended: make run APPROVER=you@example.com REASON=\"first release\""
	@echo "make demo     the story of a few releases, good and bad, on one page (docs/demo.md); step by step: make demo STEP=1"
	@echo "make test     lint, types, import contract, unit, flow and contract tests"
	@echo "make test-cluster  the Kubernetes target on a real cluster (docs/kubernetes.md): KUBECONFIG, else a node of its own"
	@echo "make test-sagemaker  the SageMaker target on the simulator of tests/sagemaker; HEADGATE_AWS_TESTS=1: on AWS"
	@echo "make soak     half an hour of load on a bundle while its workers are killed: make soak BUNDLE=out/bundle"
	@echo "make stop     stop everything, losing nothing"
	@echo "make install  the environment and nothing else"
	@echo "make lock     pin the dependencies of pyproject.toml anew"
	@echo "make clean    forget all state of the local stack (.headgate)"

run: install
	@$(BIN)/headgate run --model $(MODEL)

demo: install
	@$(BIN)/headgate demo $(if $(STEP),--step) $(if $(KEEP),--keep) $(if $(AGAIN),--again)

install: $(VENV)/.installed

# The lock is complete: everything is installed without resolving and checked by its hash. uv does in seconds what takes pip
# minutes; pip is the fallback where only pip is configured to reach a package index.
$(VENV)/.installed: requirements/lock.txt requirements/bootstrap.txt requirements/torch.txt pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if v == (3, 11) else f"expected Python 3.11, found {v[0]}.{v[1]}; try: make PYTHON=python3.11 install")'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing the pinned requirements into $(VENV) (a few minutes the first time) ..."
	@$(PIP) -r requirements/torch.txt
	@$(PIP) --require-hashes -r requirements/bootstrap.txt
	@VIRTUAL_ENV=$(VENV) $(BIN)/uv pip install --quiet --no-deps --require-hashes -r requirements/lock.txt \
		|| $(PIP) --require-hashes -r requirements/lock.txt
	@$(PIP) --no-build-isolation -e .
	@touch $@

test: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/pytest -n 2 --dist loadfile

test-cluster: install
	$(BIN)/pytest tests/cluster -m "cluster and not slow" --durations=0

test-sagemaker: install
	$(BIN)/pytest tests/sagemaker -m sagemaker

soak: install
	@test -n "$(BUNDLE)" || { echo "expected a bundle folder: make soak BUNDLE=out/bundle (headgate wrap writes one)"; exit 2; }
	$(BIN)/python benchmarks/soak.py $(BUNDLE) --seconds 1800

stop:
	@test ! -x $(BIN)/headgate || $(BIN)/headgate stop

lock: install
	echo 'uv==0.13.9' | $(BIN)/uv pip compile - --generate-hashes --python-version 3.11 --custom-compile-command "make lock" -o requirements/bootstrap.txt
	$(BIN)/uv pip compile pyproject.toml --extra dev --override requirements/overrides.txt --generate-hashes --python-version 3.11 \
		--custom-compile-command "make lock" -o requirements/lock.txt
	$(BIN)/python -m headgate.model.serving_lock requirements/lock.txt
	$(BIN)/uv pip compile pyproject.toml deployments/production/requirements.in --extra flows --constraint requirements/lock.txt \
		--override requirements/overrides.txt --generate-hashes --python-version 3.11 --no-annotate \
		--custom-compile-command "make lock" -o deployments/production/requirements.txt

clean: stop
	rm -rf .headgate
