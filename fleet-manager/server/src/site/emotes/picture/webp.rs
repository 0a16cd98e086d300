//! WebP (RFC 9649): RIFF chunks, simple or extended, still or moving.

use super::{Frame, Kind, Picture, Reader, Refusal, check_size, length};

/// Flags of the extended header that stay: it moves, it is transparent. Profile, Exif and XMP go with their chunks.
const ANIMATION: u8 = 0x02;
const ALPHA: u8 = 0x10;

pub(super) fn read(bytes: &[u8]) -> Result<Picture, Refusal> {
    let mut reader = Reader(bytes);
    reader.take(4)?;
    let size = reader.u32_le()?;
    if reader.take(4)? != b"WEBP" {
        return Err(Refusal::Kind);
    }
    if length(size)?.checked_sub(4) != Some(reader.0.len()) {
        return Err(Refusal::Damaged("it is not as long as it says"));
    }
    let (kind, data) = chunk(&mut reader)?;
    let mut kept = Vec::with_capacity(bytes.len());
    let (width, height, frames) = match kind {
        b"VP8X" => extended(data, &mut reader, &mut kept)?,
        // Nothing is part of a simple one but its pixels.
        _ => {
            let (width, height) = pixels(kind, data)?.ok_or(Refusal::Damaged("pixels are missing"))?;
            check_size(width, height)?;
            put(&mut kept, kind, data)?;
            (width, height, 1)
        }
    };
    let mut whole = b"RIFF".to_vec();
    whole.extend_from_slice(&u32::try_from(kept.len() + 4).map_err(|_| Refusal::Heavy)?.to_le_bytes());
    whole.extend_from_slice(b"WEBP");
    whole.append(&mut kept);
    Ok(Picture { kind: Kind::Webp, width, height, frames, bytes: whole })
}

/// What follows the extended header: width, height and how many frames.
fn extended(header: &[u8], reader: &mut Reader<'_>, kept: &mut Vec<u8>) -> Result<(u32, u32, u32), Refusal> {
    let mut fields = Reader(header);
    let flags = fields.byte()?;
    fields.take(3)?;
    let (width, height) = (fields.u24_le()? + 1, fields.u24_le()? + 1);
    if !fields.is_empty() {
        return Err(Refusal::Damaged("its header"));
    }
    check_size(width, height)?;
    let mut plain = [0; 10];
    plain.copy_from_slice(header);
    if let Some(first) = plain.first_mut() {
        *first = flags & (ANIMATION | ALPHA);
    }
    put(kept, b"VP8X", &plain)?;
    let moving = flags & ANIMATION != 0;
    let (mut frames, mut has_pixels) = (0, false);
    while !reader.is_empty() {
        let (kind, data) = chunk(reader)?;
        match kind {
            b"ANIM" if moving && data.len() == 6 => {}
            b"ANMF" if moving => frame(data)?.count(&mut frames, width, height)?,
            b"ALPH" if !moving && !has_pixels => {}
            b"VP8 " | b"VP8L" if !moving && !has_pixels => {
                has_pixels = true;
                if pixels(kind, data)? != Some((width, height)) {
                    return Err(Refusal::Damaged("its pixels are not as many as it says"));
                }
            }
            b"VP8 " | b"VP8L" | b"VP8X" | b"ALPH" | b"ANIM" | b"ANMF" => {
                return Err(Refusal::Damaged("its parts"));
            }
            // Profiles, cameras, whatever else.
            _ => continue,
        }
        put(kept, kind, data)?;
    }
    if moving == (frames == 0) || moving == has_pixels {
        return Err(Refusal::Damaged("pixels are missing"));
    }
    Ok((width, height, frames.max(1)))
}

/// One frame of a moving picture; its pixels have to be as many as it says.
fn frame(data: &[u8]) -> Result<Frame, Refusal> {
    let mut fields = Reader(data);
    let (left, top) = (fields.u24_le()? * 2, fields.u24_le()? * 2);
    let frame = Frame { left, top, width: fields.u24_le()? + 1, height: fields.u24_le()? + 1 };
    let (_milliseconds, _flags) = (fields.u24_le()?, fields.byte()?);
    let mut found = None;
    while !fields.is_empty() {
        let (kind, data) = chunk(&mut fields)?;
        match (kind, found) {
            (b"ALPH", None) => {}
            (b"VP8 " | b"VP8L", None) => found = pixels(kind, data)?,
            _ => return Err(Refusal::Damaged("the parts of a frame")),
        }
    }
    if found == Some((frame.width, frame.height)) {
        Ok(frame)
    } else {
        Err(Refusal::Damaged("its pixels are not as many as it says"))
    }
}

/// Width and height as the coded pixels have them.
fn pixels(kind: &[u8; 4], data: &[u8]) -> Result<Option<(u32, u32)>, Refusal> {
    let mut fields = Reader(data);
    match kind {
        // RFC 6386 9.1: a key frame begins with a tag of three bytes, a start code and both sizes.
        b"VP8 " => {
            let tag = fields.u24_le()?;
            if tag & 1 != 0 || fields.take(3)? != [0x9d, 0x01, 0x2a] {
                return Err(Refusal::Damaged("its pixels"));
            }
            // The two upper bits only say how it may be stretched.
            Ok(Some((fields.u16_le()? & 0x3fff, fields.u16_le()? & 0x3fff)))
        }
        b"VP8L" => {
            if fields.byte()? != 0x2f {
                return Err(Refusal::Damaged("its pixels"));
            }
            let bits = fields.u32_le()?;
            if bits >> 29 != 0 {
                return Err(Refusal::Damaged("its pixels"));
            }
            Ok(Some(((bits & 0x3fff) + 1, (bits >> 14 & 0x3fff) + 1)))
        }
        _ => Ok(None),
    }
}

fn chunk<'a>(reader: &mut Reader<'a>) -> Result<(&'a [u8; 4], &'a [u8]), Refusal> {
    let kind: &[u8; 4] = reader.take(4)?.try_into().map_err(|_| Refusal::Damaged("it breaks off"))?;
    let size = length(reader.u32_le()?)?;
    let data = reader.take(size)?;
    // To an even length.
    if size % 2 == 1 && reader.byte()? != 0 {
        return Err(Refusal::Damaged("its parts"));
    }
    Ok((kind, data))
}

fn put(kept: &mut Vec<u8>, kind: &[u8; 4], data: &[u8]) -> Result<(), Refusal> {
    kept.extend_from_slice(kind);
    kept.extend_from_slice(&u32::try_from(data.len()).map_err(|_| Refusal::Heavy)?.to_le_bytes());
    kept.extend_from_slice(data);
    if data.len() % 2 == 1 {
        kept.push(0);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(chunks: &[(&[u8; 4], &[u8])]) -> Vec<u8> {
        let mut body = b"WEBP".to_vec();
        for (kind, data) in chunks {
            put(&mut body, kind, data).unwrap();
        }
        let size = u32::try_from(body.len()).unwrap().to_le_bytes();
        [b"RIFF", &size[..], &body].concat()
    }

    fn lossless(width: u32, height: u32) -> Vec<u8> {
        let bits = (width - 1) | (height - 1) << 14;
        [&[0x2f][..], &bits.to_le_bytes(), b"pixels"].concat()
    }

    fn header(flags: u8, width: u32, height: u32) -> Vec<u8> {
        let side = |side: u32| (side - 1).to_le_bytes()[..3].to_vec();
        [vec![flags, 0, 0, 0], side(width), side(height)].concat()
    }

    #[test]
    fn a_bomb_is_refused_wherever_it_says_its_size() {
        assert_eq!(
            read(&of(&[(b"VP8L", &lossless(16_384, 2))])),
            Err(Refusal::Large { width: 16_384, height: 2 })
        );
        let large = header(0, 1 << 24, 8);
        assert!(matches!(read(&of(&[(b"VP8X", &large)])), Err(Refusal::Large { .. })));
        let small = header(0, 8, 8);
        assert!(read(&of(&[(b"VP8X", &small), (b"VP8L", &lossless(8, 8))])).is_ok());
        let lies = of(&[(b"VP8X", &small), (b"VP8L", &lossless(9_000, 9_000))]);
        assert!(matches!(read(&lies), Err(Refusal::Damaged(_))));
        assert!(read(&of(&[(b"VP8X", &small)])).is_err(), "no pixels");
    }

    #[test]
    fn what_is_no_part_of_the_picture_is_left_out() {
        let pixels = lossless(8, 8);
        let talkative = of(&[
            (b"VP8X", &header(0x3c, 8, 8)),
            (b"ICCP", b"profile"),
            (b"VP8L", &pixels),
            (b"EXIF", b"where it was taken"),
            (b"XMP ", b"<x/>"),
        ]);
        let plain = of(&[(b"VP8X", &header(0x10, 8, 8)), (b"VP8L", &pixels)]);
        assert_eq!(read(&talkative).unwrap().bytes, plain);
    }

    #[test]
    fn frames_are_counted_and_lie_within_the_picture() {
        let mut frame = vec![0; 6];
        frame.extend_from_slice(&[7, 0, 0, 7, 0, 0, 40, 0, 0, 0]);
        put(&mut frame, b"VP8L", &lossless(8, 8)).unwrap();
        let (moving, anim) = (header(ANIMATION, 8, 8), [0; 6]);
        let mut chunks: Vec<(&[u8; 4], &[u8])> = vec![(b"VP8X", &moving), (b"ANIM", &anim)];
        chunks.extend(std::iter::repeat_n((b"ANMF", frame.as_slice()), 300));
        assert_eq!(read(&of(&chunks)).unwrap().frames, 300);
        chunks.push((b"ANMF", &frame));
        assert_eq!(read(&of(&chunks)), Err(Refusal::Long));
        let small = header(ANIMATION, 4, 4);
        assert!(read(&of(&[(b"VP8X", &small), (b"ANIM", &anim), (b"ANMF", &frame)])).is_err());
    }
}
