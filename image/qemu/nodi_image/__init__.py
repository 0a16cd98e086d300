"""Builds the emulated box: a Debian system with Nodi's files, a disk for QEMU and RAUC bundles."""
