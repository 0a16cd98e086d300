//! Pictures of strangers for the browsers of strangers: every byte of a PNG, WebP or GIF is accounted for, sizes are
//! bounded before anything would unpack them, and what is no part of the picture (comments, positions of cameras,
//! profiles) is left out of what is kept. Pixels are not looked at: that browsers do, in their sandbox.

mod gif;
mod png;
mod webp;

/// Longest side, in pixels: emotes are shown at 28 to 112, and looked at on sharp screens.
pub const MAX_SIDE: u32 = 512;
/// Frames of a moving one: at 25 a second 12 seconds. More of them cost every viewer's memory.
pub const MAX_FRAMES: u32 = 300;
/// Longest file, in bytes.
pub const MAX_BYTES: usize = 256 << 10;

/// What kind of file it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Png,
    Webp,
    Gif,
}

impl Kind {
    /// In addresses and in the database.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Png => "png",
            Self::Webp => "webp",
            Self::Gif => "gif",
        }
    }

    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Png, Self::Webp, Self::Gif].into_iter().find(|kind| kind.name() == name)
    }

    #[must_use]
    pub fn media_type(self) -> &'static str {
        match self {
            Self::Png => "image/png",
            Self::Webp => "image/webp",
            Self::Gif => "image/gif",
        }
    }
}

/// A picture that will do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picture {
    pub kind: Kind,
    pub width: u32,
    pub height: u32,
    /// 1 for a still one.
    pub frames: u32,
    /// Without what is no part of the picture.
    pub bytes: Vec<u8>,
}

/// Why a picture will not do, for the person who chose it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("is no PNG, WebP or GIF picture")]
    Kind,
    #[error("is damaged: {0}")]
    Damaged(&'static str),
    #[error("is {width} × {height} pixels; at most {MAX_SIDE} × {MAX_SIDE} are taken")]
    Large { width: u32, height: u32 },
    #[error("has more than {MAX_FRAMES} frames")]
    Long,
    #[error("is longer than {} KiB", MAX_BYTES >> 10)]
    Heavy,
}

/// Reads a picture.
///
/// # Errors
/// Why it will not do.
pub fn read(bytes: &[u8]) -> Result<Picture, Refusal> {
    if bytes.len() > MAX_BYTES {
        return Err(Refusal::Heavy);
    }
    if bytes.starts_with(png::SIGNATURE) {
        png::read(bytes)
    } else if bytes.starts_with(b"RIFF") {
        webp::read(bytes)
    } else if bytes.starts_with(b"GIF8") {
        gif::read(bytes)
    } else {
        Err(Refusal::Kind)
    }
}

fn check_size(width: u32, height: u32) -> Result<(), Refusal> {
    if width == 0 || height == 0 {
        return Err(Refusal::Damaged("it has no size"));
    }
    if width > MAX_SIDE || height > MAX_SIDE {
        return Err(Refusal::Large { width, height });
    }
    Ok(())
}

/// Where a frame is on the picture, and how large.
#[derive(Debug, Clone, Copy)]
struct Frame {
    left: u32,
    top: u32,
    width: u32,
    height: u32,
}

impl Frame {
    /// Counts it, if it lies within a picture of this size.
    fn count(self, frames: &mut u32, width: u32, height: u32) -> Result<(), Refusal> {
        let right = self.left.saturating_add(self.width);
        let bottom = self.top.saturating_add(self.height);
        if self.width == 0 || self.height == 0 || right > width || bottom > height {
            return Err(Refusal::Damaged("a frame is larger than the picture"));
        }
        *frames += 1;
        if *frames > MAX_FRAMES { Err(Refusal::Long) } else { Ok(()) }
    }
}

/// Bytes that are taken from the front.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], Refusal> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(Refusal::Damaged("it breaks off"))?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Refusal> {
        self.take(N)?.try_into().map_err(|_| Refusal::Damaged("it breaks off"))
    }

    fn byte(&mut self) -> Result<u8, Refusal> {
        self.array::<1>().map(|[byte]| byte)
    }

    fn u16_le(&mut self) -> Result<u32, Refusal> {
        self.array().map(|bytes| u16::from_le_bytes(bytes).into())
    }

    fn u24_le(&mut self) -> Result<u32, Refusal> {
        self.array().map(|[a, b, c]| u32::from_le_bytes([a, b, c, 0]))
    }

    fn u32_le(&mut self) -> Result<u32, Refusal> {
        self.array().map(u32::from_le_bytes)
    }

    fn u32_be(&mut self) -> Result<u32, Refusal> {
        self.array().map(u32::from_be_bytes)
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

fn length(bytes: u32) -> Result<usize, Refusal> {
    usize::try_from(bytes).map_err(|_| Refusal::Damaged("a part is longer than the file"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Real pictures, by ffmpeg: see `tests/pictures/README.md`.
    const REAL: [(&str, &[u8], Kind, u32, bool); 5] = [
        ("still.png", include_bytes!("../../../tests/pictures/still.png"), Kind::Png, 64, false),
        ("moving.png", include_bytes!("../../../tests/pictures/moving.png"), Kind::Png, 48, true),
        ("moving.gif", include_bytes!("../../../tests/pictures/moving.gif"), Kind::Gif, 48, true),
        ("still.webp", include_bytes!("../../../tests/pictures/still.webp"), Kind::Webp, 64, false),
        ("moving.webp", include_bytes!("../../../tests/pictures/moving.webp"), Kind::Webp, 48, true),
    ];

    #[test]
    fn real_pictures_are_taken_and_stay_what_they_are() {
        for (name, bytes, kind, side, moving) in REAL {
            let picture = read(bytes).unwrap_or_else(|refusal| panic!("{name}: {refusal}"));
            assert_eq!((picture.kind, picture.width, picture.height), (kind, side, side), "{name}");
            assert_eq!(picture.frames > 1, moving, "{name}: {} frames", picture.frames);
            // What is kept is a picture again, and nothing more is taken out of it.
            let again = read(&picture.bytes).unwrap_or_else(|refusal| panic!("{name} as kept: {refusal}"));
            assert_eq!(again, picture, "{name}");
        }
    }

    #[test]
    fn what_breaks_off_or_goes_on_is_refused() {
        for (name, bytes, ..) in REAL {
            for cut in 0..bytes.len() {
                assert!(read(&bytes[..cut]).is_err(), "{name} cut at {cut}");
            }
            // A script behind a picture is a polyglot for somebody else's parser.
            let longer = [bytes, b"<script>alert(1)</script>"].concat();
            if let Ok(picture) = read(&longer) {
                assert!(!picture.bytes.ends_with(b"</script>"), "{name}: it keeps what follows");
            }
        }
        for other in
            [&b"<svg xmlns='http://www.w3.org/2000/svg'/>"[..], b"", b"GIF8", b"RIFF", b"\xff\xd8\xff\xe0"]
        {
            assert!(read(other).is_err());
        }
        assert_eq!(read(&vec![0; MAX_BYTES + 1]), Err(Refusal::Heavy));
    }

    proptest! {
        #[test]
        fn nothing_panics_and_what_is_taken_is_within_bounds(which in 0..REAL.len(), changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8)) {
            let mut bytes = REAL[which].1.to_vec();
            for (at, byte) in changes {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            if let Ok(picture) = read(&bytes) {
                prop_assert!(picture.width <= MAX_SIDE && picture.height <= MAX_SIDE && picture.frames <= MAX_FRAMES);
                prop_assert_eq!(read(&picture.bytes), Ok(picture));
            }
        }

        #[test]
        fn any_bytes_are_read(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let _ = read(&bytes);
            let _ = read(&[b"GIF89a", &bytes[..]].concat());
            let _ = read(&[png::SIGNATURE, &bytes[..]].concat());
        }
    }
}
