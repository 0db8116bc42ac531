# SPDX-License-Identifier: Apache-2.0
# Everything happens in .venv, which is made on first use and kept until setup.py changes.
#   make demo [ARGS='--rate 15']     the node on a stream, without ROS or PyTorch on this machine
#   make test [ARGS='-k geometry']   lint and all tests
#   make lint                        ruff: rules and format
#   make PYTHON=python3.11 ...       another interpreter than the first that fits, in a new .venv

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --disable-pip-version-check -qq --editable
CANDIDATES := $(or $(PYTHON),python3.12 python3.11 python3.10 python3.13 python3.14 python3)
RUFF := $(BIN)/ruff check && $(BIN)/ruff format --check
FITS := import sys, venv, ensurepip; sys.exit(not (3, 10) <= sys.version_info < (3, 15))

# A ROS that is sourced in this shell would mix with the wheels that stand in for it.
ifdef AMENT_PREFIX_PATH
unexport AMENT_PREFIX_PATH PYTHONPATH LD_LIBRARY_PATH RMW_IMPLEMENTATION
endif

.PHONY: demo test lint
.DELETE_ON_ERROR:

demo: $(VENV)/installed-demo
	@$(BIN)/mtperception demo $(ARGS)

# Three processes on two cores: those that start nodes mostly wait (17 instead of 20 minutes).
test: $(VENV)/installed-test
	@$(RUFF)
	@$(BIN)/python -m pytest -n 3 $(ARGS)

lint: $(VENV)/installed-lint
	@$(RUFF)

$(VENV)/installed-demo: EXTRAS := ros,openvino,bags
$(VENV)/installed-test: EXTRAS := lint,dev,train,teachers,openvino,mapping,ros,bags
$(VENV)/installed-lint: EXTRAS := lint
$(VENV)/installed-%: setup.py pyproject.toml | $(BIN)/python
	@echo 'Installing mtperception[$(EXTRAS)] into $(VENV), once'
	@$(PIP) '.[$(EXTRAS)]'
	@touch $@

# Tried, not just looked for: a name on PATH can be a shim without an interpreter behind it.
$(BIN)/python:
	@for python in $(CANDIDATES); do \
	    if "$$python" -c '$(FITS)' 2>/dev/null; then exec "$$python" -m venv $(VENV); fi; \
	done; \
	echo 'error: found no Python 3.10 to 3.14 with venv among: $(CANDIDATES)' >&2; \
	echo 'Install one (on Debian and Ubuntu also python3-venv), or say which: make PYTHON=/path/to/python3.12' >&2; \
	exit 1
