//! A retained topic that shows a value: sent when it changes, and again on each connection.

use nodi_mqtt::{Link, Message, NotSent};
use tokio::sync::watch;

/// Waits until there is a connection other than `sent_on`, or `changed` says that there is something new while
/// there is one. Returns the connection's number.
pub(crate) async fn connected(link: &Link) -> u64 {
    let mut connection = link.connection();
    loop {
        if let Some(number) = *connection.borrow_and_update() {
            return number;
        }
        if connection.changed().await.is_err() {
            // The link is closed for good: the process stops.
            std::future::pending::<()>().await;
        }
    }
}

/// Waits until the connection is another one than `number`, or none.
pub(crate) async fn disconnected(link: &Link, number: u64) {
    let mut connection = link.connection();
    // An error means that the link is closed: no connection either.
    let _ = connection.wait_for(|now| *now != Some(number)).await;
}

/// Shows `value` on `topic`, for ever; nothing while it is rendered as `None`.
pub(crate) async fn keep<T: Clone + Send + Sync>(
    link: Link,
    topic: String,
    mut value: watch::Receiver<T>,
    render: impl Fn(&T) -> Result<Option<Vec<u8>>, nodi_protocol::fleet::Error> + Send,
) {
    loop {
        let number = connected(&link).await;
        let now = value.borrow_and_update().clone();
        let sent = match render(&now) {
            Ok(Some(payload)) => link.publish(Message::retained(topic.clone(), payload)).await,
            Ok(None) => Ok(()),
            Err(error) => {
                log::error!(topic; "{error}");
                Ok(())
            }
        };
        if let Err(error) = &sent {
            log::debug!(topic; "{error}");
            if !error.is_transient() {
                log::error!(topic; "not sent: {error}");
            }
        }
        if matches!(sent, Err(NotSent::Closed)) {
            return;
        }
        let again = sent.is_err_and(|error| error.is_transient());
        tokio::select! {
            () = disconnected(&link, number) => {}
            changed = value.changed(), if !again => if changed.is_err() {
                // Nobody can change it any more, but each connection is to show it.
                disconnected(&link, number).await;
            },
        }
    }
}
