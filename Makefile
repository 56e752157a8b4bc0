# Two commands do all the set-up: `make demo` and `make test`. `make lint` checks style and types.
PYTHON ?= python3
VENV ?= .venv
OUT ?= out/demo
BIN := $(VENV)/bin
# Byte code is made of what is imported, when it is: all of it would take pip longer than everything else.
PIP := $(BIN)/python -m pip install --quiet --no-compile --disable-pip-version-check --constraint constraints.txt
TEST_THREADS := OMP_NUM_THREADS=1 NUMBA_NUM_THREADS=1

.PHONY: demo test lint clean

demo: $(VENV)/.core $(if $(IMAGE),$(VENV)/.detect)
ifdef IMAGE
	$(BIN)/occhand predict "$(IMAGE)" --out "$(OUT)"
else
	@echo "The example is a rendering, not a photograph; its 2D joints come from the renderer. Use IMAGE=photo.jpg for a photograph of yours."
	$(BIN)/occhand predict examples/rendered-hand.png --keypoints examples/rendered-hand.json --out "$(OUT)" --turntable
endif

test: $(VENV)/.dev
	$(TEST_THREADS) $(BIN)/python -m pytest -n 2 --dist worksteal -m "not slow"

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# Each stamp is newer than what it was installed from, so a changed pyproject.toml installs again.
$(VENV)/.core: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) --editable .
	touch $@

$(VENV)/.detect: $(VENV)/.core
	$(PIP) --editable ".[detect]"
	touch $@

$(VENV)/.dev: $(VENV)/.core
	$(PIP) --editable ".[dev]"
	touch $@

clean:
	rm -rf $(VENV) out build dist
