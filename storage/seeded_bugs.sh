#!/bin/bash
# Each rule that storage/ carries, broken on purpose: a test must notice. Run from anywhere; takes
# a minute or two. Exits with 1 if a bug is not found, or if a test fails without one.
set -u
cd "$(dirname "$0")/.."
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
: "${CC:=gcc}"
flags=(-std=gnu11 -D_GNU_SOURCE -DHOLDFAST_CHECKED=1 -O1 -g -I.)

# bug                     tests that are to find it, in this order
bugs='
ACK_BEFORE_COMMIT         kill
PREFIX_IGNORED            store
TWO_TRANSACTIONS          fault
FSYNC_SKIPPED             fault
FAILED_COMMIT_DROPPED     fault
REFCOUNT_OFF_BY_ONE       store kill
SETTLED_LOST              store
ENDED_FORGOTTEN           pending
QOS2_SENT_WEAK            pending
INBOUND_FORGOTTEN         store
READ_STALE                store
TIME_BACKWARDS            clock
'

sources() {
  find base storage -name '*.c' ! -name '*_test.c' ! -name '*_fuzz.c' ! -name main.c
}

compile() { # file bug
  "$CC" "${flags[@]}" ${2:+-DSEEDED_BUG_$2=1} -c "$1" -o "$out/$(echo "$1" | tr / _).o"
}

run() { # test
  "$CC" "${flags[@]}" "storage/$1_test.c" "$out"/*.o -o "$out/$1" -lcmocka -lsqlite3 -lpthread || exit 1
  timeout 120 "$out/$1" >"$out/$1.log" 2>&1
}

failed=0
for file in $(sources); do
  compile "$file" '' || exit 1
done
for name in kill store fault pending clock; do
  run $name || { echo "FAIL: $name fails without a bug"; tail -20 "$out/$name.log"; failed=1; }
done
while read -r bug tests; do
  [ -n "$bug" ] || continue
  changed=$(grep -lw "SEEDED_BUG_$bug" $(sources))
  [ -n "$changed" ] || { echo "FAIL: no source knows $bug"; failed=1; continue; }
  for file in $changed; do compile "$file" "$bug" || failed=1; done
  found=
  for name in $tests; do
    run "$name" || { found=$name; break; }
  done
  if [ -n "$found" ]; then
    echo "ok: $bug is found by ${found}_test: $(grep -aom1 '\[  FAILED  \] [a-z].*' "$out/$found.log" || grep -aom1 'CHECK failed.*' "$out/$found.log")"
  else
    echo "FAIL: $bug is not found by: $tests"
    failed=1
  fi
  for file in $changed; do compile "$file" ''; done
done <<<"$bugs"
# None may be forgotten here.
for bug in $(grep -oh 'SEEDED_BUG_[A-Z0-9_]*' $(sources) | sort -u); do
  grep -qw "${bug#SEEDED_BUG_}" <<<"$bugs" || { echo "FAIL: $bug is not in the list"; failed=1; }
done
exit $failed
