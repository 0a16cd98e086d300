//! Initialisation sections: `ftyp` + `moov` of one track without samples.

use bytes::Bytes;
use mp4_atom::esds::{DecoderConfig, DecoderSpecific, EsDescriptor, SLConfig};
use mp4_atom::{
    Atom, Audio, Avc1, Avcc, Btrt, Codec, Dinf, Dref, DrefEntry, Encode, Esds, FixedPoint, FourCC, Ftyp,
    Hdlr, Mdhd, Mdia, Minf, Moov, Mp4a, Mvex, Mvhd, Smhd, Stbl, Stco, Stsd, Tkhd, Trak, Trex, Url, Visual,
    Vmhd,
};

use super::{Error, TRACK_ID};

/// MPEG-4 audio (ISO/IEC 14496-1, table 5).
const OBJECT_TYPE_MPEG4_AUDIO: u8 = 0x40;
/// Audio stream (ISO/IEC 14496-1, table 6).
const STREAM_TYPE_AUDIO: u8 = 5;

/// What a sample entry describes; HEVC and AV1 become further variants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SampleEntry {
    Avc(VideoEntry),
    Aac(AudioEntry),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VideoEntry {
    /// Decoder configuration record.
    pub record: Bytes,
    pub width: u16,
    pub height: u16,
    /// In bit/s.
    pub peak_bitrate: u32,
    pub bitrate: u32,
    /// Size of the encoder's rate buffer, in bits.
    pub buffer_bits: u32,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AudioEntry {
    /// AudioSpecificConfig.
    pub config: Bytes,
    pub sample_rate: u32,
    pub channels: u16,
    /// In bit/s.
    pub bitrate: u32,
}

/// The CODECS value (RFC 6381).
///
/// # Errors
/// When the decoder configuration cannot be read.
pub fn codecs(entry: &SampleEntry) -> Result<String, Error> {
    match entry {
        SampleEntry::Avc(video) => {
            let record = avcc(&video.record)?;
            Ok(nodi_flv::avc::codec_string(
                record.avc_profile_indication,
                record.profile_compatibility,
                record.avc_level_indication,
            ))
        }
        SampleEntry::Aac(audio) => nodi_flv::aac::Config::parse(&audio.config)
            .map(|config| config.codec_string())
            .map_err(|error| Error::Configuration(error.to_string())),
    }
}

/// The whole section.
///
/// # Errors
/// When the decoder configuration cannot be read.
pub fn section(entry: &SampleEntry, timescale: u32) -> Result<Vec<u8>, Error> {
    let (codec, handler, tkhd, minf) = match entry {
        SampleEntry::Avc(video) => (
            Codec::from(avc1(video)?),
            Hdlr { handler: FourCC::new(b"vide"), name: "video".to_owned() },
            Tkhd { width: video.width.into(), height: video.height.into(), ..Tkhd::default() },
            Minf { vmhd: Some(Vmhd::default()), ..Minf::default() },
        ),
        SampleEntry::Aac(audio) => (
            Codec::from(mp4a(audio)?),
            Hdlr { handler: FourCC::new(b"soun"), name: "audio".to_owned() },
            Tkhd { volume: 1.into(), alternate_group: 1, ..Tkhd::default() },
            Minf { smhd: Some(Smhd::default()), ..Minf::default() },
        ),
    };
    let moov = Moov {
        mvhd: Mvhd {
            creation_time: 0,
            modification_time: 0,
            timescale,
            duration: 0,
            rate: 1.into(),
            volume: 1.into(),
            matrix: mp4_atom::Matrix::default(),
            next_track_id: TRACK_ID + 1,
        },
        trak: vec![Trak {
            tkhd: Tkhd { track_id: TRACK_ID, enabled: true, in_movie: true, ..tkhd },
            mdia: Mdia {
                mdhd: Mdhd { timescale, language: "und".to_owned(), ..Mdhd::default() },
                hdlr: handler,
                minf: Minf {
                    // The media is in the same file.
                    dinf: Dinf { dref: Dref { entries: vec![DrefEntry::Url(Url::default())] } },
                    stbl: Stbl {
                        stsd: Stsd { codecs: vec![codec] },
                        stco: Some(Stco::default()),
                        ..Stbl::default()
                    },
                    ..minf
                },
            },
            ..Trak::default()
        }],
        // Every fragment states its own defaults, as the brand cmf2 asks for.
        mvex: Some(Mvex {
            trex: vec![Trex { track_id: TRACK_ID, default_sample_description_index: 1, ..Trex::default() }],
            ..Mvex::default()
        }),
        ..Moov::default()
    };
    let mut section = Vec::with_capacity(1024);
    ftyp().encode(&mut section)?;
    moov.encode(&mut section)?;
    Ok(section)
}

fn ftyp() -> Ftyp {
    Ftyp {
        major_brand: FourCC::new(b"iso6"),
        minor_version: 0,
        compatible_brands: [b"iso6", b"cmfc", b"cmf2"].map(FourCC::new).to_vec(),
    }
}

fn avc1(video: &VideoEntry) -> Result<Avc1, Error> {
    Ok(Avc1 {
        visual: Visual {
            data_reference_index: 1,
            width: video.width,
            height: video.height,
            ..Visual::default()
        },
        avcc: avcc(&video.record)?,
        btrt: Some(Btrt {
            buffer_size_db: video.buffer_bits / 8,
            max_bitrate: video.peak_bitrate,
            avg_bitrate: video.bitrate,
        }),
        colr: None,
        pasp: None,
        taic: None,
        fiel: None,
        spatial: None,
    })
}

fn avcc(record: &Bytes) -> Result<Avcc, Error> {
    let avcc = Avcc::decode_body(&mut record.as_ref())
        .map_err(|error| Error::Configuration(format!("AVCDecoderConfigurationRecord: {error}")))?;
    if avcc.sequence_parameter_sets.is_empty() || avcc.picture_parameter_sets.is_empty() {
        return Err(Error::Configuration("AVCDecoderConfigurationRecord without parameter sets".to_owned()));
    }
    Ok(avcc)
}

fn mp4a(audio: &AudioEntry) -> Result<Mp4a, Error> {
    let config = nodi_flv::aac::Config::parse(&audio.config)
        .map_err(|error| Error::Configuration(error.to_string()))?;
    // The field has 16 bits in front of the point; above, the AudioSpecificConfig alone says it.
    let sample_rate = FixedPoint::from(u16::try_from(audio.sample_rate).unwrap_or_default());
    Ok(Mp4a {
        audio: Audio { data_reference_index: 1, channel_count: audio.channels, sample_size: 16, sample_rate },
        esds: Esds {
            es_desc: EsDescriptor {
                dec_config: DecoderConfig {
                    object_type_indication: OBJECT_TYPE_MPEG4_AUDIO,
                    stream_type: STREAM_TYPE_AUDIO,
                    max_bitrate: audio.bitrate,
                    avg_bitrate: audio.bitrate,
                    dec_specific: Some(DecoderSpecific {
                        profile: config.object_type,
                        chan_conf: config.channels,
                        raw: audio.config.to_vec(),
                        ..DecoderSpecific::default()
                    }),
                    ..DecoderConfig::default()
                },
                sl_config: SLConfig::default(),
                ..EsDescriptor::default()
            },
        },
        btrt: None,
        taic: None,
    })
}
