# Sourced by run, test and check, which set $root: makes .venv ready, once.
#
# set_up leaves in .venv, beside what `python -m venv` puts there:
#   made-by-scripts  the checkout it was made for; without it .venv is not ours to empty
#   set-up           a checksum of what was installed; written last, so that a .venv of
#                    ours without it was interrupted half-way
#   setup.log        what apt-get and pip said
#   qt-libraries     for which set-up and machine no system library was missing

venv=$root/.venv
log=$venv/setup.log

step() {
    echo "==> $*" >&2
}

give_up() {
    echo "$*" >&2
    exit 1
}

give_up_with_log() {
    tail -n 15 "$log" >&2
    give_up "$* The lines above are the last of $log."
}

# The Pythons that constraints.txt has versions for; torch has no wheels for others.
supported='(3, 10) <= sys.version_info < (3, 15)'

find_python() {
    for python in python3 python3.14 python3.13 python3.12 python3.11 python3.10; do
        # In an activated .venv, which may have to go, take the Python it was made with
        python=$("$python" -c "import sys
print(getattr(sys, '_base_executable', sys.executable))
sys.exit(not $supported)" 2>/dev/null) && return
    done
    python=
    return 1
}

venv_works() {
    "$venv/bin/python" -I -c "import pip, sys; sys.exit(not $supported)" 2>/dev/null
}

# Debian's python3 comes without what makes virtual environments
can_make_venv() {
    "$python" -c 'import ensurepip, venv' 2>/dev/null
}

apt_install() {
    if ! command -v apt-get >/dev/null; then
        give_up "$missing Install it, then run this again."
    elif [ "$(id -u)" != 0 ]; then
        give_up "$missing Do 'sudo apt-get install $*', then run this again."
    fi
    step "Installing $*"
    # The lists may be old or not there at all; another apt-get may be at work
    { apt-get -q update &&
        DEBIAN_FRONTEND=noninteractive apt-get -q -y -o DPkg::Lock::Timeout=120 \
            install --no-install-recommends "$@"; } >>"$log" 2>&1 ||
        give_up_with_log "apt-get could not install $*."
}

make_venv() {
    find_python || :
    # Empty it, but so that it stays known as ours and unfinished if we are interrupted
    {
        mkdir -p "$venv" && rm -f "$venv/set-up" &&
            echo "$root" >"$venv/made-by-scripts" &&
            find "$venv" -mindepth 1 -maxdepth 1 ! -name made-by-scripts \
                -exec rm -rf {} +
    } 2>/dev/null ||
        give_up "Cannot write into $root: make it yours, then run this again."

    missing='No Python from 3.10 to 3.14 was found.'
    if [ -z "$python" ]; then
        apt_install python3 python3-venv
        find_python || give_up "$missing Install one, then run this again."
    fi
    if ! can_make_venv; then
        missing="$python lacks its venv module."
        apt_install "$("$python" -c 'import sys
print("python%d.%d-venv" % sys.version_info[:2])')"
        can_make_venv || give_up "$missing Install it, then run this again."
    fi
    step "Making $venv with $python"
    "$python" -m venv "$venv" >>"$log" 2>&1 ||
        give_up_with_log "Could not make $venv."
}

install_project() {
    step 'Installing Orange, Qt, torch and this add-on (5 to 20 minutes, the first time)'
    # From time to time a line, or the minutes of silence look like a standstill
    begun=$(date +%s)
    {
        while sleep 30 >/dev/null 2>&1 && kill -0 $$ 2>/dev/null; do
            size=$(du -sm "$venv" 2>/dev/null | cut -f 1)
            echo "    $((($(date +%s) - begun + 30) / 60)) min, ${size:-?} of about 4000 MB" >&2
        done
    } 9<&- &
    telling=$!
    done_well=true
    # From $root, so that no path given to pip has a space in it
    (cd "$root" && "$venv/bin/python" -m pip install --disable-pip-version-check \
        --no-input -c constraints.txt -e '.[gui,test]') >>"$log" 2>&1 || done_well=false
    kill "$telling" 2>/dev/null || :
    wait "$telling" 2>/dev/null || :
    $done_well ||
        give_up_with_log 'pip could not install (no network? disk full?).' \
            'Mend what it names, then run this again.'
}

check_qt_libraries() {
    [ "$(uname -s)" = Linux ] || return 0
    # The host's name, as a checkout may be shared with a container or a virtual machine
    key="$checksum $(uname -n)"
    [ "$(cat "$venv/qt-libraries" 2>/dev/null)" != "$key" ] || return 0
    # What is missing may not be needed: it is named, and we go on
    if "$venv/bin/python" "$root/scripts/qt_libraries.py" --install >&2; then
        echo "$key" 2>/dev/null >"$venv/qt-libraries" || :
    fi
}

is_set_up() {
    venv_works && [ "$(cat "$venv/set-up" 2>/dev/null)" = "$checksum" ]
}

wait_for_other_set_up() {
    # macOS has no flock: there it is left to the user not to start two at once
    command -v flock >/dev/null || return 0
    exec 9<"$root/scripts/_setup.sh"
    flock -n 9 || {
        step "Waiting for another set-up of $venv"
        flock 9 || :
    }
}

set_up() {
    checksum=$({
        echo "$root"
        cd "$root" && cat pyproject.toml setup.py constraints.txt
    } | cksum)
    is_set_up || wait_for_other_set_up
    if ! is_set_up; then
        if [ ! -e "$venv" ] || [ -e "$venv/made-by-scripts" ]; then
            # What pip left half-way, or for another folder, pip does not mend
            if ! venv_works || [ ! -e "$venv/set-up" ] ||
                [ "$(cat "$venv/made-by-scripts")" != "$root" ]; then
                make_venv
            fi
        elif ! venv_works; then
            give_up "$venv was not made by these scripts, and lacks pip or a Python" \
                'from 3.10 to 3.14: move it away, then run this again.'
        fi
        rm -f "$venv/set-up" 2>/dev/null ||
            give_up "Cannot write into $venv: make it yours, then run this again."
        install_project
        echo "$checksum" >"$venv/set-up"
    fi
    check_qt_libraries
    exec 9<&-
}
