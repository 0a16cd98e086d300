//! What the fleet's commands do on the box. Whether and how often each runs is the core's to see to.

mod config;
mod logs;
mod upload;

use std::os::unix::process::ExitStatusExt as _;
use std::sync::Arc;
use std::time::Duration;

use nodi_protocol::fleet::command::{Action, Command, Process, Upload};
use reqwest::Client;

pub use config::Config;

use crate::host::CommandLine;
use crate::local::{Local, describe};
use crate::seams::{self, Doing, Outcome, Progress};
use crate::telemetry::capacity::LineRate;

/// For the host to restart a process: systemd gives it 90 s to end, and as many to start.
const RESTART: Duration = Duration::from_secs(200);
/// For a restarted process to answer again.
const BACK: Duration = Duration::from_secs(30);
/// For the host to begin a reboot, and for a lamp to start blinking.
const ASK: Duration = Duration::from_secs(30);
/// Eight seconds of media at the lowest priority of a busy box.
const SELF_TEST: Duration = Duration::from_secs(600);
/// What a failure's text says at most, in characters.
const LONGEST_MESSAGE: usize = 500;

/// What the actions are made of.
pub struct Actor {
    config: Config,
    self_test: CommandLine,
    ingest: Local,
    uplink: Local,
    client: Client,
    line_rate: LineRate,
}

impl std::fmt::Debug for Actor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Actor").field("config", &self.config).finish_non_exhaustive()
    }
}

impl Actor {
    /// `client` is for uploads to the fleet server.
    #[must_use]
    pub fn new(
        config: &crate::Config,
        ingest: Local,
        uplink: Local,
        client: Client,
        line_rate: LineRate,
    ) -> Arc<Self> {
        let transcode = &config.settings.transcode;
        let self_test = match &config.actions.self_test {
            command if !command.is_empty() => command.clone(),
            _ => CommandLine(vec![transcode.program.display().to_string()])
                .with(config.settings.arguments(&transcode.config, "transcode"))
                .with(["self-test"]),
        };
        Arc::new(Self { config: config.actions.clone(), self_test, ingest, uplink, client, line_rate })
    }

    async fn act(&self, command: &Command, progress: &Progress) -> Outcome {
        let outcome = match &command.action {
            Action::RestartProcess { process } => self.restart(*process, progress).await,
            Action::Reboot => {
                progress.say(None, "asking the host to reboot");
                self.ask_for_good(&self.config.reboot).await
            }
            Action::Identify { seconds } => self.identify(*seconds).await,
            Action::EndSession { session, reason } => {
                let path = format!("/sessions/{session}");
                match self.ingest.delete(&path, &[("reason", reason)]).await {
                    Ok(true) => Outcome::succeeded("the publisher was told and the session ended"),
                    Ok(false) => Outcome::failed("there is no such session on this box any more"),
                    Err(error) => Outcome::failed(error.to_string()),
                }
            }
            Action::CollectLogs { since_ms, until_ms, upload } => {
                logs::collect(&self.config, &self.client, (*since_ms, *until_ms), upload, progress).await
            }
            Action::SelfTest => self.self_test(progress).await,
            Action::MeasureUplink { bytes, upload } => self.measure(*bytes, upload, progress).await,
        };
        Outcome { message: outcome.message.chars().take(LONGEST_MESSAGE).collect(), ..outcome }
    }

    async fn restart(&self, process: Process, progress: &Progress) -> Outcome {
        let (command, name, local) = match process {
            Process::Agent => {
                progress.say(None, "asking the host to restart the agent");
                return self.ask_for_good(&self.config.restart_agent).await;
            }
            Process::Ingest => (&self.config.restart_ingest, "ingest", &self.ingest),
            Process::Uplink => (&self.config.restart_uplink, "uplink", &self.uplink),
        };
        progress.say(None, format!("restarting {name}"));
        if let Err(error) = command.run(RESTART).await.and_then(crate::host::Ended::expect_success) {
            return Outcome::failed(format!("{name} was not restarted: {error}"));
        }
        progress.say(None, format!("waiting for {name}"));
        let answered = async {
            loop {
                match local.get::<serde_json::Value>("/settings").await {
                    Ok(_) => return,
                    Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
                }
            }
        };
        match tokio::time::timeout(BACK, answered).await {
            Ok(()) => Outcome::succeeded(format!("{name} was restarted and answers")),
            Err(_) => {
                Outcome::failed(format!("{name} does not answer {} s after its restart", BACK.as_secs()))
            }
        }
    }

    /// For what this process does not live to see.
    async fn ask_for_good(&self, command: &CommandLine) -> Outcome {
        match command.run(ASK).await.and_then(crate::host::Ended::expect_success) {
            Ok(_) => std::future::pending().await,
            // The signal that ends this service goes to everything that it started, and this was first to hear it.
            Err(crate::host::Error::Failed { status, .. }) if status.signal().is_some() => {
                std::future::pending().await
            }
            Err(error) => Outcome::failed(error.to_string()),
        }
    }

    async fn identify(&self, seconds: u32) -> Outcome {
        let command = &self.config.identify;
        if command.is_empty() {
            return Outcome::failed("this box has nothing to show itself with");
        }
        let limit = ASK + Duration::from_secs(seconds.into());
        match command
            .with([seconds.to_string()])
            .run(limit)
            .await
            .and_then(crate::host::Ended::expect_success)
        {
            Ok(_) => Outcome::succeeded(format!("showed itself for {seconds} s")),
            Err(error) => Outcome::failed(error.to_string()),
        }
    }

    async fn self_test(&self, progress: &Progress) -> Outcome {
        progress.say(None, "a synthetic stream goes through the encoders");
        let ended = match self.self_test.run(SELF_TEST).await {
            Ok(ended) => ended,
            Err(error) => return Outcome::failed(error.to_string()),
        };
        let report: Option<serde_json::Value> = serde_json::from_slice(&ended.output).ok();
        let Some(report) = report.filter(serde_json::Value::is_object) else {
            return Outcome::failed(match ended.expect_success() {
                Ok(_) => "the self-test ended without a report".to_owned(),
                Err(error) => error.to_string(),
            });
        };
        let text = |key: &str| report.get(key).and_then(serde_json::Value::as_str).unwrap_or("unknown");
        let speed = report.get("speed").and_then(serde_json::Value::as_f64).unwrap_or_default();
        let outcome = if ended.status.success() && report.get("passed") == Some(&true.into()) {
            Outcome::succeeded(format!("{} encoder, {speed:.1} times real time", text("backend")))
        } else {
            let failures = report.get("failures").and_then(serde_json::Value::as_array);
            let failures: Vec<_> =
                failures.into_iter().flatten().filter_map(serde_json::Value::as_str).collect();
            Outcome::failed(failures.join("; "))
        };
        outcome.with_result(report)
    }

    async fn measure(&self, bytes: u64, upload: &Upload, progress: &Progress) -> Outcome {
        match upload::measure(&self.client, bytes, upload, progress).await {
            Ok(measured) => {
                self.line_rate.measured(measured.bits_per_s);
                #[allow(clippy::cast_precision_loss, reason = "shown to people")]
                let megabits = measured.bits_per_s as f64 / 1e6;
                let result = serde_json::json!({
                    "bytes": measured.bytes,
                    "seconds": measured.seconds,
                    "bits_per_s": measured.bits_per_s,
                });
                Outcome::succeeded(format!("{megabits:.1} Mbit/s to the fleet server")).with_result(result)
            }
            Err(error) => Outcome::failed(describe(&error)),
        }
    }
}

impl seams::Actions for Actor {
    fn run(&self, command: Command, progress: Progress) -> Doing<'_, Outcome> {
        Box::pin(async move { self.act(&command, &progress).await })
    }
}
