SUMMARY = "What the Yocto image needs so that Nodi's units find the system that they expect"
DESCRIPTION = "Where /var comes from, the machine id that stays, the partition that is made at the first boot, provisioning, and \
the code on the serial console."
HOMEPAGE = "https://github.com/nodi-live/nodi"
SECTION = "base"
LICENSE = "MIT"
LIC_FILES_CHKSUM = "file://${COMMON_LICENSE_DIR}/MIT;md5=0835ade698e0bcf8506ecda2f7b4f302"

SRC_URI = "\
    file://data.conf \
    file://machine-id-keep.service \
    file://nodi-data.conf \
    file://pairing-code.path \
    file://pairing-code.service \
    file://provisioning.conf \
"

S = "${UNPACKDIR}"

inherit systemd

SYSTEMD_SERVICE:${PN} = "machine-id-keep.service pairing-code.path"

do_install() {
    install -D -m 0644 ${S}/data.conf ${D}${nonarch_libdir}/repart.d/50-data.conf
    install -D -m 0644 ${S}/nodi-data.conf ${D}${systemd_system_unitdir}/nodi-data.service.d/50-volatile.conf
    install -D -m 0644 -t ${D}${systemd_system_unitdir} \
        ${S}/machine-id-keep.service ${S}/pairing-code.path ${S}/pairing-code.service
    install -d ${D}${sysconfdir}/issue.d ${D}${sysconfdir}/nodi
    ln -s /run/nodi/agent/pairing-code ${D}${sysconfdir}/issue.d/50-pairing-code.issue
    ln -s /data/provisioning.json ${D}${sysconfdir}/nodi/provisioning.json
    if [ -n "${NODI_PROVISIONING}" ]; then
        # It may hold a claim code, which is for nobody else on the box.
        install -D -m 0600 "${NODI_PROVISIONING}" ${D}${datadir}/nodi/provisioning.json
        install -D -m 0644 ${S}/provisioning.conf ${D}${nonarch_libdir}/tmpfiles.d/nodi-provisioning.conf
    fi
}

do_install[file-checksums] += "${@d.getVar('NODI_PROVISIONING') + ':True' if d.getVar('NODI_PROVISIONING') else ''}"

FILES:${PN} += "${nonarch_libdir} ${datadir}"
RDEPENDS:${PN} = "util-linux-agetty"
