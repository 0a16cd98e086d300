//! PNG (ISO/IEC 15948), still or moving (APNG): a signature and chunks, each with its check sum.

use flate2::Crc;

use super::{Frame, Kind, MAX_FRAMES, Picture, Reader, Refusal, check_size, length};

pub(super) const SIGNATURE: &[u8] = b"\x89PNG\r\n\x1a\n";
/// Parts of the picture. Everything else is left out: text, times, cameras, and profiles that unpack to any size.
const KEPT: [&[u8; 4]; 12] = [
    b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND", b"acTL", b"fcTL", b"fdAT", b"gAMA", b"sRGB", b"cHRM",
    b"sBIT",
];

pub(super) fn read(bytes: &[u8]) -> Result<Picture, Refusal> {
    let mut reader = Reader(bytes);
    let mut kept = reader.take(SIGNATURE.len())?.to_vec();
    let (width, height) = header(&mut reader, &mut kept)?;
    let (mut frames, mut announced, mut has_pixels) = (0, None, false);
    loop {
        let (kind, data) = chunk(&mut reader, &mut kept)?;
        match kind {
            b"IHDR" => return Err(Refusal::Damaged("it has two headers")),
            b"IDAT" => has_pixels = true,
            b"acTL" => {
                let count = Reader(data).u32_be()?;
                if has_pixels || announced.is_some() || data.len() != 8 || count == 0 {
                    return Err(Refusal::Damaged("its animation"));
                }
                if count > MAX_FRAMES {
                    return Err(Refusal::Long);
                }
                announced = Some(count);
            }
            b"fcTL" => {
                if announced.is_none() || data.len() != 26 {
                    return Err(Refusal::Damaged("its animation"));
                }
                let mut fields = Reader(data);
                let (_sequence, frame_width, frame_height) =
                    (fields.u32_be()?, fields.u32_be()?, fields.u32_be()?);
                let (left, top) = (fields.u32_be()?, fields.u32_be()?);
                Frame { left, top, width: frame_width, height: frame_height }.count(
                    &mut frames,
                    width,
                    height,
                )?;
            }
            b"fdAT" if announced.is_none() || !has_pixels => return Err(Refusal::Damaged("its animation")),
            b"IEND" if !data.is_empty() || !reader.is_empty() => {
                return Err(Refusal::Damaged("something follows its end"));
            }
            b"IEND" => break,
            _ => {}
        }
    }
    if !has_pixels || announced.is_some_and(|announced| announced != frames) {
        return Err(Refusal::Damaged("pixels are missing"));
    }
    Ok(Picture { kind: Kind::Png, width, height, frames: frames.max(1), bytes: kept })
}

/// The first chunk: how large it is.
fn header(reader: &mut Reader<'_>, kept: &mut Vec<u8>) -> Result<(u32, u32), Refusal> {
    let (kind, data) = chunk(reader, kept)?;
    let mut fields = Reader(data);
    let (width, height) = (fields.u32_be()?, fields.u32_be()?);
    let [depth, color, compression, filter, interlace] = fields.array()?;
    let possible = match color {
        0 => matches!(depth, 1 | 2 | 4 | 8 | 16),
        3 => matches!(depth, 1 | 2 | 4 | 8),
        2 | 4 | 6 => matches!(depth, 8 | 16),
        _ => false,
    };
    if kind != b"IHDR" || !fields.is_empty() || !possible || compression != 0 || filter != 0 || interlace > 1
    {
        return Err(Refusal::Damaged("its header"));
    }
    check_size(width, height)?;
    Ok((width, height))
}

/// The next chunk, which is added to what is kept if it is a part of the picture.
fn chunk<'a>(reader: &mut Reader<'a>, kept: &mut Vec<u8>) -> Result<(&'a [u8; 4], &'a [u8]), Refusal> {
    let size = reader.u32_be()?;
    let kind: &[u8; 4] = reader.take(4)?.try_into().map_err(|_| Refusal::Damaged("it breaks off"))?;
    let data = reader.take(length(size)?)?;
    let sum = reader.u32_be()?;
    let mut crc = Crc::new();
    crc.update(kind);
    crc.update(data);
    if crc.sum() != sum || !kind.iter().all(u8::is_ascii_alphabetic) {
        return Err(Refusal::Damaged("a check sum is wrong"));
    }
    if KEPT.contains(&kind) {
        kept.extend_from_slice(&size.to_be_bytes());
        kept.extend_from_slice(kind);
        kept.extend_from_slice(data);
        kept.extend_from_slice(&sum.to_be_bytes());
    } else if kind.first().is_some_and(u8::is_ascii_uppercase) {
        return Err(Refusal::Damaged("it has a part that nobody knows"));
    }
    Ok((kind, data))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(png: &mut Vec<u8>, kind: &[u8; 4], data: &[u8]) {
        png.extend_from_slice(&u32::try_from(data.len()).unwrap().to_be_bytes());
        png.extend_from_slice(kind);
        png.extend_from_slice(data);
        let mut crc = Crc::new();
        crc.update(kind);
        crc.update(data);
        png.extend_from_slice(&crc.sum().to_be_bytes());
    }

    fn of(width: u32, height: u32, more: &[(&[u8; 4], &[u8])]) -> Vec<u8> {
        let mut png = SIGNATURE.to_vec();
        let mut header = [width.to_be_bytes(), height.to_be_bytes()].concat();
        header.extend_from_slice(&[8, 6, 0, 0, 0]);
        put(&mut png, b"IHDR", &header);
        for (kind, data) in more {
            put(&mut png, kind, data);
        }
        put(&mut png, b"IDAT", b"pixels");
        put(&mut png, b"IEND", b"");
        png
    }

    #[test]
    fn a_bomb_is_refused_by_its_header() {
        assert_eq!(read(&of(60_000, 60_000, &[])), Err(Refusal::Large { width: 60_000, height: 60_000 }));
        assert_eq!(read(&of(513, 1, &[])), Err(Refusal::Large { width: 513, height: 1 }));
        assert!(read(&of(0, 1, &[])).is_err());
        assert!(read(&of(512, 512, &[])).is_ok());
        let many = [1_000_000_u32.to_be_bytes(), 0_u32.to_be_bytes()].concat();
        assert_eq!(read(&of(8, 8, &[(b"acTL", &many)])), Err(Refusal::Long));
    }

    #[test]
    fn what_is_no_part_of_the_picture_is_left_out() {
        let plain = of(8, 8, &[]);
        let talkative = of(8, 8, &[(b"tEXt", b"GPS\0here"), (b"iCCP", b"p\0\0bomb"), (b"eXIf", b"MM")]);
        assert_eq!(read(&talkative).unwrap().bytes, plain);
        assert!(read(&of(8, 8, &[(b"ABCD", b"")])).is_err(), "a part without which it cannot be shown");
        assert!(read(&of(8, 8, &[(b"acTL", &[0, 0, 0, 2, 0, 0, 0, 0])])).is_err(), "frames are missing");
        let mut damaged = plain;
        let last = damaged.len() - 20;
        damaged[last] ^= 1;
        assert!(read(&damaged).is_err(), "a check sum");
    }
}
