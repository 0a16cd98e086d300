FILESEXTRAPATHS:prepend := "${THISDIR}/files:"

SRC_URI:remove = "file://system.conf"
SRC_URI:append = " file://system.conf.in"

# Board and disk.
PACKAGE_ARCH = "${MACHINE_ARCH}"

do_install() {
    # Whose keyring it is, is up to whoever builds. Recipes are parsed without one; nothing is built.
    if [ -z "${NODI_RAUC_KEYRING}" ]; then
        bbfatal "NODI_RAUC_KEYRING is not set: the image needs the certificate that bundles are checked with (docs/flashing.md)"
    fi
    install -d ${D}${sysconfdir}/rauc
    install -m 0644 "${NODI_RAUC_KEYRING}" ${D}${sysconfdir}/rauc/keyring.pem
    sed -e 's,@COMPATIBLE@,${NODI_COMPATIBLE},' -e 's,@SLOT_A@,${NODI_SLOT_A},' -e 's,@SLOT_B@,${NODI_SLOT_B},' \
        ${UNPACKDIR}/system.conf.in > ${D}${sysconfdir}/rauc/system.conf
    chmod 0644 ${D}${sysconfdir}/rauc/system.conf
}
do_install[file-checksums] += "${@d.getVar('NODI_RAUC_KEYRING') + ':True' if d.getVar('NODI_RAUC_KEYRING') else ''}"

FILES:${PN} += "${sysconfdir}/rauc"
