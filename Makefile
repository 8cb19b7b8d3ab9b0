# One command each: `make course`, `make test`, `make lab`. All of them install first, once, into .venv.
# Another Python: make install PYTHON=python3.12

PYTHON ?= python3
IN_VENV := .venv/bin/python
COLAB_PYTHON ?=

# The stamp holds what the installation depends on, so that a moved checkout or a changed pyproject.toml installs anew
# and everything else is instant.
STAMP := $(CURDIR) $(shell cksum < pyproject.toml)
ifneq ($(shell $(IN_VENV) -c "print(open('.venv/.installed').read().strip())" 2>/dev/null),$(STAMP))
.PHONY: .venv/.installed
endif
# A Python that is named on the command line, and is not the one in .venv, makes a new one.
ifeq ($(origin PYTHON),command line)
ifneq ($(shell $(IN_VENV) -c "import sys; print(sys.version)" 2>/dev/null),$(shell $(PYTHON) -c "import sys; print(sys.version)" 2>/dev/null))
.PHONY: .venv/.installed
ANEW := --clear
endif
endif

.PHONY: help install course test lab lab-thresholds notebooks exercises test-nbgrader test-colab test-backends benchmarks clean

help:
	@echo "make course       run notebooks 00-04 on phantom films (5 minutes), write runs/demo/ with a report"
	@echo "make lab          open the course in JupyterLab"
	@echo "make lab-thresholds  open the threshold lab on a finished run (RUN=runs/demo) or on predictions (RUN=mine.csv)"
	@echo "make test         run every test"
	@echo "make notebooks    derive notebooks/*.ipynb from notebooks/source/*.py and run them (FORCE=1: all of them)"
	@echo "make exercises    derive exercises/ and solutions/ from solutions/source/*.py and run the solutions (FORCE=1: all)"
	@echo "make test-nbgrader  grade two sets with nbgrader in a temporary course"
	@echo "make test-colab   build Colab's environment, install the kit in it, run the notebooks there"
	@echo "make test-backends  run the model and training tests on JAX and PyTorch (TORCH_INDEX=URL: PyTorch without CUDA)"
	@echo "make benchmarks   time training against plain Keras, ten minutes (DATA=PATH WEIGHTS=PATH; ONLY=step: one job)"
	@echo "make install      the set-up alone (the others call it)"
	@echo "make clean        remove .venv, .venv-colab, .venv-backends and caches; runs/ stays"

install: .venv/.installed

.venv/.installed:
	@$(PYTHON) -c "" 2>/dev/null || { echo "'$(PYTHON)' does not run. Name a Python 3.11, 3.12 or 3.13: make install PYTHON=python3.12" >&2; exit 2; }
	@$(PYTHON) -c "import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))" || { echo "cxrkit needs Python 3.11, 3.12 or 3.13; '$(PYTHON)' is $$($(PYTHON) -V 2>&1). Name another: make install PYTHON=python3.12" >&2; exit 2; }
	@$(PYTHON) -c "import venv, ensurepip" 2>/dev/null || { echo "'$(PYTHON)' has no venv module. On Debian or Ubuntu: sudo apt install python3-venv" >&2; exit 2; }
	@echo "Installing into .venv (about 3 GB with TensorFlow; minutes, once) ..."
	@rm -f .venv/.installed
	@$(PYTHON) -m venv $(ANEW) .venv || { echo "No virtual environment could be made with '$(PYTHON)'. On Debian or Ubuntu: sudo apt install python3-venv; or remove .venv and try again" >&2; exit 2; }
	@$(IN_VENV) -m pip install --quiet --disable-pip-version-check -e ".[dev]"
	@echo "$(STAMP)" > .venv/.installed
	@echo "Installed. Next: make course, or make lab"

course: install
	@$(IN_VENV) -m cxrkit run --profile demo

lab: install
	@$(IN_VENV) -m jupyterlab $(if $(filter 0,$(shell id -u)),--allow-root) notebooks/00_start_here.ipynb

RUN ?= runs/demo
lab-thresholds: install
	@$(IN_VENV) -m cxrkit thresholds "$(RUN)"

# One pytest run over the tests and, through nbval, every committed notebook: its closing line is the whole result.
# The notebooks share one run folder in temporary space; only cells marked NBVAL_CHECK_OUTPUT are compared.
test: install
	@folder=$$(mktemp -d) && trap 'rm -rf "$$folder"' EXIT INT TERM && \
	CXRKIT_PROFILE=demo CXRKIT_RUNS="$$folder/runs" CXRKIT_CACHE="$$folder/cache" CXRKIT_DATA="$$folder/data" \
	$(IN_VENV) -m pytest --nbval-lax --nbval-current-env --nbval-cell-timeout=900 tests notebooks

notebooks: install
	@$(IN_VENV) notebooks/build.py $(if $(FORCE),--force)

exercises: install
	@$(IN_VENV) solutions/build.py $(if $(FORCE),--force)

test-nbgrader: install
	@$(IN_VENV) tests/nbgrader_course.py

test-colab: install
	@$(IN_VENV) tests/colab/run.py $(if $(COLAB_PYTHON),--python "$(COLAB_PYTHON)")

test-backends: install
	@$(IN_VENV) tests/backends.py $(if $(TORCH_INDEX),--torch-index "$(TORCH_INDEX)")

# Without DATA and WEIGHTS: what `cxrkit data get` left on this disk.
benchmarks: install
	@$(IN_VENV) benchmarks/training.py $(if $(DATA),--data "$(DATA)") $(if $(WEIGHTS),--weights "$(WEIGHTS)") $(foreach job,$(ONLY),--only $(job))

clean:
	rm -rf .venv .venv-colab .venv-backends .pytest_cache
	find cxrkit notebooks solutions tests benchmarks study -name __pycache__ -type d -prune -exec rm -rf {} +
