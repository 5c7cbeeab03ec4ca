# `make reproduce` and `make test` need Python 3.11 or newer and a C compiler, nothing else.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready

.PHONY: help reproduce test install benchmarks lock clean

help:
	@echo "make reproduce   re-run the study (DVC) and write reports/index.html"
	@echo "make test        run the tests, and check that the reports belong to the code"
	@echo "make benchmarks  time selection, prefill, spectra, shared evaluation and whole answers (on a GPU: the papers' five models at full size)"
	@echo "make install     only make $(VENV)"
	@echo "make lock        write requirements.lock from what $(VENV) holds"

install: $(READY)

$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "vtprune needs Python 3.11 or newer, but " + sys.executable + " is " + sys.version.split()[0] + "; name another with: make PYTHON=python3.12 ...")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --requirement requirements.lock
	$(BIN)/python -m pip install --no-deps --editable .
	@touch $@

# DVC runs each stage through the shell: the environment's own commands come first there.
reproduce: install
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/dvc repro
	@echo "The report: $(CURDIR)/reports/index.html"

test: install
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m pytest

benchmarks: install
	$(BIN)/python benchmarks/selection.py
	$(BIN)/python benchmarks/prefill.py
	$(BIN)/python benchmarks/cost.py
	$(BIN)/python benchmarks/spectra.py
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/dvc repro world
	$(BIN)/python benchmarks/shared.py

lock: install
	@echo '# Every version that the committed results were made with; `make lock` writes this file anew.' > requirements.lock
	$(BIN)/python -m pip freeze --exclude-editable | sed -E '/^(nvidia-|cuda-|triton)/ s/$$/ ; sys_platform == "linux"/' >> requirements.lock

clean:
	rm -rf $(VENV) data/miniature data/predictions data/training
