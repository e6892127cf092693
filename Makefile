# payops: every target works from a fresh clone. Paths are relative, so folders with spaces are fine.

VENV := .venv
BIN := $(VENV)/bin
NEW_ENOUGH := import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))
PYTHON ?= $(shell for name in python3 python3.13 python3.12 python3.11; do \
  "$$name" -c '$(NEW_ENOUGH)' 2>/dev/null && command -v "$$name" && break; done)
STAMP := $(VENV)/.installed
TEST_PROCESSES ?= 2
PYTEST_OPTIONS ?=

.DEFAULT_GOAL := help
.PHONY: help venv demo day test lint format check messages run worker beat clean

help: ## Show the targets
	@grep -E '^[a-z]+:.*## ' Makefile | sed -E 's/^([a-z]+):.*## /  \1	/' | expand -t 12

venv: $(STAMP) ## Install what payops needs into .venv

$(STAMP): requirements.txt requirements-dev.txt
	@"$(PYTHON)" -c '$(NEW_ENOUGH)' || { \
	  echo "payops needs Python 3.11 or newer with venv; say which with: make PYTHON=/path/to/python" >&2; exit 1; }
	test -x $(BIN)/python || "$(PYTHON)" -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	@touch $(STAMP)

day: venv ## Set up, walk the sample days and show that every planted difference was found
	$(BIN)/python manage.py migrate --verbosity 0
	$(BIN)/python manage.py run_sample_days

demo: day ## The same, then serve console and portal until Ctrl-C
	$(BIN)/python -m payops.config.serve

test: lint check ## Everything: linters, floors, migrations and all tests
	$(BIN)/python -m pytest -n $(TEST_PROCESSES) $(PYTEST_OPTIONS)

lint: venv ## Linters, formatting and the floors
	$(BIN)/python -m ruff check .
	$(BIN)/python -m ruff format --check .
	$(BIN)/python -m djlint templates --lint --quiet
	$(BIN)/lint-imports --no-cache

format: venv ## Bring the code into shape
	$(BIN)/python -m ruff check --fix .
	$(BIN)/python -m ruff format .

check: venv ## Django's checks, and whether a migration is missing
	$(BIN)/python manage.py check
	$(BIN)/python manage.py makemigrations --check --dry-run

messages: venv ## Bring the Chinese catalogue up to date with the source (needs gettext)
	$(BIN)/python manage.py makemessages
	$(BIN)/python manage.py compilemessages --locale zh_Hans --ignore $(VENV) --ignore var

run: venv ## The site alone, reloading on change
	PAYOPS_DEBUG=1 $(BIN)/python manage.py runserver

worker: venv ## A worker alone
	$(BIN)/python -m celery -A payops.config worker --hostname w@payops --loglevel INFO

beat: venv ## The timetable alone
	$(BIN)/python -m celery -A payops.config beat --loglevel INFO --pidfile ""

clean: ## Stop the database and forget everything payops made in this folder
	test ! -x $(BIN)/python || $(BIN)/python manage.py db stop
	rm -rf var
