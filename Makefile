# `make` alone lists the targets. Each builds .venv itself, from Python 3.11 alone.
PYTHON ?= python3.11
BIN := .venv/bin

unexport PYTHONDONTWRITEBYTECODE  # else each of the tests' many processes would compile every module again

.DEFAULT_GOAL := help
.PHONY: help demo run test lint types sql tests debian deploy-test bench soak format clean

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 13

.venv/ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch $@

.venv-readers/ready: tests/readers.txt
	$(PYTHON) -m venv .venv-readers
	.venv-readers/bin/python -m pip install --quiet --disable-pip-version-check --requirement tests/readers.txt
	@touch $@

.venv-dagster/ready: pyproject.toml constraints.txt tests/deploy/dagster.txt
	$(PYTHON) -m venv .venv-dagster
	.venv-dagster/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --requirement tests/deploy/dagster.txt --editable .
	@touch $@

.venv-airflow/ready: pyproject.toml constraints.txt tests/deploy/airflow.txt
	$(PYTHON) -m venv .venv-airflow
	.venv-airflow/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --requirement tests/deploy/airflow.txt --editable .
	@touch $@

demo: .venv/ready  ## a simulated PBX and a night's run against it: no account needed
	$(BIN)/calls demo

run: .venv/ready  ## the nightly job, with the settings in .dlt/
	$(BIN)/calls run

test: lint types sql tests  ## lint, format check, types, SQL, tests: one after the other, or together with --jobs

lint: .venv/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: .venv/ready
	$(BIN)/mypy

sql: .venv/ready
	$(BIN)/sqlfluff lint --processes 2 sql/models sql/tests sql/analyses

tests: .venv/ready .venv-readers/ready
	$(BIN)/pytest

debian: .venv/ready  ## the report in a real browser, the units in systemd: needs Debian's packages chromium and systemd
	$(BIN)/pytest -m debian -n 2

deploy-test: .venv/ready .venv-dagster/ready .venv-airflow/ready  ## the Dagster assets, the Airflow DAG, the container's steps: run for real
	$(BIN)/pytest -m deploy

bench: .venv/ready  ## speed, as ratios within one run
	$(BIN)/python -m tests.bench
	$(BIN)/python -m tests.bench.report
	$(BIN)/python -m tests.bench.models

soak: .venv/ready .venv-readers/ready  ## long runs of the property tests
	$(BIN)/pytest -m soak

format: .venv/ready  ## rewrite the files in the house format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:  ## remove what the other targets made
	rm -rf .venv .venv-readers .venv-dagster .venv-airflow demo published .pytest_cache .ruff_cache .mypy_cache .hypothesis *.egg-info sql/target sql/logs
