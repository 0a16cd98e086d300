# A root file system that cannot be found or mounted ends in a restart, which the launcher counts as an attempt, and not in a shell
# that waits for somebody: the first process ends, the kernel panics, and restarts after `panic=` seconds. The partition of the
# other slot is no way out either, since everything else believes the launcher about which slot runs.
do_install:append() {
    sed -i 's/|| exec sh$/|| exit 1/' ${D}/init
    sed -i -e 's/seq 1 10/seq 1 60/' -e 's/^    echo "\[FAIL\]"$/&\n    [ "$foundslotsfx" = yes ] || exit 1/' ${D}${sysconfdir}/platform-preboot
    grep -q '|| exit 1$' ${D}/init || bbfatal "the script that mounts the root file system is another one now"
    grep -q '|| exit 1$' ${D}${sysconfdir}/platform-preboot || bbfatal "the script that finds the root file system is another one now"
}
