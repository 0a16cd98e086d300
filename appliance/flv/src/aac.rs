//! AAC's configuration, the AudioSpecificConfig (ISO/IEC 14496-3, 1.6.2.1).

use crate::bits::Bits;

/// What a decoder, and a multivariant playlist, have to know about an AAC stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Config {
    /// Of the core: 2 for AAC-LC, also under SBR and PS.
    pub object_type: u8,
    /// Of the core, in Hz. With SBR what is heard has [`Config::output_sample_rate`].
    pub sample_rate: u32,
    /// The output rate when spectral band replication (HE-AAC) is signalled.
    pub sbr_sample_rate: Option<u32>,
    /// Parametric stereo (HE-AAC v2): one coded channel, heard as two.
    pub ps: bool,
    /// Coded channels, 1 to 8.
    pub channels: u8,
    /// Samples per frame at the core's rate: 1024 or 960.
    pub frame_length: u16,
}

/// Why a configuration is refused. The texts are meant for the streamer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("AAC configuration cut off after {0} bytes")]
    Truncated(usize),
    #[error("AAC object type {0} is not supported; use AAC-LC")]
    ObjectType(u8),
    #[error("AAC sample rate index {0} is reserved")]
    SampleRateIndex(u8),
    #[error("AAC at {0} Hz is outside 7350 to 96000 Hz")]
    SampleRate(u32),
    #[error("AAC channel layout by program config element is not supported; use mono, stereo, 5.1 or 7.1")]
    ProgramConfig,
    #[error("AAC channel configuration {0} is reserved")]
    ChannelConfig(u8),
}

const SAMPLE_RATES: [u32; 13] =
    [96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8_000, 7_350];
/// The index that says that the rate itself follows, in 24 bits.
const EXPLICIT_RATE: u8 = 15;
const SYNC_EXTENSION_SBR: u32 = 0x2b7;
const SYNC_EXTENSION_PS: u32 = 0x548;
const AAC_LC: u8 = 2;
const SBR: u8 = 5;
const PS: u8 = 29;

impl Config {
    /// # Errors
    /// When the configuration is cut off, or is not of AAC-LC, Main, SSR, LTP or one of these under SBR or PS.
    pub fn parse(bytes: &[u8]) -> Result<Self, Error> {
        let mut bits = Bits::new(bytes);
        let cut = Error::Truncated(bytes.len());
        let signalled = object_type(&mut bits).ok_or(cut)?;
        let sample_rate = sample_rate(&mut bits, cut)?;
        let channel_config = bits.bits(4).ok_or(cut)?;
        let mut config = Self {
            object_type: signalled,
            sample_rate,
            sbr_sample_rate: None,
            ps: signalled == PS,
            channels: channels(channel_config)?,
            frame_length: 1024,
        };
        if signalled == SBR || signalled == PS {
            config.sbr_sample_rate = Some(self::sample_rate(&mut bits, cut)?);
            config.object_type = object_type(&mut bits).ok_or(cut)?;
        }
        if !matches!(config.object_type, 1..=4) {
            return Err(Error::ObjectType(config.object_type));
        }
        // GASpecificConfig. Channel configuration 0, which would put a program config element here, is refused above.
        if bits.flag().ok_or(cut)? {
            config.frame_length = 960;
        }
        let depends_on_core_coder = bits.flag().ok_or(cut)?;
        if depends_on_core_coder {
            bits.bits(14).ok_or(cut)?;
        }
        let _extension_flag = bits.flag().ok_or(cut)?;
        if config.sbr_sample_rate.is_none() {
            config.backward_compatible_extension(&mut bits);
        }
        Ok(config)
    }

    /// The rate of what is heard, in Hz.
    #[must_use]
    pub fn output_sample_rate(&self) -> u32 {
        self.sbr_sample_rate.unwrap_or(self.sample_rate)
    }

    /// Channels of what is heard.
    #[must_use]
    pub fn output_channels(&self) -> u8 {
        if self.ps { 2 } else { self.channels }
    }

    /// The CODECS value (RFC 6381, 3.3), such as `mp4a.40.2`.
    #[must_use]
    pub fn codec_string(&self) -> String {
        let object_type = match (self.ps, self.sbr_sample_rate) {
            (true, _) => PS,
            (false, Some(_)) => SBR,
            (false, None) => self.object_type,
        };
        format!("mp4a.40.{object_type}")
    }

    /// SBR and PS may be signalled behind the configuration, where old decoders do not look (1.6.6.1). Whatever
    /// else is there is padding.
    fn backward_compatible_extension(&mut self, bits: &mut Bits<'_>) {
        let mut look = || {
            if bits.bits(11)? != SYNC_EXTENSION_SBR || object_type(bits)? != SBR || !bits.flag()? {
                return None;
            }
            let rate = sample_rate(bits, Error::Truncated(0)).ok()?;
            let ps = bits.remaining() >= 12 && bits.bits(11)? == SYNC_EXTENSION_PS && bits.flag()?;
            Some((rate, ps))
        };
        if let Some((rate, ps)) = look() {
            self.sbr_sample_rate = Some(rate);
            self.ps = ps;
        }
    }

    /// AAC-LC without extensions: what every device plays.
    #[must_use]
    pub fn is_plain_lc(&self) -> bool {
        self.object_type == AAC_LC && self.sbr_sample_rate.is_none() && !self.ps
    }
}

fn object_type(bits: &mut Bits<'_>) -> Option<u8> {
    let object_type = match bits.bits(5)? {
        31 => 32 + bits.bits(6)?,
        object_type => object_type,
    };
    u8::try_from(object_type).ok()
}

fn sample_rate(bits: &mut Bits<'_>, cut: Error) -> Result<u32, Error> {
    let index = bits.bits(4).and_then(|index| u8::try_from(index).ok()).ok_or(cut)?;
    if index == EXPLICIT_RATE {
        let rate = bits.bits(24).ok_or(cut)?;
        let sane = (7_350..=96_000).contains(&rate);
        return if sane { Ok(rate) } else { Err(Error::SampleRate(rate)) };
    }
    SAMPLE_RATES.get(usize::from(index)).copied().ok_or(Error::SampleRateIndex(index))
}

fn channels(config: u32) -> Result<u8, Error> {
    match config {
        0 => Err(Error::ProgramConfig),
        1..=6 => Ok(u8::try_from(config).unwrap_or_default()),
        7 | 12 | 14 => Ok(8),
        11 => Ok(7),
        _ => Err(Error::ChannelConfig(u8::try_from(config).unwrap_or_default())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(sample_rate: u32, channels: u8) -> Config {
        Config { object_type: 2, sample_rate, sbr_sample_rate: None, ps: false, channels, frame_length: 1024 }
    }

    #[test]
    fn what_encoders_send() {
        assert_eq!(Config::parse(&[0x12, 0x10]), Ok(plain(44_100, 2)));
        assert_eq!(Config::parse(&[0x11, 0x90]), Ok(plain(48_000, 2)));
        // ffmpeg 5.1 appends "no SBR" behind the configuration.
        assert_eq!(Config::parse(&[0x12, 0x08, 0x56, 0xe5, 0x00]), Ok(plain(44_100, 1)));
        assert_eq!(plain(44_100, 2).codec_string(), "mp4a.40.2");
    }

    #[test]
    fn he_aac_signalled_in_each_way() {
        let explicit = Config::parse(&[0x2b, 0x11, 0x88, 0x00]).unwrap();
        assert_eq!((explicit.sample_rate, explicit.output_sample_rate()), (24_000, 48_000));
        assert_eq!(explicit.codec_string(), "mp4a.40.5");
        let compatible = Config::parse(&[0x13, 0x10, 0x56, 0xe5, 0x98]).unwrap();
        assert_eq!(compatible, explicit);
        let v2 = Config::parse(&[0xeb, 0x09, 0x88, 0x00]).unwrap();
        assert_eq!((v2.channels, v2.output_channels(), v2.codec_string().as_str()), (1, 2, "mp4a.40.29"));
    }

    #[test]
    fn explicit_rate_and_short_frames() {
        // Object type 2, index 15, 24 bits of 44056, two channels, 960 samples.
        let bits: u64 = 0b00010 << 35 | 0b1111 << 31 | 44_056 << 7 | 0b0010 << 3 | 1 << 2;
        let config = Config::parse(&bits.to_be_bytes()[3..]).unwrap();
        assert_eq!(config, Config { frame_length: 960, ..plain(44_056, 2) });
    }

    #[test]
    fn refusals_say_what_to_do_instead() {
        assert_eq!(Config::parse(&[0x12]), Err(Error::Truncated(1)));
        assert_eq!(Config::parse(&[0x12, 0x00]), Err(Error::ProgramConfig));
        assert_eq!(Config::parse(&[0x12, 0x48]), Err(Error::ChannelConfig(9)));
        assert_eq!(Config::parse(&[0x16, 0x90]), Err(Error::SampleRateIndex(13)));
        assert_eq!(Config::parse(&[0xb9, 0x90]), Err(Error::ObjectType(23)));
    }
}
