#!/usr/bin/env bash
# Check a data directory; the first thing wrong is named with its file and line, and what to do.
#
# usage: utils/validate_data_dir.sh [options] <data/set>
#
#   --labels FILE   the labels there are, one a line (labels.txt beside the set)
#   --no-wav BOOL   do not look whether the audio files are there (false)
#
# wav.scp and durations.tsv name the same clips, in C order, each once; events.tsv has 0 <= onset < offset <= duration
# (2 ms of rounding allowed), tags.tsv a row a clip, both labels of labels.txt only. Headers are DESED's.
set -euo pipefail
export LC_ALL=C
labels="" no_wav=false
source "$(dirname "${BASH_SOURCE[0]}")/parse_options.sh"
(($# == 1)) || usage
data=${1%/}
labels=${labels:-$(dirname "${data}")/labels.txt}
[[ -d ${data} ]] || die "${data}: no such data directory (run stage 1, or check the path)"
for file in "${labels}" "${data}/wav.scp" "${data}/durations.tsv"; do
    [[ -f ${file} ]] || die "${file}: no such file (run stage 1, which makes it)"
    [[ -s ${file} ]] || die "${file}: is empty (run stage 1 again, and look at its input)"
done
files=("${labels}" "${data}/wav.scp" "${data}/durations.tsv")
for file in "${data}"/{events,tags}.tsv; do [[ ! -e ${file} ]] || files+=("${file}"); done

# mawk and gawk; the kind of a file is its name, but for labels.txt, which comes first and may have any.
awk -v script="$(basename "$0")" '
    function bad(message) {
        printf "%s: %s:%d: %s\n", script, FILENAME, FNR, message >"/dev/stderr"
        failed = 1
        exit 2
    }
    function number(text) { return text ~ /^[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?$/ }
    function header(names,    i, j, n, wanted) {
        n = split(names, wanted, " ")
        split("", at)
        for (i = 1; i <= n; i++) {
            for (j = 1; j <= NF; j++) if ($j == wanted[i]) at[i] = j
            if (!(i in at)) bad("no column \"" wanted[i] "\" (the header names, with tabs between, " names ")")
        }
        columns = NF
    }
    function clip(name) {
        sub(/.*\//, "", name)
        if (name ~ /.\.[^.]*$/) sub(/\.[^.]*$/, "", name)
        if (!(name in wav)) bad("clip \"" name "\" is not in wav.scp (add it there, or drop the row)")
        return name
    }
    function label(name) {
        if (!(name in known)) bad("unknown label \"" name "\" (labels.txt has" list ")")
    }
    FNR == 1 {
        nth++
        kind = nth == 1 ? "labels" : FILENAME
        sub(/.*\//, "", kind)
        sub(/^\357\273\277/, "")
        FS = kind ~ /\.tsv$/ ? "\t" : " "
        $0 = $0
    }
    /\r$/ { bad("the line ends in a carriage return (sed -i \"s/\\r$//\" " FILENAME ")") }
    /^[ \t]*$/ { next }
    kind == "labels" {
        if (/[,\t]/) bad("a label with a comma or a tab (one label a line)")
        sub(/^ +/, ""); sub(/ +$/, "")
        if ($0 in known) bad("label \"" $0 "\" comes twice (keep one)")
        known[$0]
        list = list " " $0
        next
    }
    kind == "wav.scp" {
        if (NF < 2) bad("no path after \"" $1 "\" (each line: id, a space, the path)")
        if ($1 in wav) bad("clip \"" $1 "\" comes twice (ids are unique)")
        if (last != "" && $1 "" < last "") bad("\"" $1 "\" is out of order (LC_ALL=C sort)")
        wav[$1]
        last = $1
        next
    }
    FNR == 1 {
        if (kind == "durations.tsv") header("filename duration")
        if (kind == "events.tsv") header("filename onset offset event_label")
        if (kind == "tags.tsv") header("filename event_labels")
        next
    }
    NF > columns { bad(NF " fields under " columns " columns (tabs separate fields)") }
    kind == "durations.tsv" {
        id = clip($at[1])
        if (id in seconds) bad("clip \"" id "\" comes twice (one row a clip)")
        if (!number($at[2]) || $at[2] <= 0) bad("duration \"" $at[2] "\" is not a positive number (seconds)")
        seconds[id] = $at[2] + 0
        next
    }
    kind == "events.tsv" {
        id = clip($at[1])
        onset = $at[2]; offset = $at[3]
        if (onset == "" && offset == "" && $at[4] == "") next
        if (onset == "" || offset == "" || $at[4] == "") bad("onset, offset and event_label go together (all or none)")
        if (!number(onset)) bad("onset \"" onset "\" is not a number (seconds)")
        if (!number(offset)) bad("offset \"" offset "\" is not a number (seconds)")
        if (onset < 0 || onset + 0 >= offset + 0) bad("onset " onset " is not before offset " offset " (correct the row)")
        if (id in seconds && offset > seconds[id] + 0.002) bad("offset " offset " is beyond the clip, " seconds[id] " s (cut it)")
        label($at[4])
        next
    }
    kind == "tags.tsv" {
        id = clip($at[1])
        if (id in tagged) bad("clip \"" id "\" comes twice (one row a clip)")
        tagged[id]
        n = split($at[2], parts, / *, */)
        for (i = 1; i <= n; i++) label(parts[i])
        next
    }
    END {
        if (failed) exit 2
        for (id in wav) {
            if (!(id in seconds)) gap("durations.tsv", id)
            if (kind == "tags.tsv" && !(id in tagged)) gap("tags.tsv", id)
        }
    }
    function gap(file, id) {
        printf "%s: %s/%s: no row of clip \"%s\" of wav.scp (add its row)\n", script, folder, file, id >"/dev/stderr"
        exit 2
    }
' folder="${data}" "${files[@]}"

if [[ ${no_wav} == false ]]; then
    line=0
    while read -r clip path; do
        line=$((line + 1))
        [[ -f ${path} && -r ${path} ]] ||
            die "${data}/wav.scp:${line}: ${clip}: no such audio file: ${path} (put it there, or run stage 1 again)"
    done <"${data}/wav.scp"
fi
