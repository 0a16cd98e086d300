//! Chat tokens that the lab mints itself: where there is no fleet server, and for what no page asks for, such as the badge
//! of a scripted chatter or a token that is good for a second.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use nodi_protocol::ChannelId;
use nodi_protocol::chat::Role;
use nodi_protocol::chat::token::{Claims, Minter};

use crate::error::{Error, io};

/// As the fleet server names them.
const SECRET: &str = "chat-tokens.key";
const PUBLIC: &str = "chat-tokens.pub";
/// How long a token is good if nobody says otherwise: longer than any lab runs.
const LIFETIME: Duration = Duration::from_secs(7 * 86_400);
/// Old enough for every minimum age of an account.
const AGE: Duration = Duration::from_secs(365 * 86_400);

/// The files of one directory: what tokens are signed with, and what the chat service checks them against.
pub struct Tokens {
    minter: Minter,
    public: PathBuf,
}

impl Tokens {
    /// Those that are there already, such as a fleet server's.
    ///
    /// # Errors
    /// When there are none, or the file is broken.
    pub fn open(dir: &Path) -> Result<Self, Error> {
        let secret = dir.join(SECRET);
        let text = std::fs::read_to_string(&secret).map_err(io(format!("reading {}", secret.display())))?;
        let seed = text
            .lines()
            .map(str::trim)
            .find(|line| !line.is_empty() && !line.starts_with('#'))
            .and_then(|line| STANDARD.decode(line).ok())
            .and_then(|bytes| <[u8; 32]>::try_from(bytes).ok())
            .ok_or_else(|| {
                Error::Chat(format!("{}: no base64 of a 32-byte Ed25519 key", secret.display()))
            })?;
        Ok(Self { minter: Minter::from_seed(&seed), public: dir.join(PUBLIC) })
    }

    /// The same, made if they are not there.
    ///
    /// # Errors
    /// When the directory cannot be written, or the file is broken.
    pub fn create(dir: &Path) -> Result<Self, Error> {
        std::fs::create_dir_all(dir).map_err(io(format!("creating {}", dir.display())))?;
        let secret = dir.join(SECRET);
        if !secret.exists() {
            let mut seed = [0; 32];
            getrandom::fill(&mut seed)
                .map_err(|error| io("reading random bytes")(std::io::Error::other(error)))?;
            crate::keys::replace(&secret, format!("{}\n", STANDARD.encode(seed)).as_bytes())?;
        }
        let tokens = Self::open(dir)?;
        let public = STANDARD.encode(tokens.minter.public_key().as_bytes());
        crate::keys::replace(&tokens.public, format!("{public}\n").as_bytes())?;
        Ok(tokens)
    }

    /// Those of a lab's directory, whether it ran with a fleet or without.
    ///
    /// # Errors
    /// As [`Self::create`].
    pub fn of_lab(dir: &Path) -> Result<Self, Error> {
        let fleet = crate::fleet::data_dir(&dir.join("fleet"));
        if fleet.join(SECRET).is_file() { Self::open(&fleet) } else { Self::create(&dir.join("keys")) }
    }

    /// What the chat service checks against.
    #[must_use]
    pub fn public(&self) -> &Path {
        &self.public
    }

    /// # Errors
    /// Never for claims that are made here.
    pub fn mint(&self, claims: &Claims) -> Result<String, Error> {
        self.minter.mint(claims).map_err(|error| Error::Chat(format!("a token's claims: {error}")))
    }
}

/// What a token says of somebody who has no account: it is the lab's word alone. `name` is in the id, so that two tokens
/// for one name are one person.
#[must_use]
pub fn claims(channel: &ChannelId, name: &str, role: Role) -> Claims {
    let now = now();
    Claims {
        sub: format!("lab-{}", name.to_lowercase()),
        name: name.to_owned(),
        color: None,
        badges: Vec::new(),
        channel: Some(channel.clone()),
        role,
        followed_s: None,
        created_s: now.saturating_sub(AGE).as_secs(),
        exp: (now + LIFETIME).as_secs(),
    }
}

/// Since the Unix epoch.
#[must_use]
pub fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use nodi_protocol::chat::token::Verifier;

    use super::*;

    #[test]
    fn a_directory_keeps_its_key() {
        let dir = tempfile::tempdir().unwrap();
        assert!(Tokens::open(dir.path()).is_err());
        let tokens = Tokens::create(dir.path()).unwrap();
        let verifier = Verifier::new(vec![tokens.minter.public_key()]);
        let claims = claims(&"demo".parse().unwrap(), "Ada", Role::Viewer);
        let token = Tokens::create(dir.path()).unwrap().mint(&claims).unwrap();
        assert_eq!(verifier.verify(&token, now().as_secs()), Ok(claims));
    }
}
