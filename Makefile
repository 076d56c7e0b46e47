# `make` lists what there is. Everything runs in .venv, which the first target makes by itself.

.DEFAULT_GOAL := help
.PHONY: help venv quickstart real-model images test test-quick slow-tests test-heavy coverage lint format docs site package ui bench bench-peers clean
.DELETE_ON_ERROR:

# Which python .venv is made with: the first that is 3.10 or newer and can make one.
PYTHON ?= $(shell for python in python3.11 python3.12 python3.13 python3.10 python3 python; do \
	if $$python -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 10))' \
	2> /dev/null; then echo $$python; break; fi; done)
PY := .venv/bin/python
PORT ?= 5000
# Files of tests side by side, a thread and some 1.5 GB each: as many as there are cores, 2 to 4.
JOBS ?= $(shell n=$$(getconf _NPROCESSORS_ONLN 2> /dev/null || echo 2); \
	if [ "$$n" -gt 4 ]; then n=4; elif [ "$$n" -lt 2 ]; then n=2; fi; echo "$$n")
PYTEST := OMP_NUM_THREADS=1 $(PY) -m pytest -n $(JOBS) --dist loadfile
# Where runs go; MLFLOW_TRACKING_URI in the environment wins.
STORE := $(or $(MLFLOW_TRACKING_URI),sqlite:///$(CURDIR)/mlflow.db)

# Without kept bytecode each process compiles MLflow and torch again: seven seconds of ten.
unexport PYTHONDONTWRITEBYTECODE

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

venv: .venv/installed ## make .venv with the tested versions (again only when they change)

.venv/installed: setup.cfg setup.py pyproject.toml constraints.txt
	@set -e; python='$(PYTHON)'; \
	if [ -z "$$python" ]; then \
		echo 'No Python 3.10 or newer that can make a virtual environment was found; install one' \
			'(on Debian: apt-get install python3 python3-venv) or name it: make PYTHON=/path/to/python' >&2; \
		exit 1; \
	fi; \
	if ! "$$python" -c 'import sys; sys.exit(sys.version_info < (3, 10))'; then \
		echo "$$python is no Python 3.10 or newer; name one that is: make PYTHON=/path/to/python" >&2; \
		exit 1; \
	fi; \
	echo "Making .venv with $$("$$python" --version); the first time this takes some minutes."; \
	"$$python" -m venv .venv; \
	uv=$$(command -v uv || { $(PY) -m pip install -qq -c constraints.txt uv && echo .venv/bin/uv; } || true); \
	if [ -n "$$PIP_FIND_LINKS" ]; then export UV_FIND_LINKS="$$(echo $$PIP_FIND_LINKS | tr ' ' ',')"; \
	else export UV_TORCH_BACKEND="$${UV_TORCH_BACKEND:-auto}"; fi; \
	if [ -z "$$uv" ] || ! "$$uv" pip install -q -p $(PY) -c constraints.txt -e '.[test,lint]'; then \
		echo 'pip installs in place of uv, which takes longer.'; \
		$(PY) -m pip install -qq --no-compile -c constraints.txt torch; \
		$(PY) -m pip install -qq --no-compile -c constraints.txt -e '.[test,lint]'; \
	fi; \
	touch $@

quickstart: venv ## train a tiny family, score it, map it (about 4 minutes on 2 cores)
	@PATH="$(CURDIR)/.venv/bin:$$PATH" MLFLOW_TRACKING_URI="$(STORE)" MLFLOW_LOGGING_LEVEL=WARNING \
		$(PY) -m mlflow run projects/quickstart --env-manager local --experiment-name quickstart

real-model: venv ## the map of one real model (LLAMA_QUANTIZE=PATH of llama.cpp's program; an hour or more)
	@PYTHON="$(CURDIR)/$(PY)" LLAMA_QUANTIZE="$(LLAMA_QUANTIZE)" sh examples/real_model/run.sh

images: venv ## make the pictures of the README and docs (after quickstart and real-model; needs Chromium)
	MLFLOW_TRACKING_URI="$(STORE)" $(PY) docs/make_images.py

test: venv ## every test, the slow ones too
	$(PYTEST) -m 'not heavy'

test-heavy: venv ## checks whose reduced form is in `make test`, at full size (ten minutes or more)
	$(PYTEST) -m heavy

test-llama-cpp: venv ## llama.cpp as an engine, and its server, for real (compiles llama-cpp-python: 10 minutes)
	$(PY) -m pip install -q -c constraints.txt 'llama-cpp-python[server]==0.3.36'
	$(PYTEST) -m heavy tests/scoring/engines/test_llama_cpp.py

test-stores: venv ## PostgreSQL, MariaDB, S3-protocol storage for real (apt-get install postgresql mariadb-server; some minutes)
	$(PY) -m pip install -q psycopg2-binary PyMySQL boto3 'moto[server]'
	OMP_NUM_THREADS=1 $(PY) -m pytest -m heavy tests/e2e/test_team_stores.py tests/tracking/store/test_mariadb.py

test-quick: venv ## the tests that take less than a second
	$(PYTEST) -m 'not slow and not heavy'

slow-tests: venv ## every test, and tests/slow.txt anew: those that test-quick leaves out
	$(PYTEST) -m 'not heavy' --note-slow

lint: venv ## what CI checks besides the tests
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy

format: venv ## write the code as `make lint` wants it
	$(PY) -m ruff check --fix .
	$(PY) -m ruff format .

docs: venv ## write the command line page from the commands' own help
	$(PY) docs/make_cli.py

site: venv ## build the documentation site into build/docs/site, strictly (needs Python 3.11 or newer)
	$(PY) -m pip install -q -c constraints.txt zensical mkdocstrings-python mike
	$(PY) docs/make_site.py
	$(PY) -m zensical build --strict --config-file build/docs/mkdocs.yml

package: venv ## build sdist and wheel into dist, and check them
	$(PY) -m pip install -q build twine
	$(PY) -m build --outdir dist
	$(PY) -m twine check --strict dist/*

ui: venv ## open the MLflow UI and the map page on the quickstart's runs (PORT=5000)
	$(PY) -m mlflow server --app-name modelmap --backend-store-uri "$(STORE)" --port $(PORT)

bench: venv ## write what every benchmark gives into docs/benchmarks.md (after quickstart; ONLY="scoring map"; an hour or more)
	MLFLOW_TRACKING_URI="$(STORE)" $(PY) docs/make_benchmarks.py $(ONLY)

bench-peers: ## scoring speed beside lm-evaluation-harness, MODEL=FOLDER (installed apart: 10 minutes)
	@set -e; if [ -z "$(MODEL)" ]; then echo 'Name a folder with a model: make bench-peers MODEL=PATH.' >&2; exit 1; fi; \
	test -e .cache/peers/installed || { '$(PYTHON)' -m venv .cache/peers; \
		.cache/peers/bin/pip install -qq -c constraints.txt torch; \
		.cache/peers/bin/pip install -qq -c constraints.txt -e . 'lm-eval==0.4.13'; \
		touch .cache/peers/installed; }; \
	.cache/peers/bin/python benchmarks/peers.py "$(MODEL)"

coverage: venv ## how often every interval covers the truth (an hour or more; REDUCED=1: minutes)
	$(PY) benchmarks/coverage.py $(if $(REDUCED),--reduced)

clean: ## remove .venv, made models, the real model's store and every cache; runs (mlflow.db, mlruns) stay
	rm -rf .venv .cache .mypy_cache .pytest_cache .ruff_cache .hypothesis build dist *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
