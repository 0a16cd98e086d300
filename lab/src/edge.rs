//! nginx in front of the origins, with the configuration that we recommend to real edges.

use std::path::Path;

use crate::error::{Error, io};
use crate::process::{Process, Spec};

const TEMPLATE: &str = include_str!("../edge/nginx.conf");
/// A minute of a few channels; a real edge gives it what the disk has.
const CACHE_SIZE: &str = "1g";

/// Starts nginx on `port`, unprivileged and in the foreground, with everything it writes in `dir`.
/// The first of `origins` is asked, the others are stand-bys.
///
/// # Errors
/// When nginx is not installed or the directory cannot be written.
pub(crate) fn start(dir: &Path, logs: &Path, port: u16, origins: &[u16]) -> Result<Process, Error> {
    let nginx = crate::binaries::system("nginx")?;
    std::fs::create_dir_all(dir).map_err(io(format!("creating {}", dir.display())))?;
    let config = dir.join("nginx.conf");
    std::fs::write(&config, render(dir, port, origins))
        .map_err(io(format!("writing {}", config.display())))?;
    let spec = Spec::new("edge", nginx, logs)
        .args(["-p".as_ref(), dir.as_os_str(), "-c".as_ref(), config.as_os_str()])
        // The compiled-in default is a file that only root may write.
        .args(["-e", "stderr", "-g", "daemon off;"]);
    Process::start(spec)
}

fn render(dir: &Path, port: u16, origins: &[u16]) -> String {
    let servers: Vec<String> = origins
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
        .replace("@listen@", &format!("127.0.0.1:{port}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_template_is_filled_in() {
        let text = render(Path::new("/run/edge"), 8080, &[1, 2]);
        assert!(text.contains("server 127.0.0.1:1 max_fails=1 fail_timeout=1s;"));
        assert!(text.contains("server 127.0.0.1:2 max_fails=1 fail_timeout=1s backup;"));
        let settings = text.lines().filter(|line| !line.trim_start().starts_with('#'));
        assert!(!settings.collect::<String>().contains('@'), "{text}");
    }
}
