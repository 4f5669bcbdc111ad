# Each target sets up what it needs on a machine with python3, make and a compiler.
VENV ?= .venv
PYTHON ?= python3
BIN := $(VENV)/bin

JAX_TESTS := methods layers fit/test_covariance.py fit/test_factors.py fit/test_batch_norm.py model/test_gradients.py \
	model/test_surgery.py

# The claims that matter, for the time between two thoughts.
QUICK := tests/test_rooms.py tests/test_new_metric.py tests/dse/test_formulas.py tests/dse/test_scan.py \
	tests/db/test_contract.py tests/rankline/test_api.py \
	tests/golden/test_golden.py::test_the_spaces_of_lenet5_are_the_same_to_the_last_line

.PHONY: demo quick test golden runtimes pages test-jax lint bench docs clean

$(VENV)/ready: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "rankline needs Python 3.11 or newer")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade pip
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

demo: $(VENV)/ready
	$(BIN)/rankline demo

quick: lint
	$(BIN)/python -m pytest -q -n 2 --dist loadfile $(QUICK)

# Files in their order: those with few tests that take long are not left for the end.
test: lint
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder -m "not golden and not pages and not runtimes" \
		tests/test_package.py tests

# Files at every precision, as their runtimes run them: four minutes.
runtimes: $(VENV)/ready
	$(BIN)/python -m pytest -n 2 --dist loadfile -m runtimes tests

# What the pages of docs/ say to do works, and pages in a real browser do what they should: five minutes.
pages: $(VENV)/ready
	$(BIN)/python -m pytest -n 2 --dist loadfile -m pages tests

# The demo and a budget end as they did when their golden files were made, bit for bit: two minutes.
golden: $(VENV)/ready
	$(BIN)/python -m pytest -m golden tests/golden

# The layers and decompositions once more, with another backend of Keras.
test-jax: $(VENV)/ready
	KERAS_BACKEND=jax $(BIN)/python -m pytest -n 2 --dist loadfile $(addprefix tests/compress/,$(JAX_TESTS))

lint: $(VENV)/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(VENV)/ready
	$(BIN)/python -m benchmarks.lines

# The pages of docs/ as a site that needs no server: open site/index.html.
docs: $(VENV)/ready
	$(BIN)/mkdocs build --strict

clean:
	rm -rf $(VENV) demo build site *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
