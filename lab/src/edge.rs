//! nginx in front of origins, fleet server and chat, with the configuration that we recommend to real edges.

use std::path::Path;

use crate::error::{Error, io};
use crate::process::{Process, Spec};

const TEMPLATE: &str = include_str!("../edge/nginx.conf");
/// A minute of a few channels; a real edge gives it what the disk has.
const CACHE_SIZE: &str = "1g";

/// What stands behind the edge, by port on loopback.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Behind<'a> {
    /// The first one is asked, the others are stand-bys.
    pub(crate) origins: &'a [u16],
    /// The fleet server's public listener.
    pub(crate) site: Option<u16>,
    pub(crate) chat: Option<u16>,
}

/// Starts nginx on `port`, unprivileged and in the foreground, with everything it writes in `dir`.
///
/// # Errors
/// When nginx is not installed or the directory cannot be written.
pub(crate) fn start(dir: &Path, logs: &Path, port: u16, behind: Behind<'_>) -> Result<Process, Error> {
    let nginx = crate::binaries::system("nginx")?;
    std::fs::create_dir_all(dir).map_err(io(format!("creating {}", dir.display())))?;
    let config = dir.join("nginx.conf");
    std::fs::write(&config, render(dir, port, behind))
        .map_err(io(format!("writing {}", config.display())))?;
    let spec = Spec::new("edge", nginx, logs)
        .args(["-p".as_ref(), dir.as_os_str(), "-c".as_ref(), config.as_os_str()])
        // The compiled-in default is a file that only root may write.
        .args(["-e", "stderr", "-g", "daemon off;"]);
    Process::start(spec)
}

fn render(dir: &Path, port: u16, behind: Behind<'_>) -> String {
    let servers: Vec<String> = behind
        .origins
        .iter()
        .enumerate()
        .map(|(index, port)| {
            let role = if index == 0 { "" } else { " backup" };
            format!("server 127.0.0.1:{port} max_fails=1 fail_timeout=1s{role};")
        })
        .collect();
    // As root nginx would give its worker to `nobody`, who may not enter the lab's directory.
    let user = if rustix::process::geteuid().is_root() { "user root;" } else { "" };
    TEMPLATE
        .replace("@workers@", "1")
        .replace("@user@", user)
        .replace("@dir@", &dir.display().to_string())
        .replace("@cache_size@", CACHE_SIZE)
        .replace("@origins@", &servers.join("\n        "))
        .replace("@site@", &server(behind.site))
        .replace("@chat@", &server(behind.chat))
        .replace("@listen@", &format!("127.0.0.1:{port}"))
}

/// The one server of an upstream. What does not run answers as what is away does.
fn server(port: Option<u16>) -> String {
    port.map_or_else(|| "server 127.0.0.1:1 down;".to_owned(), |port| format!("server 127.0.0.1:{port};"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_template_is_filled_in() {
        let behind = Behind { origins: &[1, 2], site: Some(3), chat: None };
        let text = render(Path::new("/run/edge"), 8080, behind);
        assert!(text.contains("server 127.0.0.1:3;"));
        assert!(text.contains("server 127.0.0.1:1 max_fails=1 fail_timeout=1s;"));
        assert!(text.contains("server 127.0.0.1:2 max_fails=1 fail_timeout=1s backup;"));
        // What is left are names of locations, which have no second sign.
        let mut settings = text.lines().filter(|line| !line.trim_start().starts_with('#'));
        assert!(settings.all(|line| line.matches('@').count() < 2), "{text}");
    }
}
