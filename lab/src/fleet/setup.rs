//! What is done once, from the command line, before a fleet server serves: the same commands as in the operator's guide.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use super::{Administrator, Ports, Wishes};
use crate::certs::Identity;
use crate::config;
use crate::error::{Error, io};

const ADMINISTRATOR: &str = "admin";
const PASSWORD_BYTES: usize = 9;

/// The fleet server's directory and configuration.
pub(super) struct Setup {
    dir: PathBuf,
    file: PathBuf,
}

/// Its certificate is for this name.
pub(super) fn box_url(ports: Ports) -> String {
    format!("https://localhost:{}", ports.https)
}

impl Setup {
    pub(super) fn create(dir: &Path, ports: Ports, wishes: Wishes<'_>) -> Result<Self, Error> {
        std::fs::create_dir_all(dir).map_err(io(format!("creating {}", dir.display())))?;
        let setup = Self { dir: dir.to_owned(), file: dir.join("fleet.toml") };
        let tls = setup.identity_files("server");
        let pid_file = setup.broker_dir().join("data/mosquitto.pid");
        let mut base = json!({
            "data_dir": setup.data(),
            "public_url": box_url(ports),
            "http": {
                "listen": config::loopback(ports.http),
                // The edge. Who comes from another loopback address is another person.
                "trusted_proxies": ["127.0.0.1/32"],
                "tls": {
                    "listen": config::loopback(ports.https),
                    "certificate": tls.certificate,
                    "private_key": tls.key,
                },
            },
            "site": { "listen": config::loopback(ports.site) },
            "metrics": { "listen": config::loopback(ports.metrics) },
            "broker": {
                "host": "localhost",
                "port": ports.broker,
                "revocation_lists": [setup.broker_dir().join("crl.pem")],
                // What `systemctl reload mosquitto` does.
                "reload": ["sh", "-c", format!("kill -HUP $(cat '{}')", pid_file.display())],
            },
        });
        let url = |port| format!("http://{}", config::loopback(port));
        if let Some(port) = wishes.viewers {
            config::merge(&mut base, &json!({ "channels": { "watch_url": url(port) } }));
        }
        if let Some(port) = wishes.chat {
            config::merge(&mut base, &json!({ "site": { "chat_url": url(port) } }));
        }
        config::write(&setup.file, base, wishes.overrides)?;
        Ok(setup)
    }

    pub(super) fn program(&self) -> Result<PathBuf, Error> {
        crate::binaries::ours("nodi-fleet")
    }

    /// A subcommand with our configuration.
    pub(super) fn words(&self, words: &[&str]) -> Vec<String> {
        let mut all = vec!["--config".to_owned(), self.file.display().to_string()];
        all.extend(words.iter().map(|word| (*word).to_owned()));
        all
    }

    pub(super) fn data(&self) -> PathBuf {
        super::data_dir(&self.dir)
    }

    pub(super) fn authority_dir(&self) -> PathBuf {
        self.data().join("ca")
    }

    pub(super) fn authority(&self) -> PathBuf {
        self.authority_dir().join("ca.pem")
    }

    pub(super) fn public_keys(&self) -> PathBuf {
        self.data().join("stream-keys.pub")
    }

    fn identity_files(&self, name: &str) -> Identity {
        let dir = self.dir.join("tls");
        Identity { certificate: dir.join(format!("{name}.pem")), key: dir.join(format!("{name}.key")) }
    }

    /// The database, the authority and the first administrator; those of a directory that is used again stay.
    pub(super) fn init(&self) -> Result<Administrator, Error> {
        let file = self.dir.join("administrator.json");
        if let Ok(text) = std::fs::read(&file)
            && let Ok(known) = serde_json::from_slice::<Value>(&text)
            && let (Ok(name), Ok(password)) =
                (super::api::text(&known, "name"), super::api::text(&known, "password"))
        {
            return Ok(Administrator { name, password });
        }
        let mut random = [0; PASSWORD_BYTES];
        getrandom::fill(&mut random)
            .map_err(|error| io("reading random bytes")(std::io::Error::other(error)))?;
        let password: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
        let secret = self.dir.join("administrator.password");
        std::fs::write(&secret, &password).map_err(io(format!("writing {}", secret.display())))?;
        let secret = secret.display().to_string();
        self.run(&["init", "--admin", ADMINISTRATOR, "--password-file", &secret])?;
        let administrator = Administrator { name: ADMINISTRATOR.to_owned(), password };
        let json = serde_json::to_vec(&administrator).map_err(|error| io("administrator")(error.into()))?;
        std::fs::write(&file, json).map_err(io(format!("writing {}", file.display())))?;
        self.server_identity("server")?;
        Ok(administrator)
    }

    fn broker_dir(&self) -> PathBuf {
        self.dir.join("mosquitto")
    }

    /// Writes Mosquitto's configuration; returns its main file.
    pub(super) fn broker_config(&self, port: u16) -> Result<PathBuf, Error> {
        let dir = self.broker_dir();
        let (directory, listen) = (dir.display().to_string(), config::loopback(port));
        self.run(&["broker-config", "--directory", &directory, "--listen", &listen])?;
        Ok(dir.join("mosquitto.conf"))
    }

    pub(super) fn server_identity(&self, name: &str) -> Result<Identity, Error> {
        let files = self.identity_files(name);
        self.issue("server", name, &files)?;
        Ok(files)
    }

    pub(super) fn origin_identity(&self, name: &str) -> Result<Identity, Error> {
        let files = self.identity_files(name);
        self.issue("origin", name, &files)?;
        Ok(files)
    }

    fn issue(&self, kind: &str, name: &str, files: &Identity) -> Result<(), Error> {
        let (certificate, key) = (files.certificate.display().to_string(), files.key.display().to_string());
        self.run(&[
            "issue",
            kind,
            name,
            "--name",
            "localhost",
            "--name",
            "127.0.0.1",
            "--certificate",
            &certificate,
            "--key",
            &key,
        ])
    }

    fn run(&self, words: &[&str]) -> Result<(), Error> {
        let program = self.program()?;
        let output = Command::new(&program)
            .args(self.words(words))
            .output()
            .map_err(io(format!("running {}", program.display())))?;
        if output.status.success() {
            return Ok(());
        }
        Err(Error::Tool {
            program: format!("nodi-fleet {}", words.join(" ")),
            status: output.status,
            output: String::from_utf8_lossy(&output.stderr).into_owned(),
        })
    }
}
