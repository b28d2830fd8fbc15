# make run    the whole service on embedded parts, with one sample mail
# make test   every test, from nothing to green
# make check  what a reviewer would say first
PY ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip install -q --disable-pip-version-check
PROTOS := $(shell find protos -name '*.proto')

.PHONY: run test check format reference figures lock clean

run: .venv/.stubs
	@# Tied to this make: when it is killed, the stack goes with it.
	@exec $(BIN)/python -I -S server/dev/tether.py $$PPID $(BIN)/python -m server.dev

test: .venv/.dev .venv/.stubs
	@$(BIN)/python -m pytest -n auto $(ARGS)

check: .venv/.dev .venv/.stubs
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/buf lint protos
	$(BIN)/buf format protos --diff --exit-code
	$(BIN)/check-jsonschema --builtin-schema vendor.compose-spec docker-compose.yml
	$(BIN)/hadolint Dockerfile
	$(BIN)/python -m pytest tests/test_floors.py

format: .venv/.dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .
	$(BIN)/buf format protos --write

# docs/reference, from the contract, the settings and the metrics as they are.
reference: .venv/.stubs
	@$(BIN)/python -m docs.reference

# The figures that the README claims, measured on this machine.
figures: .venv/.dev .venv/.stubs
	@$(BIN)/python -m tests.bench

.venv/.run: locks/run.lock
	@$(PY) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed: make PY=python3.12"; exit 1; }
	@test -x $(BIN)/pip || $(PY) -m venv .venv || { echo "Python's venv module is missing: apt-get install python3-venv"; exit 1; }
	@echo "installing into .venv (once)"
	@$(PIP) --require-hashes -r locks/run.lock
	@touch $@

.venv/.dev: .venv/.run locks/dev.lock
	@echo "installing what the tests need (once)"
	@$(PIP) --require-hashes -r locks/dev.lock
	@touch $@

# The client is used in place: its editable install makes the stubs and puts `cabrank` on the path.
.venv/.stubs: .venv/.run protos/generate.py clients/python/pyproject.toml clients/python/build_hook.py $(PROTOS)
	@$(PIP) --no-deps --no-build-isolation -e clients/python
	@touch $@

# Needs uv, which locks/dev.lock brings.
COMPILE := $(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header --no-annotate pyproject.toml
lock:
	$(COMPILE) --group dev -o locks/dev.lock
	$(COMPILE) --group dev-stack --group gen -c locks/dev.lock -o locks/run.lock
	$(COMPILE) -c locks/dev.lock -o locks/service.lock

clean:
	rm -rf .venv .cabrank .mypy_cache .ruff_cache .pytest_cache .hypothesis
