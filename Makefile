# Needs Python 3.11 or newer, make and a C compiler, nothing else: the first target that needs .venv makes it.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready
# Commands of the environment come first on the path, because DVC runs each stage through the shell.
RUN    := PATH="$(CURDIR)/$(BIN):$$PATH"
# What `make reproduce` runs: the miniature, or a folder of profiles/: quick, lite or paper.
PROFILE ?= miniature
PIPELINE = $(if $(filter miniature,$(PROFILE)),dvc.yaml,profiles/$(PROFILE)/dvc.yaml)

.PHONY: help install browser reproduce test test-fast test-exhaustive rehearse check check-reports benchmarks lock clean distclean

help:
	@echo "make install        make $(VENV) with every locked package"
	@echo "make browser        add a headless Chromium to $(VENV), for the tests of pages in a browser"
	@echo "make reproduce      run the study (DVC) and write reports/miniature/index.html;"
	@echo "                    with PROFILE=quick in minutes on a few questions, with PROFILE=lite or paper on the papers' models"
	@echo "make test           run the tests, except those that only CI needs"
	@echo "make test-fast      run the tests that are not marked slow"
	@echo "make test-exhaustive run the tests that make test leaves out: very many cases, whole commands, trainings"
	@echo "make rehearse       rehearse a real run: profiles lite and paper on replicas of the papers' checkpoints and data"
	@echo "make check          lint, format, types and import layers"
	@echo "make check-reports  check that the committed reports belong to the committed code"
	@echo "make benchmarks     time selection, prefill, costs, spectra and shared answers (with a GPU: the papers' models in full size)"
	@echo "make lock           write requirements.lock from the packages in $(VENV)"
	@echo "make clean          delete caches and build files"
	@echo "make distclean      delete these, $(VENV), the rendered data, all fetched models and data, all stored answers and all training states, without a question"

install: $(READY)

$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "vtprune needs Python 3.11 or newer, but " + sys.executable + " is " + sys.version.split()[0] + ". Name another one: make PYTHON=python3.12 ...")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --requirement requirements.lock
	$(BIN)/python -m pip install --no-deps --editable .
	@touch $@

# Without it, the tests in tests/browser are skipped.
browser: install
	$(BIN)/python -m pip install --requirement tests/browser/requirements.txt
	$(BIN)/python tests/helpers/chromium.py

reproduce: install
	$(RUN) vtstudy pipeline
	@test -f $(PIPELINE) || { echo "There is no profile '$(PROFILE)': the profiles are miniature and the folders of profiles/." >&2; exit 2; }
	$(RUN) vtstudy check --profile $(PROFILE)
	$(RUN) dvc repro $(PIPELINE)
	@echo "The report: $(CURDIR)/reports/$(PROFILE)/index.html"

# One process for each CPU, at most four (tests/conftest.py); a file's tests stay together, because they share fixtures.
PYTEST := python -m pytest --numprocesses auto --dist loadfile

test: install
	$(RUN) $(PYTEST) -m "not exhaustive"

test-fast: install
	$(RUN) $(PYTEST) -m "not slow and not exhaustive"

test-exhaustive: install
	$(RUN) $(PYTEST) -m exhaustive

rehearse: install
	$(RUN) python tests/rehearsal/rehearse.py

check: install
	$(RUN) ruff check
	$(RUN) ruff format --check
	$(RUN) mypy
	$(RUN) lint-imports --no-logo

check-reports: install
	$(RUN) python .ci/check_reports.py

benchmarks: install
	$(RUN) python benchmarks/selection.py
	$(RUN) python benchmarks/prefill.py
	$(RUN) python benchmarks/cost.py
	$(RUN) python benchmarks/spectra.py
	$(RUN) dvc repro world
	$(RUN) python benchmarks/shared.py

lock: install
	@echo '# Every version that the committed results were made with, and the tools of `make check`. Written by `make lock`.' > requirements.lock
	$(BIN)/python -m pip freeze --exclude-editable $$(sed -n 's/==.*//p' tests/browser/requirements.txt | sed 's/^/--exclude /') | sed -E '/^(nvidia-|cuda-|triton)/ s/$$/ ; sys_platform == "linux"/' | LC_ALL=C sort -f >> requirements.lock

clean:
	rm -rf build dist src/*.egg-info .pytest_cache .hypothesis .mypy_cache .ruff_cache .import_linter_cache
	find src tests benchmarks .ci -name __pycache__ -type d -prune -exec rm -rf {} +

# Training and answering again takes hours.
distclean: clean
	rm -rf $(VENV) data/miniature data/quick data/models data/hub data/answers data/predictions data/training
