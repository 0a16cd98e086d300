SUMMARY = "For the workbench: the packet filter lets SSH in"
DESCRIPTION = "Part of images that are built with image/yocto/debug.yml, never of others."
HOMEPAGE = "https://github.com/nodi-live/nodi"
SECTION = "base"
LICENSE = "MIT"
LIC_FILES_CHKSUM = "file://${COMMON_LICENSE_DIR}/MIT;md5=0835ade698e0bcf8506ecda2f7b4f302"

SRC_URI = "file://50-ssh.nft"

S = "${UNPACKDIR}"

inherit allarch

do_install() {
    install -D -m 0644 ${S}/50-ssh.nft ${D}${sysconfdir}/nodi/firewall.d/50-ssh.nft
}
