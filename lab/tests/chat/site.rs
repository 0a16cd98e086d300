//! What a visitor of the site sees of its directory.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use nodi_lab::Lab;
use nodi_lab::site::Visitor;
use serde_json::Value;
use tokio::task::JoinHandle;

use crate::support::{PATIENCE, eventually};

/// Everything the site's own stream of changes told, newest last.
pub(crate) struct Directory {
    told: Arc<Mutex<Vec<Value>>>,
    task: JoinHandle<()>,
}

impl Directory {
    /// Follows the directory through the edge, as the page does.
    pub(crate) async fn follow(lab: &Lab) -> Self {
        let told = Arc::new(Mutex::new(Vec::new()));
        let url = format!("{}/site/v1/live/events", lab.site_url());
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let mut answer = client.get(&url).send().await.unwrap();
        assert!(answer.status().is_success(), "{url}: {}", answer.status());
        let task = tokio::spawn({
            let told = Arc::clone(&told);
            async move {
                let mut text = String::new();
                while let Ok(Some(more)) = answer.chunk().await {
                    text.push_str(std::str::from_utf8(&more).unwrap());
                    while let Some((event, rest)) = text.split_once("\n\n") {
                        let data = event.lines().find_map(|line| line.strip_prefix("data:"));
                        if event.lines().any(|line| line.trim_end() == "event: live") {
                            told.lock().unwrap().push(serde_json::from_str(data.unwrap()).unwrap());
                        }
                        text = rest.to_owned();
                    }
                }
            }
        });
        Self { told, task }
    }

    pub(crate) fn latest(&self) -> Option<Value> {
        self.told.lock().unwrap().last().cloned()
    }

    /// Until what it told last is as it should be.
    pub(crate) async fn until(&self, what: &str, right: impl Fn(&Value) -> bool) -> Value {
        let within = PATIENCE + Duration::from_secs(20);
        eventually(what, within, async || self.latest().filter(&right)).await
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The card of the lab's channel in the directory, if it is there.
pub(crate) async fn card(visitor: &mut Visitor, channel: &str) -> Option<Value> {
    let live = visitor.get("/live").await.ok()?;
    live["channels"].as_array()?.iter().find(|card| card["id"] == channel).cloned()
}
