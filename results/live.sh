#!/bin/sh
# The experiments behind docs/results.md, one after the other: many hours on two cores. Each command resumes where it
# stopped. Words after the script's name go to every run, e.g. model.base_url=http://127.0.0.1:8080/v1 model.cache=runs/cache
set -eu
fama outcomes --config configs/outcomes/helpdesk.yaml --out runs/outcomes-train "$@"
fama train --config configs/train/linear.yaml --out runs/linear 'data.outcomes=[runs/outcomes-train/outcomes.parquet]'
fama train --config configs/train/encoder.yaml --out runs/encoder 'data.outcomes=[runs/outcomes-train/outcomes.parquet]'
fama outcomes --config configs/outcomes/helpdesk-test.yaml --out runs/lattice tasks=24 "$@"
fama compare --config configs/compare/helpdesk.yaml --out runs/compare tasks=38 lattice=runs/lattice/outcomes.parquet outcomes=runs/outcomes-train/outcomes.parquet 'arms=[{name: none}, {name: all}, {name: irma}, {name: random, options: {mean_size: 2}}, {name: best_fixed}, {name: prompted, options: {form: one_call}}, {name: linear, options: {checkpoint: runs/linear}}, {name: learned, options: {checkpoint: runs/encoder}}]' "$@"
fama report runs/compare
