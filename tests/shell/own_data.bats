#!/usr/bin/env bats
# egs/own_data: options, input that is refused, and the whole recipe on a few seconds of noise.

root=$(cd "${BATS_TEST_DIRNAME}/../.." && pwd)

setup() {
    cd "${BATS_TEST_TMPDIR}" || return 1
    export SED_BACKEND=local PYTHONPATH=${root} CUDA_VISIBLE_DEVICES=''
    mkdir -p sounds/deep
}

sounds() { # write seven recordings in several formats, and a table of all but unnamed.wav, of two classes
    python3 - <<'END'
import numpy, soundfile
rng = numpy.random.default_rng(0)
rows = ["filename\tonset\toffset\tevent_label"]
for i, name in enumerate(["a.wav", "deep/b.flac", "c.wav", "deep/d.ogg", "e e.wav", "f.wav", "unnamed.wav"]):
    rate = [16000, 44100][i % 2]
    sound = 0.01 * rng.standard_normal(3 * rate)
    sound[rate : 2 * rate] += 0.3 * (rng.standard_normal(rate) if i % 2 else numpy.sin(numpy.arange(rate) / 5))
    soundfile.write(f"sounds/{name}", sound, rate)
    if name != "unnamed.wav":
        rows.append(f"{name.split('/')[-1]}\t1.0\t2.0\t{['low hum', 'loud hiss'][i % 2]}")
open("events.tsv", "w").write("\n".join(rows) + "\n")
END
}

local_own() { run "${root}/local/own_data.sh" "$@"; }
own() { run "${root}/egs/own_data/run.sh" "$@"; }
refused() { # refused <pattern>: is the exit status 2, and does the only line of output match?
    [[ ${status} == 2 && ${#lines[@]} == 1 && ${output} == *$1* ]] || {
        printf 'status %s\n%s\n' "${status}" "${output}"
        return 1
    }
}

@test "help lists the options" {
    own --help
    [[ ${status} == 0 && ${output} == *--recordings*--validation*--from*--train-args* ]]
    local_own --help
    [[ ${status} == 0 && ${output} == *--recordings*--group*--seed* ]]
}

@test "--small is in the help, and refused with --from" {
    own --help
    [[ ${output} == *'--small'* ]]
    sounds
    mkdir model && echo '{}' >model/model.json
    own --recordings sounds --small --from model
    refused '--small and --from name different models'
}

@test "labels beside the recordings need no --events, and an empty file is a recording without events" {
    sounds
    for name in a c "e e" f; do printf '1.0\t2.0\tlow hum\n' >"sounds/${name}.txt"; done
    : >sounds/unnamed.txt
    local_own --recordings sounds downloads
    [[ ${status} == 0 && ${output} == *'validation: '* ]]
    grep -q $'^unnamed.*\t\t\t$' downloads/metadata/*/*.tsv
}

@test "wrong options are refused in one line" {
    own --recordings
    refused '--recordings needs a value'
    own --recordings sounds --from nowhere
    refused 'nowhere: no packed model'
    own --recordings sounds --keep-labels true
    refused '--keep-labels: of which model? (give --from)'
    mkdir -p work/data/validation work/exp/ast_sed && touch work/data/validation/events.tsv work/exp/ast_sed/final.pt
    own --recordings sounds --work work --stage 5 --ngpu two
    refused "--ngpu is a whole number, not 'two'"
    own --recordings sounds --work work --stage 6
    refused 'no stage between --stage 6 and --stop-stage 5 (there are 0 to 5)'
    own --recordings sounds --colour red
    refused "unknown option '--colour'"
    local_own downloads
    refused 'no --recordings given'
    local_own --recordings sounds
    refused 'wrong arguments'
    local_own --recordings sounds --nj some downloads
    refused '--nj'
}

@test "the length of a clip and the percentages may be fractions, in the recipe, too" {
    sounds
    printf 'a.wav\t1000\t2000\tlow hum\n' >>events.tsv # one of seven events, 14.29 %
    echo text >sounds/unnamed.wav                      # one of seven recordings
    local_own --recordings sounds --events events.tsv --max-dropped 14.2 downloads
    [[ ${status} == 2 && ${lines[-1]} == *'1 of 7 events do not fit their recordings'* ]]
    local_own --recordings sounds --events events.tsv --max-bad 14.2 --max-dropped 14.3 downloads
    [[ ${status} == 2 && ${lines[-1]} == *'1 of 7 recordings cannot be used'* ]]
    local_own --recordings sounds --events events.tsv --max-bad 14.3 --max-dropped 14.3 --seconds 1.5 downloads
    [[ ${status} == 0 && ${output} == *'strong: 4 recordings, 8 clips'* ]] # 3 s each; two more are for validation
    own --recordings sounds --events events.tsv --max-bad 14.3 --max-dropped 14.3 --stop-stage 0 --work work
    [[ ${status} == 0 && -e work/downloads/metadata/labels.txt ]]
}

@test "silent clips are left out up to --max-bad, and the advice to raise it can be followed" {
    sounds
    # 23 s, of which clips of 10 s make three, the last two silent
    python3 -c 'import numpy, soundfile as s
x, rate = s.read("sounds/a.wav")
s.write("sounds/a.wav", numpy.pad(x, (0, 20 * rate)), rate)'
    own --recordings sounds --events events.tsv --max-bad 1 --stop-stage 1 --work work --small
    [[ ${status} == 2 && ${lines[-1]} == *silent*'allow more by --max-bad)' ]]
    own --recordings sounds --events events.tsv --max-bad 60 --stop-stage 1 --work work --small
    [[ ${status} == 0 && ${output} == *'2 bad files left out, see '* ]]
}

@test "wrong recordings and tables are refused in one line before any work" {
    local_own --recordings sounds downloads
    refused 'no annotation (give --events or --tags)'
    local_own --recordings nowhere --events events.tsv downloads
    refused 'nowhere: no such folder'
    touch events.tsv
    local_own --recordings sounds --events events.tsv downloads
    refused 'sounds: no recordings'
    sounds
    local_own --recordings sounds --events nowhere.tsv downloads
    refused 'nowhere.tsv: '
    printf 'name,onset\na.wav,1\n' >bad.tsv
    local_own --recordings sounds --events bad.tsv downloads
    refused 'bad.tsv:1: '
    printf 'filename\tonset\toffset\tevent_label\na.wav\t2\t1\thum\n' >bad.tsv
    local_own --recordings sounds --events bad.tsv downloads
    refused 'bad.tsv:2: '
    printf 'filename\tonset\toffset\tevent_label\na.wav\t1\t2\thum, loud\n' >bad.tsv
    local_own --recordings sounds --events bad.tsv downloads
    refused "bad.tsv: label 'hum, loud' holds a comma"
    printf 'filename\tonset\toffset\tevent_label\nz.wav\t1\t2\thum\n' >bad.tsv
    local_own --recordings sounds --events bad.tsv downloads
    refused 'none of its 1 recordings is there'
    local_own --recordings sounds --events events.tsv --group '(' downloads
    refused '--group (: not a regular expression'
    cp sounds/a.wav sounds/deep/a.wav
    local_own --recordings sounds --events events.tsv downloads
    refused 'has the name of'
    rm sounds/deep/a.wav && echo text >sounds/f.wav
    local_own --recordings sounds --events events.tsv downloads
    [[ ${status} == 0 && ${output} == *'left out: sounds/f.wav: not audio'* && -e downloads/metadata/labels.txt ]]
    rm -r downloads
    local_own --recordings sounds --events events.tsv --max-bad 1 downloads
    [[ ${status} == 2 && ${lines[-1]} == *'recordings cannot be used, such as sounds/f.wav: not audio'* ]] # a line for each comes first
    [[ ! -e downloads/metadata ]]
    rm sounds/f.wav
    printf 'filename\tonset\toffset\tevent_label\na.wav\t1000\t2000\thum\na.wav\t1\t2\thum\n' >bad.tsv
    local_own --recordings sounds --events bad.tsv downloads
    [[ ${status} == 2 && ${lines[-1]} == *'bad.tsv: 1 of 2 events do not fit their recordings'* ]] # a warning comes first
    [[ ! -e downloads/metadata ]]
}

@test "without a validation set stage 5 says so, and does not ask for stage 2" {
    mkdir -p work/data/strong_real
    own --work work --ngpu 0 --stage 5
    refused 'no validation set to score on'
}

@test "on a cluster the windows are chosen by a job, too" {
    mkdir -p bin work/exp/ast_sed work/data/validation
    touch work/data/validation/wav.scp
    printf 'filename\tonset\toffset\tevent_label\n' >work/data/validation/events.tsv
    touch work/exp/ast_sed/final.pt
    printf '#!/bin/sh\necho "$@" >"%s"\necho "sbatch: error: no such partition" >&2\nexit 1\n' "${PWD}/asked" >bin/sbatch
    chmod +x bin/sbatch
    PATH=${PWD}/bin:${PATH} SED_BACKEND=slurm own --work work --stage 5
    [[ ${status} == 2 && ${output} == *'sbatch refused: sbatch: error: no such partition'* && $(<asked) == *job-name=tune_windows* ]]
}

@test "a model of an earlier call for which no windows can be chosen does not keep the others from being scored" {
    sounds
    mkdir -p work/exp/{first,later} work/data/validation
    printf 'r_0.000_3.000 %s\nr_3.000_6.000 %s\n' "${PWD}/sounds/a.wav" "${PWD}/sounds/c.wav" >work/data/validation/wav.scp
    printf 'filename\tonset\toffset\tevent_label\nr_0.000_3.000.wav\t1\t2\tdog\n' >work/data/validation/events.tsv
    touch -d '1 hour ago' work/exp/first/final.pt
    own --work work --ngpu 0 --stage 5
    echo "${output}"
    [[ ${output} == *final.pt* && ${output} == *'stage 5: scores'* ]]
    touch work/exp/later/final.pt # a model of this call
    own --work work --ngpu 0 --stage 5
    [[ ${status} == 2 && ${output} != *'stage 5: scores'* ]]
}

@test "names with blanks, accents and quotes are found in the locale C, too" {
    sounds
    mv sounds "Küche d'été" && mv events.tsv "événements 1.tsv"
    LC_ALL=C own --recordings "Küche d'été" --events "événements 1.tsv" --small --stop-stage 0 --work "là bas"
    echo "${output}"
    [[ ${status} == 0 && -e "là bas/downloads/metadata/labels.txt" ]]
}

@test "from a folder of recordings to models, their scores and events of their labels" {
    sounds
    own --recordings sounds --events events.tsv --work work --small --systems "ast_gru ast_sed" --nj 1 --score-args "--bootstrap 0" \
        --train-args "--epochs 1 --steps-per-epoch 2 --batch-sizes 1,1,1,1 --ast-dim 16 --gru-units 8"
    [[ ${status} == 0 ]] || {
        echo "${output}"
        return 1
    }
    [[ $(<work/data/labels.txt) == $'loud hiss\nlow hum' ]]
    grep -q '| ast_sed ' work/RESULTS.md
    grep -q '| ast_gru ' work/RESULTS.md
    [[ ${output} == *'no recording has several clips without a gap, so no windows are chosen'* ]] # they are shorter than a clip
    [[ ${output} == *"ast-sed predict --model ${PWD}/work/exp/ast_sed --html page.html RECORDINGS" ]]
    grep -q '<audio controls' work/exp/ast_sed/validation/report.html
    grep -q '^most_passes: 200' work/exp/ast_sed/config.yaml # beside the options of --train-args
    run python3 -m sed.bin.predict --model work/exp/ast_sed --threshold 0.001 --post-processing median --format jsonl sounds/a.wav
    [[ ${status} == 0 && ${output} == *'"label": "low hum"'* ]]
}
