//! Why a connection ended or a message was not accepted, in this crate's own words.

use std::fmt;

use rumqttc::{ConnectionError, PubAckReason, StateError, SubscribeReasonCode};

/// MQTT 5 reason codes that somebody may want to tell apart (MQTT 5.0, 2.4).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    NotAuthorised,
    /// The client id or the user is unknown or barred.
    Barred,
    QuotaExceeded,
    PacketTooLarge,
    /// Another connection came with the same client id.
    SessionTakenOver,
    ServerShuttingDown,
    KeepAliveTimeout,
    /// Any other, by its name in the standard.
    Other(String),
}

impl Reason {
    pub(crate) fn named(code: impl fmt::Debug) -> Self {
        let name = format!("{code:?}");
        match name.as_str() {
            "NotAuthorized" => Self::NotAuthorised,
            "Banned" | "BadUserNamePassword" | "ClientIdentifierNotValid" | "BadClientId" => Self::Barred,
            "QuotaExceeded" => Self::QuotaExceeded,
            "PacketTooLarge" => Self::PacketTooLarge,
            "SessionTakenOver" => Self::SessionTakenOver,
            "ServerShuttingDown" => Self::ServerShuttingDown,
            "KeepAliveTimeout" => Self::KeepAliveTimeout,
            _ => Self::Other(name),
        }
    }

    pub(crate) fn of_puback(code: PubAckReason) -> Result<(), Self> {
        match code {
            // That nobody listens is for the publisher as good as that somebody does.
            PubAckReason::Success | PubAckReason::NoMatchingSubscribers => Ok(()),
            refused => Err(Self::named(refused)),
        }
    }

    pub(crate) fn of_suback(code: SubscribeReasonCode) -> Result<(), Self> {
        match code {
            SubscribeReasonCode::Success(_) => Ok(()),
            refused => Err(Self::named(refused)),
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotAuthorised => "not authorised",
            Self::Barred => "this client is barred",
            Self::QuotaExceeded => "quota exceeded",
            Self::PacketTooLarge => "packet too large",
            Self::SessionTakenOver => "another connection came with the same client id",
            Self::ServerShuttingDown => "the broker is shutting down",
            Self::KeepAliveTimeout => "nothing came within the keep-alive time",
            Self::Other(name) => name,
        })
    }
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum Why {
    #[error("broker unreachable: {0}")]
    Unreachable(std::io::Error),
    /// Also when the certificate of either side is not valid at this time.
    #[error("TLS: {0}")]
    Tls(String),
    #[error("the broker refuses the connection: {0}")]
    Refused(Reason),
    #[error("the broker ended the connection: {0}")]
    Ended(Reason),
    /// A broker that does not like the certificate does this, too.
    #[error("connection lost: {0}")]
    Lost(String),
    #[error("the broker did not answer in time")]
    Silent,
    #[error("cannot prepare a connection: {0}")]
    Preparation(crate::BoxError),
    #[error("reconnecting, as asked")]
    Asked,
}

impl From<ConnectionError> for Why {
    fn from(error: ConnectionError) -> Self {
        use std::io::ErrorKind;
        match error {
            ConnectionError::ConnectionRefused(code) => Self::Refused(Reason::named(code)),
            ConnectionError::Timeout(_) | ConnectionError::MqttState(StateError::AwaitPingResp) => {
                Self::Silent
            }
            ConnectionError::Tls(error) => Self::of_tls(error),
            ConnectionError::Io(error) if of_rustls(&error) => Self::Tls(error.to_string()),
            ConnectionError::Io(error) | ConnectionError::MqttState(StateError::Io(error))
                if matches!(
                    error.kind(),
                    ErrorKind::ConnectionRefused
                        | ErrorKind::HostUnreachable
                        | ErrorKind::NetworkUnreachable
                        | ErrorKind::AddrNotAvailable
                ) =>
            {
                Self::Unreachable(error)
            }
            ConnectionError::MqttState(StateError::Io(error)) if of_rustls(&error) => {
                Self::Tls(error.to_string())
            }
            ConnectionError::MqttState(StateError::ServerDisconnect { reason_code, .. }) => {
                Self::Ended(Reason::named(reason_code))
            }
            other => Self::Lost(other.to_string()),
        }
    }
}

impl Why {
    fn of_tls(error: rumqttc::TlsError) -> Self {
        match error {
            rumqttc::TlsError::Io(error) if !of_rustls(&error) => Self::Unreachable(error),
            error => Self::Tls(error.to_string()),
        }
    }
}

/// An alert or a verdict of the TLS layer comes wrapped as an I/O error.
fn of_rustls(error: &std::io::Error) -> bool {
    error.get_ref().is_some_and(|inner| inner.is::<rustls::Error>())
}
