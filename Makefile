# The README's two commands are `make run` and `make test`. They need make and Python 3.11 or newer, nothing else.
# PYTHON=… chooses the interpreter. ARGS='…' is passed to the command that a target runs.
PYTHON ?=
PYTHONS = $(or $(PYTHON),python3.13 python3.12 python3.11 python3)
RUN = .venv/bin
TEST = .venv-test/bin
ARGS ?=

# `pyright` tells of its own new versions otherwise.
export PYRIGHT_PYTHON_IGNORE_WARNINGS = 1

.DEFAULT_GOAL = help
.PHONY: help run test check audit bench soak fuzz lock prices docs format clean

help:  ## this list
	@awk -F ':.*  ## ' '/^[a-z]+:.*  ## / { printf "make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: .venv/.done  ## start on 127.0.0.1:8484 with an embedded database in ./data/
	@exec $(RUN)/trunkline serve $(ARGS)

test: .venv-test/.done  ## the whole suite
	$(TEST)/python -m pytest -m "not soak" $(ARGS)

# One target each, so that `make -k check` names all that is wrong and `make check-mypy` asks one thing alone.
CHECKS = check-format check-lint check-layers check-structure check-mypy check-pyright check-docs check-unit
.PHONY: $(CHECKS)
check: $(CHECKS)  ## what CI asks: format, lint, layers, structure, types, docs, unit tests
check-format: .venv-test/.done
	$(TEST)/ruff format --check .
check-lint: .venv-test/.done
	$(TEST)/ruff check .
check-layers: .venv-test/.done
	$(TEST)/lint-imports --no-cache
check-structure: .venv-test/.done
	$(TEST)/python tools/structure.py
check-mypy: .venv-test/.done
	$(TEST)/mypy
check-pyright: .venv-test/.done
	$(TEST)/pyright
check-docs: .venv-test/.done
	$(TEST)/python tools/docs.py --check
check-unit: .venv-test/.done
	$(TEST)/python -m pytest -m "not soak" tests/unit $(ARGS)

soak: .venv-test/.done  ## the long runs
	$(TEST)/python -m pytest -m soak -n 0 $(ARGS)

fuzz: .venv-test/.done  ## the properties, with other examples each time
	TRUNKLINE_EXPLORE=1 TRUNKLINE_SEQUENCES=$(or $(SEQUENCES),500000) TRUNKLINE_SEED=$(or $(SEED),$(shell date +%s)) \
	  $(TEST)/python -m pytest -m "not soak" tests/unit $(ARGS)

bench: .venv-test/.done  ## added latency and throughput beside the bare upstream; under a minute
	@$(TEST)/python tools/bench.py $(ARGS)

docs: .venv-test/.done  ## write what is generated under docs/
	$(TEST)/python tools/docs.py

format: .venv-test/.done  ## format and mend what the linter can mend
	$(TEST)/ruff format .
	$(TEST)/ruff check --fix .

lock: .venv-test/.done  ## renew requirements/*.txt
	$(TEST)/python tools/lock.py $(ARGS)

audit: .venv-test/.done  ## compare the locked packages with the public vulnerability databases; needs the network
	$(TEST)/python -m uv tool run pip-audit@2.10.1 --strict --disable-pip --require-hashes -r requirements/run.txt $(ARGS)

prices: .venv-test/.done  ## write the price list anew from the locked genai-prices
	$(TEST)/python tools/prices.py

clean:  ## remove the environments and what was built; ./data/ stays
	rm -rf .venv .venv-test dist build

# Find an interpreter that can install packages, and run tools/environment.py with it: FOLDER REQUIREMENTS.
define environment
@python=; new=; \
for p in $(PYTHONS); do \
  "$$p" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || continue; \
  new=$$p; \
  if "$$p" -c 'import ensurepip, venv' 2>/dev/null || "$$p" -c 'import pip, venv' 2>/dev/null; then python=$$p; break; fi; \
done; \
if [ -z "$$new" ]; then \
  echo "Trunkline needs Python 3.11 or newer; none of these is: $(PYTHONS). Name one: make PYTHON=/path/to/python" >&2; exit 1; \
elif [ -z "$$python" ]; then \
  echo "$$new cannot make environments: it has no ensurepip. On Debian and Ubuntu, install the package python3-venv." >&2; exit 1; \
fi; \
"$$python" tools/environment.py $(1) $(2)
@touch $@
endef

.venv/.done: requirements/run.txt tools/environment.py
	$(call environment,.venv,requirements/run.txt)

.venv-test/.done: requirements/test.txt tools/environment.py
	$(call environment,.venv-test,requirements/test.txt)
