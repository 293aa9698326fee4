# make demo        set up, render a supervised project and train it on real data
# make test        set up and run every test
# make lint        set up and check format, lint and types
# make crash-test  kill and resume runs KILLS times (500) and compare every bit (repeat: SEED=7)
# make update-fuzz update CASES (5000) random projects to random templates, beside git merge
# make power-test  cut the power of a machine that saves checkpoints (root, Linux)
# make bench       measure loop, loader and checkpoints, beside Ignite and Lightning (fetches both)

PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/.installed

.PHONY: demo test lint crash-test update-fuzz power-test bench clean

demo: $(INSTALLED)
	rm -rf demo
	$(BIN)/scaffold new demo --template supervised --defaults --no-git
	cd demo && ../$(BIN)/python train.py

test: $(INSTALLED)
	$(BIN)/python -m pytest --numprocesses auto --maxprocesses 8 --dist loadfile --no-loadscope-reorder --durations 10

crash-test: KILLS ?= 500
crash-test: $(INSTALLED)
	PYTHONPATH=runtime:tests OMP_NUM_THREADS=1 $(BIN)/python tests/crash/long_run.py --kills $(KILLS) $(if $(SEED),--seed $(SEED))

lint: $(INSTALLED)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	for train in templates/*/train.py; do \
		MYPYPATH=runtime:$$(dirname $$train) $(BIN)/mypy --config-file= --check-untyped-defs $$(dirname $$train)/*.py || exit 1; \
	done

update-fuzz: CASES ?= 5000
update-fuzz: $(INSTALLED)
	PYTHONPATH=tests $(BIN)/python tests/generator/update_fuzz.py --cases $(CASES)

power-test: $(INSTALLED)
	PYTHONPATH=runtime $(BIN)/python tests/power/power_test.py

bench: $(INSTALLED)
	$(BIN)/python -m pip install --quiet pytorch-ignite==0.5.5 lightning==2.6.6
	$(BIN)/python benchmarks/run.py
	$(BIN)/python benchmarks/loader.py
	$(BIN)/python benchmarks/checkpoint.py
	$(BIN)/python benchmarks/templates.py

clean:
	rm -rf .venv .wheels demo

# Every package comes once from the index into .wheels; this environment and those that
# the tests make are installed from there, so the tests need no network.
$(INSTALLED): pyproject.toml constraints.txt
	rm -rf .venv
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip wheel --quiet --wheel-dir .wheels --constraint constraints.txt --find-links .wheels '.[dev]'
	rm -f .wheels/torch_scaffold-*
	$(BIN)/python -m pip install --quiet --no-index --find-links .wheels --constraint constraints.txt --editable '.[dev]'
	touch $@
