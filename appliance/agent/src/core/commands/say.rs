//! Tells the broker how the commands are: always the newest status, one message per command at a time.

use nodi_mqtt::{Message, NotSent};
use nodi_protocol::CommandId;
use nodi_protocol::fleet::Payload as _;
use nodi_protocol::fleet::command::Status;
use nodi_protocol::fleet::topic::{BoxTopic, Topic};
use tokio::task::JoinError;

use super::Desk;
use super::open::Sent;
use crate::store::Error;

impl Desk {
    /// Starts to send whatever the broker does not show yet.
    pub(super) fn say(&mut self) {
        let Some(connection) = *self.parts.link.connection().borrow() else { return };
        for (id, open) in &mut self.open {
            let Some(status) = open.to_say(connection) else { continue };
            open.saying = true;
            let topic = Topic::Box(self.parts.box_id.clone(), BoxTopic::CommandStatus(*id)).to_string();
            let message = Message::retained(topic, payload(status.as_ref()));
            let link = self.parts.link.clone();
            let id = *id;
            self.saying.spawn(async move {
                let result = link.publish(message).await;
                Sent { id, connection, status, result }
            });
        }
    }

    pub(super) async fn said(&mut self, sent: Result<Sent, JoinError>) -> Result<(), Error> {
        let Sent { id, connection, status, result } = match sent {
            Ok(sent) => sent,
            Err(error) => {
                log::error!("a status was not sent: {error}");
                self.open.values_mut().for_each(|open| open.saying = false);
                return Ok(());
            }
        };
        if let Some(open) = self.open.get_mut(&id) {
            open.saying = false;
        }
        match result {
            Ok(()) => {}
            Err(error) if error.is_transient() || error == NotSent::Closed => return Ok(()),
            // Saying it again would not help.
            Err(error) => log::error!(command:% = id; "status not sent: {error}"),
        }
        let emptied = status.is_none();
        if let Some(open) = self.open.get_mut(&id) {
            open.told(connection, status);
            if emptied && open.is_cleared_and_over() {
                return self.done_with(id).await;
            }
        }
        Ok(())
    }

    async fn done_with(&mut self, id: CommandId) -> Result<(), Error> {
        self.parts.store.emptied(id).await?;
        self.open.remove(&id);
        Ok(())
    }
}

/// Empty for none. A result that is too long for a message goes, the verdict stays.
fn payload(status: Option<&Status>) -> Vec<u8> {
    let Some(status) = status else { return Vec::new() };
    status
        .to_json()
        .or_else(|error| {
            log::error!(command:% = status.id; "{error}");
            let message = format!(
                "{} (result left out: {error})",
                status.message.chars().take(500).collect::<String>()
            );
            Status { result: None, message, ..status.clone() }.to_json()
        })
        .unwrap_or_default()
}
