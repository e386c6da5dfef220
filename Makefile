# Everything runs in .venv, which `make` builds from the lock and rebuilds when the lock changes.
PYTHON ?= python3
BIN := .venv/bin
PLUGINS := $(wildcard plugins/*)
PROJECTS := . $(PLUGINS)
CODE := src plugins/*/src

.PHONY: demo test bench docs lock lint

demo: .venv/done      ## run the story: will this departure be late?
	rm -rf workspace/flights
	$(BIN)/umlops demo --folder workspace/flights

test: lint            ## everything that must hold, fast tests first
	$(BIN)/pytest tests -m "not story" -n 2 --dist loadfile
	$(BIN)/pytest plugins -n 2 --dist loadfile --ignore plugins/unified-mlops-ray
	$(BIN)/pytest plugins/unified-mlops-ray
	$(BIN)/pytest tests -m story

lint: .venv/done      ## style, types and layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy $(CODE)
	$(BIN)/lint-imports

bench: .venv/done     ## our speed beside the native tools', in one run
	$(BIN)/python -m benchmarks

docs: .venv/done      ## write docs/hooks.md from the hook specifications
	$(BIN)/python docs/generate.py

lock: .venv/done      ## pin the newest versions that install together
	$(BIN)/uv pip compile requirements.in --python-version 3.11 --upgrade \
	    --no-header --no-annotate --no-emit-index-url -o requirements.lock

.venv/done: requirements.lock pyproject.toml $(wildcard plugins/*/pyproject.toml)
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check "$$(grep '^uv==' requirements.lock)"
	$(BIN)/uv pip install --python $(BIN)/python --quiet -r requirements.lock
	$(BIN)/uv pip install --python $(BIN)/python --quiet --no-deps --no-build-isolation $(addprefix -e ./,$(PROJECTS))
	touch $@
