# Everything happens in .venv, which the first target that needs it makes.
PYTHON ?= python3
MODEL ?= smollm2-135m-instruct
PRECISION ?=
DEVICE ?= CPU
PORT ?= 7860

BIN := .venv/bin
INSTALL := $(BIN)/python llm_chatbot/machine/install.py
INSTALLED_CHAT := .venv/installed-chat
INSTALLED := .venv/installed
INSTALLED_DEV := .venv/installed-dev
INSTALLED_BOOK := .venv/installed-book
INSTALLED_CLUSTER := .venv/installed-cluster
WHAT_IS_INSTALLED := .venv/bin/python pyproject.toml requirements.txt llm_chatbot/machine/install.py llm_chatbot/machine/pins.py

# The page's own JavaScript is checked with tools from npm. npm and Node.js come from requirements.txt.
PAGE := llm_chatbot/page
PAGE_TOOLS := $(PAGE)/node_modules/.package-lock.json
NPM := PATH="$(CURDIR)/$(BIN):$$PATH" npm --prefix $(PAGE)

.DEFAULT_GOAL := help
.PHONY: help book chat serve load notebook test test-fast lint translate clients outputs bench vendor clean

help:  ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-10s %s\n", $$1, $$2 }' Makefile

chat: $(INSTALLED_CHAT)  ## chat with a GGUF file on http://127.0.0.1:7860
	$(BIN)/llm-chatbot chat --model $(MODEL) $(addprefix --precision ,$(PRECISION)) --device $(DEVICE) --port $(PORT) --output .

serve: PORT = 8000
serve: $(INSTALLED_CHAT)  ## serve the model with OpenAI's API on http://127.0.0.1:8000/v1
	$(BIN)/llm-chatbot serve --model $(MODEL) $(addprefix --precision ,$(PRECISION)) --device $(DEVICE) --port $(PORT) --output .

notebook: $(INSTALLED)  ## open the tutorial in JupyterLab
	$(BIN)/jupyter lab llm-chatbot.ipynb

# Three runs: after thousands of tests, a process takes several times as long for the same ones. Tests of browsers and
# notebooks wait for others a third of the time, so there are three at once of them.
PYTEST := $(BIN)/python -m pytest --dist loadscope --nbval-lax --nbval-current-env
LESSON_TESTS := llm-chatbot.ipynb docs tests/lesson tests/evaluation tests/page
ENGINE_TESTS := tests/engine tests/decoder tests/gguf tests/encoder
OTHER_TESTS := tests $(addprefix --ignore=,$(filter tests/%,$(LESSON_TESTS) $(ENGINE_TESTS)))

test: $(INSTALLED_DEV)  ## run all tests: unit, notebook, browser
	$(BIN)/python tests/browser.py
	export TEST_RUN_FOLDER=$$(mktemp -d); failed=; \
	for tests in "-n 3 $(LESSON_TESTS)" "-n 2 $(ENGINE_TESTS)" "-n 2 $(OTHER_TESTS)"; do $(PYTEST) $$tests || failed=yes; done; \
	[ -z "$$failed" ]

test-fast: $(INSTALLED_DEV)  ## run the tests that need neither the embedded model nor a browser
	$(BIN)/python -m pytest -n 2 --dist loadscope -m "not slow"

lint: $(INSTALLED_DEV) $(PAGE_TOOLS)  ## check format, rules, types and who imports whom
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(NPM) run --silent lint

load: $(INSTALLED_CLUSTER)  ## prove and measure the service on a cluster of two Ray nodes on this machine
	$(BIN)/python converter.py smollm2-135m-instruct --precision INT4
	$(BIN)/python -m llm_chatbot.cluster.trial

translate: $(INSTALLED_DEV)  ## write the tutorial in Japanese and Chinese from docs/lesson/*.po
	$(BIN)/python -m docs.translate_notebook

book: $(INSTALLED_BOOK)  ## write the tutorial and the docs as one site to build/book, and check it in a browser
	$(BIN)/python tests/browser.py
	$(BIN)/python -m docs.book.build

clients: $(INSTALLED_DEV)  ## try eleven real clients with the API, in an environment of their own
	$(BIN)/python -m tests.clients.run --write

RUN := $(BIN)/jupyter nbconvert --to notebook --execute --inplace --ExecutePreprocessor.record_timing=False

outputs: translate  ## run the tutorial in its three languages, for the outputs that its files show
	$(subst --inplace,--stdout,$(RUN)) llm-chatbot.ipynb > /dev/null  # converts the models: GitHub shows a bar at 0%
	LLM_CHATBOT_LANGUAGE=en $(RUN) llm-chatbot.ipynb
	LLM_CHATBOT_LANGUAGE=ja $(RUN) docs/llm-chatbot.ja.ipynb
	LLM_CHATBOT_LANGUAGE=zh $(RUN) docs/llm-chatbot.zh.ipynb
	$(BIN)/jupyter nbconvert --to notebook --inplace --CoalesceStreamsPreprocessor.enabled=True llm-chatbot.ipynb \
		docs/llm-chatbot.ja.ipynb docs/llm-chatbot.zh.ipynb  # a run joins no lines: it does this before the cells run

bench: $(INSTALLED_DEV)  ## measure speed beside other engines, the start, and the bounds that the engine keeps to
	$(BIN)/python -m benchmarks.speed
	$(BIN)/python -m benchmarks.start
	$(BIN)/python -m benchmarks.bounds
	$(BIN)/python -m benchmarks.kv_precision
	$(BIN)/python -m benchmarks.lookup_equality
	$(BIN)/python -m benchmarks.soak --minutes 5

vendor: $(INSTALLED_DEV)  ## fetch the page's JavaScript libraries from npm
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m llm_chatbot.page.vendor_libraries

clean:  ## remove .venv, the converted models and all that tools left behind
	rm -rf .venv .pytest_cache .ruff_cache .mypy_cache .import_linter_cache .ipynb_checkpoints .gradio screenshots
	rm -rf $(PAGE)/node_modules build
	find llm_chatbot benchmarks docs tests -name __pycache__ -prune -exec rm -rf {} +
	rm -rf __pycache__ */FP16 */INT8_compressed_weights */INT4_compressed_weights */GGUF */*.partial
	rm -f $(filter-out figures/%,$(wildcard */quality.json */quality.png))

.venv/bin/python:
	$(PYTHON) -m venv .venv

$(INSTALLED_CHAT): $(WHAT_IS_INSTALLED)
	$(INSTALL)
	touch $@

$(INSTALLED): $(WHAT_IS_INSTALLED)
	$(INSTALL) convert notebook
	touch $@ $(INSTALLED_CHAT)

$(INSTALLED_DEV): $(WHAT_IS_INSTALLED)
	$(INSTALL) convert notebook dev
	touch $@ $(INSTALLED) $(INSTALLED_CHAT)

$(INSTALLED_CLUSTER): $(INSTALLED)
	$(INSTALL) convert notebook cluster
	touch $@

$(INSTALLED_BOOK): $(INSTALLED_DEV)
	$(INSTALL) convert notebook dev book
	touch $@

$(PAGE_TOOLS): $(INSTALLED_DEV) $(PAGE)/package.json $(PAGE)/package-lock.json $(PAGE)/.npmrc
	$(NPM) ci --silent
	touch $@
