#!/usr/bin/env bash
# Show the result tables of a RESULTS.md on the terminal, aligned.
#
# usage: utils/show_results.sh [options] <RESULTS.md>
#
#   --columns LIST   headings of the columns to show (system,clips,EB-F1 %,segment F1 %,intersection F1 %,PSDS1,PSDS2)
[ -n "${BASH_VERSION-}" ] || exec bash "$0" "$@" # `sh script`, where sh is another shell
set -euo pipefail
unset CDPATH # if it is set, cd prints the folder
columns="system,clips,EB-F1 %,segment F1 %,intersection F1 %,PSDS1,PSDS2"
source "$(dirname "${BASH_SOURCE[0]}")/parse_options.sh"
(($# == 1)) || usage
[[ -f $1 ]] || die "$1: no such file (run stage 5)"

# Shows only tables of results, with the columns `system` and `clips`. n is the number of columns shown, from[i] the place
# of column i in the table, wide[i] its width. width() counts characters of UTF-8: it drops continuation bytes.
LC_ALL=C awk -v columns="${columns}" '
    function width(text) { gsub(/[\200-\277]/, "", text); return length(text) }
    function flush_table(    r, c, line) {
        if (rows && n > 1) {
            printf "%s%s\n", shown++ ? "\n" : "", title
            for (r = 1; r <= rows; r++) {
                line = ""
                for (c = 1; c <= n; c++) {
                    line = line cell[r, c]
                    if (c < n) line = line sprintf("%" (wide[c] - width(cell[r, c]) + 2) "s", "")
                }
                print line
            }
        }
        rows = n = 0
        split("", wide)
    }
    BEGIN { total = split(columns, wanted, ",") }
    /^## / { flush_table(); title = substr($0, 4) }
    !/^\|/ { flush_table(); next }
    /^\|[-:| ]+$/ { next }
    {
        gsub(/^\| *| *\|$/, "")
        count = split($0, field, / *\| */)
        if (!rows) {
            for (i = 1; i <= total; i++) for (j = 1; j <= count; j++) if (field[j] == wanted[i]) from[++n] = j
            if (field[1] != "system" || !/clips/) n = 0
        }
        rows++
        for (i = 1; i <= n; i++) {
            cell[rows, i] = field[from[i]]
            if (width(cell[rows, i]) > wide[i]) wide[i] = width(cell[rows, i])
        }
    }
    END { flush_table() }
' "$1"
printf '\n%s\n' "$(cd "$(dirname "$1")" && pwd)/$(basename "$1")"
