# Everything here needs only Python 3.10 to 3.13 and pip; uv is used where it is present. Like uv, pip
# compiles nothing here: of the 26,000 modules that the tests' packages have, few are ever imported.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
UV := $(shell command -v uv 2>/dev/null)
ifdef UV
INSTALL := uv pip install --quiet --python $(BIN)/python
UNINSTALL := uv pip uninstall --quiet --python $(BIN)/python
CREATE := uv venv --quiet --allow-existing --seed --python $(PYTHON) $(VENV)
else
INSTALL := $(BIN)/python -m pip install --quiet --no-compile --disable-pip-version-check
UNINSTALL := $(BIN)/python -m pip uninstall --quiet --yes --disable-pip-version-check
CREATE := $(PYTHON) -m venv $(VENV)
endif

.PHONY: demo test test-slow lint format clean
.DEFAULT_GOAL := test

$(VENV)/.core: pyproject.toml
	$(CREATE)
	$(INSTALL) -e .
	@touch $@

$(VENV)/.dev: $(VENV)/.core
	$(INSTALL) -e ".[dev]"
	@touch $@

$(VENV)/.train: $(VENV)/.dev
	$(INSTALL) -e ".[train]"
	@touch $@

# Extras that declare opencv-python overwrite the headless build's cv2 folder: put it back.
$(VENV)/.all: $(VENV)/.train
	$(INSTALL) -e ".[all]"
	-$(UNINSTALL) opencv-python
	$(INSTALL) --no-deps --force-reinstall opencv-python-headless
	@touch $@

demo: $(VENV)/.core  ## index real footage, enrol people, ask seven questions, check the answers
	$(BIN)/python examples/demo.py

test: $(VENV)/.train  ## the fast tests (under 15 minutes)
	$(BIN)/python -m pytest -m "not slow" --durations=15

test-slow: $(VENV)/.all  ## what needs the extras or more time (under 45 minutes)
	$(BIN)/python -m pytest -m slow --durations=30

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/.dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) build dist *.egg-info demo
