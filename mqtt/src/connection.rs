//! One connection, from the TCP handshake to its end.
//!
//! Three things go on side by side, so that none waits for another: the protocol is driven, the owner's publishes
//! are fed into it, and what came is delivered to the owner. Only what was delivered is acknowledged to the broker,
//! which sends no more than `receive_maximum` messages ahead of that: a slow owner slows the broker down,
//! while acknowledgements and pings still go through.

use std::time::Duration;

use bytes::Bytes;
use rumqttc::{
    AckMode, AsyncClient, ClientError, EventLoop, LastWill, MqttOptions, NetworkOptions, Outgoing, Packet,
    Publish, PublishNotice, PublishOptions, QoS, SubscribeFilter, SubscribeNotice, TlsConfiguration,
    Transport,
};
use tokio::sync::{Notify, mpsc, oneshot, watch};

use crate::driver::{Closed, refusing};
use crate::link::{NotSent, Request, Shared, outcome_of};
use crate::options::{Attempt, Message, Options, PACKET_OVERHEAD};
use crate::session::NothingUnderWay;
use crate::{Event, Reason, Received, Why};

/// What may come beside messages that count against `receive_maximum`: the connection itself, refusals, and
/// messages of QoS 0, which have no flow control and are dropped when there is no room.
const BESIDE_MESSAGES: usize = 16;
/// Requests that are written to the network together.
const BATCH: usize = 16;
/// How long a goodbye may wait for acknowledgements that are still to come.
const GOODBYE: Duration = Duration::from_secs(5);

/// How a connection ended.
pub(crate) enum Ended {
    Lost(Why),
    Reconnect,
    Closed(Closed),
    OwnerGone,
}

/// What a connection uses of its driver.
pub(crate) struct Context<'a> {
    pub options: &'a Options,
    pub asked: &'a mut mpsc::Receiver<Request>,
    pub events: &'a mpsc::Sender<Event>,
    pub number: &'a watch::Sender<Option<u64>>,
    /// Number of this connection, if it is made.
    pub next: u64,
    pub shared: &'a Shared,
}

/// On its way to the owner.
enum Arrived {
    Event(Event),
    Message(Publish),
}

/// Makes the connection and keeps it until it ends.
pub(crate) async fn run(attempt: Attempt, context: Context<'_>) -> Ended {
    let Context { options, asked, events, number, next, shared } = context;
    let (client, eventloop) = match AsyncClient::builder(mqtt_options(options, &attempt))
        .capacity(usize::from(options.in_flight.max(1)))
        .try_build()
    {
        Ok(pair) => pair,
        Err(error) => return Ended::Lost(Why::Preparation(Box::new(error))),
    };
    let (arrived, arrivals) = mpsc::channel(usize::from(options.receive_maximum) + BESIDE_MESSAGES);
    let (accepted, acceptance) = oneshot::channel();
    let said_goodbye = Notify::new();
    let driving = drive(eventloop, &arrived, accepted, &said_goodbye);
    // What the owner wanted stands, however the connection ends meanwhile.
    let mut leaving = None;
    let feeding = async {
        match refusing(asked, acceptance).await {
            // The protocol's driver says why it ended.
            Ok(Err(_)) => std::future::pending().await,
            Ok(Ok(())) => {}
            Err(closed) => return Ended::Closed(closed),
        }
        let birth = match &attempt.birth {
            Some(birth) => publish(&client, birth.clone()).await.map(Some),
            None => Ok(None),
        };
        let subscribed = subscribe(&client, &options.subscriptions).await;
        number.send_replace(Some(next));
        tokio::select! {
            last = feed(&client, asked, &mut leaving) => {
                farewell(&client, last, &said_goodbye).await;
                Ended::Reconnect
            }
            why = settle(birth, subscribed, attempt.birth.as_ref(), options, &arrived) => Ended::Lost(why),
        }
    };
    let ended = tokio::select! {
        why = driving => Ended::Lost(why),
        ended = feeding => ended,
        () = deliver(arrivals, events, &client) => Ended::OwnerGone,
        () = shared.overdue.notified() => Ended::Lost(Why::Silent),
    };
    leaving.unwrap_or(ended)
}

fn mqtt_options(options: &Options, attempt: &Attempt) -> MqttOptions {
    let session_expiry_s = u32::try_from(options.session_expiry.as_secs()).unwrap_or(u32::MAX);
    let in_flight = options.in_flight.max(1);
    let mut mqtt = MqttOptions::new(options.client_id.clone(), (attempt.host.clone(), attempt.port));
    if let Some(tls) = &attempt.tls {
        mqtt.set_transport(Transport::tls_with_config(TlsConfiguration::Rustls(tls.clone())));
    }
    let packet = u32::try_from(options.max_payload.saturating_add(PACKET_OVERHEAD)).unwrap_or(u32::MAX);
    mqtt.set_keep_alive(u16::try_from(options.keep_alive.as_secs().max(1)).unwrap_or(u16::MAX))
        .set_clean_start(false)
        .set_session_expiry_interval(Some(session_expiry_s))
        .set_session_store(NothingUnderWay { in_flight, session_expiry_s })
        .set_receive_maximum(Some(options.receive_maximum.max(1)))
        .set_outgoing_inflight_upper_limit(in_flight)
        .set_max_packet_size(Some(packet))
        .set_connect_timeout(options.connect_timeout)
        .set_max_request_batch(BATCH)
        .set_ack_mode(AckMode::Manual);
    if let Some(will) = &attempt.will {
        mqtt.set_last_will(LastWill::new(
            will.topic.clone(),
            will.payload.to_vec(),
            QoS::AtLeastOnce,
            will.retain,
            None,
        ));
    }
    let mut network = NetworkOptions::new();
    network.set_tcp_nodelay(true);
    network.set_connection_timeout(options.connect_timeout.as_secs().max(1));
    mqtt.set_network_options(network);
    // A path that swallows packets is noticed when data stays unacknowledged, also between two pings.
    let unacknowledged = options.keep_alive * 2;
    mqtt.set_socket_connector(move |address, network| async move {
        let stream = rumqttc::default_socket_connect(address, network).await?;
        socket2::SockRef::from(&stream).set_tcp_user_timeout(Some(unacknowledged))?;
        Ok::<_, std::io::Error>(stream)
    });
    mqtt
}

/// Turns the protocol until the connection ends.
async fn drive(
    mut eventloop: EventLoop,
    arrived: &mpsc::Sender<Arrived>,
    accepted: oneshot::Sender<()>,
    said_goodbye: &Notify,
) -> Why {
    let mut accepted = Some(accepted);
    loop {
        let arrival = match eventloop.poll().await {
            Ok(rumqttc::Event::Incoming(Packet::ConnAck(ack))) => {
                // From here on the client's own memory of the session is true.
                eventloop.options.clear_session_store();
                if let Some(accepted) = accepted.take() {
                    let _ = accepted.send(());
                }
                Arrived::Event(Event::Connected { session_present: ack.session_present })
            }
            Ok(rumqttc::Event::Incoming(Packet::Publish(publish))) => Arrived::Message(publish),
            Ok(rumqttc::Event::Outgoing(Outgoing::Disconnect)) => {
                said_goodbye.notify_one();
                return std::future::pending().await;
            }
            Ok(_) => continue,
            Err(error) => return error.into(),
        };
        match arrived.try_send(arrival) {
            Ok(()) => {}
            Err(mpsc::error::TrySendError::Full(Arrived::Message(publish)))
                if publish.qos == QoS::AtMostOnce =>
            {
                log::warn!(topic = String::from_utf8_lossy(&publish.topic).as_ref(); "message of QoS 0 dropped: too many wait");
            }
            // The broker ignores the receive maximum.
            Err(_) => return Why::Lost("the broker sends more than it was told to".to_owned()),
        }
    }
}

/// Feeds the owner's requests in until it wants the connection to end: returns what to publish last, and has set
/// `leaving`.
async fn feed(
    client: &AsyncClient,
    asked: &mut mpsc::Receiver<Request>,
    leaving: &mut Option<Ended>,
) -> Vec<Message> {
    loop {
        match asked.recv().await {
            Some(Request::Publish { message, reply }) => {
                let notice = publish(client, message).await;
                // An owner that does not wait for the answer does not want it.
                let _ = reply.send(notice);
            }
            Some(Request::Reconnect) => {
                *leaving = Some(Ended::Reconnect);
                return Vec::new();
            }
            Some(Request::Close { last, reply }) => {
                *leaving = Some(Ended::Closed(Closed(Some(reply))));
                return last;
            }
            None => {
                *leaving = Some(Ended::Closed(Closed(None)));
                return Vec::new();
            }
        }
    }
}

/// Publishes the last messages and sends DISCONNECT behind everything that is under way. The broker then drops the
/// will.
async fn farewell(client: &AsyncClient, last: Vec<Message>, said_goodbye: &Notify) {
    for message in last {
        let topic = message.topic.clone();
        let acknowledged = match publish(client, message).await {
            Ok(notice) => outcome_of(notice).await,
            Err(error) => Err(error),
        };
        if let Err(error) = acknowledged {
            log::warn!(topic; "last message: {error}");
        }
    }
    if client.disconnect_with_timeout(GOODBYE).await.is_ok() {
        // A broker that does not answer any more ends the connection in the driver's select.
        said_goodbye.notified().await;
    }
}

async fn publish(client: &AsyncClient, message: Message) -> Result<PublishNotice, NotSent> {
    let Message { topic, payload, retain } = message;
    let options = PublishOptions::at_least_once().retain(retain);
    client.publish_tracked(topic, payload, options).await.map_err(|error| match error {
        ClientError::InvalidRequest(request) => match *request {
            rumqttc::Request::Publish(publish) => {
                NotSent::BadTopic(String::from_utf8_lossy(&publish.topic).into_owned())
            }
            _ => NotSent::NotConnected,
        },
        _ => NotSent::NotConnected,
    })
}

async fn subscribe(client: &AsyncClient, filters: &[String]) -> Result<Option<SubscribeNotice>, ClientError> {
    if filters.is_empty() {
        return Ok(None);
    }
    let filters = filters.iter().map(|filter| SubscribeFilter::new(filter.clone(), QoS::AtLeastOnce));
    client.subscribe_many_tracked(filters).await.map(Some)
}

/// Waits for the broker's word on birth and subscriptions, tells the owner of refusals, and then for ever. Returns
/// when there is no word.
async fn settle(
    birth: Result<Option<PublishNotice>, NotSent>,
    subscribed: Result<Option<SubscribeNotice>, ClientError>,
    message: Option<&Message>,
    options: &Options,
    arrived: &mpsc::Sender<Arrived>,
) -> Why {
    let refused = |what: &str, reason: Reason| {
        let event = Arrived::Event(Event::Refused { what: what.to_owned(), reason });
        if arrived.try_send(event).is_err() {
            log::error!(what; "the broker refuses this, and the owner is not listening");
        }
    };
    let settled = async {
        let born = match birth {
            Ok(Some(notice)) => outcome_of(notice).await,
            Ok(None) => Ok(()),
            Err(error) => Err(error),
        };
        match born {
            Ok(()) => {}
            Err(NotSent::Refused(reason)) => {
                refused(message.map_or("", |message| message.topic.as_str()), reason);
            }
            Err(error) => return Some(Why::Lost(format!("birth message: {error}"))),
        }
        match subscribed {
            Ok(Some(notice)) => match notice.wait_async().await {
                Ok(suback) => {
                    for (filter, code) in options.subscriptions.iter().zip(suback.return_codes) {
                        if let Err(reason) = Reason::of_suback(code) {
                            refused(filter, reason);
                        }
                    }
                }
                Err(error) => return Some(Why::Lost(format!("subscriptions: {error}"))),
            },
            Ok(None) => {}
            Err(error) => return Some(Why::Lost(format!("subscriptions: {error}"))),
        }
        None
    };
    match tokio::time::timeout(options.ack_timeout, settled).await {
        Ok(None) => std::future::pending().await,
        Ok(Some(why)) => why,
        Err(_) => Why::Silent,
    }
}

/// Hands over what came, and acknowledges what was handed over. Returns when the owner does not listen any more.
async fn deliver(mut arrivals: mpsc::Receiver<Arrived>, events: &mpsc::Sender<Event>, client: &AsyncClient) {
    loop {
        let Some(arrival) = arrivals.recv().await else {
            // The driver is gone and says why.
            return std::future::pending().await;
        };
        let Ok(room) = events.reserve().await else { return };
        match arrival {
            Arrived::Event(event) => room.send(event),
            Arrived::Message(publish) => {
                room.send(Event::Message(received(&publish)));
                // Fails only when the connection is gone: then the broker sends it again.
                let _ = client.ack(&publish).await;
            }
        }
    }
}

fn received(publish: &Publish) -> Received {
    Received {
        topic: String::from_utf8_lossy(&publish.topic).into_owned(),
        // A copy: the packet's bytes hold on to the whole read buffer.
        payload: Bytes::copy_from_slice(&publish.payload),
        retained: publish.retain,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_stays_small() {
        let options = Options::new("x");
        let attempt = Attempt { host: "h".into(), port: 1, tls: None, will: None, birth: None };
        let mqtt = mqtt_options(&options, &attempt);
        assert_eq!(mqtt.get_outgoing_inflight_upper_limit(), Some(16));
        assert_eq!(mqtt.max_packet_size(), Some(65 << 10));
    }
}
