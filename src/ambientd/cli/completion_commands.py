"""ambientctl completion: what a shell runs to complete the words of ambientctl."""

import sys
from collections.abc import Mapping
from types import MappingProxyType
from typing import Protocol

from ambientd.cli.console import CommonArguments, print_json
from ambientd.cli.exit_codes import ExitCode

BASH = r"""# bash completion of ambientctl
_ambientctl() {
    local current="${COMP_WORDS[COMP_CWORD]}" line path
    COMPREPLY=()
    [[ $current == = ]] && current=
    while IFS= read -r line; do
        case $line in
            :files | :dirs)
                compopt -o filenames
                while IFS= read -r path; do COMPREPLY+=("$path"); done \
                    < <(if [[ $line == :dirs ]]; then compgen -d -- "$current"; \
                        else compgen -f -- "$current"; fi) ;;
            *) COMPREPLY+=("${line%%$'\t'*}") ;;
        esac
    done < <("${COMP_WORDS[0]}" __complete "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)
}
complete -F _ambientctl ambientctl
"""

ZSH = r"""#compdef ambientctl
_ambientctl() {
    local line
    local -a offers
    while IFS= read -r line; do
        case $line in
            :files) _files ;;
            :dirs) _files -/ ;;
            *) offers+=("${${line%%$'\t'*}//:/\\:}:${line#*$'\t'}") ;;
        esac
    done < <("${words[1]}" __complete "${(@)words[2,CURRENT]}" 2>/dev/null)
    (( $#offers )) && _describe ambientctl offers
}
if [[ "${funcstack[1]}" == _ambientctl ]]; then
    _ambientctl "$@"
else
    compdef _ambientctl ambientctl
fi
"""

FISH = r"""# fish completion of ambientctl
function __ambientctl_offers
    set -l before (commandline -opc)
    set -l current (commandline -ct)
    test -n "$current"; or set current ''
    for line in (command $before[1] __complete $before[2..-1] $current 2>/dev/null)
        switch $line
            case ':files'
                __fish_complete_path $current
            case ':dirs'
                __fish_complete_directories $current ''
            case '*'
                echo $line
        end
    end
end
complete -c ambientctl -f -a '(__ambientctl_offers)'
"""

SCRIPTS: Mapping[str, str] = MappingProxyType({"bash": BASH, "zsh": ZSH, "fish": FISH})


class CompletionArguments(CommonArguments, Protocol):
    """Options of `completion`."""

    shell: str


def completion(arguments: CompletionArguments) -> ExitCode:
    """Print the script for a shell."""
    if arguments.as_json:
        print_json({"shell": arguments.shell, "script": SCRIPTS[arguments.shell]})
    else:
        sys.stdout.write(SCRIPTS[arguments.shell])
    return ExitCode.DONE
