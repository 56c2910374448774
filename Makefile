# Every target works from a fresh clone, from a path with a space in it, and a second time without network.
.DEFAULT_GOAL := help
.PHONY: help demo test check fix benchmark clean

PYTEST = OMP_NUM_THREADS=2 .venv/bin/python -m pytest

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' Makefile

demo: ## run the whole loop on real handwritten digits, in build/demo
	@scripts/venv.sh train
	@.venv/bin/python -m tidemill demo --dir build/demo

test: ## run all tests
	@scripts/venv.sh train,dev
	@$(PYTEST) -n auto --dist loadgroup -m "not alone"
	@$(PYTEST) -m alone

check: ## lint, format, types, import floors, and the quick tests with coverage
	@scripts/venv.sh train,dev
	@.venv/bin/ruff check .
	@.venv/bin/ruff format --check .
	@.venv/bin/mypy
	@.venv/bin/lint-imports
	@$(PYTEST) -n auto --dist loadgroup -q -m "not slow and not alone" --cov --cov-report=term

fix: ## mend what lint and format can mend
	@scripts/venv.sh train,dev
	@.venv/bin/ruff check --fix .
	@.venv/bin/ruff format .

benchmark: ## time the demo and print the table
	@scripts/venv.sh train,dev
	@.venv/bin/python benchmarks/demo.py

clean: ## remove .venv, build and caches
	rm -rf .venv build .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis .coverage* htmlcov
