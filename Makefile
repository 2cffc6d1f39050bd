# The commands of this checkout. `make help` lists them.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.ONESHELL:
.DEFAULT_GOAL := help

# cargo may have been installed by scripts/install-packages a moment ago.
export PATH := $(HOME)/.cargo/bin:$(PATH):/usr/sbin:/sbin
PROGRAMS := target/release

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 20

root:
	@[ "$$(id -u)" = 0 ] || { echo "make: bridges, rules and containers need root: run this as root, or with sudo" >&2; exit 1; }

packages:
	@scripts/install-packages

build: packages ## the programs, optimised, in target/release
	@echo "==> building the programs (some minutes the first time)"
	cargo build --release --workspace

up: root build ## start the cluster of this checkout: etcd, Docker where none runs, the daemons
	@scripts/docker-engine up
	scripts/registry up
	examples/images/build pause
	$(PROGRAMS)/xtask up

demo: up ## the cluster, the guestbook in it, and its address
	@examples/images/build
	examples/guestbook/start

down: root ## stop the cluster; remove its rules, containers and mounts
	@[ ! -x $(PROGRAMS)/xtask ] || $(PROGRAMS)/xtask down
	scripts/registry down
	scripts/docker-engine down

clean: down ## make down, then remove what was built and all state of the cluster
	@rm -rf .run target

test: root packages ## formatting, lints and all tests, on the real etcd and Docker
	@scripts/test

test-clients: root packages ## client-go, controller-runtime, Python's client and Helm against it; fetches them, so it is no part of make test
	@scripts/test-clients

bench: root build ## measure this cluster's figures and the floors beside them
	@scripts/docker-engine up
	scripts/registry up
	examples/images/build pause busybox
	$(PROGRAMS)/xtask bench

compare: ## ask upstream's kube-apiserver and ours the same, and tell what differs: UPSTREAM=path of a kube-apiserver 1.20
	@[ -n "$(UPSTREAM)" ] || { echo "make: UPSTREAM must be the path of upstream's kube-apiserver 1.20" >&2; exit 1; }
	cargo build --workspace
	cargo run --quiet -p compare -- "$(UPSTREAM)"

.PHONY: help root packages build up demo down clean test test-clients bench compare
