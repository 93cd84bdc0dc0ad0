#!/usr/bin/env bats
# local/prepare.sh on a made-up DESED.

setup() {
    root=$(cd -P "${BATS_TEST_DIRNAME}/../.." && pwd)
    downloads=${BATS_TEST_TMPDIR}/downloads data=${BATS_TEST_TMPDIR}/data
    mkdir -p "${downloads}"/metadata/{train/synthetic21_train,validation/synthetic21_validation,eval}
    for folder in train/{weak,unlabel_in_domain,strong_label_real,synthetic21_train/soundscapes} \
        validation/{validation,synthetic21_validation/soundscapes} eval/public; do
        mkdir -p "${downloads}/audio/${folder}"
        for clip in Yaaa_350.000_352.000 Ybbb_0.000_2.000; do
            wav "${downloads}/audio/${folder}/${clip}.wav"
        done
    done
    strong=$'filename\tonset\toffset\tevent_label\nYaaa_350.000_352.000.wav\t0.5\t1.5\tDog\nYbbb_0.000_2.000.wav\t\t\t\n'
    for table in train/audioset_strong train/synthetic21_train/soundscapes validation/validation eval/public \
        validation/synthetic21_validation/soundscapes; do
        printf '%s' "${strong}" >"${downloads}/metadata/${table}.tsv"
    done
    printf 'filename\tevent_labels\nYaaa_350.000_352.000.wav\tDog,Speech\n' >"${downloads}/metadata/train/weak.tsv"
    printf 'filename\nYaaa_350.000_352.000.wav\n' >"${downloads}/metadata/train/unlabel_in_domain.tsv"
}

wav() { # wav <file>: write two seconds of a square wave, 8 bits at 1 kHz
    {
        printf 'RIFF\364\007\0\0WAVEfmt \020\0\0\0\001\0\001\0\350\003\0\0\350\003\0\0\001\0\010\0data\320\007\0\0'
        printf '\100\300%.0s' {1..1000}
    } >"$1"
}

prepare() {
    run "${root}/local/prepare.sh" "$@" "${downloads}" "${data}"
}

@test "all seven sets are made, valid, with their coverage" {
    prepare
    [ "${status}" -eq 0 ]
    for set in strong_real strong_synth weak unlabelled synth_valid validation public_eval; do
        "${root}/utils/validate_data_dir.sh" "${data}/${set}"
    done
    [ "$(wc -l <"${data}/validation/wav.scp")" -eq 2 ] # the clip without events stays
    [ "$(wc -l <"${data}/labels.txt")" -eq 10 ]
    grep -qx "$(printf 'validation\tall\t2\t2\t1\t1')" "${data}/coverage.tsv" # 2 of 2 clips, 1 of 1 event
    [ "$(cut -f1 "${data}/coverage.tsv" | sort -u | wc -l)" -eq 8 ]           # seven sets and the header
}

@test "the origin of each clip is that of stage 0's table" {
    printf 'set\tfilename\torigin\nweak\tYaaa_350.000_352.000.wav\txares/1.tar\n' >"${downloads}/origins.tsv"
    rm -r "${downloads}/audio/train/unlabel_in_domain"
    prepare
    [ "${status}" -eq 0 ]
    grep -qx "$(printf 'weak\tall\t1\t1\t2\t2\txares 1')" "${data}/coverage.tsv"
    grep -qx "$(printf 'public_eval\tall\t2\t2\t1\t1\tarchives 2')" "${data}/coverage.tsv"
    grep -qx "$(printf 'unlabelled\tall\t0\t1\t0\t0\t')" "${data}/coverage.tsv"
    [ "$(tail -n +2 "${data}/origins.tsv" | wc -l)" -eq 11 ] # each clip of the six sets
    [ "$(grep -v archives "${data}/origins.tsv" | tail -n +2)" = "$(printf 'weak\tYaaa_350.000_352.000\txares/1.tar')" ]
    rm "${downloads}/origins.tsv" # the tables of the earlier run go with it
    prepare
    [ "${status}" -eq 0 ]
    [ ! -e "${data}/origins.tsv" ]
    [ ! -e "${data}/weak/origins.tsv" ]
}

@test "missing sets are left out, and their earlier data directories removed" {
    prepare
    rm -r "${downloads}/audio/train/weak" "${downloads}/metadata/eval/public.tsv"
    rm "${downloads}"/audio/validation/synthetic21_validation/soundscapes/*
    prepare
    [ "${status}" -eq 0 ]
    [[ ${output} == *"left out"*" weak (no audio in audio/train/weak)"* ]]
    [[ ${output} == *" synth_valid (no audio in"* ]]
    [[ ${output} == *" public_eval (no metadata/eval/public.tsv)"* ]]
    [ ! -e "${data}/weak" ]
    grep -qx "$(printf 'weak\tall\t0\t1\t0\t2')" "${data}/coverage.tsv" # 0 of 1 clip, 0 of its 2 tags
    [ "$(grep -c public "${data}/coverage.tsv")" -eq 0 ]
    mkdir "${data}/weak"
    echo precious >"${data}/weak/notes.txt" # a folder that has a set's name, but that stage 1 did not make
    prepare
    [[ ${status} -eq 0 && -s ${data}/weak/notes.txt ]]
}

@test "a missing test set is refused by --min-coverage" {
    rm "${downloads}"/audio/validation/validation/*
    prepare
    [ "${status}" -eq 0 ]
    prepare --min-coverage 50
    [ "${status}" -eq 2 ]
    [[ ${output} == *"validation: there is no audio in audio/validation/validation"*"--min-coverage"* ]]
}

@test "both versions of validation.tsv are recognised" {
    prepare
    [[ ${output} == *"neither of the two"*"2 rows"* ]]
    for rows in 4239 4251; do
        {
            printf '%s' "${strong}"
            for ((i = 2; i < rows; i++)); do printf 'Yc_0.000_2.000.wav\t0.5\t1.5\tDog\n'; done
        } >"${downloads}/metadata/validation/validation.tsv"
        prepare
        [ "${status}" -eq 0 ]
        if ((rows == 4251)); then
            [[ ${output} == *"the old one, by its 4251 rows"* ]]
        else
            [[ ${output} == *"4239 rows as the current one has, but not its checksum"* ]]
        fi
    done
}

@test "more bad audio than --max-bad is refused" {
    : >"${downloads}/audio/validation/validation/Yaaa_350.000_352.000.wav"
    prepare
    [ "${status}" -eq 2 ]
    [[ ${output} == *"bad_audio.tsv: 1 of 2 files are bad"* ]]
    prepare --max-bad 49.9
    [ "${status}" -eq 2 ]
    [[ ${output} == *"bad_audio.tsv: 1 of 2 files are bad"* ]]
    prepare --max-bad 50
    [ "${status}" -eq 0 ]
    [[ ${output} == *"validation is incomplete: 1 of 2 clips"* ]]
    grep -q "empty file" "${data}/validation/bad_audio.tsv"
    prepare --max-bad 50 --min-coverage 50.1
    [ "${status}" -eq 2 ]
    [[ ${output} == *"1 of 2 clips"* ]]
}

@test "an unknown label is named by file and line" {
    sed -i 's/Dog/Bird/' "${downloads}/metadata/train/audioset_strong.tsv"
    prepare
    [ "${status}" -eq 2 ]
    [[ ${output} == *"audioset_strong.tsv:2: unknown label 'Bird'"* ]]
}

@test "an empty validation.tsv is named by a message, not a silent exit" {
    : >"${downloads}/metadata/validation/validation.tsv"
    prepare
    [ "${status}" -eq 2 ]
    [[ ${output} == *"make_data_dir: "*"validation.tsv"* ]]
}

@test "the labels of another corpus are used" {
    printf 'Dog\nSpeech\n' >"${downloads}/metadata/labels.txt"
    prepare
    [ "${status}" -eq 0 ]
    [ "$(cat "${data}/labels.txt")" = "$(printf 'Dog\nSpeech')" ]
}

@test "the labels of recordings appear only when all are copied" {
    mkdir -p "${downloads}/metadata/validation/validation.recordings" "${BATS_TEST_TMPDIR}/bin"
    touch "${downloads}/metadata/validation/validation.recordings"/{windows,events}.tsv
    # shellcheck disable=SC2016
    printf '%s\n' '#!/usr/bin/env bash' 'mkdir -p "${@: -1}" && touch "${@: -1}/windows.tsv"; exit 1' >"${BATS_TEST_TMPDIR}/bin/cp"
    chmod +x "${BATS_TEST_TMPDIR}/bin/cp"
    PATH=${BATS_TEST_TMPDIR}/bin:${PATH} prepare
    [[ ${status} != 0 && ! -e ${data}/validation/recordings ]]
    prepare
    [[ ${status} == 0 && -e ${data}/validation/recordings/events.tsv && ! -e ${data}/validation/.recordings ]]
}

@test "downloads without audio are refused" {
    rm -r "${downloads}/audio"
    prepare
    [ "${status}" -eq 2 ]
    [[ ${output} == *"none of DESED's sets is there"* ]]
}
