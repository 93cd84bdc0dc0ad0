#!/usr/bin/env bash
# Parse the command line of a script. Source it after setting the options' defaults:
#
#   # usage: steps/verb.sh [options] <in> <out>
#   #
#   #   --nj N        parallel jobs (4)
#   #   --force BOOL  redo what is finished (false)
#   nj=4 force=false
#   source utils/parse_options.sh
#   (($# == 2)) || usage
#
# The script's header comment is its --help, and only the options that it lists are accepted: `--a-b x`, `--a_b x` and
# `--a-b=x` set the variable a_b. A value must have the type of its default: a whole number; true or false (the option
# alone means true); else text, which may be empty only if the default is. An option that takes fractions has a default
# like 10.0 and thus takes text, which is checked by the command that it is passed on to. An option that the header
# lists as `--seeds LIST`, `--x TEXT` or `--x ARGS` takes text even if its default looks like a whole number.
#
# Words that are not options remain in "$@". If options_first is set, parsing ends at the first such word, and options
# after it remain, too. A script that wraps another sets options_pass=<script> before: that script's options are accepted
# and stored in the array `passed`, with their values, as they were typed; --help shows both headers. This file also
# defines the functions die, usage, split_words and quoted.

# shellcheck disable=SC2034  # the variables are used by the script that sources this

die() { # die <message>: print what is wrong, which file and line, what to do; exit with 2, the status of bad usage or input
    printf '%s: %s\n' "$(basename "$0")" "$*" >&2
    exit 2
}

usage() { # usage: end with the message that the arguments are wrong, and the line on usage from the header
    die "wrong arguments: $(_options_header "${_options_script}" | grep -m 1 '^usage:' || echo 'no usage') (more: --help)"
}

split_words() { # split_words <text>: set the array `words` to the words of a shell command line; nothing is expanded
    local text
    words=()
    [[ -n $1 ]] || return 0
    # xargs drops an empty last word unless a line end follows it; the dot keeps line ends, which $() would drop
    text=$(printf '%s\n' "$1" | xargs -r printf '%s\n' 2>/dev/null && printf .) || die "an unmatched quote in: $1"
    [[ ${text} == . ]] || mapfile -t words <<<"${text%$'\n.'}"
}

quoted() { # quoted <word>: print it as one word for split_words (printf %q writes $'...' for an umlaut if the locale is C)
    local mark="'" inner="'\"'\"'"
    printf "'%s'" "${1//${mark}/${inner}}"
}

_options_header() { # _options_header <script>: print its header comment; nothing for the empty name of a bash -c
    [[ -z $1 ]] || awk 'NR > 1 { if (!/^#/) exit; sub(/^# ?/, ""); print }' <"$1"
}

_options_listed() { # _options_listed <script> [<metavar>...]: print its options (with these metavars) between blanks
    printf ' '
    _options_header "$1" | awk -v kinds="${*:2}" '/^ +--[a-z]/ {
        name = kind = $0
        sub(/^ +--/, "", name) && sub(/[^a-z0-9-].*/, "", name)
        sub(/^ +--[a-z0-9-]+ ?/, "", kind) && sub(/ .*/, "", kind)
        if (kinds == "" || index(" " kinds " ", " " kind " ")) printf "%s ", name
    }'
}

_parse_options() { # set the options' variables and `_options_rest`; local names begin with _ so as not to hide options
    local _known _texts _theirs="" _flags="" _arg _name _var _value _default
    _known=$(_options_listed "${_options_script}")
    _texts=$(_options_listed "${_options_script}" LIST TEXT ARGS)
    if [[ -n ${options_pass-} ]]; then
        _theirs=$(_options_listed "${options_pass}") _flags=$(_options_listed "${options_pass}" BOOL)
    fi
    _options_rest=()
    while (($#)); do
        _arg=$1
        shift
        case ${_arg} in
            --)
                _options_rest+=("$@")
                return
                ;;
            -h | --help)
                _options_header "${_options_script}"
                [[ -z ${options_pass-} ]] || { echo && _options_header "${options_pass}"; }
                exit 0
                ;;
            --*) ;;
            -?*) die "unknown option '${_arg}' (see --help)" ;;
            *)
                _options_rest+=("${_arg}")
                [[ -z ${options_first-} ]] || {
                    _options_rest+=("$@")
                    return
                }
                continue
                ;;
        esac
        _name=${_arg%%=*} _name=${_name#--} _name=${_name//_/-}
        _var=${_name//-/_}
        [[ ${_name} =~ ^[a-z][a-z0-9-]*$ && ${_known}${_theirs} == *" ${_name} "* ]] ||
            die "unknown option '${_arg%%=*}' (see --help)"
        if [[ ${_known} != *" ${_name} "* ]]; then
            passed+=("${_arg}")
            if [[ ${_arg} != *=* ]] && (($#)) && [[ ${_flags} != *" ${_name} "* || $1 == true || $1 == false ]]; then
                passed+=("$1")
                shift
            fi
            continue
        fi
        _default=${!_var?"$0 has no default for --${_name}"}
        if [[ ${_arg} == *=* ]]; then
            _value=${_arg#*=}
        elif [[ ${_default} == true || ${_default} == false ]]; then
            _value=true
            if [[ ${1-} == true || ${1-} == false ]]; then
                _value=$1
                shift
            fi
        else
            if (($# == 0)) || _is_option "$1"; then
                die "--${_name} needs a value (see --help)"
            fi
            _value=$1
            shift
        fi
        _check_option
        printf -v "${_var}" '%s' "${_value}"
    done
}

_is_option() { # _is_option <word>: is it an option of the script, and not a value that happens to start with dashes?
    local _word=${1%%=*}
    _word=${_word//_/-}
    [[ ${_word} == --?* && ${_known}${_theirs} == *" ${_word#--} "* ]]
}

_check_option() { # end with a message unless _value has the type of _default
    if [[ ${_default} == true || ${_default} == false ]]; then
        [[ ${_value} == true || ${_value} == false ]] || die "--${_name} is true or false, not '${_value}'"
    elif [[ ${_default} =~ ^[0-9]+$ && ${_texts} != *" ${_name} "* ]]; then
        # At most nine digits, so that bash arithmetic cannot overflow; the limit itself was chosen by hand.
        [[ ${_value} =~ ^[0-9]{1,9}$ ]] || die "--${_name} is a whole number, not '${_value}'"
        _value=$((10#${_value}))
    elif [[ -n ${_default} ]]; then
        [[ -n ${_value} ]] || die "--${_name} needs a value (see --help)"
    fi
}

((BASH_VERSINFO[0] * 100 + BASH_VERSINFO[1] >= 403)) ||
    die "bash ${BASH_VERSION} is too old: 4.3 or newer (apt-get install bash; brew install bash)"
if [[ ${OSTYPE} == darwin* ]] && { ! realpath -m / >/dev/null 2>&1 || ! command -v flock >/dev/null; }; then
    die "macOS lacks GNU coreutils or flock (brew install coreutils gnu-sed gawk flock, their gnubin folders first on PATH)"
fi
[[ -z ${TMPDIR-} || -d ${TMPDIR} ]] || die "TMPDIR ${TMPDIR}: no such folder (make it, or unset TMPDIR)"
_options_script=${BASH_SOURCE[1]}
passed=()
_parse_options "$@"
# before bash 4.4, set -u refuses "${x[@]}" of an empty array
set -- ${_options_rest[@]+"${_options_rest[@]}"}
