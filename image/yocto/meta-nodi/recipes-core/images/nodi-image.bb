SUMMARY = "A box that takes RTMP, encodes and sends HLS"
DESCRIPTION = "Root file system of a box, read-only, in two copies on the drive. State is on the data partition. Nobody can log in; \
for the workbench there is image/yocto/debug.yml."
HOMEPAGE = "https://github.com/nodi-live/nodi"
SECTION = "base"
LICENSE = "MIT"

inherit core-image

IMAGE_FEATURES += "read-only-rootfs"

# Nothing that is not needed to boot, to be reached, to be updated and to carry video.
IMAGE_INSTALL = "\
    packagegroup-core-boot \
    ca-certificates \
    e2fsprogs-e2fsck \
    e2fsprogs-mke2fs \
    nodi-appliance \
    nodi-system \
    os-release \
    rauc \
    rauc-conf \
    ${NODI_BOARD} \
"
# The board's own: boot control, fan, power mode, udev rules.
NODI_BOARD = ""
NODI_BOARD:tegra = "${MACHINE_EXTRA_RDEPENDS} tegra-nvpmodel"
# Ethernet, of which a kernel may have parts built in.
PACKAGE_INSTALL_ATTEMPTONLY:append:tegra = " ${DEVKIT_ETHERNET_RRECOMMENDS}"

# For the bundle, and the file system of both slots.
IMAGE_FSTYPES:append = " ext4"
# As large as what is in it, and an error when it does not fit a slot.
IMAGE_ROOTFS_SIZE = "65536"
IMAGE_OVERHEAD_FACTOR = "1.2"
IMAGE_ROOTFS_EXTRA_SPACE = "0"
IMAGE_ROOTFS_MAXSIZE = "${@int(d.getVar('NODI_SLOT_BYTES')) // 1024}"
