#!/usr/bin/env bash
# The long part of the safety checks: miri, libFuzzer, larger loom models, memory growth. On demand,
# not part of a merge. `scripts/long-checks.sh [part…]` runs the named parts, or all; each is made to
# end within five minutes once it is compiled. One summary line per part; a tool that cannot be had is
# said to be missing and is no failure.
set -uo pipefail
root="$(cd "$(dirname "$0")/.." && pwd)"
native="$root/native"
seconds="${FUZZ_SECONDS:-120}"
targets=(events body request answer stream tokens chat)
miri_parts=(miri-store miri-index miri-events miri-prompt miri-parsers miri-threads)
parts=("$@")
[ $# -gt 0 ] || parts=("${miri_parts[@]}" "${targets[@]/#/fuzz-}" loom growth)
logs="$(mktemp -d)"
trap 'rm -rf "$logs"' EXIT
summary=()
failed=0

part() { # name, command…: runs it, keeps its output for a failure
  local name="$1" log="$logs/$1.log" began=$SECONDS
  shift
  echo "== $name"
  if "$@" >"$log" 2>&1; then
    summary+=("passed   $name ($((SECONDS - began)) s)")
    # What was run, and how often.
    grep -E '^(test result: ok\. [1-9]|Done [0-9]+ runs|[a-z]+: [0-9]+ runs)' "$log"
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

# Isolation is off because tests read the clock; its own target folder, because flags differ. Random
# tests without a number of their own for miri get few cases.
miri() { # flags, what to test…
  cd "$native" && CARGO_TARGET_DIR="$native/target/miri" PROPTEST_CASES="${MIRI_CASES:-4}" \
    MIRIFLAGS="-Zmiri-disable-isolation $1" \
    cargo +nightly miri test --locked -p warmpath-core "${@:2}"
}

# Modules whose tests need no sockets and no tokenizer files.
run_miri() { # part
  case "$1" in
    miri-store) miri '' --lib -- store:: ;;
    miri-index) miri '' --lib -- index:: ;;
    miri-events) miri '' --lib -- events:: ;;
    miri-prompt)
      miri '' --lib -- prompt::prefix_store prompt::no_match prompt::anthropic prompt::responses
      ;;
    miri-parsers)
      miri '' --lib -- data_plane::chunked data_plane::head data_plane::fields \
        data_plane::answer_ data_plane::client_frame data_plane::body data_plane::stamps
      ;;
    # Each seed is another order of the threads.
    miri-threads) miri "-Zmiri-many-seeds=0..${MIRI_SEEDS:-4}" --test index_memory ;;
    *) echo "no part $1" && return 1 ;;
  esac
}

# AddressSanitizer sees what the safe language does not: `unsafe` here and in what we depend on.
lib_fuzzer() { # target
  mkdir -p "$logs/found/$1" "$native/fuzz/target/findings"
  cd "$native/fuzz" && CARGO_TARGET_DIR="$native/fuzz/target" cargo +nightly fuzz run \
    --fuzz-dir fuzz_targets --sanitizer address "$1" "$logs/found/$1" "$logs/seeds/$1" \
    -- -max_total_time="$seconds" -max_len=16384 -timeout=60 -rss_limit_mb=4096 \
    -artifact_prefix="$native/fuzz/target/findings/$1-"
}

built_in() { # target
  cd "$native" && cargo run --release --locked -p warmpath-fuzz -- run "$1" "$seconds"
}

run_fuzz() { # target
  if has_cargo_fuzz >"$logs/tool" 2>&1; then
    cd "$native" && cargo run --release --locked -p warmpath-fuzz -- seeds "$logs/seeds" &&
      lib_fuzzer "$1"
  else
    echo "no cargo-fuzz, so the built-in mutator is used: $(tail -n 1 "$logs/tool")"
    built_in "$1"
  fi
}

# The sound models only: a control shows its fault at the usual bound. A model that is not through
# after its time has shown no fault until then.
loom() {
  cd "$native" && WARMPATH_LOOM_PREEMPTIONS="${LOOM_PREEMPTIONS:-5}" \
    LOOM_MAX_DURATION="${LOOM_SECONDS:-60}" \
    cargo test --release --locked -p warmpath-loom -- --skip control --test-threads=2
}

growth() {
  cd "$root" && WARMPATH_GROWTH_FACTOR="${GROWTH_FACTOR:-10}" \
    node scripts/run-tests.js integration test/integration/memory-growth.test.ts
}

for name in "${parts[@]}"; do
  case "$name" in
    miri-*)
      if has_miri >"$logs/tool" 2>&1; then
        part "$name" run_miri "$name"
      else
        missing "$name: $(tail -n 1 "$logs/tool")"
      fi
      ;;
    fuzz-*) part "$name" run_fuzz "${name#fuzz-}" ;;
    loom | growth) part "$name" "$name" ;;
    *) summary+=("FAILED   no part $name") && failed=1 ;;
  esac
done
printf '%s\n' "${summary[@]}"
exit "$failed"
