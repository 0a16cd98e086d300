# The data partition: everything that a box keeps. Made at the first boot, grown to the drive.
do_install:append() {
    printf '%s\n' "PARTLABEL=data  /data  ext4  ${NODI_DATA_OPTIONS}  0  2" >> ${D}${sysconfdir}/fstab
}

NODI_DATA_OPTIONS = "noatime,nodev,nosuid,noexec,x-systemd.makefs,x-systemd.growfs,x-systemd.after=systemd-repart.service"
