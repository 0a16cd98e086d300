FILESEXTRAPATHS:prepend := "${THISDIR}/files:"

SRC_URI += "file://nodi.cfg"
