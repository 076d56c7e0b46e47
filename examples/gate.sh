#!/bin/sh
# A release gate in any pipeline: gate.sh CANDIDATE REFERENCE TEXTS
# For example: gate.sh models:/my-model/7 models:/my-model@champion held_out.jsonl

modelmap gate "$1" --reference "$2" --texts "$3" --max-kl "${MAX_KL:-0.5}"
status=$?

case $status in
0) echo "Release it." ;;
1) echo "It drifted too far." >&2 ;;
2) echo "More texts are needed to decide." >&2 ;;
*) echo "The gate could not be asked." >&2 ;;
esac
exit $status
