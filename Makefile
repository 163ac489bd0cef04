# Two commands matter: `make lab` opens the course, `make test` checks all of it. `make help` lists the rest.
# Each calls bootstrap.py, which builds the environment that it needs; without make, call that yourself.

# The first of these that is a Python 3.11, 3.12 or 3.13 and can make a virtual environment; name one to choose it.
ifndef PYTHON
PYTHON := $(shell for p in python3 python3.13 python3.12 python3.11 python; do \
	$$p -c 'import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' \
	>/dev/null 2>&1 && echo $$p && break; done)
endif
# None found: let bootstrap.py say so, with the Python that there is.
ifeq ($(strip $(PYTHON)),)
PYTHON := python3
endif

RUN := $(PYTHON) bootstrap.py

# make lab PORT=8899 BROWSER=no
LAB_OPTIONS := $(if $(PORT),--port $(PORT)) $(if $(filter no,$(BROWSER)),--no-browser)

.DEFAULT_GOAL := help
.PHONY: help lab test test-lax check notebooks browser lock doctor clean

help:  ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' Makefile

lab:  ## open the course in JupyterLab (PORT=8899 chooses a port, BROWSER=no opens none)
	@$(RUN) lab $(LAB_OPTIONS)

doctor:  ## check this machine, the packages and the data
	@$(RUN) run recsys-course doctor

test:  ## run every test and every chapter (TEST='-k events' chooses)
	@$(RUN) test $(TEST)

test-lax:  ## the same, without comparing stored outputs: for other systems than Linux
	@$(RUN) test --course-lax $(TEST)

check:  ## build again what has changed, and hold it to what is committed
	@$(RUN) run-test python -m authoring check

notebooks:  ## build the chapters, exercises and solutions from their sources (ONLY=01 builds one)
	@$(RUN) run-test python -m authoring build $(ONLY)

browser:  ## open and run the chapters in JupyterLab, in Chromium without a screen (ONLY=01, SCREENS=folder)
	@$(RUN) run-test python -m authoring browser $(ONLY) $(if $(SCREENS),--screens $(SCREENS))

lock:  ## renew the locks within the bands of pyproject.toml (KEEP=1 moves no version that it need not)
	@$(RUN) run-test python -m authoring locks $(if $(KEEP),--keep)

clean:  ## remove both environments and every cache; work/ stays
	rm -rf .venv .venv-test .venv.* .venv-test.* .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
