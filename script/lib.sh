# Steps that are run, timed, counted and summed up. Sourced by script/test and script/check, which
# stand in the root of the checkout.
# shellcheck shell=bash

jobs=$(nproc)
log_dir=build/log
passed=0
failed=0
failures=()

# step TITLE COMMAND...: runs the command with its output in a file, which is shown if it fails.
# Counts the tests that the output sums up (ctest's way or "N passed, N failed"), else one.
step() {
  local title=$1 log started=$SECONDS status=0 ok=0 bad=0 skipped='' line
  shift
  mkdir -p "$log_dir"
  log=$log_dir/${title//[^a-zA-Z0-9]/-}.log
  printf -- '--- %s\n' "$title"
  ("$@") >"$log" 2>&1 </dev/null || status=$?

  line=$(grep -E '^([0-9]+ passed, [0-9]+ failed(, [0-9]+ skipped)?$|[0-9]+% tests passed, )' "$log" |
    tail -n 1 || true)
  if [[ $line =~ ^([0-9]+)\ passed,\ ([0-9]+)\ failed(,\ [1-9][0-9]*\ skipped)? ]]; then
    ok=${BASH_REMATCH[1]} bad=${BASH_REMATCH[2]} skipped=${BASH_REMATCH[3]}
  elif [[ $line =~ ([0-9]+)\ tests\ failed\ out\ of\ ([0-9]+) ]]; then
    bad=${BASH_REMATCH[1]} ok=$((BASH_REMATCH[2] - BASH_REMATCH[1]))
  elif [ $status -eq 0 ]; then
    ok=1
  fi
  if [ $status -ne 0 ] && [ "$bad" -eq 0 ]; then
    bad=1
  fi
  passed=$((passed + ok))
  failed=$((failed + bad))

  if [ "$bad" -gt 0 ]; then
    failures+=("$title: $log")
    # What went well would only push what did not out of sight.
    { grep -vE '^ok  |^ +Start +[0-9]+:|[.]{3} +Passed ' "$log" || true; } |
      tail -n 100 | sed 's/^/    /'
    printf 'FAILED  %s (%d s, exit status %d; all of it in %s)\n' \
      "$title" $((SECONDS - started)) $status "$log"
    return 1
  fi
  printf 'ok      %s (%d s%s)\n' "$title" $((SECONDS - started)) "$skipped"
}

# Prints what failed, by name, and the sum, and ends the script. Who keeps no more than the end of the
# output still learns from that what to look at.
sum_up() {
  local failure
  for failure in "${failures[@]}"; do
    printf 'FAILED  %s\n' "$failure"
    grep -A 3 -E '^(FAILED|BROKEN|Failed$|Could not be judged$)|[*]{3}(Failed|Timeout|Exception)' \
      "${failure##*: }" | head -n 20 | cut -c 1-200 | sed 's/^/        /' || true
  done
  printf '%d passed, %d failed\n' "$passed" "$failed"
  [ "$failed" -eq 0 ]
  exit
}

build() { # preset
  # Configured anew each time: cheap, and a new wolfSSL or a changed preset is never missed.
  cmake --preset "$1" && cmake --build --preset "$1" -j "$jobs"
}

# Where the kernel spreads mappings widely, ThreadSanitizer of this age does not start.
calm=()
if setarch "$(uname -m)" -R true 2>/dev/null; then
  calm=(setarch "$(uname -m)" -R)
fi

unit_tests() { # preset
  "${calm[@]}" ctest --preset "$1" -j "$jobs"
}

# The broker as a program, over real sockets. What a sanitizer says fails the case: test/run reads
# the broker's log for it.
end_to_end() { # broker, arguments of test/run...
  local broker=$1
  shift
  ASAN_OPTIONS=detect_stack_use_after_return=1 \
  UBSAN_OPTIONS=print_stacktrace=1 \
  TSAN_OPTIONS=second_deadlock_stack=1 \
    "${calm[@]}" test/run "$@" "$broker"
}

# What is drawn at random in a long run is drawn by the broker's code as it is committed, so that it can
# be had again from that, and other code draws anew.
code_seed() {
  local sum
  sum=$(git ls-tree HEAD -- base protocol fsm storage tls websocket proxy authentication authorization \
    config routing trace broker verbs metrics admin sim | sha1sum)
  echo $((16#${sum:0:8}))
}

# Histories in the simulated world, from a seed that is printed; docs/simulator.md. Some seconds from a
# fresh one; or so many from the code's.
simulate() { # how many
  if [ $# -eq 0 ]; then
    build/dev/sim --seconds 8 --jobs "$jobs"
  else
    build/dev/sim --seed "$(code_seed)" --seeds "$1" --jobs "$jobs"
  fi
}

# One libFuzzer program of the fuzz preset, for so many seconds, over its committed seeds. Seeds and
# dictionary of protocol/publish_fuzz.c: protocol/fuzz/publish/ and protocol/fuzz/publish.dict.
fuzz_one() { # seconds, program
  local seconds=$1 program=$2 name folder target
  folder=$(basename "$(dirname "$program")")
  name=$(basename "$program" _fuzz)
  target=${name#"$folder"_}
  local corpus=build/fuzz/corpus/$name arguments=()
  mkdir -p "$corpus" build/fuzz/found
  [ ! -f "$folder/fuzz/$target.dict" ] || arguments+=("-dict=$folder/fuzz/$target.dict")
  arguments+=("$corpus")
  [ ! -d "$folder/fuzz/$target" ] || arguments+=("$folder/fuzz/$target")
  "$program" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -verbosity=0 \
    -print_final_stats=1 -artifact_prefix="build/fuzz/found/$name-" "${arguments[@]}"
}

# All of them, as many at a time as there are processors.
fuzz() { # seconds a target
  local ok=0 bad=0 program name
  local stories=build/fuzz/stories
  rm -rf "$stories" && mkdir -p "$stories"
  export -f fuzz_one
  printf '%s\n' build/fuzz/*/*_fuzz |
    xargs -P "$jobs" -I{} bash -c 'name=$(basename "$2")
      fuzz_one "$1" "$2" >"$3/$name" 2>&1 && touch "$3/$name.ok"' - "$1" {} "$stories" || true
  for program in build/fuzz/*/*_fuzz; do
    [ -x "$program" ] || continue
    name=$(basename "$program")
    printf '=== %s\n' "$name"
    cat "$stories/$name" || true
    if [ -e "$stories/$name.ok" ]; then
      ok=$((ok + 1))
    else
      bad=$((bad + 1))
      printf 'FAILED %s: the input is below build/fuzz/found/\n' "$name"
    fi
  done
  printf '%d passed, %d failed\n' $ok $bad
  [ $((ok + bad)) -gt 0 ] || echo 'no fuzz target was built'
  [ $bad -eq 0 ] && [ $ok -gt 0 ]
}

# What is read rather than run.
tracked() { # pathspec...
  git ls-files --cached --others --exclude-standard --deduplicate -- "$@" |
    while IFS= read -r file; do [ ! -f "$file" ] || printf '%s\n' "$file"; done
}

check_format() { # extra options of clang-format
  mapfile -t files < <(tracked '*.c' '*.h')
  [ ${#files[@]} -eq 0 ] || clang-format "$@" "${files[@]}"
}

# The other compiler's opinion, with warnings as errors.
build_with_clang() {
  cmake --preset dev -B build/clang -DCMAKE_C_COMPILER=clang &&
    cmake --build build/clang -j "$jobs"
}
