# Everything from a clean checkout: `make demo`, `make test`. Needs Linux, Python >= 3.10 with venv, a C++20 compiler.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
TORCH ?= torch==2.13.0
PYSEG_CUDA ?= AUTO
SOURCES := $(shell find cpp cuda cmake -type f) CMakeLists.txt pyproject.toml

.PHONY: demo test lint bench build gpu-check asan clean

build: $(VENV)/.built

# A pinned torch: unpinned, pip takes a CUDA build of several GB.
$(VENV)/.tools: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade 'pip>=25.1'
	$(BIN)/python -m pip install --quiet '$(TORCH)'
	$(BIN)/python -m pip install --quiet 'scikit-build-core>=0.11' 'pybind11>=3.0' 'cmake>=3.26' ninja
	touch $@

$(VENV)/.built: $(VENV)/.tools $(SOURCES)
	$(BIN)/python -m pip install --quiet --no-build-isolation -Ccmake.define.PYSEG_CUDA=$(PYSEG_CUDA) -e '.[cli,plot]'
	touch $@

$(VENV)/.test: $(VENV)/.tools pyproject.toml
	$(BIN)/python -m pip install --quiet --group test --group peers
	-$(BIN)/python -m pip install --quiet pydensecrf2 # built from source: where it does not build, its tests skip
	touch $@

# The main job on real photographs: superpixels, an object cut out, pictures in demo/, and the time beside scikit-image.
demo: $(VENV)/.built $(VENV)/.test
	$(BIN)/python examples/demo.py demo

test: $(VENV)/.built $(VENV)/.test
	$(BIN)/python -m pytest

$(VENV)/.lint: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade 'pip>=25.1'
	$(BIN)/python -m pip install --quiet --group lint
	touch $@

lint: $(VENV)/.lint $(VENV)/.built
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/clang-format --dry-run --Werror $$(git ls-files '*.cpp' '*.h' '*.cu' '*.cuh')
	$(BIN)/mypy

# fast-slic builds only beside an old setuptools; torch wants a new one back.
$(VENV)/.peers: $(VENV)/.test
	-$(BIN)/python -m pip install --quiet 'setuptools<70' wheel cython && \
	  $(BIN)/python -m pip install --quiet --no-build-isolation --no-deps fast-slic
	$(BIN)/python -m pip install --quiet 'setuptools>=77'
	touch $@

bench: $(VENV)/.built $(VENV)/.peers
	$(BIN)/python benchmarks/run.py

# On a machine with a GPU: all CUDA tests, then the CUDA benchmarks, one report.
gpu-check: $(VENV)/.built $(VENV)/.test
	$(BIN)/python -m pytest -m cuda tests/cuda
	$(BIN)/python benchmarks/gpu.py

# The op tests under AddressSanitizer and UBSan, in an environment that borrows the packages of the first. Both runtimes must
# be there before Python's own libraries.
ASAN := $(VENV)-asan
asan: $(VENV)/.tools $(VENV)/.test
	$(PYTHON) -m venv $(ASAN)
	echo "$$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')" \
	  > "$$($(ASAN)/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/borrowed.pth"
	PATH="$(abspath $(BIN)):$$PATH" $(ASAN)/bin/python -m pip install --quiet --no-build-isolation --no-deps --force-reinstall \
	  -Cbuild-dir=build/asan -Ccmake.define.PYSEG_CUDA=OFF -Ccmake.build-type=RelWithDebInfo \
	  -Ccmake.define.PYSEG_SANITIZE=address,undefined,float-cast-overflow .
	cd build/asan && LD_PRELOAD="$$(gcc -print-file-name=libasan.so) $$(gcc -print-file-name=libstdc++.so)" \
	  ASAN_OPTIONS=detect_leaks=0 UBSAN_OPTIONS=halt_on_error=1 $(abspath $(ASAN))/bin/python -m pytest \
	  -p no:cacheprovider -c $(CURDIR)/pyproject.toml --rootdir $(CURDIR) -k 'not memory_is_flat' $(CURDIR)/tests/ops

clean:
	rm -rf build $(VENV) $(ASAN) demo
