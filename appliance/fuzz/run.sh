#!/bin/sh
# Runs the fuzz targets: run.sh [SECONDS] [TARGET...]
# Each target runs for SECONDS (10), all of them unless some are named. The first finding ends it with status 1; the input
# that caused it is in target/fuzz/findings: fix it, and keep the input as a seed.
#
# Coverage comes from the stable compiler's own flags: neither nightly nor cargo-fuzz is needed. What was learned is kept in
# target/fuzz/corpus and used by the next run.
set -eu

cd "$(dirname "$0")/../.."
seconds=${1:-10}
[ $# -gt 0 ] && shift
[ $# -gt 0 ] || set -- rtmp_preauth amf0 flv avc_config stream_key

host=$(rustc -vV | sed -n 's/^host: //p')
coverage="--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4"
coverage="$coverage -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table"
# A target directory of its own, so that ordinary builds keep theirs. --target: build scripts are not instrumented.
RUSTFLAGS="$coverage -Cdebug-assertions" \
CARGO_PROFILE_RELEASE_LTO=off \
CARGO_PROFILE_RELEASE_CODEGEN_UNITS=1 \
    cargo build --quiet --locked --release --package nodi-fuzz --features libfuzzer \
    --target "$host" --target-dir target/fuzz

# libFuzzer itself ends on a panic or after a second on one input; its memory is bounded by -rss_limit_mb.
for target in "$@"; do
    corpus=target/fuzz/corpus/$target
    findings=target/fuzz/findings
    log=target/fuzz/$target.log
    mkdir -p "$corpus" "$findings"
    if ! "target/fuzz/$host/release/$target" -max_total_time="$seconds" -max_len=8192 -timeout=5 -rss_limit_mb=1024 \
        -dict=appliance/fuzz/rtmp.dict -artifact_prefix="$findings/$target-" -print_final_stats=1 \
        "$corpus" "appliance/fuzz/seeds/$target" >"$log" 2>&1
    then
        tail -n 40 "$log"
        echo "$target: FINDING, see $findings and $log"
        exit 1
    fi
    executions=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
    covered=$(sed -n 's/.*cov: \([0-9]*\).*/\1/p' "$log" | tail -n 1)
    echo "$target: $executions executions in $seconds s, $covered edges, nothing found"
done
