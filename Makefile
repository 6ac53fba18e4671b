# Thin lines over `cargo xtask`; what each does is said by `cargo xtask help`.
.PHONY: run test check bench docs

run: ## build, start the server and tell the sample company's story
	cargo xtask run

test: ## everything that can fail, set up by itself
	cargo xtask test

check: ## formatting, lints, dependencies, generated files
	cargo xtask check

bench: ## the bars of performance, measured here against floors and peers
	cargo xtask bench

docs: ## write the generated parts of docs/ again
	cargo xtask gen
