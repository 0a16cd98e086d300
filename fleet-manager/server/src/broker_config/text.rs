//! The files' text, rendered purely.

use nodi_protocol::fleet::MAX_PAYLOAD;
use nodi_protocol::revocation;

use super::Settings;
use crate::ca::FLEET_NAME;

/// What a box writes below `nodi/v1/boxes/<its id>/`.
pub(super) const BOX_WRITES: [&str; 7] =
    ["presence", "reported", "telemetry", "sessions/+", "commands/+/status", "update/status", "events"];
/// What a box reads there.
pub(super) const BOX_READS: [&str; 4] = ["desired", "commands/+", "update", "events/ack"];

/// Bytes of a packet beside its payload: topic and properties.
const PACKET_OVERHEAD: usize = 4 << 10;

/// The access rules: what the table in the contract says, and nothing else.
#[must_use]
pub fn access_rules() -> String {
    let mut text = format!(
        "# Written by nodi-fleet broker-config. A user is the common name of a certificate of the fleet's authority.\n\
         \n\
         # The fleet server.\n\
         user {FLEET_NAME}\n\
         topic readwrite nodi/v1/#\n\
         \n\
         # A box: %u is its id.\n"
    );
    for topic in BOX_WRITES {
        text.push_str(&format!("pattern write nodi/v1/boxes/%u/{topic}\n"));
    }
    for topic in BOX_READS {
        text.push_str(&format!("pattern read nodi/v1/boxes/%u/{topic}\n"));
    }
    text.push_str(
        "# Boxes and origins. Mosquitto warns that there is no %u in it, which is meant.\n\
         pattern read nodi/v1/fleet/#\n",
    );
    text
}

/// `mosquitto.conf`.
#[must_use]
pub fn configuration(settings: &Settings) -> String {
    let Settings { listen, user, persistence, max_connections, .. } = settings;
    let file = |name: &str| settings.file(name).display().to_string();
    // The revocation document is the one message that grows with the fleet; all others are far smaller.
    let payload = revocation::MAX_LEN.max(MAX_PAYLOAD);
    let packet = payload + PACKET_OVERHEAD;
    format!(
        "# Mosquitto 2.0, for a fleet of Nodi. Written by nodi-fleet broker-config: run that again rather than edit this.\n\
         \n\
         user {user}\n\
         pid_file {pid_file}\n\
         # With true, Mosquitto 2.0.12 to 2.0.18 lose sessions over a restart.\n\
         per_listener_settings false\n\
         \n\
         # Who: certificates of the fleet's authority, and nobody else. The common name is user and client id, whatever\n\
         # the client calls itself.\n\
         allow_anonymous false\n\
         acl_file {acl}\n\
         \n\
         # Sessions and retained messages survive a restart. What is younger than the last save is said again by boxes\n\
         # and fleet server when they reconnect.\n\
         persistence true\n\
         persistence_location {persistence}/\n\
         autosave_interval 60\n\
         persistent_client_expiration 14d\n\
         \n\
         # Limits. A client that does not read holds at most this much here, then the newest is dropped; nothing of the\n\
         # fleet's relies on what is queued.\n\
         max_packet_size {packet}\n\
         message_size_limit {payload}\n\
         max_inflight_messages 1000\n\
         max_queued_messages 20000\n\
         max_queued_bytes 67108864\n\
         max_keepalive 300\n\
         queue_qos0_messages false\n\
         allow_zero_length_clientid false\n\
         set_tcp_nodelay true\n\
         sys_interval 60\n\
         \n\
         log_dest stderr\n\
         log_type error\n\
         log_type warning\n\
         log_type notice\n\
         connection_messages true\n\
         \n\
         listener {port} {address}\n\
         max_connections {max_connections}\n\
         tls_version tlsv1.2\n\
         cafile {ca}\n\
         certfile {certificate}\n\
         keyfile {key}\n\
         # Replaced by the fleet server when a box is revoked, and read again at a reload.\n\
         crlfile {crl}\n\
         require_certificate true\n\
         use_identity_as_username true\n\
         use_username_as_clientid true\n",
        pid_file = settings.pid_file().display(),
        acl = file("acl"),
        persistence = persistence.display(),
        port = listen.port(),
        address = listen.ip(),
        ca = file("ca.pem"),
        certificate = file("broker.pem"),
        key = file("broker.key"),
        crl = settings.revocation_list().display(),
    )
}

#[cfg(test)]
mod tests {
    use nodi_protocol::BoxId;
    use nodi_protocol::fleet::topic::Topic;

    use super::*;

    /// `filter` of a rule, against a topic or a filter of the same depth.
    fn covers(rule: &str, topic: &str) -> bool {
        let (mut rule, mut topic) = (rule.split('/'), topic.split('/'));
        loop {
            match (rule.next(), topic.next()) {
                (Some("#"), Some(_)) | (None, None) => return true,
                (Some("+"), Some(_)) => {}
                (Some(a), Some(b)) if a == b => {}
                _ => return false,
            }
        }
    }

    #[test]
    fn a_box_may_do_what_the_contract_says() {
        let id: BoxId = "box-a".parse().unwrap();
        let rules = access_rules().replace("%u", "box-a");
        let of = |access: &str| -> Vec<String> {
            let prefix = format!("pattern {access} ");
            rules.lines().filter_map(|line| line.strip_prefix(&prefix)).map(str::to_owned).collect()
        };
        let (reads, writes) = (of("read"), of("write"));
        for topic in Topic::box_subscriptions(&id) {
            assert!(reads.iter().any(|rule| covers(rule, &topic)), "{topic}");
            assert!(!writes.iter().any(|rule| covers(rule, &topic)), "{topic}");
        }
        for topic in Topic::server_subscriptions() {
            let topic = topic.replacen('+', "box-a", 1);
            assert!(writes.iter().any(|rule| covers(rule, &topic)), "{topic}");
            assert!(!reads.iter().any(|rule| covers(rule, &topic)), "{topic}");
        }
        assert_eq!(writes.len(), Topic::server_subscriptions().len());
        assert_eq!(reads.len(), Topic::box_subscriptions(&id).len());
    }
}
