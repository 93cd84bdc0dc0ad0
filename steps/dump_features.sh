#!/usr/bin/env bash
# Compute the log-mel features of a data directory in parallel jobs, as HDF5 shards.
#
# usage: steps/dump_features.sh [options] <data/set> <dump/set>
#
#   --cmd CMD      script that runs the jobs: utils/run.sh here, utils/slurm.sh on a cluster (utils/run.sh)
#   --nj N         parallel jobs (4)
#   --conf FILE    front end (conf/logmel.yaml)
#   --force BOOL   redo what is finished (false)
#
# Writes <dump/set>/{wav.scp,*.tsv,feats.JOB.h5}, feats.JOB.scp (the clips of each shard) and <dump>/labels.txt, then
# <dump/set>/feats.scp, which joins these lists and marks a finished dump. If audio files have changed, all is done again.
[ -n "${BASH_VERSION-}" ] || exec bash "$0" "$@" # `sh script`, where sh is another shell
set -euo pipefail
unset CDPATH # if it is set, cd prints the folder
root=$(cd -P "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cmd=${root}/utils/run.sh nj=4 conf=${root}/conf/logmel.yaml force=false
source "${root}/utils/parse_options.sh"
(($# == 2)) || usage
((nj > 0)) || die "--nj is at least 1"
data=${1%/} dump=${2%/}
source "${root}/utils/step.sh"

[[ -f ${conf} ]] || die "${conf}: no such config (check --conf)"
python3 -m sed.bin.check_data_dir "${data}"
use_folder "${dump}"
if [[ ${force} == true ]]; then
    rm -f "${dump}"/{,.}feats.* "${dump}"/split/* # .feats.*: unfinished shards, which would be continued
fi
# recordings/: tables of whole recordings, of a set of windows (sed/data/windows.py)
[[ ! -d ${data}/recordings ]] || mkdir -p "${dump}/recordings"
# A data directory that stage 1 did not make has no list of its audio files: paths are compared, before they are copied.
other_paths() { awk 'NR == FNR { line[$1] = $0; next } ($1 in line) && line[$1] != $0' <(cat "$1") <(cat "$2"); }
if [[ ! -e ${data}/.audio_check.tsv && -e ${dump}/wav.scp && -n $(other_paths "${data}/wav.scp" "${dump}/wav.scp") ]]; then
    say "${dump}: ${data}/wav.scp names other files: all features are computed again"
    rm -f "${dump}"/{,.}feats.*
fi
tables=(events.tsv soft.tsv tags.tsv durations.tsv coverage.tsv recordings/{windows,events,durations}.tsv)
for file in wav.scp "${tables[@]}"; do # also if the features need not be computed again
    if [[ -e ${data}/${file} ]]; then copy "${data}/${file}" "${dump}/${file}"; else rm -f "${dump}/${file}"; fi
done
copy "$(dirname "${data}")/labels.txt" "$(dirname "${dump}")/labels.txt"
# Stage 1 lists every audio file with its size and time of modification. Two lists are compared without the files'
# folders, which may have been moved. Files that only the list in data has do not count: feats.scp lacks their clips. Those
# that only the dump's list has, changed or removed ones, do: a removed clip's features are in a shard with those of others.
checked=.audio_check.tsv changed=0
files() { awk '{ sub(/^[^\t]*\//, ""); print }' <"$1/${checked}" | LC_ALL=C sort; }
if [[ -e ${data}/${checked} && -e ${dump}/${checked} ]]; then
    changed=$(LC_ALL=C comm -13 <(files "${data}") <(files "${dump}") | wc -l)
fi
note_audio() { if [[ -e ${data}/${checked} ]]; then copy "${data}/${checked}" "${dump}/${checked}"; fi; }
if [[ -s ${dump}/feats.scp ]] && cmp -s <(cut -d' ' -f1 "${data}/wav.scp") <(cut -d' ' -f1 "${dump}/feats.scp"); then
    status=0
    python3 -m sed.bin.check_dump --config "${conf}" "${dump}" || status=$?
    if ((status == 0 && changed == 0)); then
        note_audio
        finished "${dump}: already done, $(wc -l <"${dump}/feats.scp") clips"
    fi
    ((status < 2)) || exit "${status}" # 1: check_dump removed damaged shards, which are made again below
fi
if ((changed > 0)); then
    say "${dump}: audio files that have changed: ${changed}; all features are computed again"
    rm -f "${dump}"/{,.}feats.*
fi
note_audio

rm -f "${dump}/feats.scp"
clips=$(cut -d' ' -f1 "${data}/wav.scp" | wc -l) # also counts a last line without a line end
nj=$((nj < clips ? nj : clips))
mkdir -p "${dump}/split" "${dump}/log"
lists=()
for ((job = 1; job <= nj; job++)); do lists+=("${dump}/split/wav.${job}.scp"); done
"${root}/utils/split_scp.sh" "${data}/wav.scp" "${lists[@]}"
"${cmd[@]}" JOB=1:"${nj}" "${dump}/log/dump.JOB.log" \
    python3 -m sed.bin.dump_features --config "${conf}" "${dump}/split/wav.JOB.scp" "${dump}/feats.JOB.h5"
for ((job = 1; job <= nj; job++)); do cat "${dump}/feats.${job}.scp"; done >"${dump}/.feats.scp.part"
cmp -s <(cut -d' ' -f1 "${data}/wav.scp") <(cut -d' ' -f1 "${dump}/.feats.scp.part") ||
    die "${dump}: the jobs' clips are not those of ${data}/wav.scp (see ${dump}/log; --force true redoes them)"
for shard in "${dump}"/feats.*.{h5,scp}; do # remove shards of an earlier run with more jobs
    job=${shard#"${dump}"/feats.}
    [[ ! -e ${shard} || ${job%%.*} -le nj ]] || rm -f "${shard}"
done
rm -f "${dump}"/.feats.*.h5.{part,journal} # and unfinished ones
sync "${dump}/.feats.scp.part"
mv "${dump}/.feats.scp.part" "${dump}/feats.scp"
say "${dump}: ${clips} clips in ${nj} shards"
