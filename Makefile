# Everything a newcomer needs: `make run`, `make test`. Needs Python 3.11 or newer.

PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
LISTEN :=
WORKERS := $(shell expr 2 \* $$(nproc 2>/dev/null || echo 2))

# Hundreds of processes are started by the tests: each module is compiled once for all of them.
unexport PYTHONDONTWRITEBYTECODE

CONSOLE := console/node_modules/.ready

.PHONY: run test test-console test-fleet test-long test-systemd torture check console console-check
.PHONY: torture-fleet man bench bench-check format clean

run: $(READY)  ## start the daemon on a copy of the example
	@mkdir -p .run
	@test -f .run/Server.xml || cp examples/origin/Server.xml .run/Server.xml
	@$(BIN)/omeconf serve --config examples/origin/omeconf.toml --state .run/state \
		--socket .run/omeconf.sock $(if $(LISTEN),--listen $(LISTEN)) --show-token .run/Server.xml

test: $(READY)  ## the tests, in less than two minutes
	@$(BIN)/pytest -q -n $(WORKERS) -m "not long and not torture and not systemd and not console and not fleet"

test-console: $(READY) $(CONSOLE)  ## the console in Chromium: needs npm, and chromium of the system
	@$(BIN)/pip install -q --disable-pip-version-check --group console
	@$(BIN)/pytest -q -n 2 -m console tests/console

test-fleet: $(READY)  ## groups on etcd, and what may befall them: needs etcd, root, faketime
	@rm -rf .torture-fleet
	@$(BIN)/pytest -q -n 2 --dist loadgroup -m fleet tests/fleet
	@if test -f .torture-fleet/campaign.txt; then grep -v "^round " .torture-fleet/campaign.txt; fi

torture-fleet: $(READY)  ## faults at random against a group of ten: 20 minutes, root, faketime
	@rm -rf .torture-fleet
	@OMECONF_FLEET_ROUNDS=$${OMECONF_FLEET_ROUNDS:-150} \
		$(BIN)/pytest -q -m fleet tests/fleet/test_campaign.py

test-long: $(READY)  ## the tests that take minutes
	@$(BIN)/pytest -q -n auto -m long

test-systemd: $(READY)  ## the units in a real systemd, in a container: root and systemd-nspawn
	@$(BIN)/pytest -q -m systemd tests/systemd

torture: $(READY)  ## kills, errors, full disks and power cuts: minutes, strace and root
	@rm -rf .torture
	@$(BIN)/pytest -q -n auto -m torture tests/torture
	@cat .torture/figures.json

console: $(CONSOLE)  ## build the page that is served at /console/ from console/: needs npm
	@cd console && npm run --silent build

console-check: $(CONSOLE)  ## the types of the console
	@cd console && npm run --silent check

check: $(READY)  ## lint, types and the tests
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@if command -v npm >/dev/null; then $(MAKE) --no-print-directory console-check; fi
	@$(MAKE) --no-print-directory test

man: $(READY)  ## the manual page anew, from the commands
	@$(BIN)/python docs/man/make.py

bench: $(READY)  ## how long things take here, beside others: an hour; BENCH=--quick: ten minutes
	@$(BIN)/pip install -q --disable-pip-version-check --group bench \
		|| echo "Caddy and the plot are left out: the group bench cannot be installed"
	@$(BIN)/python -m benchmarks $(BENCH)

bench-check: $(READY)  ## how long a check takes
	@$(BIN)/python benchmarks/check.py

format: $(READY)
	@$(BIN)/ruff format . && $(BIN)/ruff check --fix .

clean:
	rm -rf $(VENV) console/node_modules .run .mypy_cache .pytest_cache .ruff_cache .hypothesis .torture .torture-fleet

$(READY): pyproject.toml
	@test -n "$(PYTHON)" || { echo "omeconf needs Python 3.11 or newer on the PATH"; exit 1; }
	@$(PYTHON) -m venv $(VENV) >/dev/null 2>&1 \
		|| { rm -rf $(VENV); $(PYTHON) -m virtualenv -q $(VENV) 2>/dev/null; } \
		|| { echo "$(PYTHON) cannot make a virtual environment: install python3-venv"; exit 1; }
	@$(BIN)/pip install -q --disable-pip-version-check --upgrade 'pip>=25.1'
	@$(BIN)/pip install -q --disable-pip-version-check -e . --group dev
	@touch $@

$(CONSOLE): console/package-lock.json
	@cd console && npm ci --silent --ignore-scripts --no-audit --no-fund
	@touch $@
