#!/usr/bin/env bash
# Split a list into parts of nearly the same length, in order.
#
# usage: utils/split_scp.sh <in.scp> <out.1.scp> <out.2.scp> ...
#
# Every part has at least one line. A part that would not change is not written, so that its time of modification stays.
[ -n "${BASH_VERSION-}" ] || exec bash "$0" "$@" # `sh script`, where sh is another shell
set -euo pipefail
unset CDPATH # if it is set, cd prints the folder
source "$(dirname "${BASH_SOURCE[0]}")/parse_options.sh"
(($# >= 2)) || usage
input=$1
shift
[[ -f ${input} ]] || die "${input}: no such file"
# `<`, since awk takes a name such as a=b/in.scp for an assignment; wc would not count a last line without a line end
lines=$(awk 'END { print NR }' <"${input}")
((lines >= $#)) || die "${input}: ${lines} lines cannot be split into $# parts (fewer jobs: --nj ${lines})"
part=0 from=1
for output; do
    part=$((part + 1))
    to=$((lines * part / $#))
    awk -v from="${from}" -v to="${to}" 'NR > to { exit } NR >= from' <"${input}" >"${output}.part"
    if cmp -s "${output}.part" "${output}"; then rm "${output}.part"; else mv "${output}.part" "${output}"; fi
    from=$((to + 1))
done
