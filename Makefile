# Every command is the same on every machine: Python >= 3.11 and make are enough.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
DEMO ?= demo
export PYTHONPATH :=

.PHONY: demo live-demo install test lint types unit accuracy bench gpu-check gpu-wheels clean

# The user's environment: with torch, which the shape network runs on; no test tools.
$(VENV)/.base: pyproject.toml constraints.txt
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(PIP) install --editable ".[torch]" --constraint constraints.txt
	@touch $@

# The developer's: the same one with the test tools.
$(VENV)/.dev: $(VENV)/.base
	@$(PIP) install --editable ".[torch,dev]" --constraint constraints.txt
	@touch $@

install: $(VENV)/.dev

demo: $(VENV)/.base
	@$(BIN)/stempede demo $(DEMO)

# A simulated session comes in as from a microscope; the address of the page is printed.
live-demo: $(VENV)/.base
	@rm -rf $(DEMO)/live && mkdir -p $(DEMO)/live/in
	@test -d $(DEMO)/live-session/session.zarr || $(BIN)/stempede simulate particles --out $(DEMO)/live-session --frames 60 --size 1024
	@$(BIN)/stempede replay $(DEMO)/live-session/session.zarr --rate 1 --into $(DEMO)/live/in --trouble all --quiet & \
	  $(BIN)/stempede watch $(DEMO)/live/in --out $(DEMO)/live/run --stop-when mean_size=1% --idle 60; wait

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/check-jsonschema --builtin-schema vendor.compose-spec docker/compose.yml
	@if [ -x $(BIN)/hadolint ]; then $(BIN)/hadolint docker/*.Dockerfile; fi

types: $(VENV)/.dev
	$(BIN)/mypy

unit: $(VENV)/.dev
	$(BIN)/pytest -m "not gpu" --numprocesses auto --dist loadfile

test: lint types unit

accuracy: $(VENV)/.dev
	$(BIN)/pytest tests/accuracy --scale 1 -o timeout=3600 -o faulthandler_timeout=0

bench: $(VENV)/.dev
	$(BIN)/stempede bench

# Installs nothing: takes the environment where there is one, else the machine's own Python.
gpu-check gpu-wheels: ANY = $(if $(wildcard $(BIN)/python),$(BIN)/python,$(PYTHON))

gpu-check:
	@PYTHONPATH=engine:kernels:bench $(ANY) -m stempede_bench.gpu_check

gpu-wheels:
	@PYTHONPATH=engine:kernels:bench $(ANY) -m stempede_bench.gpu_wheels .wheels

clean:
	rm -rf $(DEMO) .mypy_cache .ruff_cache .hypothesis dist
