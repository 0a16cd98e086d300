//! GIF (87a, 89a): a header and blocks.

use super::{Frame, Kind, Picture, Reader, Refusal, check_size};

const EXTENSION: u8 = 0x21;
const IMAGE: u8 = 0x2c;
const TRAILER: u8 = 0x3b;
/// Extensions: how the next frame is shown, and whether the animation begins again.
const GRAPHIC_CONTROL: u8 = 0xf9;
const APPLICATION: u8 = 0xff;
const COMMENT: u8 = 0xfe;
const LOOPS: [&[u8]; 2] = [b"NETSCAPE2.0", b"ANIMEXTS1.0"];

pub(super) fn read(bytes: &[u8]) -> Result<Picture, Refusal> {
    let mut reader = Reader(bytes);
    let signature = reader.take(6)?;
    if !matches!(signature, b"GIF87a" | b"GIF89a") {
        return Err(Refusal::Kind);
    }
    let (width, height) = (reader.u16_le()?, reader.u16_le()?);
    check_size(width, height)?;
    let [packed, _background, _aspect] = reader.array()?;
    reader.take(colors(packed))?;
    let mut kept = until(bytes, &reader)?.to_vec();
    let mut frames = 0;
    loop {
        let before = reader.0;
        match reader.byte()? {
            TRAILER => break,
            IMAGE => {
                let (left, top) = (reader.u16_le()?, reader.u16_le()?);
                let frame = Frame { left, top, width: reader.u16_le()?, height: reader.u16_le()? };
                frame.count(&mut frames, width, height)?;
                let packed = reader.byte()?;
                reader.take(colors(packed))?;
                // Bits of the first code: more than 11 no coder has.
                if !(1..=11).contains(&reader.byte()?) {
                    return Err(Refusal::Damaged("its pixels"));
                }
                blocks(&mut reader)?;
                kept.extend_from_slice(until(before, &reader)?);
            }
            EXTENSION => {
                let label = reader.byte()?;
                let first = reader.0.get(1..).and_then(|rest| rest.get(..11));
                let looping = first.is_some_and(|name| LOOPS.contains(&name));
                blocks(&mut reader)?;
                match label {
                    GRAPHIC_CONTROL => kept.extend_from_slice(until(before, &reader)?),
                    APPLICATION if looping => kept.extend_from_slice(until(before, &reader)?),
                    APPLICATION | COMMENT => {}
                    _ => return Err(Refusal::Damaged("it has a part that nobody knows")),
                }
            }
            _ => return Err(Refusal::Damaged("it has a part that nobody knows")),
        }
    }
    if frames == 0 {
        return Err(Refusal::Damaged("pixels are missing"));
    }
    if !reader.is_empty() {
        return Err(Refusal::Damaged("something follows its end"));
    }
    kept.push(TRAILER);
    Ok(Picture { kind: Kind::Gif, width, height, frames, bytes: kept })
}

/// Bytes of the colour table that these flags announce.
fn colors(packed: u8) -> usize {
    if packed & 0x80 == 0 { 0 } else { 3 << ((packed & 7) + 1) }
}

/// Sub-blocks up to the empty one.
fn blocks(reader: &mut Reader<'_>) -> Result<(), Refusal> {
    loop {
        let size = reader.byte()?;
        if size == 0 {
            return Ok(());
        }
        reader.take(usize::from(size))?;
    }
}

/// What was read of `before`.
fn until<'a>(before: &'a [u8], reader: &Reader<'_>) -> Result<&'a [u8], Refusal> {
    before.get(..before.len() - reader.0.len()).ok_or(Refusal::Damaged("it breaks off"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FRAME: &[u8] = &[IMAGE, 0, 0, 0, 0, 8, 0, 8, 0, 0, 2, 1, 0x44, 0];

    fn of(width: u16, height: u16, blocks: &[&[u8]]) -> Vec<u8> {
        let mut gif = b"GIF89a".to_vec();
        gif.extend_from_slice(&width.to_le_bytes());
        gif.extend_from_slice(&height.to_le_bytes());
        gif.extend_from_slice(&[0, 0, 0]);
        gif.extend(blocks.concat());
        gif.push(TRAILER);
        gif
    }

    #[test]
    fn size_and_frames_are_bounded() {
        assert!(read(&of(8, 8, &[FRAME])).is_ok());
        assert_eq!(read(&of(65_535, 8, &[FRAME])), Err(Refusal::Large { width: 65_535, height: 8 }));
        assert!(read(&of(7, 8, &[FRAME])).is_err(), "a frame larger than the picture");
        assert!(read(&of(8, 8, &[])).is_err());
        assert_eq!(read(&of(8, 8, &vec![FRAME; 300])).unwrap().frames, 300);
        assert_eq!(read(&of(8, 8, &vec![FRAME; 301])), Err(Refusal::Long));
    }

    #[test]
    fn what_is_no_part_of_the_picture_is_left_out() {
        let comment = [&[EXTENSION, COMMENT, 4][..], b"here", &[0]].concat();
        let unknown = [&[EXTENSION, APPLICATION, 11][..], b"ImageMagick", &[1, 7, 0]].concat();
        let looping = [&[EXTENSION, APPLICATION, 11][..], b"NETSCAPE2.0", &[3, 1, 0, 0, 0]].concat();
        let control = [EXTENSION, GRAPHIC_CONTROL, 4, 0, 10, 0, 0, 0];
        let given = of(8, 8, &[&comment, &looping, &unknown, &control, FRAME]);
        assert_eq!(read(&given).unwrap().bytes, of(8, 8, &[&looping, &control, FRAME]));
        let text = [EXTENSION, 0x01, 1, 0, 0];
        assert!(read(&of(8, 8, &[&text, FRAME])).is_err());
    }
}
