//! Two who talk while others misbehave: everything that one says has to reach the other, in order.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use nodi_protocol::chat::Role;
use serde_json::json;

use super::service::{Account, Service};
use super::wire::{Got, Raw};

const CHANNEL: &str = "bystanders";
/// Between two messages: a moderator may say 100 in half a minute.
const PAUSE: Duration = Duration::from_millis(320);

pub(crate) struct Bystanders {
    over: Arc<AtomicBool>,
    talking: JoinHandle<u64>,
}

impl Bystanders {
    pub(crate) fn start(service: &Service) -> Self {
        let account = Account { role: Role::Moderator, ..Account::viewer("bystander", "Bystander") };
        let token = service.token(CHANNEL, &account);
        let mut reader = Raw::joined(service.address, CHANNEL, None);
        let mut speaker = Raw::joined(service.address, CHANNEL, Some(&token));
        let over = Arc::new(AtomicBool::new(false));
        let talking = std::thread::spawn({
            let over = Arc::clone(&over);
            move || {
                let mut said = 0;
                while !over.load(Ordering::Relaxed) {
                    said += 1;
                    speaker.say(
                        &json!({ "t": "say", "nonce": said.to_string(), "text": format!("message {said}") }),
                    );
                    let heard = reader.json();
                    assert_eq!(heard["text"], format!("message {said}"), "{heard}");
                    // The speaker hears it too, and that it was taken.
                    for _ in 0..2 {
                        assert!(matches!(speaker.next(), Got::Json(frame) if frame["t"] != "refused"));
                    }
                    std::thread::sleep(PAUSE);
                }
                said
            }
        });
        Self { over, talking }
    }

    /// They were not disturbed.
    pub(crate) fn finish(self) {
        self.over.store(true, Ordering::Relaxed);
        let said = self.talking.join().expect("the bystanders go on");
        assert!(said > 0);
    }
}
