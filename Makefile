# The one entrance. Each target is a script of scripts/, and `make help` lists them.
.DEFAULT_GOAL := help
.PHONY: help up backup restore-drill restore build down status logs restart smoke scale switchover ctl doctor bootstrap check test e2e conformance bench interop fuzz compose-config

help: ## this list
	@awk -F':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

up: ## bring the whole datacenter up; also after a change; PROFILES= and STORAGE= change .env, as in STORAGE=mysql PROFILES=mysql
	@PROFILES="$(PROFILES)" STORAGE="$(STORAGE)" scripts/up

build: ## base image, secrets, certificates and images, without starting anything
	@scripts/bootstrap && scripts/prepare

down: ## stop it and keep its data; VOLUMES=1 forgets data, secrets and certificates
	@VOLUMES="$(VOLUMES)" scripts/down

status: ## one table: service, state, health, address
	@scripts/status

logs: ## follow the logs, of all or of one service: make logs S=haproxy
	@. scripts/lib.sh && load_env && dc logs --tail 100 --follow $(S)

restart: ## restart one service: make restart S=haproxy
	@. scripts/lib.sh && load_env && dc restart $${S:?name a service}

smoke: ## two demo accounts talk through HAProxy, by TCP and WebSocket
	@scripts/smoke

scale: ## run N Meerkat nodes: make scale N=3
	@scripts/scale "$(N)"

switchover: ## have PostgreSQL's primary and replica change places
	@scripts/switchover

ctl: ## the admin command on a node: make ctl CMD="account list"
	@. scripts/lib.sh && load_env && dc exec -T meerkat meerkatctl $(CMD)

backup: ## take a set of backups now: databases, directory, log
	@scripts/backup

restore-drill: ## restore the newest backup into containers of its own and compare; SET= another, TIME= a moment or latest, ONLY= a store
	@SET="$(SET)" TIME="$(TIME)" ONLY="$(ONLY)" scripts/restore-drill

restore: ## put a backup into the datacenter's volumes: SET= which, TIME= how far, ONLY= a store, FORCE=1 stops what runs
	@SET="$(SET)" TIME="$(TIME)" ONLY="$(ONLY)" FORCE="$(FORCE)" scripts/restore/run

doctor: ## what on this machine would be in the way
	@scripts/doctor

bootstrap: ## install what is missing and start the Docker engine
	@scripts/bootstrap

check: ## lint, types, unit tests and configuration, in under 30 s
	@scripts/check

test: ## check, conformance, then the datacenter and its end-to-end tests
	@scripts/test-all

e2e: ## end-to-end tests against the running datacenter
	@scripts/e2e

conformance: ## storage and cluster capabilities over every driver
	@scripts/conformance

bench: ## micro-benchmarks, then Meerkat, ejabberd and Prosody under load; SCENARIO= PEERS= narrow it, LONG=1
	@scripts/bench

interop: ## other people's clients and scanners against one node: aioxmpp's own suite, testssl.sh
	@rm -f .build/totals/*; status=0; for each in aioxmpp tls; do scripts/interop/$$each || status=1; done; scripts/totals --each; exit $$status

fuzz: ## fuzzers of the server: make fuzz SECONDS=60, and SEED=N TARGET=name to repeat a finding
	@FUZZ_SECONDS="$(or $(SECONDS),10)" SEED="$(SEED)" TARGET="$(TARGET)" scripts/fuzz

compose-config: ## the merged compose file, as compose sees it
	@. scripts/lib.sh && load_env && dc config

SHELL := bash
export S
