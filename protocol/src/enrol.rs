//! How a box gets its identity, over HTTPS from the fleet server: `POST /api/v1/enrolments` and
//! `POST /api/v1/boxes/<id>/certificate`. A certificate signing request proves that the box has the
//! key, and the answer is of use to nobody else: no other secret is needed. The same request may be made
//! again at any time and gets the same answer.

use serde::{Deserialize, Serialize};

use crate::BoxId;
use crate::fleet::presence::Hardware;

/// Digits of SHA-256 that become a box id: 80 bits, so that nobody finds a second key for it.
const ID_DIGITS: usize = 16;
/// RFC 4648 base 32 in lower case.
const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";

/// The id of the box that has this key: `box-` and 16 letters and digits of the SHA-256 of its public
/// key (DER of SubjectPublicKeyInfo, RFC 5280 4.1.2.7).
///
/// `sha256` is passed in so that this crate needs no hash function.
#[must_use]
pub fn box_id(sha256: &[u8; 32]) -> BoxId {
    let mut text = "box-".to_owned();
    let (mut bits, mut held) = (0_u32, 0);
    // Five bits a digit: whole bytes are used up by the last one.
    for byte in sha256.iter().take(ID_DIGITS * 5 / 8) {
        bits = (bits << 8) | u32::from(*byte);
        held += 8;
        while held >= 5 {
            held -= 5;
            let digit = (bits >> held) & 31;
            text.push(char::from(ALPHABET.get(digit as usize).copied().unwrap_or(b'a')));
        }
        bits &= (1 << held) - 1;
    }
    #[allow(clippy::expect_used, reason = "the alphabet and the length are those of a name")]
    text.parse().expect("a box id")
}

/// Body of `POST /api/v1/enrolments`. 200 with [`Enrolled`], 202 with [`Waiting`], 403 when the claim code is wrong,
/// used up or expired, or the box was turned away or revoked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// PKCS #10, PEM.
    pub csr_pem: String,
    /// From the provisioning file. Without one the box waits for a person.
    #[serde(default)]
    pub claim_code: Option<String>,
    #[serde(default)]
    pub hardware: Hardware,
    /// Of the software on the box.
    pub version: String,
}

/// A person has to approve it in the dashboard, or to type its code there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Waiting {
    pub box_id: BoxId,
    /// Shown by the box (log, console) and beside it in the dashboard, so that a person can tell which is which.
    pub code: String,
    /// Ask again after so many seconds.
    pub retry_s: u32,
}

/// Everything that the box needs from now on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Enrolled {
    pub box_id: BoxId,
    /// The box's certificate and what leads to the authority's, PEM.
    pub certificate_pem: String,
    /// The fleet's authority, PEM: for the broker's and the origins' certificates.
    pub ca_pem: String,
    pub broker: Broker,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Broker {
    pub host: String,
    pub port: u16,
}

/// Body of `POST /api/v1/boxes/<id>/certificate`: a request with the key that the box enrolled with.
/// Answer: [`Renewed`]; 403 when the key is another one or the box was revoked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Renewal {
    pub csr_pem: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Renewed {
    pub certificate_pem: String,
    pub ca_pem: String,
    pub broker: Broker,
}

/// Answer of `GET /api/v1/time`: for a box whose clock was wrong at boot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Time {
    /// Milliseconds since the Unix epoch.
    pub unix_ms: u64,
}

/// The provisioning file of an image, JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Provisioning {
    /// `https://host[:port]`.
    pub fleet_url: String,
    /// The fleet's authority, PEM. Absent: the fleet server's certificate is from a public authority.
    #[serde(default)]
    pub ca_pem: Option<String>,
    #[serde(default)]
    pub claim_code: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_box_id_is_the_first_eighty_bits_in_base_32() {
        // RFC 4648 10: "fooba" is MZXW6YTB.
        let mut digest = [0xff; 32];
        for (byte, known) in digest.iter_mut().zip(b"foobafooba") {
            *byte = *known;
        }
        assert_eq!(box_id(&digest).as_str(), "box-mzxw6ytbmzxw6ytb");
        assert_eq!(box_id(&[0xff; 32]).as_str(), "box-7777777777777777");
        assert_eq!(box_id(&[0; 32]).as_str(), "box-aaaaaaaaaaaaaaaa");
    }
}
