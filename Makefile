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
	$(PY) tools/model_main_tf2.py --pipeline_config_path=$(DEMO_CONFIG) --model_dir=$(DEMO)/model \
	  --noevaluate
	$(PY) tools/exporter_main_v2.py --pipeline_config_path=$(DEMO_CONFIG) \
	  --trained_checkpoint_dir=$(DEMO)/model --output_directory=$(DEMO)/exported
	$(PY) tools/detect_images.py --saved_model_dir=$(DEMO)/exported/saved_model \
	  --label_map_path=$(DEMO)/data/label_map.pbtxt --tf_record=$(DEMO)/data/digits_eval.record \
	  --output_dir=$(DEMO)/detections --max_images=12
	$(PY) tools/plot_losses.py --model_dir=$(DEMO)/model --output_path=$(DEMO)/losses.svg
	$(PY) tools/model_main_tf2.py --pipeline_config_path=$(DEMO_CONFIG) --model_dir=$(DEMO)/model \
	  --checkpoint_dir=$(DEMO)/model --eval_timeout=0
	@echo
	@echo 'Held-out digits, detections beside groundtruth: $(DEMO)/detections/*.png'
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
