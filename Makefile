# Every target sets up what is missing and is quick when nothing is.
# TORCH_INDEX_URL=https://download.pytorch.org/whl/cpu  takes a CPU build of torch where pip's index offers a CUDA build.

PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
SAMPLE := samples/sense-and-sensibility.mp4
export OMP_NUM_THREADS ?= 1
export PYTHONWARNINGS ?= ignore
# The starter set needs nothing but the package index; `make up OCTAVIA_WEIGHTS=standard` takes the full models.
STARTER := OCTAVIA_WEIGHTS=starter

.PHONY: demo test lint up soak bench weights setup clean

demo: weights ## Dub the sample into Spanish and print where the results are
	$(STARTER) $(BIN)/octavia dub $(SAMPLE) --to es --out out

up: setup ## Run everything on this machine until Ctrl-C
	$(BIN)/octavia up

test: lint weights ## Lint, types, import contracts, tests
	$(STARTER) $(BIN)/pytest -m "not soak"

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

soak: weights ## The same promises at full size: hours of audio, kills by the dozen
	$(STARTER) $(BIN)/pytest -m soak --timeout 3600

bench: weights ## A warm one-minute dub against the script a user would write
	$(STARTER) $(BIN)/python -m benchmarks.dub

weights: setup
	$(STARTER) $(BIN)/python -m serve.weights pull --set starter

setup: $(VENV)/.installed system

$(VENV)/.installed: pyproject.toml requirements.lock scripts/install.sh
	scripts/install.sh $(PYTHON)
	touch $@

.PHONY: system
system:
	@scripts/system_packages.sh

clean:
	rm -rf $(VENV) out
