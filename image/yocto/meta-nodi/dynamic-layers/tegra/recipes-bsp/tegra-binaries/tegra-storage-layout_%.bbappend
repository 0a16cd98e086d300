# The drive's layout is ours; that of the module's own flash stays NVIDIA's.
FILESEXTRAPATHS:prepend := "${THISDIR}/files:"

SRC_URI += "file://nodi-nvme.xml"

PARTITION_FILE_EXTERNAL = "${UNPACKDIR}/nodi-nvme.xml"
