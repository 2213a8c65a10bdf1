# evobit: `make` lists the targets. Another Python: make setup PYTHON=python3.12
PYTHON ?= python3
WORKERS ?= 2
MINUTES ?= 10
SEED ?= 0
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
DEMO ?= runs/demo
CODE := evobit supernet training search latency_tables deploy evaluate tests benchmarks docs

# One thread a process: the tests run in $(WORKERS) processes. A file's tests stay in one process,
# so that its fixtures (a Ray, a trained supernet) are made once.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile \
  --no-loadscope-reorder

.DEFAULT_GOAL := help
.PHONY: help setup doctor format lint test test-quick test-long soak sanitize fuzz browser wheel \
  docs docs-check demo bench bench-engine clean

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(STAMP)  ## make .venv and install evobit into it, again whenever setup.cfg or a kernel changed

$(STAMP): setup.cfg pyproject.toml $(wildcard setup.py deploy/native/*)
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	touch $@

doctor: setup  ## say what was found: versions, devices, data, a Ray start, package names
	$(BIN)/evobit doctor

format: setup  ## format the code and sort its imports
	$(BIN)/ruff check --fix $(CODE)
	$(BIN)/ruff format $(CODE)

lint: setup  ## check format, style and types
	$(BIN)/ruff format --check $(CODE)
	$(BIN)/ruff check $(CODE)
	$(BIN)/mypy

test: setup lint  ## all that CI runs
	$(PYTEST) -m "not long"

test-quick: setup  ## the tests that are quick and start no Ray
	$(PYTEST) -m "not long and not slow and not ray"

test-long: setup  ## the checks too long for every change
	$(PYTEST) -m long --timeout 7200

soak: setup  ## a search under random faults, for MINUTES= (10) and of SEED= (0)
	OMP_NUM_THREADS=1 $(BIN)/python tests/search/soak.py --minutes $(MINUTES) --seed $(SEED)

SANITIZED := build/sanitize/kernels.so
SANITIZE := -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer

$(SANITIZED): $(wildcard deploy/native/*)
	mkdir -p $(@D)
	$(CXX) -std=c++17 -O1 -g $(SANITIZE) -ffp-contract=off -fvisibility=hidden -fPIC -shared \
	  deploy/native/*.cpp -o $@

# Leaks are not looked for: Python and torch keep memory until they end.
sanitize: setup $(SANITIZED)  ## the engine's tests and damaged files under ASan and UBSan
	EVOBIT_KERNELS=$(SANITIZED) ASAN_OPTIONS=detect_leaks=0 UBSAN_OPTIONS=print_stacktrace=1 \
	  LD_PRELOAD="$$($(CXX) -print-file-name=libasan.so) $$($(CXX) -print-file-name=libubsan.so)" \
	  OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests/deploy -m "fuzz or not long" \
	  --ignore tests/deploy/test_native_build.py --ignore tests/deploy/test_other_machines.py

fuzz: setup  ## read damaged files of every format by the ten thousand; build/fuzz keeps what fails
	$(PYTEST) --dist worksteal -m fuzz --timeout 3600

browser: setup  ## the HTML report in a headless Chromium (needs chromium and its driver)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[browser]'
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests/browser -m browser

wheel: setup  ## a wheel with the compiled kernels, in dist/
	$(BIN)/python -m pip wheel --quiet --disable-pip-version-check --no-deps -w dist .

docs: setup  ## the documentation as a site: build/site/index.html
	$(BIN)/python -c "import material, mkdocstrings" 2>/dev/null || \
	  $(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[docs]'
	$(BIN)/python -m docs.generate.schemas
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet

docs-check: setup  ## run the commands of the tutorial and the how-to pages, in empty folders
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests/docs -m docs --durations 0

demo: setup  ## the whole path on the embedded data, ending in the table
	$(BIN)/evobit demo --run $(DEMO)

bench: setup  ## list the benchmarks; run one with NAME=
ifdef NAME
	$(BIN)/python benchmarks/$(NAME).py
else
	@for file in benchmarks/*.py; do \
	  printf '  NAME=%-28s %s\n' "$$(basename $$file .py)" "$$(sed -n '1s/"""//gp' $$file)"; \
	done
endif

bench-engine: setup  ## the 1-bit engine against its targets and other engines (30 minutes, alone)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[bench]'
	for name in engine reactnet_body alternatives whole_networks; do \
	  OMP_NUM_THREADS=1 $(BIN)/python benchmarks/$$name.py || exit 1; \
	done

clean:  ## remove caches and build folders; runs and .venv stay
	rm -rf build .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find $(CODE) -name __pycache__ -type d -prune -exec rm -rf {} +
