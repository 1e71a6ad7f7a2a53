# `make run` and `make test` need Python 3.11 or later, g++, cmake and make; everything else they
# install into .venv. A stamp there tells when requirements.txt was last followed.

VENV   ?= .venv
PYTHON := $(VENV)/bin/python
CXX    ?= g++

# Tools of the environment come before the system's, for make as for the hooks of pre-commit.
export PATH := $(abspath $(VENV))/bin:$(PATH)
# With a VENV of another tree (VENV=../main/.venv) this tree's package still comes first.
export PYTHONPATH := $(CURDIR)
export CCACHE_BASEDIR ?= $(CURDIR)
export CCACHE_NOHASHDIR ?= 1
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PRE_COMMIT_HOME ?= $(CURDIR)/.cache/pre-commit

REQUIREMENTS := $(VENV)/.requirements
INSTALLED    := $(VENV)/.altbackend

# Documents for `conformance notes`: the project's own, where they lie beside the checkout.
NOTES := $(or $(wildcard ../shared/seeds/*.txt),tests/data/notes.md)

# What the sanitizers run besides tests/cpp. Every test would take hours there.
SANITIZED_TESTS := tests/test_sanitizers.py tests/test_views.py tests/test_bad_input.py
SANITIZED_FILTER := not memory and not process and not compare and not random_programs[1

.DEFAULT_GOAL := help
.PHONY: help run test build bench cpp-tests pytest notes lint format asan ubsan tsan clean distclean

help:
	@echo 'make run      train four networks on cpu and on alt and compare them'
	@echo 'make test     lint, C++ tests, Python tests, the notes'
	@echo 'make bench    time alt beside stock PyTorch; BENCH=--quick, or other options of it'
	@echo 'make build    (re)build the extension in place'
	@echo 'make lint     ruff, clang-format, mypy; make format: let them rewrite'
	@echo 'make asan     tests under AddressSanitizer; also ubsan, tsan'
	@echo 'make clean    remove what was built; make distclean: the environment too'

# -- Set-up ----------------------------------------------------------------------------------------
$(REQUIREMENTS): requirements.txt
	@test -x $(PYTHON) || python3 -m venv $(VENV)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "altbackend needs Python 3.11 or later")'
	$(PYTHON) -m pip install -r requirements.txt
	@touch $@

# CMake knows what is out of date, so this runs each time and costs a second.
build: $(REQUIREMENTS)
	@command -v $(CXX) >/dev/null || { echo 'altbackend needs a C++20 compiler, such as g++ 12'; exit 1; }
	$(PYTHON) setup.py -q build_ext --inplace
ifeq ($(VENV),.venv)
	@$(MAKE) --no-print-directory $(INSTALLED)
else
	@$(PYTHON) setup.py -q egg_info
endif

# Registers the package with the environment, so that `import torch` finds the device. The C++ part
# is built by now; this only writes the metadata.
$(INSTALLED): $(REQUIREMENTS) setup.py pyproject.toml
	$(PYTHON) -m pip install --no-build-isolation --no-deps -q -e .
	@touch $@

# -- Running and testing ---------------------------------------------------------------------------
run: build
	$(PYTHON) -m examples.digits.compare

bench: build
	$(PYTHON) -m altbackend bench --json out/bench.json --html out/bench.html $(BENCH)

test:
	@.ci/run

cpp-tests: build
	cmake --build build --target cpp_tests
	ctest --test-dir build --output-on-failure --no-tests=error

notes: build
	@mkdir -p out
	$(PYTHON) -m conformance notes $(NOTES) --json out/notes.json

pytest: build
	@$(PYTHON) -m pytest

# -- Style -----------------------------------------------------------------------------------------
# The hooks look at the files that git knows.
lint: $(REQUIREMENTS)
	$(PYTHON) -m pre_commit run --all-files --show-diff-on-failure

format: $(REQUIREMENTS)
	ruff check --fix-only .
	ruff format .
	git ls-files '*.cpp' '*.h' '*.cu' '*.cuh' | xargs clang-format -i

# -- Sanitizers ------------------------------------------------------------------------------------
# Each in a build of its own, with the package copied beside its extension: build-asan/lib/altbackend.
# The C++ library comes along in LD_PRELOAD, since a sanitizer looks for its throw at the start.
# PYTHONSAFEPATH keeps `python -m` from putting the folder first, whose package is not sanitized.
library = $(shell $(CXX) -print-file-name=$(1))

asan:  export ASAN_OPTIONS  := detect_leaks=0:detect_stack_use_after_return=1:strict_init_order=1
ubsan: export UBSAN_OPTIONS := halt_on_error=1:print_stacktrace=1
tsan:  export TSAN_OPTIONS  := halt_on_error=1:die_after_fork=0:suppressions=$(CURDIR)/tests/cpp/tsan.supp

asan:  ; @$(MAKE) --no-print-directory sanitize NAME=asan  KIND=address   PRELOAD=$(call library,libasan.so)
ubsan: ; @$(MAKE) --no-print-directory sanitize NAME=ubsan KIND=undefined PRELOAD=$(call library,libubsan.so)
tsan:  ; @$(MAKE) --no-print-directory sanitize NAME=tsan  KIND=thread    PRELOAD=$(call library,libtsan.so)

.PHONY: sanitize
sanitize: $(REQUIREMENTS)
	ALT_SANITIZE=$(KIND) ALT_BUILD_DIR=build-$(NAME) \
	  $(PYTHON) setup.py -q build --build-base build-$(NAME)/setuptools --build-lib build-$(NAME)/lib
	cmake --build build-$(NAME) --target cpp_tests
	ctest --test-dir build-$(NAME) --output-on-failure --no-tests=error
	LD_PRELOAD='$(PRELOAD) $(call library,libstdc++.so)' PYTHONSAFEPATH=1 \
	  PYTHONPATH=$(CURDIR)/build-$(NAME)/lib:$(CURDIR) \
	  $(PYTHON) -m pytest -p no:cacheprovider $(SANITIZED_TESTS) -k '$(SANITIZED_FILTER)'

# -- Tidying ---------------------------------------------------------------------------------------
clean:
	rm -rf build build-asan build-ubsan build-tsan out *.egg-info $(INSTALLED)
	rm -rf .mypy_cache .ruff_cache .pytest_cache altbackend/_C*.so altbackend/_build_info.py
	find altbackend conformance examples tests csrc -name __pycache__ -prune -exec rm -rf {} +

distclean: clean
	rm -rf .venv
