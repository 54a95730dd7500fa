# Ilgi. Nothing is needed but make and a Python of 3.11 or newer; everything else goes into $(VENV).
#
#   make demo             phone the bot with a recorded caller, against the stand-ins (OFFLINE=1: no models at all)
#   make test             the whole test suite (TESTS="--databases=sqlite": with the diary in one database only);
#                         the pages last, in Chromium where there is one
#   make run              serve, with the settings of the environment
#   make chaos            break everything under live calls, 200 times (CHAOS="--quick": three minutes)
#   make bench-NAME       measure (`python -m bot bench` lists them)

VENV ?= .venv
NEWEST = for name in python3.16 python3.15 python3.14 python3.13 python3.12 python3.11 python3 python; do \
	"$$name" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo "$$name" && break; done
PIP = $(VENV)/bin/python -m pip --disable-pip-version-check install --quiet

.PHONY: demo test test-sockets test-pages chaos run clean

demo: $(VENV)/.installed
	$(VENV)/bin/python -m bot.lab.demo $(if $(OFFLINE),--offline)

test: test-sockets test-pages

test-sockets: $(VENV)/.installed-tests
	$(VENV)/bin/python -m pytest -n auto --dist loadfile --no-loadscope-reorder --ignore=tests/pages $(TESTS)

# A browser wants the machine for itself, or it stutters.
test-pages: $(VENV)/.installed-tests
	$(VENV)/bin/python -m pytest tests/pages

chaos: $(VENV)/.installed-tests
	$(VENV)/bin/python -m bot.lab.chaos $(CHAOS)

run: $(VENV)/.installed
	$(VENV)/bin/python -m bot serve

bench-%: $(VENV)/.installed
	$(VENV)/bin/python -m bot bench $*

clean:
	rm -rf $(VENV)

$(VENV)/.installed: requirements.txt
	@PYTHON="$(PYTHON)"; PYTHON="$${PYTHON:-$$($(NEWEST))}"; \
	if [ -z "$$PYTHON" ]; then \
		echo "Ilgi needs Python 3.11 or newer, with venv, and none was found. On Debian: apt install python3 python3-venv" >&2; \
		exit 1; \
	fi; \
	echo "Setting up $(VENV) with $$("$$PYTHON" --version): about a minute"; \
	"$$PYTHON" -m venv --clear $(VENV)
	$(PIP) -r requirements.txt
	@touch $@

$(VENV)/.installed-tests: $(VENV)/.installed tests/requirements.txt
	$(PIP) -r tests/requirements.txt
	@touch $@
