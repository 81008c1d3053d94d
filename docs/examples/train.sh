#!/bin/sh
# Records a run without any library. Both ways work:
#     toolkit track -- sh train.sh
#     sh train.sh | toolkit track
set -eu

tell() {
    printf "$@" >>"${TOOLKIT_EVENTS:-/dev/stdout}"
}

tell '{"kind": "described", "project": "any-language", "name": "shell"}\n'
tell '{"kind": "params", "values": {"lr": 0.5, "optimizer": {"name": "sgd"}}}\n'

loss=64
for step in 0 1 2 3; do
    loss=$((loss / 2))
    tell '{"kind": "metrics", "step": %d, "values": {"train/loss": %d}}\n' "$step" "$loss"
done

printf 'weights\n' >model.txt
tell '{"kind": "artifact", "name": "model", "type": "model", "files": "model.txt"}\n'
tell '{"kind": "summary", "values": {"final loss": %d}}\n' "$loss"
tell '{"kind": "left", "status": "finished"}\n'
