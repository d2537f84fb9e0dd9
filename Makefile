# Bulkhead. `make help` lists what there is.
SHELL := /bin/bash
GO ?= go
RUN := .run
PLAYGROUND := mkdir -p bin && $(GO) build -p 2 -o bin/test/playground ./test/cluster/playground && bin/test/playground

.DEFAULT_GOAL := help
.PHONY: help build images demo chaos test e2e race lint supply-chain bench bench-peers soak fuzz up down clean

help: ## this list
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "%-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: ## the product's binaries, in bin/
	$(GO) build -p 2 -o bin/ ./cmd/...

images: ## the container image, for amd64 and arm64, with its bill of materials, in bin/images/; no container engine
	$(GO) -C hack/images run . --root ../.. --output $(CURDIR)/bin/images/bulkhead.tar

demo: ## the whole story on real clusters, each step checked (2 min; the first time builds Kubernetes: 20 min more)
	@mkdir -p bin && $(GO) build -p 2 -o bin/test/demo ./test/demo && exec bin/test/demo

chaos: ## real clusters under load and faults from a seed, 10 min; CHAOS='--seed 1 --for 2m', --help for more
	@mkdir -p bin && $(GO) build -p 2 -o bin/test/chaos ./test/chaos && exec bin/test/chaos $(CHAOS)

# What clusters run is built first: a test's time is limited, and its output is not seen
# until it ends. Not from Go's test cache, which knows nothing of those binaries.
test: ## unit tests, and the tests on real clusters; no root
	@$(PLAYGROUND) build
	$(GO) test -count=1 -p 1 -timeout 60m $$($(GO) list ./... | grep -v -e /test/node -e /test/e2e)
	$(GO) -C hack/images test -count=1 -timeout 60m ./...

e2e: ## both charts as Pods on a real node; root, on Debian, whose containerd, runc and CNI plugins it installs
	@[[ $$EUID = 0 ]] || { echo 'make e2e: a real node takes root'; exit 1; }
	$(GO) test -count=1 -p 1 -timeout 30m ./test/node/... ./test/e2e/...

race: ## the unit tests under the race detector (needs a C compiler)
	$(GO) test -race -timeout 30m ./certs/... ./exchange/... ./issuer/... ./plugin/... ./sidecar/... ./storage/... ./tenancy/... ./webhook/...

lint: ## go vet in every module, golangci-lint, charts
	@hack/lint

supply-chain: ## modules, licences, and known vulnerabilities where the database is in reach
	@hack/supplychain

bench: ## what it costs, each thing against another in the same run; writes docs/benchmarks.md
	@$(GO) run ./test/bench

bench-peers: ## the same against Kyverno, which it builds (the first time 10 min)
	@$(GO) run ./test/bench --peers

soak: ## a week of 10,000 namespaces under a simulated clock; writes its table into docs/benchmarks.md
	$(GO) test -count=1 -timeout 30m -v -run '^TestAWeek$$' ./sidecar -soak.namespaces 10000 -soak.life 8h $(SOAK)
SOAK ?= -soak.write

fuzz: ## every fuzz target for 5 minutes; writes its table into docs/benchmarks.md; FUZZ='--for 4s --output=' tries each
	$(GO) run ./test/fuzz $(FUZZ)

up: ## start a playground of two compute clusters that stays
	@$(PLAYGROUND) up --dir $(RUN)

down: ## end the playground
	@$(PLAYGROUND) down --dir $(RUN)

clean: ## what was built here; the caches outside the tree stay
	rm -rf bin
