# Every recipe is a command a newcomer may type.

# The whole loop, embedded
demo *ARGS:
    uv run headrace demo {{ARGS}}

# Lint, types, import rules, generated artefacts
check:
    uv run ruff check .
    uv run ruff format --check .
    uv run mypy
    uv run lint-imports
    uv run python -m schemas.generate --check

# All tests
test *ARGS:
    uv run pytest {{ARGS}}

# Only what needs no Kafka
quick:
    uv run pytest tests/unit tests/property tests/contract tests/bus

# Format and mend what can be mended
fix:
    uv run ruff format .
    uv run ruff check --fix .

# The committed JSON Schema and AsyncAPI, made again
generate:
    uv run python -m schemas.generate

# Effectively once through any crash, the long way: 200 k events and 70 faults a seed; `just faults --seed 1 --seed 2 --seed 3`
faults *ARGS:
    uv run python -m tests.faults.run --profile long {{ARGS}}

# The oracle must catch every deliberately broken product, and the product as it is must survive the same faults: a minute of both cores
mutants *ARGS:
    uv run pytest -n 0 -m long tests/faults {{ARGS}}

# How good the monitor is against what people use today: tables and plots of docs/monitoring.md; an hour, `just drift --quick` minutes
drift *ARGS:
    uv run python -m bench.drift {{ARGS}}
