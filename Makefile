# Baton's commands. `make` alone lists them; `make check test` is the gate, and what .ci/run runs.

PYTHON ?= python3
TORCH ?= torch==2.13.0
VENV := .venv
BIN := $(VENV)/bin
SERVES := $(VENV)/.serves
STAMP := $(VENV)/.installed
PIP := $(BIN)/python -m pip --disable-pip-version-check
PROTOS := $(sort $(wildcard protos/baton/v1/*.proto))
PROTO_OUT ?= .
CLIENTS := .venv-clients
PACKAGES := baton common router prefill_worker decode_worker kvtransfer loadtest tests
# Tests that start processes of their own have the machine to themselves.
ALONE := tests/clients tests/faults tests/system
UP ?=
BENCH ?=
PEERS ?=
QUICK ?=
ARGS ?=

.PHONY: compose help setup demo-model up test clients check fmt proto bench bench-peers gpu gpu-compile explore simulate clean

help:
	@echo "make up        a router, a prefill and a decode worker with the demo model; UP='--decode 2' adds options"
	@echo "make setup     everything installed in .venv; every target sees to what it needs of it"
	@echo "make test      all tests that need no GPU"
	@echo "make clients   other people's clients, in environments of their own, against a real fleet"
	@echo "make compose   the compose file on this machine's container engine: up, scaled, a container killed, down"
	@echo "make check     lint, format, types, generated code, rules of the house"
	@echo "make fmt       format the code"
	@echo "make proto     generate baton/v1 from protos/"
	@echo "make bench     micro-benchmarks against this machine's ceilings; BENCH=NAME runs one"
	@echo "make bench-peers   Baton beside other servers; PEERS=DIR says where they are, QUICK=1 takes six minutes, all thirty"
	@echo "make gpu-compile  every Triton kernel to machine code for sm_80 and sm_90; needs no device"
	@echo "make gpu       on a machine with a CUDA device: what is right there, and how fast; nothing is installed"
	@echo "make explore   every order of events of the hand-off, exhaustively"
	@echo "make simulate  random faults on virtual time"
	@echo "make demo-model  train the demo model again, an hour on one core, and put it in its place"
	@echo "make clean     remove what was built or cached, but not .venv"

setup: $(STAMP)

$(SERVES): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "setup: $(PYTHON) is missing or older than 3.11; name another: make setup PYTHON=python3.12" >&2; exit 1; }
	@test -x $(BIN)/pip || { echo "setup: creating $(VENV)"; $(PYTHON) -m venv $(VENV); }
	@echo "setup: installing $(TORCH) (the largest download; TORCH=... chooses another build)"
	@$(PIP) install --quiet $(TORCH)
	@echo "setup: installing baton"
	@$(PIP) install --quiet --editable '.[worker]'
	@echo "setup: compiling the native kernels"
	@$(BIN)/python -m common.kernels.native
	@touch $@

$(STAMP): $(SERVES)
	@echo "setup: installing what checks and tests it"
	@$(PIP) install --quiet --editable '.[dev]'
	@touch $@
	@echo "setup: done"

up: $(SERVES)
	@$(BIN)/baton up $(UP)

test: setup
	@$(BIN)/python -m pytest -n 2 --dist loadfile $(ALONE:%=--ignore=%)
	@$(BIN)/python -m pytest $(ALONE)

clients: $(CLIENTS)/openai2/.installed $(CLIENTS)/judges/.installed
	@echo "clients: openai 3" && $(BIN)/python -m pytest tests/clients
	@echo "clients: openai 2, langchain-openai, litellm" && $(CLIENTS)/openai2/bin/python -m pytest tests/clients
	@echo "clients: lm-eval, schemathesis" && $(CLIENTS)/judges/bin/python -m pytest tests/clients

# Each lies over .venv: what it does not have itself, it takes from there.
$(CLIENTS)/openai2/.installed: WANTS := 'openai>=2,<3' langchain-openai litellm mcp
$(CLIENTS)/judges/.installed: WANTS := 'lm-eval[api]' schemathesis
$(CLIENTS)/%/.installed: $(STAMP)
	@echo "clients: installing $(WANTS)"
	@$(PYTHON) -m venv $(CLIENTS)/$*
	@$(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))' \
	  > "$$($(CLIENTS)/$*/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/beneath.pth"
	@$(CLIENTS)/$*/bin/python -m pip --disable-pip-version-check install --quiet $(WANTS)
	@touch $@

check: setup
	@echo "check: ruff" && $(BIN)/ruff check .
	@echo "check: format" && $(BIN)/ruff format --check .
	@echo "check: types" && $(BIN)/mypy $(addprefix -p ,$(PACKAGES))
	@if command -v buf >/dev/null; then echo "check: buf" && buf lint protos; fi
	@echo "check: house rules" && $(BIN)/python -m pytest tests/house

fmt: setup
	@$(BIN)/ruff check --fix-only --quiet .
	@$(BIN)/ruff format .

proto: setup
	@$(BIN)/python -m grpc_tools.protoc -Iprotos --python_out=$(PROTO_OUT) --pyi_out=$(PROTO_OUT) \
	  --grpc_python_out=$(PROTO_OUT) $(PROTOS)

bench: setup
	@$(BIN)/python -m loadtest.micro $(or $(BENCH),all)

bench-peers: setup
	@$(BIN)/python -m loadtest.peers --peers=$(PEERS) $(if $(QUICK),--quick) $(ARGS)

gpu:
	@PYTHONUNBUFFERED=1 $$(test -x $(BIN)/python && echo $(BIN)/python || echo $(PYTHON)) -m loadtest.gpu

gpu-compile: setup
	@$(BIN)/python -m loadtest.gpu.compile

explore: setup
	@$(BIN)/python -m loadtest.simulator explore

simulate: setup
	@$(BIN)/python -m loadtest.simulator

demo-model: setup
	@$(BIN)/python -m baton.demo.train
	@$(BIN)/python -m baton.demo.ship

compose: setup
	@BATON_TEST_COMPOSE=1 $(BIN)/python -m pytest tests/deploy/test_run.py -v

clean:
	@rm -rf build *.egg-info .baton .mypy_cache .ruff_cache .pytest_cache .hypothesis
	@find . -name __pycache__ -type d -not -path './$(VENV)/*' -prune -exec rm -rf {} +
