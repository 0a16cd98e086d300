//! The next certificate, at two thirds of the life of the one in use, plus up to a twelfth that each box draws for
//! itself, so that a fleet that was set up in one day does not ask in one minute.

use nodi_protocol::enrol::{Enrolled, Renewal};

use super::{Error, Identity, Validity, renewed};
use crate::fleet::{self, Fleet};

/// When to ask for the next certificate.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Schedule {
    pub due_ms: u64,
}

impl Schedule {
    /// `draw`: 0 to 1.
    pub(crate) fn of(validity: Validity, draw: f64) -> Self {
        let life = validity.not_after_ms.saturating_sub(validity.not_before_ms);
        #[allow(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a share of some months, in milliseconds"
        )]
        let jitter = (life as f64 / 12.0 * draw.clamp(0.0, 1.0)) as u64;
        Self { due_ms: validity.not_before_ms + life / 3 * 2 + jitter }
    }
}

/// Why there is no new certificate.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error(transparent)]
    Fleet(#[from] fleet::Error),
    #[error(transparent)]
    Identity(#[from] Error),
}

/// Asks for the next certificate and keeps it.
pub(crate) async fn renew(
    identity: &Identity,
    fleet: &Fleet,
    enrolled: &Enrolled,
) -> Result<Enrolled, Failure> {
    let renewal = Renewal { csr_pem: identity.request()? };
    let next = renewed(enrolled, fleet.renew(&identity.box_id, &renewal).await?);
    identity.keep(&next)?;
    Ok(next)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_certificate_is_asked_for_between_eight_and_nine_twelfths() {
        let day = 86_400_000;
        let validity = Validity { not_before_ms: 1_000 * day, not_after_ms: 1_090 * day };
        assert_eq!(Schedule::of(validity, 0.0).due_ms, 1_060 * day);
        assert_eq!(Schedule::of(validity, 1.0).due_ms, 1_067 * day + day / 2);
    }
}
