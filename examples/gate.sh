#!/bin/sh
# A release gate in any pipeline: gate.sh CANDIDATE REFERENCE TEXTS
# For example: gate.sh models:/my-model/7 models:/my-model@champion held_out.jsonl

case "$#:${1:-}" in
3:*) ;;
1:-h | 1:--help) echo "gate.sh CANDIDATE REFERENCE TEXTS, with MAX_KL (bits/byte) in the environment" && exit 0 ;;
*) echo "gate.sh takes three arguments: CANDIDATE REFERENCE TEXTS" >&2 && exit 3 ;;
esac

told=$(modelmap gate --reference="$2" --texts="$3" --max-kl="${MAX_KL:-0.5}" --json -- "$1")
status=$?

# What was asked for stands in the decision as the version that was judged, and only with a verdict.
fact() {
    printf '%s' "$told" | python3 -c "import json, sys; print(json.load(sys.stdin)$1)" 2> /dev/null
}
verdict=$(fact '["verdict"]')
judged=$(fact '["candidate"]["resolved"]')
fact '["paragraph"]'

case "$status $verdict" in
"0 pass") echo "Release it: $judged" ;;
"1 fail") echo "It drifted too far." >&2 ;;
"2 undecided") echo "More texts are needed to decide." >&2 ;;
*) echo "The gate could not be asked." >&2; status=3 ;;
esac
exit $status
