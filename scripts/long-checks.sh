#!/usr/bin/env bash
# The long part of the safety checks: miri, libFuzzer, larger loom models, memory growth. On demand,
# not part of a merge. One summary line per part; a tool that cannot be had is said to be missing and
# is no failure. `FUZZ_SECONDS` (120) is what each fuzz target gets.
set -uo pipefail
root="$(cd "$(dirname "$0")/.." && pwd)"
native="$root/native"
seconds="${FUZZ_SECONDS:-120}"
logs="$(mktemp -d)"
trap 'rm -rf "$logs"' EXIT
summary=()
failed=0

part() { # name, command…: runs it, keeps its output for a failure
  local name="$1" log="$logs/out" began=$SECONDS
  shift
  echo "== $name"
  if "$@" >"$log" 2>&1; then
    summary+=("passed   $name ($((SECONDS - began)) s)")
  else
    summary+=("FAILED   $name ($((SECONDS - began)) s)")
    failed=1
    tail -n 60 "$log"
  fi
}

missing() { summary+=("missing  $1"); }

has_miri() {
  cargo +nightly miri --version || rustup component add --toolchain nightly miri rust-src ||
    rustup toolchain install nightly --profile minimal --component miri,rust-src
}

has_cargo_fuzz() {
  cargo +nightly --version && { cargo fuzz --version || cargo install cargo-fuzz --locked; }
}

# Isolation is off because tests read the clock; its own target folder, because flags differ.
miri() { # flags, what to test…
  cd "$native" && CARGO_TARGET_DIR="$native/target/miri" MIRIFLAGS="-Zmiri-disable-isolation $1" \
    cargo +nightly miri test --locked -p warmpath-core "${@:2}"
}

lib_fuzzer() { # target
  mkdir -p "$logs/found/$1"
  cd "$native/fuzz" && CARGO_TARGET_DIR="$native/fuzz/target" cargo +nightly fuzz run \
    --fuzz-dir fuzz_targets --sanitizer address "$1" "$logs/found/$1" "$logs/seeds/$1" \
    -- -max_total_time="$seconds" -max_len=16384 -timeout=60 -rss_limit_mb=4096
}

built_in() { # target
  cd "$native" && cargo run --release --locked -p warmpath-fuzz -- run "$1" "$seconds"
}

seeds() {
  cd "$native" && cargo run --release --locked -p warmpath-fuzz -- seeds "$logs/seeds"
}

loom() {
  cd "$native" && WARMPATH_LOOM_PREEMPTIONS="${LOOM_PREEMPTIONS:-4}" \
    timeout "${LOOM_SECONDS:-900}" cargo test --release --locked -p warmpath-loom
}

growth() {
  cd "$root" && WARMPATH_GROWTH_CALLS="${GROWTH_CALLS:-1000000}" \
    node scripts/run-tests.js unit test/unit/core/native/memory-growth.test.ts
}

if has_miri >"$logs/miri" 2>&1; then
  part 'miri: request store' miri '' --lib store::
  # Each seed is another order of the threads.
  part 'miri: shared words, keys, index' \
    miri "-Zmiri-many-seeds=0..${MIRI_SEEDS:-4}" --test index_memory
else
  missing "miri: $(tail -n 1 "$logs/miri")"
fi
fuzzer=built_in
if has_cargo_fuzz >"$logs/fuzz" 2>&1; then
  part 'fuzz seeds' seeds
  fuzzer=lib_fuzzer
else
  missing "cargo-fuzz, so the built-in mutator is used: $(tail -n 1 "$logs/fuzz")"
fi
for target in events body request answer stream tokens chat; do
  part "fuzz $target, $seconds s, $fuzzer" "$fuzzer" "$target"
done
part 'loom, larger bound' loom
part 'memory growth, more calls' growth
printf '%s\n' "${summary[@]}"
exit "$failed"
