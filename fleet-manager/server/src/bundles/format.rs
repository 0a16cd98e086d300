//! What a RAUC bundle says it is.
//!
//! The last eight bytes are the length, big-endian, of the CMS message before them (RFC 5652). Of a `verity` and a `crypt`
//! bundle that is signed-data with the manifest in it; of a `plain` one the signature is over the squashfs that holds the
//! manifest, and of an encrypted one the message is enveloped-data for the boxes' keys. From those two nothing can be read.

use std::io::{self, Read, Seek, SeekFrom};

use serde::{Deserialize, Serialize};
use x509_parser::asn1_rs::{Any, Class, FromBer as _, Tag};

/// Of the squashfs that a bundle begins with, unless it is encrypted.
const SQUASHFS: &[u8; 4] = b"hsqs";
const LENGTH_BYTES: u64 = 8;
/// A chain of certificates and a manifest: some kilobytes. A longer one is something else.
const MAX_CMS: u64 = 1 << 20;

/// 1.2.840.113549.1.7.2, id-signedData.
const SIGNED_DATA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x02];
/// 1.2.840.113549.1.7.3, id-envelopedData.
const ENVELOPED_DATA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x03];
/// 1.2.840.113549.1.9.16.1.23, id-ct-authEnvelopedData.
const AUTH_ENVELOPED_DATA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x10, 0x01, 0x17];

/// How a bundle is protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    Plain,
    Verity,
    Crypt,
}

impl Format {
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Verity => "verity",
            Self::Crypt => "crypt",
        }
    }

    pub(super) fn from_name(name: &str) -> Option<Self> {
        [Self::Plain, Self::Verity, Self::Crypt].into_iter().find(|format| format.name() == name)
    }
}

/// Why a file is not taken for a bundle.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotABundle {
    #[error("it is no RAUC bundle: {0} bytes are too few for one")]
    Short(u64),
    #[error("it is no RAUC bundle: it names a signature of {cms} bytes at its end and has {bytes}")]
    Length { cms: u64, bytes: u64 },
    #[error("it is no RAUC bundle: there is no CMS signature at its end")]
    Signature,
    #[error("it is no RAUC bundle: it is not encrypted and does not begin with a squashfs")]
    Squashfs,
    #[error("its manifest is not readable: line {line}: {reason}")]
    Manifest { line: usize, reason: &'static str },
    #[error("its manifest names the format {0:?}")]
    Format(String),
    #[error("reading it: {0}")]
    Io(#[from] io::Error),
}

/// What could be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Contents {
    pub(super) format: Format,
    /// Not of a plain or an encrypted bundle.
    pub(super) manifest: Option<Manifest>,
}

/// Its section `[update]`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Manifest {
    pub(super) compatible: String,
    pub(super) version: String,
    pub(super) description: String,
    pub(super) build: String,
    /// Of the section `[bundle]`.
    format: Option<String>,
}

/// Reads what a bundle says of itself.
///
/// # Errors
/// Why it is none.
pub(super) fn inspect(mut bundle: impl Read + Seek) -> Result<Contents, NotABundle> {
    let bytes = bundle.seek(SeekFrom::End(0))?;
    let Some(end) = bytes.checked_sub(LENGTH_BYTES) else { return Err(NotABundle::Short(bytes)) };
    bundle.seek(SeekFrom::Start(end))?;
    let mut length = [0; 8];
    bundle.read_exact(&mut length)?;
    let cms = u64::from_be_bytes(length);
    let start = end.checked_sub(cms).filter(|_| (1..=MAX_CMS).contains(&cms));
    let start = start.ok_or(NotABundle::Length { cms, bytes })?;
    bundle.seek(SeekFrom::Start(start))?;
    let mut message = Vec::new();
    bundle.by_ref().take(cms).read_to_end(&mut message)?;
    let contents = match read_cms(&message).ok_or(NotABundle::Signature)? {
        Cms::Signed(Some(manifest)) => {
            let manifest = Manifest::parse(&String::from_utf8_lossy(&manifest))?;
            let format = match manifest.format.as_deref() {
                None => Format::Verity,
                Some(name) => Format::from_name(name)
                    .ok_or_else(|| NotABundle::Format(name.chars().take(40).collect()))?,
            };
            Contents { format, manifest: Some(manifest) }
        }
        Cms::Signed(None) => Contents { format: Format::Plain, manifest: None },
        Cms::Enveloped => Contents { format: Format::Crypt, manifest: None },
    };
    if contents.format != Format::Crypt {
        bundle.seek(SeekFrom::Start(0))?;
        let mut magic = [0; 4];
        bundle.read_exact(&mut magic)?;
        if magic != *SQUASHFS {
            return Err(NotABundle::Squashfs);
        }
    }
    Ok(contents)
}

enum Cms {
    /// With the signed content, unless the signature is detached.
    Signed(Option<Vec<u8>>),
    Enveloped,
}

/// ContentInfo (RFC 5652, 3), as far as it leads to the content.
fn read_cms(message: &[u8]) -> Option<Cms> {
    let (info, _) = element(message, Tag::Sequence)?;
    let (kind, rest) = element(info, Tag::Oid)?;
    if kind == ENVELOPED_DATA || kind == AUTH_ENVELOPED_DATA {
        return Some(Cms::Enveloped);
    }
    if kind != SIGNED_DATA {
        return None;
    }
    let (content, _) = explicit(rest)?;
    let (signed, _) = element(content, Tag::Sequence)?;
    let (_version, rest) = element(signed, Tag::Integer)?;
    let (_digests, rest) = element(rest, Tag::Set)?;
    let (encapsulated, _) = element(rest, Tag::Sequence)?;
    let (_kind, rest) = element(encapsulated, Tag::Oid)?;
    if rest.is_empty() {
        return Some(Cms::Signed(None));
    }
    let (content, _) = explicit(rest)?;
    let (_, octets) = Any::from_ber(content).ok()?;
    if octets.class() != Class::Universal || octets.tag() != Tag::OctetString {
        return None;
    }
    if !octets.header.is_constructed() {
        return Some(Cms::Signed(Some(octets.data.to_vec())));
    }
    // In BER a string may come in pieces.
    let (mut rest, mut whole) = (octets.data, Vec::new());
    while !rest.is_empty() {
        let (piece, behind) = element(rest, Tag::OctetString)?;
        whole.extend_from_slice(piece);
        rest = behind;
    }
    Some(Cms::Signed(Some(whole)))
}

/// The content of an element of this type, and what is behind it.
fn element(bytes: &[u8], tag: Tag) -> Option<(&[u8], &[u8])> {
    let (rest, any) = Any::from_ber(bytes).ok()?;
    (any.class() == Class::Universal && any.tag() == tag).then_some((any.data, rest))
}

/// The same of `[0] EXPLICIT`.
fn explicit(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (rest, any) = Any::from_ber(bytes).ok()?;
    (any.class() == Class::ContextSpecific && any.tag() == Tag(0)).then_some((any.data, rest))
}

impl Manifest {
    /// A key file as GLib writes it: sections, `key=value`, comments.
    fn parse(text: &str) -> Result<Self, NotABundle> {
        let mut manifest = Self::default();
        let mut section = "";
        for (index, line) in text.lines().enumerate() {
            let bad = |reason| NotABundle::Manifest { line: index + 1, reason };
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            if let Some(name) = line.strip_prefix('[') {
                section = name.strip_suffix(']').ok_or_else(|| bad("a section without its end"))?;
                continue;
            }
            let (key, value) = line.split_once('=').ok_or_else(|| bad("neither section nor key"))?;
            let value = unescaped(value.trim_start());
            match (section, key.trim_end()) {
                ("update", "compatible") => manifest.compatible = value,
                ("update", "version") => manifest.version = value,
                ("update", "description") => manifest.description = value,
                ("update", "build") => manifest.build = value,
                ("bundle", "format") => manifest.format = Some(value),
                _ => {}
            }
        }
        Ok(manifest)
    }
}

/// GLib's escapes: `\s`, `\t`, `\n`, `\r`, `\\`.
fn unescaped(value: &str) -> String {
    let mut text = String::with_capacity(value.len());
    let mut chars = value.chars();
    while let Some(char) = chars.next() {
        if char != '\\' {
            text.push(char);
            continue;
        }
        match chars.next() {
            Some('s') => text.push(' '),
            Some('t') => text.push('\t'),
            Some('n') => text.push('\n'),
            Some('r') => text.push('\r'),
            Some(other) => text.push(other),
            None => {}
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use proptest::prelude::*;

    use super::*;

    const VERITY: &[u8] = include_bytes!("../../tests/fixtures/bundles/verity.raucb");
    const CRYPT: &[u8] = include_bytes!("../../tests/fixtures/bundles/crypt.raucb");
    const PLAIN: &[u8] = include_bytes!("../../tests/fixtures/bundles/plain.raucb");
    const ENCRYPTED: &[u8] = include_bytes!("../../tests/fixtures/bundles/encrypted.raucb");

    #[test]
    fn each_kind_that_rauc_makes_is_read() {
        for (bundle, format) in [(VERITY, Format::Verity), (CRYPT, Format::Crypt)] {
            let contents = inspect(Cursor::new(bundle)).unwrap();
            assert_eq!(contents.format, format);
            let manifest = contents.manifest.unwrap();
            assert_eq!(manifest.version, "1.2.3");
            assert_eq!(manifest.compatible, "nodi-qemux86-64");
            assert_eq!(manifest.description, "For tests");
            assert_eq!(manifest.build, "20261123");
        }
        let plain = Contents { format: Format::Plain, manifest: None };
        assert_eq!(inspect(Cursor::new(PLAIN)).unwrap(), plain);
        let encrypted = Contents { format: Format::Crypt, manifest: None };
        assert_eq!(inspect(Cursor::new(ENCRYPTED)).unwrap(), encrypted);
    }

    #[test]
    fn what_is_cut_or_something_else_is_refused() {
        for length in [0, 7, 8, 100, VERITY.len() - 1] {
            assert!(inspect(Cursor::new(&VERITY[..length])).is_err(), "{length}");
        }
        let mut other = VERITY.to_vec();
        other[..4].copy_from_slice(b"\x7fELF");
        assert!(matches!(inspect(Cursor::new(other)), Err(NotABundle::Squashfs)));
        assert!(matches!(inspect(Cursor::new([0; 64])), Err(NotABundle::Length { cms: 0, .. })));
    }

    #[test]
    fn a_manifest_is_a_key_file() {
        let text = "# made by hand\n[update]\ncompatible = a\\sb\nversion=1\n\n[image.rootfs]\nversion=no\n";
        let manifest = Manifest::parse(text).unwrap();
        assert_eq!((manifest.compatible.as_str(), manifest.version.as_str()), ("a b", "1"));
        for (bad, line) in [("[update\n", 1), ("[update]\nnothing\n", 2)] {
            match Manifest::parse(bad) {
                Err(NotABundle::Manifest { line: named, .. }) => assert_eq!(named, line),
                other => panic!("{other:?}"),
            }
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let _ = inspect(Cursor::new(bytes));
        }

        #[test]
        fn no_damage_makes_it_panic(at in 0..VERITY.len(), byte in any::<u8>()) {
            let mut bundle = VERITY.to_vec();
            bundle[at] = byte;
            let _ = inspect(Cursor::new(bundle));
        }
    }
}
