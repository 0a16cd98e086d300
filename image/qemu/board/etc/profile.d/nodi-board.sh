# shellcheck shell=sh
# The console is read by programs as often as by people.
export SYSTEMD_PAGER=cat PAGER=cat
