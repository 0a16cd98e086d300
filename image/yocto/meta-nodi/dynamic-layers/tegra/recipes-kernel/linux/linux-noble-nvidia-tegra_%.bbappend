FILESEXTRAPATHS:prepend := "${THISDIR}/../../../../recipes-kernel/linux/files:${THISDIR}/files:"

SRC_URI += "\
    file://nodi.cfg \
    file://nodi-tegra.cfg \
"
