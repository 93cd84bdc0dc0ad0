#!/usr/bin/env bats
# utils/validate_data_dir.sh: what it accepts, and every fault by file and line.

setup() {
    validate=${BATS_TEST_DIRNAME}/../../utils/validate_data_dir.sh
    cd "${BATS_TEST_TMPDIR}" || return 1
    mkdir -p data/strong data/weak
    printf '%s\n' Cat Dog Speech >data/labels.txt
    touch 'a.wav' 'b c.wav' Ya_1.000_2.000.wav
    printf '%s\n' 'Ya_1.000_2.000 Ya_1.000_2.000.wav' 'a a.wav' 'b b c.wav' >data/strong/wav.scp
    tsv 'filename duration' 'a.wav 10.0' 'Ya_1.000_2.000.wav 9.9' 'b.wav 10' >data/strong/durations.tsv
    tsv 'filename onset offset event_label' 'a.wav 0 1.5 Dog' 'a.wav 1 10.001 Cat' 'b.wav' \
        'Ya_1.000_2.000.wav 2 3 Speech' >data/strong/events.tsv
    cp data/strong/{wav.scp,durations.tsv} data/weak
    tsv 'filename event_labels' 'a.wav Dog,Cat' 'b.wav Cat' 'Ya_1.000_2.000.wav Speech' >data/weak/tags.tsv
}

tsv() {
    printf '%s\n' "$@" | tr ' ' '\t'
}

refuses() { # refuses <set> <message>: in one line, exit 2
    run "${validate}" "data/$1"
    [[ ${status} == 2 && ${#lines[@]} == 1 && ${output} == "validate_data_dir.sh: data/$1/$2"* ]] || {
        printf 'exit %s: %s\n' "${status}" "${output}"
        return 1
    }
}

@test "a strong, a weak and an unlabelled set, paths with spaces, ids with dots" {
    for set in strong weak; do
        run "${validate}" data/"${set}"
        [[ ${status} == 0 && -z ${output} ]]
    done
    rm data/weak/tags.tsv
    run "${validate}" data/weak/
    [[ ${status} == 0 && -z ${output} ]]
}

@test "columns may come in another order, and more of them" {
    tsv 'event_label filename offset onset more' 'Dog a.wav 2 1 x' >data/strong/events.tsv
    run "${validate}" data/strong
    [[ ${status} == 0 ]]
}

@test "unsorted, duplicate and pathless clips" {
    printf '%s\n' 'b b.wav' 'a a.wav' >data/strong/wav.scp
    refuses strong 'wav.scp:2: "a" is out of order'
    printf '%s\n' 'a a.wav' 'a a.wav' >data/strong/wav.scp
    refuses strong 'wav.scp:2: clip "a" comes twice'
    printf '%s\n' 'a a.wav' 'b' >data/strong/wav.scp
    refuses strong 'wav.scp:2: no path after "b"'
    : >data/strong/wav.scp
    refuses strong 'wav.scp: is empty'
    rm data/strong/wav.scp
    refuses strong 'wav.scp: no such file'
}

@test "C order: capitals before small letters, as bytes" {
    printf '%s\n' 'B a.wav' 'a a.wav' >data/weak/wav.scp
    tsv 'filename duration' 'a.wav 1' 'B.wav 1' >data/weak/durations.tsv
    rm data/weak/tags.tsv
    run "${validate}" data/weak
    [[ ${status} == 0 ]]
}

@test "labels, clips and times of events" {
    events() { tsv 'filename onset offset event_label' 'a.wav 0 1 Dog' "$1" >data/strong/events.tsv; }
    events 'a.wav 1 2 Bird'
    refuses strong 'events.tsv:3: unknown label "Bird"'
    events 'c.wav 1 2 Dog'
    refuses strong 'events.tsv:3: clip "c" is not in wav.scp'
    for times in '2 1' '2 2' '-1 1' '2.0 2.00'; do
        events "a.wav ${times} Dog"
        refuses strong 'events.tsv:3: onset '
    done
    events 'a.wav 1 10.1 Dog'
    refuses strong 'events.tsv:3: offset 10.1 is beyond the clip, 10 s'
    events 'a.wav 1 nan Dog'
    refuses strong 'events.tsv:3: offset "nan" is not a number'
    events 'a.wav x 2 Dog'
    refuses strong 'events.tsv:3: onset "x" is not a number'
    events 'a.wav 1 2'
    refuses strong 'events.tsv:3: onset, offset and event_label go together'
    events 'a.wav 1 2 Dog more'
    refuses strong 'events.tsv:3: 5 fields under 4 columns'
    tsv 'filename onset offset label' >data/strong/events.tsv
    refuses strong 'events.tsv:1: no column "event_label"'
    printf 'filename\tonset\toffset\tevent_label\r\n' >data/strong/events.tsv
    refuses strong 'events.tsv:1: the line ends in a carriage return'
}

@test "tags: unknown labels, clips that are missing or come twice" {
    tsv 'filename event_labels' 'a.wav Dog,Bird' >data/weak/tags.tsv
    refuses weak 'tags.tsv:2: unknown label "Bird"'
    tsv 'filename event_labels' 'a.wav Dog' 'a.wav Cat' >data/weak/tags.tsv
    refuses weak 'tags.tsv:3: clip "a" comes twice'
    tsv 'filename event_labels' 'a.wav Dog' 'b.wav Cat' >data/weak/tags.tsv
    refuses weak 'tags.tsv: no row of clip "Ya_1.000_2.000"'
}

@test "durations: every clip one, positive" {
    tsv 'filename duration' 'a.wav 10' 'b.wav 0' >data/strong/durations.tsv
    refuses strong 'durations.tsv:3: duration "0" is not a positive number'
    tsv 'filename duration' 'a.wav 10' 'a.wav 10' >data/strong/durations.tsv
    refuses strong 'durations.tsv:3: clip "a" comes twice'
    tsv 'filename duration' 'a.wav 10' 'b.wav 10' >data/strong/durations.tsv
    rm data/strong/events.tsv
    refuses strong 'durations.tsv: no row of clip "Ya_1.000_2.000"'
}

@test "audio files that are not there" {
    rm 'b c.wav'
    refuses strong 'wav.scp:3: b: no such audio file: b c.wav'
    run "${validate}" --no-wav data/strong
    [[ ${status} == 0 ]]
}

@test "labels: none, or one twice" {
    printf '%s\n' Cat Dog Cat >data/labels.txt
    run "${validate}" data/strong
    [[ ${status} == 2 && ${output} == 'validate_data_dir.sh: data/labels.txt:3: label "Cat" comes twice'* ]]
    rm data/labels.txt
    run "${validate}" data/strong
    [[ ${status} == 2 && ${output} == *'data/labels.txt: no such file'* ]]
}

@test "forty thousand clips take a moment" {
    awk 'BEGIN { for (i = 100000; i < 140000; i++) printf "Y%d a.wav\n", i }' >data/weak/wav.scp
    awk 'BEGIN { print "filename\tduration"; for (i = 100000; i < 140000; i++) printf "Y%d.wav\t10\n", i }' >data/weak/durations.tsv
    rm data/weak/tags.tsv
    run timeout 20 "${validate}" data/weak
    [[ ${status} == 0 ]]
}
