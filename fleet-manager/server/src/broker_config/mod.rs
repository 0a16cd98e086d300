//! `nodi-fleet broker-config`: a complete configuration of Mosquitto 2.0 for a fleet, in one directory.
//!
//! A box is who its certificate says, and nothing else: name, client id and rights follow from the common name. What
//! the box calls itself is ignored, so that no client id, `+` and `#` among them, is worth anything.

mod files;
mod text;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::ca::{self, Authority};

pub use files::{Error, current_user};
pub use text::{access_rules, configuration};

/// Of the broker's certificate, unless asked otherwise. `broker-config` again makes the next one.
pub const SERVER_VALIDITY: Duration = Duration::from_secs(825 * 24 * 3_600);

/// What is written.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Everything goes here.
    pub directory: PathBuf,
    pub listen: SocketAddr,
    /// Names and addresses that clients reach it by.
    pub names: Vec<String>,
    /// Who Mosquitto runs as; the private key and the access rules are readable for this user alone.
    pub user: String,
    /// Where sessions and retained messages are kept over a restart.
    pub persistence: PathBuf,
    pub max_connections: u32,
}

impl Settings {
    #[must_use]
    pub fn file(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// The main file.
    #[must_use]
    pub fn main(&self) -> PathBuf {
        self.file("mosquitto.conf")
    }

    /// What `broker.revocation_lists` has to name.
    #[must_use]
    pub fn revocation_list(&self) -> PathBuf {
        self.file("crl.pem")
    }

    /// Written by Mosquitto when it runs.
    #[must_use]
    pub fn pid_file(&self) -> PathBuf {
        self.persistence.join("mosquitto.pid")
    }
}

/// Writes all files, with a new certificate for the broker. A revocation list that is there stays: the running server
/// keeps it.
///
/// # Errors
/// What cannot be written.
pub fn write(settings: &Settings, authority: &Authority, now_ms: i64) -> Result<(), Error> {
    let identity = authority.issue_server(&settings.names, SERVER_VALIDITY, now_ms)?;
    let owner = files::Owner::of(&settings.user)?;
    files::directory(&settings.directory, 0o755, None)?;
    files::directory(&settings.persistence, 0o700, Some(&owner))?;
    let file = |name: &str, mode, owner: Option<&files::Owner>, text: &str| {
        files::replace(&settings.file(name), mode, owner, text.as_bytes())
    };
    file("ca.pem", 0o644, None, authority.certificate_pem())?;
    file("broker.pem", 0o644, None, &identity.certificate.pem)?;
    file("broker.key", 0o600, Some(&owner), &identity.key_pem)?;
    file("acl", 0o600, Some(&owner), &access_rules())?;
    if !settings.revocation_list().exists() {
        let empty = authority.revocation_list(&[], 0, now_ms)?;
        file("crl.pem", 0o644, None, &empty)?;
    }
    file("mosquitto.conf", 0o644, None, &configuration(settings))
}

/// Writes a certificate and its key.
///
/// # Errors
/// When they cannot be written.
pub fn write_identity(certificate: &Path, key: &Path, identity: &ca::Identity) -> Result<(), Error> {
    for path in [certificate, key] {
        if let Some(parent) =
            path.parent().filter(|parent| !parent.as_os_str().is_empty() && !parent.exists())
        {
            files::directory(parent, 0o755, None)?;
        }
    }
    files::replace(key, 0o600, None, identity.key_pem.as_bytes())?;
    files::replace(certificate, 0o644, None, identity.certificate.pem.as_bytes())
}
