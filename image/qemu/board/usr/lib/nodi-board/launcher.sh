# shellcheck shell=sh
# The launcher's state as boot/launcher.cfg keeps it, and the EFI variables that show it, for the programs beside this file.
# The variables are made from the state at boot and are what counts from then on; `take_over` carries what was written to
# them into the state.

variables=${NODI_EFIVARS:-/run/nodi-board/efivars}
guid=781e084c-a330-417c-b678-38e696380cb9
# Size of GRUB's environment block; what matters is in the first sector, which a disk writes as a whole or not at all.
block=1024
max_tries=3

# A container has no EFI system partition.
if [ -d /efi/nodi ]; then state=/efi/nodi/state; else state=/data/launcher/state; fi

current=$(cat /run/nodi-board/slot)

# One at a time: what follows from a written variable may meet a call of nvbootctrl.
exec 9>/run/nodi-board/lock
flock 9

load_copy() {
    next='' trial='' tries_A='' tries_B='' status_A='' status_B='' check=''
    [ -r "$1" ] || return 1
    while IFS='=' read -r key value; do
        case $key in
        next) next=$value ;; trial) trial=$value ;;
        tries_A) tries_A=$value ;; tries_B) tries_B=$value ;;
        status_A) status_A=$value ;; status_B) status_B=$value ;;
        check) check=$value ;;
        esac
    done <"$1"
    [ -n "$next" ] && [ "$check" = "$next:$trial:$tries_A:$tries_B:$status_A:$status_B" ]
}

load() {
    load_copy "${state}1" || load_copy "${state}2" && return
    next=$current trial=- tries_A=$max_tries tries_B=$max_tries status_A=0 status_B=0
}

# Writes over the files' sectors, one file after the other: see boot/launcher.cfg.
save() {
    check=$next:$trial:$tries_A:$tries_B:$status_A:$status_B
    text=$(printf '# GRUB Environment Block\nnext=%s\ntrial=%s\ntries_A=%s\ntries_B=%s\nstatus_A=%s\nstatus_B=%s\ncheck=%s' \
        "$next" "$trial" "$tries_A" "$tries_B" "$status_A" "$status_B" "$check")
    padding=$(printf "%$((block - ${#text} - 1))s" '' | tr ' ' '#')
    mkdir -p "${state%/*}"
    for copy in 1 2; do
        printf '%s\n%s' "$text" "$padding" |
            dd of="$state$copy" bs=$block iflag=fullblock conv=notrunc,fsync status=none || return
    done
}

put() { # put NAME VALUE: a 32-bit variable with the attributes non-volatile, boot service, run time
    printf '\007\000\000\000%b\000\000\000' "\\0$(printf '%03o' "$2")" >"$variables/$1-$guid"
}

get() { # get NAME: its lowest byte, or nothing
    [ ! -s "$variables/$1-$guid" ] || od -An -tu1 -j4 -N1 "$variables/$1-$guid" | tr -d ' '
}

number() { if [ "$1" = B ]; then echo 1; else echo 0; fi; }
name() { if [ "$1" = 1 ]; then echo B; else echo A; fi; }

show() {
    put RootfsStatusSlotA "$status_A"
    put RootfsStatusSlotB "$status_B"
    if [ "$next" = "$current" ]; then
        rm -f "$variables/BootChainFwNext-$guid"
    else
        put BootChainFwNext "$(number "$next")"
    fi
}

# What was written to the variables becomes the state; a chain that is chosen anew, or is bootable again, has all its attempts.
take_over() {
    load
    before=$next:$trial:$tries_A:$tries_B:$status_A:$status_B
    status=$(get RootfsStatusSlotA)
    [ "${status:-0}" = "$status_A" ] || { status_A=${status:-0}; tries_A=$max_tries; }
    status=$(get RootfsStatusSlotB)
    [ "${status:-0}" = "$status_B" ] || { status_B=${status:-0}; tries_B=$max_tries; }
    chosen=$(get BootChainFwNext)
    if [ -n "$chosen" ]; then choose "$(name "$chosen")"; else choose "$current"; fi
    [ "$before" = "$next:$trial:$tries_A:$tries_B:$status_A:$status_B" ] || save
}

# A chain is on trial while there is a good one to go back to; going back to that is no trial.
choose() {
    next=$1
    if [ "$next" = "$current" ]; then
        [ "$trial" = "$current" ] || trial=-
    elif [ "$trial" != "$next" ]; then
        if [ "$current" = A ]; then status=$status_A; else status=$status_B; fi
        if [ "$status" = 0 ] && [ "$trial" != "$current" ]; then trial=$next; else trial=-; fi
        if [ "$next" = A ]; then tries_A=$max_tries; else tries_B=$max_tries; fi
    fi
}
