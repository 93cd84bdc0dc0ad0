#!/usr/bin/env bash
# Shared by the steps, which source it after parse_options.sh: sets the environment, locks output folders, skips finished
# work. Needs `root`, the top of the repository, and `cmd`, the option --cmd, which it splits into an array: a step that
# passes --cmd on to other steps keeps the string before, as `asked_cmd`.

# shellcheck disable=SC2034,SC2154

say() {
    printf '%s %s\n' "$(date +%FT%T)" "$*"
}

finished() { # finished <message>: end the step, which has nothing to do
    say "$*"
    exit 0
}

use_folder() { # use_folder <dir> [<name>]: make the folder and lock it, or only <name> in it
    # the lock is held until this script and all its jobs, which inherit it, have ended
    local held=$1${2:+/$2}
    mkdir -p "$1" || die "$1: cannot be made (see above)"
    exec {folder_lock}>>"$1/.${2:+$2.}step.lock" || die "$1: cannot be written (see above)"
    flock -n "${folder_lock}" || {
        say "${held}: another run is using it, waiting half a minute for its end"
        flock -w 30 "${folder_lock}" || die "${held}: another run is using it (wait for it, or choose another folder)"
    }
}

quietly() { # quietly <command...>: run it, with its output in `said`; if it fails, print that and exit with its status
    local code=0
    said=$("$@" 2>&1) || code=$?
    ((code == 0)) || { printf '%s\n' "${said}" >&2 && exit "${code}"; }
}

copy() { # copy <from> <to>: atomically, and only if they differ
    # a temporary name with our process id, since the sets of a dump, which may be dumped at once, share labels.txt
    local part=$2.$$.part
    cmp -s "$1" "$2" && return
    cp "$1" "${part}" || die "$2: cannot be written (see above)"
    mv "${part}" "$2"
}

same() { # same <file> <text>: does the file hold this text, which `remember` stored?
    [[ -f $1 && $(<"$1") == "$2" ]]
}

labels_of() { # labels_of <dump/set>: print the folder of the labels that its scores are measured against
    # of a set of windows, those of the whole recordings (sed/data/windows.py)
    if [[ -e $1/recordings/windows.tsv ]]; then printf '%s/recordings' "$1"; else printf '%s' "$1"; fi
}

state_of() { # state_of <file...>: print the name and size of each and a checksum of its last 64 KiB
    # This is quick for large files, and ours end with a checksum of the whole (sed/seal.py). Times of modification are
    # not used, since they are wrong after a clock was set back.
    local file
    for file; do
        printf '%s %d %s\n' "${file##*/}" "$(wc -c <"${file}")" "$(tail -c 65536 "${file}" | cksum)"
    done
}

state_of_words() { # print the same for each file that is named in `words`, such as that of --tuned
    local word
    for word in ${words[@]+"${words[@]}"}; do
        word=${word#--*=}
        [[ ! -f ${word} ]] || state_of "${word}"
    done
}

remember() { # remember <file> <text>: store a text for `same`, atomically
    printf '%s\n' "$2" >"$1.part"
    mv "$1.part" "$1"
}

if [[ -f path.sh && :${PYTHONPATH-}: != *:"${root}":* ]]; then # a step called by hand in a recipe's folder
    # shellcheck source=egs/desed/path.sh
    source ./path.sh
fi
[[ :${PYTHONPATH-}: == *:"${root}":* ]] || export PYTHONPATH=${root}${PYTHONPATH:+:${PYTHONPATH}}
export RUN_OWNER=${RUN_OWNER:-$$} # all processes end with the outermost script (sed/lifetime.py, utils/run.sh)
words=("${cmd}")                  # the default is one word, even if the repository's path has blanks
[[ ${cmd} == "${root}/utils/run.sh" ]] || split_words "${cmd}"
cmd=(${words[@]+"${words[@]}"})
