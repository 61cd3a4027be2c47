# make demo: the whole job on drawn digits, in minutes.   make test: the tests.
# Both set up a virtual environment in .venv first, once. Another Python, beside it:
# make test PYTHON=python3.12 VENV=.venv312

PYTHON ?= python3
VENV ?= .venv
PY := $(VENV)/bin/python
READY := $(VENV)/.ready
DEMO := runs/demo
DEMO_CONFIG := ssd_tf/configs/ssd_mobilenet_v1_512x512_digits.config

.PHONY: setup demo test test-slow fuzz lint clean

setup: $(READY)

$(READY): setup.py
	$(PYTHON) -c 'import sys; assert (3, 10) <= sys.version_info < (3, 13), \
	  "Python 3.10 to 3.12 is needed, this is %d.%d: make PYTHON=python3.12 ..." % sys.version_info[:2]'
	$(PYTHON) -m venv $(VENV)
	$(PY) -m pip install --quiet --upgrade pip
	$(PY) -m pip install --quiet -e '.[dev]'
	touch $@

demo: $(READY)
	test -f $(DEMO)/data/label_map.pbtxt || \
	  $(PY) tools/create_seven_segment_tf_record.py --output_dir=$(DEMO)/data
	$(VENV)/bin/ssd-tf train --config=$(DEMO_CONFIG) --output=$(DEMO)/model
	$(PY) tools/plot_losses.py --model_dir=$(DEMO)/model --output_path=$(DEMO)/losses.svg
	@echo
	@echo 'Held-out digits, detections beside groundtruth: $(DEMO)/model/pictures/*.png'
	@echo 'Losses: $(DEMO)/losses.svg   Curves: $(VENV)/bin/tensorboard --logdir=$(DEMO)/model'

test: $(READY) lint
	$(PY) -m pytest --numprocesses=auto --dist=worksteal

test-slow: $(READY)
	$(PY) -m pytest -m slow

# 10,000 mutated inputs, of all kinds together; their first hundreds are part of the tests.
fuzz: $(READY)
	PYTHONPATH=tests $(PY) -m fuzz.run --count=10000

lint: $(READY)
	$(VENV)/bin/ruff check .

clean:
	rm -rf $(VENV) build dist *.egg-info
