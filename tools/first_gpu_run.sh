#!/usr/bin/env bash
# Everything that is to be known of a GPU in ten minutes: stages of a plan, each under its own time-out, one after the
# other whatever became of the one before.
#
#     OUT=folder tools/first_gpu_run.sh [PLAN]        # tools/first_gpu_run.plan
#     MINIGPT_STAND_IN=1 tools/first_gpu_run.sh       # a rehearsal where there is no GPU: small, on the emulator
#     python tools/gpu_tables.py folder               # the results as a page
#
# A line of the plan is a stage's name, its seconds, and a command. $OUT/NAME.txt gets what it prints, $OUT/NAME.json what
# it measures, $OUT/stages.jsonl a line for each, with the seconds of processors. SECONDS_IN_ALL (580) is never exceeded by
# more than the last kill. PATIENCE=5 gives all and everyone five times that: to rehearse on a machine that others use.
set -u
cd "$(dirname "$0")/.." || exit 2
plan=${1:-tools/first_gpu_run.plan}
export OUT=${OUT:-gpu-results} PYTHON=${PYTHON:-python3}
if [ "${MINIGPT_STAND_IN:-}" = 1 ]; then
  export FEW='-k bfloat16-1x1 or argmax' WORKERS=1
else
  export FEW='' WORKERS=${WORKERS:-8}
fi
patience=${PATIENCE:-1} all=$((${SECONDS_IN_ALL:-580} * ${PATIENCE:-1}))
export LC_ALL=C TIMEFORMAT=%1U
mkdir -p "$OUT"
: >"$OUT/stages.jsonl"
while read -r name limit command <&3; do
  case "$name" in '' | '#'*) continue ;; esac
  limit=$((limit * patience)) left=$((all - SECONDS)) used=0
  [ "$limit" -gt "$left" ] && limit=$left
  started=$SECONDS
  if [ "$limit" -lt 1 ]; then
    status=skipped
  else
    used=$({ time timeout --kill-after=2 "$limit" bash -c "$command" >"$OUT/$name.txt" 2>&1; } 2>&1)
    code=$?
    case $code in
      0) status=passed ;;
      124 | 137) status='timed out' ;;
      127) status='not there' ;;
      *) status="failed ($code)" ;;
    esac
  fi
  line="{\"stage\": \"$name\", \"status\": \"$status\", \"seconds\": $((SECONDS - started)), \"limit\": $limit"
  line+=", \"processor\": $used}"
  echo "$line" | tee -a "$OUT/stages.jsonl"
done 3<"$plan"
"$PYTHON" tools/gpu_tables.py "$OUT" >"$OUT/tables.md"
grep -q -e failed -e timed "$OUT/stages.jsonl" && exit 1
exit 0
