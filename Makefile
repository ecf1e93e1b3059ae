.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
SEED ?= 1
MINUTES ?= 10
JOBS ?= 2

.PHONY: bitcoind btcd byzantine engines fuzz fuzz-blame fuzz-decoder help setup demo test check fmt lint types imports tidy cov sim soak mutants population model bench bench-failover bench-liars bench-wasm wasm docs lock clean

help:  ## Show what can be made
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | sort

$(VENV)/.runtime: requirements/runtime.txt pyproject.toml
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "setting up $(VENV) ..."
	@$(PIP) install --no-deps --require-hashes --prefer-binary -r requirements/runtime.txt
	@$(PIP) install --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/.dev: $(VENV)/.runtime requirements/dev.txt
	@echo "setting up the development tools ..."
	@$(PIP) install --no-deps --require-hashes --prefer-binary -r requirements/dev.txt
	@touch $@

setup: $(VENV)/.dev  ## Install everything into .venv, from hash-pinned wheels

demo: $(VENV)/.runtime  ## One real task: four daemons, one liar, a receipt, a Bitcoin block
	@$(BIN)/ambientctl demo

test: $(VENV)/.dev  ## Run the test suite, the bug museum with it: make test JOBS=4
	$(BIN)/pytest -q -n $(JOBS) --dist worksteal -m "not hunt"

mutants: $(VENV)/.dev  ## Plant every deliberate bug and see that the simulator catches it
	$(BIN)/python -m sim mutants

check: lint types imports tidy  ## Lint, types, layer contracts, house rules

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

fmt: $(VENV)/.dev  ## Format the code
	$(BIN)/ruff check --fix-only --quiet .
	$(BIN)/ruff format .

types: $(VENV)/.dev
	$(BIN)/mypy

imports: $(VENV)/.dev
	$(BIN)/lint-imports --no-cache

tidy: $(VENV)/.dev
	$(BIN)/python scripts/tidy.py

cov: $(VENV)/.dev  ## Branch coverage, with floors
	$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest -q
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report --fail-under=85
	$(BIN)/coverage report --fail-under=95 --include='src/ambientd/roles/*,src/ambientd/consensus/*,src/ambientd/telemetry/*,src/ambientd/ledger/*'

sim: $(VENV)/.dev  ## The bug museum, then fresh worlds of minutes and hours: make sim MINUTES=30
	$(BIN)/python -m sim museum
	$(BIN)/python -m sim soak --long --minutes $(MINUTES) --jobs $(JOBS) $(if $(BASE),--base $(BASE))

population: $(VENV)/.dev  ## 900 workers, patient colluders, 60,000 tasks, beside BOINC's rule: make population SEED=1
	$(BIN)/python -m sim run population --seed $(SEED)

byzantine: $(VENV)/.dev  ## f liars of 3f + 1 and every fault at once, 10,000 seeds: make byzantine MINUTES=60
	$(BIN)/python -m sim sweep log --seeds 1..10000 --sizes 4,7,10 --time-ms 40000 --jobs $(JOBS) --minutes $(MINUTES)

soak: $(VENV)/.dev  ## Simulate fresh worlds on every core: make soak MINUTES=10
	$(BIN)/python -m sim soak --minutes $(MINUTES) --jobs $(JOBS)

# An independent Bitcoin node for the contract of chains; outside the clone, for the next run.
BTCD_VERSION := v0.26.2
BTCD := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/ambientd/btcd-$(BTCD_VERSION)/btcd

$(BTCD):
	@echo "building btcd $(BTCD_VERSION), which takes a minute the first time ..."
	@GOBIN=$(dir $(BTCD)) go install github.com/btcsuite/btcd@$(BTCD_VERSION)

btcd: $(BTCD)  ## Build an independent Bitcoin node for the tests (needs Go)

# Bitcoin Core, from the sources in a crate that the lock file pins; kept outside the clone as well.
BITCOIND_VERSION := 0.4.1
BITCOIND := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/ambientd/bitcoind-$(BITCOIND_VERSION)/bitcoind
BITCOIND_SOURCES := build/bitcoind/vendor/libbitcoinkernel-sys/bitcoin
BITCOIND_OFF := WALLET IPC EXTERNAL_SIGNER
BITCOIND_UNBUILT := TESTS TX UTIL CLI BITCOIN_BIN

$(BITCOIND): native/bitcoind/Cargo.lock
	@echo "building Bitcoin Core, which takes some 10 minutes of two cores the first time ..."
	@mkdir -p build
	@cargo vendor --quiet --locked --manifest-path native/bitcoind/Cargo.toml build/bitcoind/vendor > build/bitcoind.vendor
	@cmake -S $(BITCOIND_SOURCES) -B build/bitcoind/out -DCMAKE_BUILD_TYPE=Release "-DCMAKE_CXX_FLAGS_RELEASE=-O1" \
		-DBUILD_DAEMON=ON $(BITCOIND_OFF:%=-DENABLE_%=OFF) $(BITCOIND_UNBUILT:%=-DBUILD_%=OFF) \
		-DWITH_EMBEDDED_ASMAP=OFF -DINSTALL_MAN=OFF $(if $(BOOST),-DCMAKE_PREFIX_PATH=$(BOOST)) > build/bitcoind.log \
		|| { echo "see build/bitcoind.log; headers of Boost 1.74 or later are needed: libboost-dev, or BOOST=FOLDER"; exit 1; }
	@cmake --build build/bitcoind/out --target bitcoind --parallel $(JOBS) >> build/bitcoind.log
	@mkdir -p $(dir $@)
	@install -s build/bitcoind/out/bin/bitcoind $@

bitcoind: $(BITCOIND)  ## Build Bitcoin Core for the tests (needs Rust, CMake, a C++20 compiler, Boost headers)

ENGINE_SOURCES := $(wildcard $(addprefix native/engines/,*.toml *.py *.pyi Cargo.lock src/* patched/*/Cargo.* patched/*/src/*))

$(VENV)/.engines: $(VENV)/.runtime requirements/engines.txt $(ENGINE_SOURCES)
	@echo "building wasmer and wasmi, which takes minutes the first time ..."
	@$(PIP) install --no-deps --require-hashes --prefer-binary -r requirements/engines.txt
	@PATH="$(CURDIR)/$(BIN):$$PATH" $(PIP) install --no-deps --no-build-isolation ./native/engines
	@touch $@

engines: $(VENV)/.engines  ## Build wasmer and wasmi into .venv (needs Rust)

$(VENV)/.fuzz: $(VENV)/.dev requirements/fuzz.txt $(wildcard native/fuzz/*.toml native/fuzz/Cargo.lock native/fuzz/src/*)
	@echo "building the module generator ..."
	@$(PIP) install --no-deps --require-hashes --prefer-binary -r requirements/fuzz.txt
	@PATH="$(CURDIR)/$(BIN):$$PATH" $(PIP) install --no-deps --no-build-isolation ./native/fuzz
	@touch $@

fuzz: $(VENV)/.fuzz  ## Differential testing of all installed engines: make fuzz MINUTES=10 SEED=1
	$(BIN)/python -m tests.fuzz --minutes $(MINUTES) --seed $(SEED)

fuzz-decoder: $(VENV)/.fuzz  ## Coverage-guided fuzzing of module preparation: make fuzz-decoder MINUTES=10
	$(BIN)/python -m tests.fuzz.decoder --minutes $(MINUTES) --seed $(SEED)

fuzz-blame: $(VENV)/.fuzz  ## Coverage-guided fuzzing of blame certificates: make fuzz-blame MINUTES=10
	$(BIN)/python -m tests.fuzz.certificates --minutes $(MINUTES) --seed $(SEED)

bench: $(VENV)/.dev  ## Measure tasks and the log on real daemons
	$(BIN)/python -m benchmarks.task_latency
	$(BIN)/python -m benchmarks.task_throughput
	$(BIN)/python -m benchmarks.log_throughput

ETCD_VERSION := v3.7.3

$(VENV)/etcd:
	@command -v go >/dev/null || { echo "Go is missing: install it to compare with etcd; without: python -m benchmarks.failover"; exit 1; }
	@echo "building etcd $(ETCD_VERSION), which takes minutes ..."
	@mkdir -p build/etcd
	@cd build/etcd && { test -f go.mod || go mod init failover; } && go get go.etcd.io/etcd/server/v3@$(ETCD_VERSION)
	@cd build/etcd && go build -o $(CURDIR)/$@ go.etcd.io/etcd/server/v3

bench-failover: $(VENV)/.dev $(VENV)/etcd  ## Kill coordinators, and etcd's leaders beside them (needs Go)
	$(BIN)/python -m benchmarks.failover --etcd $(VENV)/etcd

bench-liars: $(VENV)/.dev  ## Seven daemons, two of them liars, 200 tasks: all answers right, both named
	$(BIN)/python -m benchmarks.liars

bench-wasm: $(VENV)/.dev $(VENV)/.wasm  ## Measure prepared modules on every engine against native code
	$(BIN)/python -m benchmarks.wasm_kernels

$(VENV)/.wasm: requirements/wasm.txt
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "setting up the compiler of the reference modules ..."
	@$(PIP) install --no-deps --require-hashes --only-binary :all: -r requirements/wasm.txt
	@touch $@

wasm: $(VENV)/.wasm  ## Build the reference modules from source and check their hashes
	@$(BIN)/python examples/build.py

docs: $(VENV)/.dev  ## Check that the documents' snippets and links hold
	$(BIN)/python -m pytest -q tests/docs

lock:  ## Resolve the hash-pinned requirements again (needs uv)
	uv pip compile pyproject.toml requirements/build.in --extra regtest --override requirements/overrides.txt --python-version 3.11 --universal --generate-hashes --no-emit-index-url --no-annotate -q -o requirements/runtime.txt --custom-compile-command "make lock"
	uv pip compile requirements/engines.in --python-version 3.11 --universal --generate-hashes --no-emit-index-url --no-annotate -q -o requirements/engines.txt --custom-compile-command "make lock"
	uv pip compile pyproject.toml requirements/build.in --extra dev --override requirements/overrides.txt --python-version 3.11 --universal --generate-hashes --no-emit-index-url --no-annotate -q -o requirements/dev.txt -c requirements/runtime.txt --custom-compile-command "make lock"
	uv pip compile requirements/fuzz.in --python-version 3.11 --universal --generate-hashes --no-emit-index-url --no-annotate -q -o requirements/fuzz.txt --custom-compile-command "make lock"
	uv pip compile requirements/wasm.in --python-version 3.11 --universal --generate-hashes --no-emit-index-url --no-annotate -q -o requirements/wasm.txt --custom-compile-command "make lock"

clean:  ## Remove everything that was built
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis htmlcov .coverage* dist build
