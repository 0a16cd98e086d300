//! Looks into CMAF files as far as the checker needs: times, sizes and flags of samples, and the
//! first NAL units of a video sample (ISO/IEC 14496-12 and 14496-15).

/// What an initialisation section says about its one track.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Init {
    pub timescale: u32,
    pub track: Track,
    default_duration: u32,
    default_size: u32,
    default_flags: u32,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Track {
    Video {
        width: u32,
        height: u32,
        /// `avc1.64001f`, from the decoder configuration.
        codec: String,
        /// Bytes of a NAL unit's length field.
        length_size: usize,
    },
    Audio {
        sample_rate: u32,
    },
}

/// One `moof` with its `mdat`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fragment {
    /// `tfdt`, in the track's timescale.
    pub decode_time: u64,
    pub samples: Vec<Sample>,
    /// Types of the first sample's NAL units; empty for audio.
    pub first_nals: Vec<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sample {
    pub duration: u32,
    pub size: u32,
    /// `sample_is_non_sync_sample` is not set.
    pub sync: bool,
    pub composition_offset: i64,
}

/// NAL unit types (ITU-T H.264 table 7-1).
pub const NAL_SLICE: u8 = 1;
pub const NAL_IDR: u8 = 5;

const NON_SYNC: u32 = 0x0001_0000;

impl Fragment {
    /// In the track's timescale.
    #[must_use]
    pub fn duration(&self) -> u64 {
        self.samples.iter().map(|sample| u64::from(sample.duration)).sum()
    }

    /// The first picture is an IDR picture: no slice of another kind comes before it.
    #[must_use]
    pub fn starts_with_idr(&self) -> bool {
        self.first_nals.iter().find(|nal| matches!(**nal, NAL_SLICE..=NAL_IDR)) == Some(&NAL_IDR)
    }
}

/// A box's type and payload.
type Box<'a> = ([u8; 4], &'a [u8]);

/// A read position that reports the end of the bytes as an error.
struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    fn take(&mut self, len: usize) -> Result<&'a [u8], String> {
        let (head, rest) = self.0.split_at_checked(len).ok_or("a box is cut short")?;
        self.0 = rest;
        Ok(head)
    }

    fn u8(&mut self) -> Result<u8, String> {
        Ok(self.take(1)?.first().copied().unwrap_or_default())
    }

    fn u16(&mut self) -> Result<u16, String> {
        Ok(self.take(2)?.iter().fold(0, |value, byte| value << 8 | u16::from(*byte)))
    }

    fn u32(&mut self) -> Result<u32, String> {
        Ok(self.take(4)?.iter().fold(0, |value, byte| value << 8 | u32::from(*byte)))
    }

    fn u64(&mut self) -> Result<u64, String> {
        Ok(self.take(8)?.iter().fold(0, |value, byte| value << 8 | u64::from(*byte)))
    }
}

/// The boxes that lie in `bytes` one after another.
///
/// # Errors
/// When a size does not fit.
pub fn boxes(bytes: &[u8]) -> Result<Vec<Box<'_>>, String> {
    let mut cursor = Cursor(bytes);
    let mut found = Vec::new();
    while !cursor.0.is_empty() {
        let size = cursor.u32()?;
        let mut kind = [0; 4];
        kind.copy_from_slice(cursor.take(4)?);
        let payload = match size {
            0 => cursor.0.len() as u64,
            1 => cursor.u64()?.saturating_sub(16),
            size => u64::from(size).saturating_sub(8),
        };
        let payload = usize::try_from(payload).map_err(|_| "a box is too large".to_owned())?;
        found.push((kind, cursor.take(payload)?));
    }
    Ok(found)
}

fn child<'a>(bytes: &'a [u8], kind: &[u8; 4]) -> Result<&'a [u8], String> {
    boxes(bytes)?
        .into_iter()
        .find(|(found, _)| found == kind)
        .map(|(_, payload)| payload)
        .ok_or_else(|| format!("no {} box", String::from_utf8_lossy(kind)))
}

fn path<'a>(bytes: &'a [u8], kinds: &[&[u8; 4]]) -> Result<&'a [u8], String> {
    kinds.iter().try_fold(bytes, |bytes, kind| child(bytes, kind))
}

/// Reads an initialisation section with one track.
///
/// # Errors
/// Names what is missing or not understood.
pub fn parse_init(bytes: &[u8]) -> Result<Init, String> {
    let moov = child(bytes, b"moov")?;
    let tracks = boxes(moov)?.into_iter().filter(|(kind, _)| kind == b"trak").count();
    if tracks != 1 {
        return Err(format!("{tracks} tracks in one file"));
    }
    let mut mdhd = Cursor(path(moov, &[b"trak", b"mdia", b"mdhd"])?);
    let version = mdhd.u32()? >> 24;
    mdhd.take(if version == 1 { 16 } else { 8 })?;
    let timescale = mdhd.u32()?;
    let mut stsd = Cursor(path(moov, &[b"trak", b"mdia", b"minf", b"stbl", b"stsd"])?);
    stsd.take(8)?;
    let track = sample_entry(stsd.0)?;
    let mut trex = Cursor(path(moov, &[b"mvex", b"trex"])?);
    trex.take(12)?;
    Ok(Init {
        timescale,
        track,
        default_duration: trex.u32()?,
        default_size: trex.u32()?,
        default_flags: trex.u32()?,
    })
}

fn sample_entry(bytes: &[u8]) -> Result<Track, String> {
    let entries = boxes(bytes)?;
    let (kind, entry) = entries.first().ok_or("stsd is empty")?;
    let mut entry = Cursor(entry);
    match kind {
        b"avc1" | b"avc3" => {
            entry.take(24)?;
            let (width, height) = (u32::from(entry.u16()?), u32::from(entry.u16()?));
            entry.take(50)?;
            let mut avcc = Cursor(child(entry.0, b"avcC")?);
            avcc.take(1)?;
            let profile = avcc.take(3)?;
            let hex: String = profile.iter().map(|byte| format!("{byte:02x}")).collect();
            let length_size = usize::from(avcc.u8()? & 3) + 1;
            Ok(Track::Video { width, height, codec: format!("avc1.{hex}"), length_size })
        }
        b"mp4a" => {
            entry.take(24)?;
            Ok(Track::Audio { sample_rate: entry.u32()? >> 16 })
        }
        other => Err(format!("sample entry {}", String::from_utf8_lossy(other))),
    }
}

/// Reads the fragments of a part or a segment.
///
/// # Errors
/// Names what is missing or not understood.
pub fn parse_fragments(init: &Init, bytes: &[u8]) -> Result<Vec<Fragment>, String> {
    let mut fragments = Vec::new();
    let mut pending: Option<Fragment> = None;
    for (kind, payload) in boxes(bytes)? {
        match &kind {
            b"moof" => {
                if pending.is_some() {
                    return Err("a moof without its mdat".to_owned());
                }
                pending = Some(fragment(init, payload)?);
            }
            b"mdat" => {
                let mut fragment = pending.take().ok_or("an mdat without its moof")?;
                let sizes: u64 = fragment.samples.iter().map(|sample| u64::from(sample.size)).sum();
                if sizes != payload.len() as u64 {
                    return Err(format!("samples of {sizes} bytes in an mdat of {}", payload.len()));
                }
                if let (Track::Video { length_size, .. }, Some(sample)) =
                    (&init.track, fragment.samples.first())
                {
                    let size = usize::try_from(sample.size).unwrap_or(usize::MAX);
                    fragment.first_nals = nal_types(payload.get(..size).unwrap_or(payload), *length_size)?;
                }
                fragments.push(fragment);
            }
            _ => {}
        }
    }
    if pending.is_some() {
        return Err("a moof without its mdat".to_owned());
    }
    Ok(fragments)
}

fn fragment(init: &Init, moof: &[u8]) -> Result<Fragment, String> {
    let traf = child(moof, b"traf")?;
    let mut tfhd = Cursor(child(traf, b"tfhd")?);
    let flags = tfhd.u32()? & 0x00ff_ffff;
    tfhd.take(4)?;
    if flags & 0x01 != 0 {
        tfhd.take(8)?;
    }
    if flags & 0x02 != 0 {
        tfhd.take(4)?;
    }
    let default_duration = if flags & 0x08 != 0 { tfhd.u32()? } else { init.default_duration };
    let default_size = if flags & 0x10 != 0 { tfhd.u32()? } else { init.default_size };
    let default_flags = if flags & 0x20 != 0 { tfhd.u32()? } else { init.default_flags };

    let mut tfdt = Cursor(child(traf, b"tfdt")?);
    if tfdt.u32()? >> 24 != 1 {
        return Err("tfdt has 32 bits".to_owned());
    }
    let decode_time = tfdt.u64()?;

    let mut samples = Vec::new();
    for (_, trun) in boxes(traf)?.into_iter().filter(|(kind, _)| kind == b"trun") {
        let mut trun = Cursor(trun);
        let version_flags = trun.u32()?;
        let count = trun.u32()?;
        if version_flags & 0x01 != 0 {
            trun.take(4)?;
        }
        let first_flags = if version_flags & 0x04 != 0 { Some(trun.u32()?) } else { None };
        for index in 0..count {
            let duration = if version_flags & 0x100 != 0 { trun.u32()? } else { default_duration };
            let size = if version_flags & 0x200 != 0 { trun.u32()? } else { default_size };
            let flags = if version_flags & 0x400 != 0 { trun.u32()? } else { default_flags };
            let flags = first_flags.filter(|_| index == 0).unwrap_or(flags);
            let composition_offset = match version_flags & 0x800 {
                0 => 0,
                _ if version_flags >> 24 == 0 => i64::from(trun.u32()?),
                _ => i64::from(trun.u32()?.cast_signed()),
            };
            samples.push(Sample { duration, size, sync: flags & NON_SYNC == 0, composition_offset });
        }
    }
    Ok(Fragment { decode_time, samples, first_nals: Vec::new() })
}

fn nal_types(sample: &[u8], length_size: usize) -> Result<Vec<u8>, String> {
    let mut cursor = Cursor(sample);
    let mut types = Vec::new();
    while !cursor.0.is_empty() {
        let length = cursor.take(length_size)?.iter().fold(0, |value, byte| value << 8 | usize::from(*byte));
        let nal = cursor.take(length)?;
        types.push(nal.first().ok_or("an empty NAL unit")? & 0x1f);
    }
    Ok(types)
}
