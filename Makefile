# Every target sets up what is missing and is quick when nothing is.
# TORCH_INDEX_URL=https://download.pytorch.org/whl/cpu  takes a CPU build of torch where pip's index offers a CUDA build.

PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
TRITON := .venv-triton
# Processes that share the tests; each starts its own database and model plane.
TESTERS ?= 2
SAMPLE := samples/sense-and-sensibility.mp4
export OMP_NUM_THREADS ?= 1
export PYTHONWARNINGS ?= ignore
# The starter set needs nothing but the package index; `make up OCTAVIA_WEIGHTS=standard` takes the full models.
STARTER := OCTAVIA_WEIGHTS=starter

.DEFAULT_GOAL := help
.PHONY: help demo test lint up soak bench pages serving scaling accounts billing streams load upgrades triton k8s weights setup system browser node kubectl monitoring haproxy clean

help: ## List the targets
	@sed -nE 's/^([a-z0-9]+):.*## (.*)/  make \1\t\2/p' $(firstword $(MAKEFILE_LIST)) | expand -t 16

demo: weights ## Dub the sample into Spanish and print where the results are
	$(STARTER) $(BIN)/octavia dub $(SAMPLE) --to es --out out

up: setup ## Run everything on this machine until Ctrl-C
	$(BIN)/octavia up

test: lint weights browser monitoring kubectl ## Lint, types, import contracts, tests
	$(STARTER) $(BIN)/pytest -m "not soak" --numprocesses $(TESTERS) --dist loadfile

lint: setup ## Lint, types, import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

soak: weights browser node monitoring kubectl haproxy ## The same promises at full size: hours of audio, kills by the dozen
	$(STARTER) $(BIN)/pytest -m soak --timeout 3600

bench: weights ## Everything measured, in one report: make bench BENCH="--quick --compare OLD/report.json"
	$(STARTER) $(BIN)/python -m benchmarks.report $(BENCH)

pages: weights ## How long the web frontend's pages wait for a result
	$(STARTER) $(BIN)/python -m benchmarks.pages

serving: weights ## The model plane against its own classes and against peers; overload, kills, memory, autoscaling
	$(STARTER) $(BIN)/python -m benchmarks.hearing
	$(STARTER) $(BIN)/python -m benchmarks.speech
	$(STARTER) $(BIN)/python -m benchmarks.translation
	$(STARTER) $(BIN)/python -m benchmarks.callers
	$(STARTER) $(BIN)/python -m benchmarks.overload
	$(STARTER) $(BIN)/python -m benchmarks.resilience
	$(STARTER) $(BIN)/python -m benchmarks.memory
	$(STARTER) $(BIN)/python -m benchmarks.autoscaling

scaling: weights ## 20 minutes of bursts on nodes that come and go; then how many GPUs a day of videos needs, and at what cost
	$(STARTER) $(BIN)/python -m benchmarks.scaling.trace --minutes 2 --seed 7 --name scaling-calibration
	$(STARTER) $(BIN)/python -m benchmarks.scaling.trace
	$(STARTER) $(BIN)/python -m benchmarks.scaling.measure
	$(STARTER) $(BIN)/python -m benchmarks.scaling.capacity

accounts: setup ## Does time tell whether an address is known; do a hundred logins leave the API to others
	$(BIN)/python -m benchmarks.logins

streams: setup ## What a thousand followed jobs cost one API process, and how soon their followers hear
	$(BIN)/python -m benchmarks.streams
	$(BIN)/python -m benchmarks.streams --by user

billing: setup ## How many of Polar's deliveries an API process takes in, and how quickly each is acknowledged
	$(BIN)/python -m benchmarks.webhooks

load: weights ## Users by locust: what each /v1 request costs while they browse, translate, pay and watch
	$(STARTER) $(BIN)/python -m benchmarks.load

upgrades: weights haproxy ## Replace API processes, workers and models while they are used: nothing may be lost
	$(STARTER) $(BIN)/python -m benchmarks.upgrades

k8s: setup kubectl ## Render every overlay of k8s/ and hold it to the rules; `make k8s GENERATE=1` makes what is made first
	$(if $(GENERATE),$(BIN)/python -m scripts.plane_requirements && $(BIN)/python -m scripts.kubernetes generate)
	$(BIN)/python -m scripts.kubernetes check

triton: weights $(TRITON)/.installed ## Serve model_repo/ by a real Triton and hold it to our protocol tests
	$(STARTER) $(BIN)/python -m scripts.triton $(BIN)/pytest tests/serve/test_open_inference.py

$(TRITON)/.installed: scripts/triton-requirements.txt requirements.lock scripts/install_triton.sh
	scripts/install_triton.sh $(firstword $(wildcard /usr/bin/python3.11) $(PYTHON))

weights: setup ## Fetch and convert the starter set of weights
	@$(STARTER) $(BIN)/python -m serve.weights pull --set starter >/dev/null

setup: $(VENV)/.installed ## Install everything into .venv

$(VENV)/.installed: pyproject.toml requirements.lock scripts/install.sh | system
	scripts/install.sh $(PYTHON)

# .installed holds the TORCH_INDEX_URL it was made with; another one makes it anew, none keeps what is there.
ifneq ($(TORCH_INDEX_URL),)
ifneq ($(TORCH_INDEX_URL),$(shell cat $(VENV)/.installed 2>/dev/null))
.PHONY: $(VENV)/.installed
endif
endif

system:
	@scripts/system_packages.sh $(PYTHON)

browser:
	@scripts/system_packages.sh $(PYTHON) browser

kubectl: setup
	@scripts/install_kubectl.sh

node:
	@scripts/system_packages.sh $(PYTHON) node

monitoring:
	@scripts/system_packages.sh $(PYTHON) monitoring

haproxy:
	@scripts/system_packages.sh $(PYTHON) haproxy

clean: ## Remove .venv, .venv-triton and out
	rm -rf $(VENV) $(TRITON) out
