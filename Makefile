# Two commands a newcomer needs: `make demo` and `make test`. Each does all of its own set-up.

CARGO ?= cargo
SOAK_SECONDS ?= 180
SOAK_CALLS ?= 1000000
DIFFERENTIAL_CALLS ?= 1000000
FLEET_SEEDS ?= 100000
PROBLEM_DAYS ?= 30
FUZZ_SECONDS ?= 3600
FAULT_SEEDS ?= 1 2 3

.PHONY: demo demo-fleet test collector-setup servers-setup page-setup page-test faults soak fuzz check deny test-core bench doc setup

demo: setup ## build everything from source, deploy the examples on loopback, show what calls cost
	$(CARGO) build -p steerage --bin steerage --example demo
	$(CARGO) run -q -p steerage --example demo -- $(if $(STAY),--stay)

demo-fleet: setup ## etcd and three hosts on loopback; one is killed under load, one emptied
	$(CARGO) build -p steerage --bin steerage --example demo_fleet
	$(CARGO) run -q -p steerage --example demo_fleet

test: setup ## every test; those of the page in a browser and of a real collector only after their set-up
	$(CARGO) test --workspace

collector-setup: ## a collector of OpenTelemetry, for the test of spans
	sh host/tests/it/otlp/setup.sh

servers-setup: ## a Redis server, for the tests of guests that ask one
	sh host/tests/it/redis/setup.sh

page-setup: ## node, Chromium and what drives it, for the test of the page
	sh host/tests/page/setup.sh

page-test: setup page-setup ## the page in a browser, with screenshots in target/tools/page/pictures
	$(CARGO) test -p steerage --test it -- page:: --nocapture

faults: setup ## seeded faults, each beside healthy apps as FAULT_SEEDS say
	for seed in $(FAULT_SEEDS); do \
		STEERAGE_FAULT_SEED=$$seed $(CARGO) test -p steerage --test it -- faults:: || exit 1; done

soak: setup ## hostile apps, and a thousand healthy ones, for SOAK_SECONDS each, SOAK_CALLS small calls, DIFFERENTIAL_CALLS restored beside new, FLEET_SEEDS fleets, PROBLEM_DAYS of 10,000 healthy apps
	STEERAGE_SOAK_SECONDS=$(SOAK_SECONDS) STEERAGE_SOAK_CALLS=$(SOAK_CALLS) \
		$(CARGO) test --workspace --test soak -- --nocapture
	STEERAGE_DIFFERENTIAL_CALLS=$(DIFFERENTIAL_CALLS) \
		$(CARGO) test -p steerage --lib -- restore::differential --nocapture
	STEERAGE_FLEET_SEEDS=$(FLEET_SEEDS) $(CARGO) test -p steerage-core --test fleet_world
	STEERAGE_PROBLEM_DAYS=$(PROBLEM_DAYS) $(CARGO) test -p steerage-core --test problems -- --nocapture

fuzz: setup ## each fuzzer for FUZZ_SECONDS: request heads, manifests, binaries, output of CGI programs
	BOLERO_RANDOM_TEST_TIME_MS=$(FUZZ_SECONDS)000 BOLERO_RANDOM_ITERATIONS=1000000000 \
		$(CARGO) test -p steerage --lib -- fuzzed_

check: ## what CI checks before it tests
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --workspace --no-deps
	.ci/deny

deny: ## licences, bans, sources and advisories of what is depended on
	.ci/deny

test-core: ## the decisions alone: seconds, no wasm, no set-up
	$(CARGO) test -p steerage-core

bench: setup ## this host beside raw hyper, in one run
	$(CARGO) run --release -p benches -- http

doc: ## the documentation of every crate
	$(CARGO) doc --workspace --no-deps --document-private-items

setup: ## what building guests needs; quick when it is there already
	sh sdk/build/setup.sh
