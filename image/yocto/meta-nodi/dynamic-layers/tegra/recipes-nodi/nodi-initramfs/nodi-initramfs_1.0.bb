SUMMARY = "What the initramfs does for a box before the system starts"
DESCRIPTION = "meta-tegra's initramfs finds and mounts the slot that UEFI chose; this gives the system its machine id."
HOMEPAGE = "https://github.com/nodi-live/nodi"
SECTION = "base"
LICENSE = "MIT"
LIC_FILES_CHKSUM = "file://${COMMON_LICENSE_DIR}/MIT;md5=0835ade698e0bcf8506ecda2f7b4f302"

SRC_URI = "file://platform-pre-switchroot"

S = "${UNPACKDIR}"

inherit allarch

do_install() {
    install -D -m 0644 ${S}/platform-pre-switchroot ${D}${sysconfdir}/platform-pre-switchroot
}

RDEPENDS:${PN} = "util-linux-blkid"
