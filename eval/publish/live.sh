#!/bin/sh
# The experiments behind docs/results.md, one after the other: many hours on two cores. Each command resumes where it
# stopped. Words after the script's name go to every run, e.g. model.base_url=http://127.0.0.1:8080/v1 model.cache=runs/cache
# The lines of tau2 need its extra; with such words they need user_model.base_url as well, and a context of 16,384 tokens.
set -eu
fama outcomes --config configs/outcomes/helpdesk.yaml --out runs/outcomes-train "$@"
fama run --config configs/run/helpdesk.yaml --out runs/plain-train split=train tasks=150 "$@"
fama diagnose runs/plain-train --judge none --out runs/labels-train
fama train --config configs/train/linear.yaml --out runs/linear 'data.outcomes=[runs/outcomes-train/outcomes.parquet]'
fama train --config configs/train/encoder.yaml --out runs/encoder 'data.outcomes=[runs/outcomes-train/outcomes.parquet]'
fama train --config configs/train/retrospective.yaml --out runs/retrospective-router 'data.outcomes=[runs/outcomes-train/outcomes.parquet]' 'data.plain=[runs/plain-train]'
fama outcomes --config configs/outcomes/helpdesk-test.yaml --out runs/lattice "$@"
fama compare --config configs/compare/helpdesk.yaml --out runs/compare lattice=runs/lattice/outcomes.parquet outcomes=runs/outcomes-train/outcomes.parquet 'arms=[{name: none}, {name: all}, {name: irma}, {name: random, options: {mean_size: 2}}, {name: rule}, {name: best_fixed}, {name: prompted, options: {form: one_call}}, {name: linear, options: {checkpoint: runs/linear}}, {name: learned, options: {checkpoint: runs/encoder}}]' "$@"
fama run --config configs/run/helpdesk.yaml --out runs/plain-test split=test tasks=60 "$@"
fama diagnose runs/plain-test --judge none --out runs/labels-test
fama compare --config configs/compare/helpdesk-retrospective.yaml --out runs/retrospective lattice=runs/lattice/outcomes.parquet failures=runs/labels-test/failures.jsonl outcomes=runs/outcomes-train/outcomes.parquet 'arms=[{name: none}, {name: all}, {name: best_fixed}, {label: static, name: prompted, options: {failures: runs/labels-train/failures.jsonl, form: static}}, {name: prompted, options: {form: diagnosis}}, {name: linear, options: {checkpoint: runs/retrospective-router, episodes: runs/plain-test}}, {name: oracle, options: {outcomes: runs/lattice/outcomes.parquet}}]' "$@"
fama compare --config configs/compare/helpdesk-trials.yaml --out runs/trials outcomes=runs/outcomes-train/outcomes.parquet 'arms=[{name: none}, {name: all}, {name: best_fixed}, {name: prompted, options: {form: one_call}}, {name: learned, options: {checkpoint: runs/encoder}}]' "$@"
fama run --config configs/run/helpdesk.yaml --out runs/plain-train48 domain=shop+saas split=train tasks=48 "$@"
fama mine runs/plain-train48 --config configs/mine/helpdesk.yaml --out runs/mined48 exact=0 budget.calls=150 "$@"
fama train --config configs/train/turn.yaml --out runs/turn 'data.repairs=[{repairs: runs/mined48, episodes: runs/plain-train48}]'
fama outcomes --config configs/outcomes/helpdesk-mixed.yaml --out runs/outcomes-mixed "$@"
fama outcomes --config configs/outcomes/helpdesk-mixed.yaml --config configs/outcomes/helpdesk-saas.yaml --out runs/outcomes-saas "$@"
fama train --config configs/train/linear.yaml --out runs/episode 'data.outcomes=[runs/outcomes-mixed/outcomes.parquet]'
fama compare --config configs/compare/helpdesk-mixed.yaml --out runs/mixed 'arms=[{name: none}, {name: all}, {name: learned, label: learned per turn, cadence: turn, options: {checkpoint: runs/turn}}, {name: fixed, label: TSA+Verifier, options: {subset: [TSA, Verifier]}}, {name: fixed, label: DCE+TSA+Verifier, options: {subset: [DCE, TSA, Verifier]}}, {name: prompted, label: prompted per turn, cadence: turn, options: {form: on_prefix}}, {name: prompted, options: {form: one_call}}, {name: random, label: random per turn, cadence: turn, options: {mean_size: 2.6}}, {name: rule, label: rule per turn, cadence: turn}, {name: irma}, {name: learned, label: learned per episode, options: {checkpoint: runs/episode}}]' "$@"
fama outcomes --config configs/outcomes/helpdesk-mixed.yaml --config configs/outcomes/helpdesk-mixed-test.yaml --out runs/grid-mixed "$@"
fama compare --config configs/compare/helpdesk-mixed.yaml --config configs/compare/helpdesk-mixed-oracle.yaml --out runs/mixed-oracle lattice=runs/grid-mixed/outcomes.parquet 'arms=[{name: none}, {name: all}, {name: learned, label: learned per turn, cadence: turn, options: {checkpoint: runs/turn}}, {name: learned, label: learned per episode, options: {checkpoint: runs/episode}}, {name: prompted, options: {form: one_call}}, {name: fixed, label: DCE, options: {subset: [DCE]}}, {name: fixed, label: TSA, options: {subset: [TSA]}}, {name: fixed, label: TOR, options: {subset: [TOR]}}, {name: fixed, label: Planner, options: {subset: [Planner]}}, {name: fixed, label: Verifier, options: {subset: [Verifier]}}, {name: fixed, label: Memory, options: {subset: [Memory]}}, {name: fixed, label: TSA+Verifier, options: {subset: [TSA, Verifier]}}, {name: fixed, label: DCE+Verifier, options: {subset: [DCE, Verifier]}}, {name: fixed, label: Planner+Verifier, options: {subset: [Planner, Verifier]}}, {name: fixed, label: DCE+TSA+Verifier, options: {subset: [DCE, TSA, Verifier]}}]' "$@"
fama compare --config configs/compare/helpdesk-mixed.yaml --config configs/compare/helpdesk-fourth.yaml --out runs/fourth 'arms=[{name: none}, {name: all}, {name: learned, label: learned per turn, cadence: turn, options: {checkpoint: runs/turn}}, {name: fixed, label: TSA+Verifier, options: {subset: [TSA, Verifier]}}]' "$@"
fama compare --config configs/compare/helpdesk-mixed.yaml --config configs/compare/helpdesk-fourth.yaml --config configs/compare/helpdesk-fourth-0.5b.yaml --out runs/fourth-0.5b 'arms=[{name: none}, {name: all}, {name: learned, label: learned per turn, cadence: turn, options: {checkpoint: runs/turn}}, {name: fixed, label: TSA+Verifier, options: {subset: [TSA, Verifier]}}]' "$@"
fama compare --config configs/compare/helpdesk-mixed.yaml --config configs/compare/helpdesk-mixed-seen.yaml --out runs/mixed-seen 'arms=[{name: none}, {name: all}]' "$@"
fama compare --config configs/compare/helpdesk-mixed.yaml --config configs/compare/helpdesk-agents.yaml --out runs/agents 'arms=[{name: none}, {name: fixed, label: TSA, options: {subset: [TSA]}}, {name: all}]' "$@"
fama compare --config configs/compare/helpdesk-mixed.yaml --config configs/compare/helpdesk-fourth.yaml --config configs/compare/helpdesk-agents-fourth.yaml --out runs/agents-fourth 'arms=[{name: none}, {name: fixed, label: TSA, options: {subset: [TSA]}}, {name: fixed, label: TSA+Verifier, options: {subset: [TSA, Verifier]}}, {name: all}]' "$@"
fama compare --config configs/compare/tau2.yaml --out runs/tau2-mock domain=mock split=base tasks=9 'arms=[{name: none}, {name: irma}, {name: prompted, options: {form: one_call}}, {name: learned, options: {checkpoint: runs/encoder}}]' "$@"
fama compare --config configs/compare/tau2.yaml --out runs/tau2-retail domain=retail 'arms=[{name: none}, {name: irma}, {name: prompted, options: {form: one_call}}, {name: learned, options: {checkpoint: runs/encoder}}]' "$@"
fama compare --config configs/compare/tau2.yaml --out runs/tau2-airline 'arms=[{name: none}, {name: irma}, {name: prompted, options: {form: one_call}}, {name: learned, options: {checkpoint: runs/encoder}}]' "$@"
fama report runs/compare
fama report runs/mixed
fama report runs/retrospective
fama report runs/trials
