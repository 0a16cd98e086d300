SUMMARY = "Update of a box: the root file system of nodi-image, signed"
DESCRIPTION = "What the fleet server hands out. The bundle's signature covers a tree of hashes, so that a box checks each block \
as it reads it."
HOMEPAGE = "https://github.com/nodi-live/nodi"
SECTION = "base"
LICENSE = "MIT"

inherit bundle

RAUC_BUNDLE_FORMAT = "verity"
RAUC_BUNDLE_COMPATIBLE = "${NODI_COMPATIBLE}"
RAUC_BUNDLE_VERSION = "${NODI_VERSION}"
RAUC_BUNDLE_DESCRIPTION = "Nodi ${NODI_VERSION} for ${MACHINE}"
RAUC_BUNDLE_SLOTS = "rootfs"
RAUC_SLOT_rootfs = "nodi-image"
RAUC_SLOT_rootfs[fstype] = "ext4"
# A box that has most of the blocks writes only the others.
RAUC_SLOT_rootfs[adaptive] = "block-hash-index"

# A file, or a PKCS #11 address: the key need not be on the machine that builds.
RAUC_KEY_FILE = "${NODI_RAUC_KEY}"
RAUC_CERT_FILE = "${NODI_RAUC_CERT}"
