# make demo   sets everything up and segments real cells      make test   sets everything up and runs all checks
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: demo test setup lock format clean
demo: $(READY)
	$(BIN)/morula demo --out runs/demo

test: $(READY)
	$(BIN)/python -m pytest -n 2 --dist loadfile $(PYTEST_ARGS)

setup: $(READY)

$(READY): pyproject.toml requirements.lock
	$(PYTHON) -c 'import sys; sys.exit("Morula needs Python 3.11 or newer; found " + sys.version.split()[0] + ". Call make PYTHON=python3.11" if sys.version_info < (3, 11) else 0)'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	test -x $(BIN)/uv || $(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	$(BIN)/uv pip install --quiet --python $(BIN)/python --requirement requirements.lock
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --editable .
	touch $@

# Resolves all versions anew; the lock is a plain list of name==version.
lock: $(READY)
	$(BIN)/uv pip compile --quiet --upgrade --no-annotate --no-header --no-emit-index-url --universal --python-version 3.11 \
		pyproject.toml --group dev --output-file requirements.lock

format: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) dist build
