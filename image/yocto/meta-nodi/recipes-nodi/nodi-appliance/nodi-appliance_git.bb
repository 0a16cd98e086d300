SUMMARY = "Nodi's processes of a box, their units, users and configuration"
DESCRIPTION = "One recipe for all processes of the workspace that run on a box, so that what they have in common is \
compiled once. Each has a package of its own name; the main package has the units and needs them all."
HOMEPAGE = "https://github.com/nodi-live/nodi"
SECTION = "multimedia"
LICENSE = "MIT | Apache-2.0"
LIC_FILES_CHKSUM = "\
    file://${COMMON_LICENSE_DIR}/MIT;md5=0835ade698e0bcf8506ecda2f7b4f302 \
    file://${COMMON_LICENSE_DIR}/Apache-2.0;md5=89aea4e17d99a7cacdbeed46a0096b10 \
"

DEPENDS = "glib-2.0 gstreamer1.0 gstreamer1.0-plugins-base"

require ${BPN}-crates.inc

PV = "${NODI_VERSION}"

inherit cargo externalsrc pkgconfig useradd

EXTERNALSRC = "${NODI_CHECKOUT}"
# A build leaves nothing in the checkout.
EXTERNALSRC_SYMLINKS = ""

NODI_PROCESSES = "nodi-agent nodi-bootslot nodi-health nodi-ingest nodi-transcode nodi-uplink"
# Trees of systemd/ that systemd/install lays over the root, besides the one that all machines have in common.
NODI_TREES = "box"
NODI_TREES:append:tegra = " jetson jetson-encoder"
# The one Orin without an encoder.
NODI_TREES:remove:orin-nano = "jetson-encoder"

# The class compares the whole checkout, the pages and the fleet server too: of all that only what a box is built from makes it be
# built again. It says so in a function of this kind, and the last one to speak wins.
# nooelint: oelint.task.noanonpython
python () {
    root = d.getVar('NODI_CHECKOUT')
    directories = nodi.workspace.sources(root, d.getVar('NODI_PROCESSES').split())
    files = [f'{root}/Cargo.toml:True', f'{root}/Cargo.lock:True']
    files += [f'{root}/{directory}/*:True' for directory in directories]
    d.setVarFlag('do_compile', 'file-checksums', ' '.join(files))
}

do_compile() {
    oe_cargo_build --bins ${@' '.join(f'--package {name}' for name in d.getVar('NODI_PROCESSES').split())}
}

do_install() {
    for process in ${NODI_PROCESSES}; do
        install -D -m 0755 "${B}/target/${CARGO_TARGET_SUBDIR}/$process" "${D}${bindir}/$process"
    done
    ${S}/systemd/install ${D} ${NODI_TREES}
    # Whatever the umask was with which the checkout was made.
    chmod -R u=rwX,go=rX "${D}"
    # The root is read-only: directories that something is mounted on are part of it.
    install -d ${D}/data
    sed -n 's/^Where=//p' ${D}${systemd_system_unitdir}/*.mount | while read -r place; do
        install -d "${D}$place"
    done
}

NODI_UNITS = "${@' '.join(f'{file}:True' for file in nodi.workspace.files(d.getVar('NODI_CHECKOUT') + '/systemd')[0])}"
NODI_LINKS = "${@' '.join(nodi.workspace.files(d.getVar('NODI_CHECKOUT') + '/systemd')[1])}"
do_install[file-checksums] += "${NODI_UNITS}"
do_install[vardeps] += "NODI_LINKS"

USERADD_PACKAGES = "${PN}"
NODI_SYSUSERS = "${@' '.join(d.expand('${NODI_CHECKOUT}/systemd/%s/usr/lib/sysusers.d') % t for t in ['common'] + d.getVar('NODI_TREES').split())}"
GROUPADD_PARAM:${PN} = "${@nodi.sysusers.parameters(d.getVar('NODI_SYSUSERS').split())[0]}"
USERADD_PARAM:${PN} = "${@nodi.sysusers.parameters(d.getVar('NODI_SYSUSERS').split())[1]}"

# Some units and a few devices are one board's.
PACKAGE_ARCH = "${MACHINE_ARCH}"
PACKAGES =+ "nodi-agent nodi-bootslot nodi-health nodi-ingest nodi-transcode nodi-uplink"
FILES:nodi-agent += "${bindir}/nodi-agent"
FILES:nodi-bootslot += "${bindir}/nodi-bootslot"
FILES:nodi-health += "${bindir}/nodi-health"
FILES:nodi-ingest += "${bindir}/nodi-ingest"
FILES:nodi-transcode += "${bindir}/nodi-transcode"
FILES:nodi-uplink += "${bindir}/nodi-uplink"
FILES:${PN} += "/data ${datadir} ${nonarch_libdir}"
# polkit and D-Bus apply the policies, nft the packet filter; RAUC calls nodi-bootslot.
RDEPENDS:${PN} = "\
    dbus \
    nftables \
    nodi-agent \
    nodi-bootslot \
    nodi-health \
    nodi-ingest \
    nodi-transcode \
    nodi-uplink \
    polkit \
    rauc \
"
# Elements of pipelines are found by name, which no tool can see. libav is for AAC, jpeg for the channel's picture; test sources and
# flv are for the self-test.
RDEPENDS:nodi-transcode = "\
    ${NODI_ENCODER} \
    gstreamer1.0 \
    gstreamer1.0-libav \
    gstreamer1.0-plugins-bad-videoparsersbad \
    gstreamer1.0-plugins-base-app \
    gstreamer1.0-plugins-base-audioconvert \
    gstreamer1.0-plugins-base-audioresample \
    gstreamer1.0-plugins-base-audiotestsrc \
    gstreamer1.0-plugins-base-videoconvertscale \
    gstreamer1.0-plugins-base-videorate \
    gstreamer1.0-plugins-base-videotestsrc \
    gstreamer1.0-plugins-good-audioparsers \
    gstreamer1.0-plugins-good-flv \
    gstreamer1.0-plugins-good-jpeg \
"
# NVIDIA's V4L2 codecs: decoder, encoder, scaler. On Orin Nano x264 stands in for the encoder.
NODI_ENCODER = "gstreamer1.0-plugins-ugly-x264"
NODI_ENCODER:tegra = "gstreamer1.0-plugins-nvvideo4linux2 gstreamer1.0-plugins-nvvidconv"
NODI_ENCODER:append:orin-nano = " gstreamer1.0-plugins-ugly-x264"
