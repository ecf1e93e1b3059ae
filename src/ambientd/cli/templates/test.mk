# `make test`: nodes take the module, and each input in tests/ gives the output beside it.
.DEFAULT_GOAL := $name.wasm
.PHONY: test

test: $name.wasm
	ambientctl module check $name.wasm
	@set -e; for input in tests/*.input; do \
	  output="$${input%.input}.output"; \
	  ambientctl module run $name.wasm --input "$$input" --output .found; \
	  cmp .found "$$output"; rm .found; \
	  echo "$$input: as expected"; \
	done
