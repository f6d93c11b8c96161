# The doorbell of the noxfile: each target sets up what is missing and calls one nox session.
PYTHON ?= python3
NOX = .venv/bin/nox --no-error-on-missing-interpreters -s

# Without bytecode every process compiles everything anew, and suites start many processes.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help setup pr-fast merge-medium release-heavy pre-release test demo static format bench pictures lock clean

help:  ## this list
	@grep -hE '^[a-z-]+: .*## ' $(MAKEFILE_LIST) | sort | awk -F ':.*## ' '{printf "  make %-15s %s\n", $$1, $$2}'

setup:  ## make .venv and find or install a Chromium (every other target does it too)
	@$(PYTHON) ci/bootstrap.py --browser

pr-fast: setup  ## the P0 smoke before every push: a gated bundle in 90 s
	@$(NOX) pr_fast

merge-medium: setup  ## everything that blocks a merge, with coverage of the money code
	@$(NOX) merge_medium

release-heavy: setup  ## the release candidate's gate, P0 suites twice
	@$(NOX) release_heavy

pre-release: release-heavy  ## the same under its other name

test: setup  ## what must pass before a merge: static checks, the gate's own tests, tier merge-medium
	@$(NOX) static gate_tests merge_medium

# Not through nox, which would call the demo's usual end, Ctrl-C, a failure.
demo: setup  ## the whole product with simulators (PROVIDER=stripe for the other one); Ctrl-C stops it
	@.venv/bin/testkit demo $(if $(PROVIDER),--provider $(PROVIDER))

static: setup  ## lint, types, architecture
	@$(NOX) static

format: setup  ## let the formatter have its way
	@$(NOX) format

bench: setup  ## name the benchmarks
	@$(NOX) bench -- --list

pictures: setup  ## take the pictures that README and docs show
	@$(NOX) pictures

lock: setup  ## pin every package anew
	@$(NOX) lock

clean:  ## remove the environment and what runs left behind
	rm -rf .venv .nox .mypy_cache .ruff_cache .pytest_cache artifacts/billing-confidence
