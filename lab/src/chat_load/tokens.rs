//! The fleet server's part: tokens with which the load's publishers speak.

use std::io;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use nodi_protocol::ChannelId;
use nodi_protocol::chat::Role;
use nodi_protocol::chat::token::{Claims, Minter};

const SEED_FILE: &str = "chat-tokens.key";
/// What the chat service checks against.
const PUBLIC_FILE: &str = "chat-tokens.pub";
/// Longer than a load runs.
const LIFETIME: Duration = Duration::from_secs(86_400);
/// Of the accounts: none of the publishers is new here.
const AGE: Duration = Duration::from_secs(365 * 86_400);

/// Opens the key of a directory, or makes it, and writes its public half beside it.
///
/// # Errors
/// When the directory cannot be written or holds a broken key file.
pub fn open(dir: &Path) -> io::Result<Minter> {
    std::fs::create_dir_all(dir)?;
    let file = dir.join(SEED_FILE);
    if !file.exists() {
        let mut seed = [0; 32];
        getrandom::fill(&mut seed).map_err(io::Error::other)?;
        std::fs::write(&file, format!("{}\n", STANDARD.encode(seed)))?;
    }
    let seed = STANDARD.decode(std::fs::read_to_string(&file)?.trim()).map_err(io::Error::other)?;
    let seed = seed.try_into().map_err(|_| io::Error::other("a seed has 32 bytes"))?;
    let minter = Minter::from_seed(&seed);
    let public = STANDARD.encode(minter.public_key().as_bytes());
    std::fs::write(dir.join(PUBLIC_FILE), format!("{public}\n"))?;
    Ok(minter)
}

/// The token of a publisher. All names are equally long, so that all messages are.
pub(super) fn publisher(minter: &Minter, channel: &ChannelId, index: usize) -> io::Result<String> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let claims = Claims {
        sub: format!("01LOADLOADLOADLOADLOAD{index:04}"),
        name: format!("load_{index:04}"),
        color: None,
        badges: Vec::new(),
        channel: Some(channel.clone()),
        role: Role::Viewer,
        followed_s: None,
        created_s: now.saturating_sub(AGE).as_secs(),
        exp: (now + LIFETIME).as_secs(),
    };
    Ok(minter.mint(&claims)?)
}
