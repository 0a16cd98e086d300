//! The fleet's contract: topics and payloads survive the way through text, and nothing that comes from outside breaks
//! the readers.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests fail by panicking")]

use nodi_protocol::fleet::command::{Action, Command, Process, State, Status, Upload};
use nodi_protocol::fleet::desired::{Desired, Limits, LogLevel, Origin, Rejected, Reported, Rung, Settings};
use nodi_protocol::fleet::event::{Ack, Event, What};
use nodi_protocol::fleet::presence::{Hardware, Presence};
use nodi_protocol::fleet::session::{self, Input, Ladder, Session, UplinkOf, Warning};
use nodi_protocol::fleet::telemetry::{
    Disk, Interface, Memory, Outbox, ProcessHealth, Telemetry, Temperature, Uplink,
};
use nodi_protocol::fleet::topic::{BoxTopic, Topic};
use nodi_protocol::fleet::update::{self, Bundle, Day, Deadlines, Order, Report, Window};
use nodi_protocol::fleet::{Error, MAX_PAYLOAD, Payload, SCHEMA};
use nodi_protocol::revocation::Revocations;
use nodi_protocol::{BoxId, ChannelId, CommandId, RenditionName, SessionId, UpdateId};
use proptest::collection::{btree_map, btree_set, vec};
use proptest::option::of;
use proptest::prelude::*;

fn name() -> impl Strategy<Value = String> {
    ("[a-z0-9]", vec(prop::sample::select(b"abcz019_-".to_vec()), 0..31)).prop_map(|(first, rest)| {
        rest.into_iter().fold(first, |mut text, byte| {
            text.push(char::from(byte));
            text
        })
    })
}

fn box_id() -> impl Strategy<Value = BoxId> {
    name().prop_map(|text| text.parse().unwrap())
}

fn channel() -> impl Strategy<Value = ChannelId> {
    name().prop_map(|text| text.parse().unwrap())
}

fn rendition() -> impl Strategy<Value = RenditionName> {
    // `m` in front: no name that a playlist has for itself.
    name().prop_filter_map("a reserved name", |text| text.parse().ok())
}

/// 48 bits of time.
fn milliseconds() -> impl Strategy<Value = u64> {
    0..(1_u64 << 48)
}

fn session_id() -> impl Strategy<Value = SessionId> {
    (milliseconds(), any::<u128>()).prop_map(|(ms, random)| SessionId::new(ms, random))
}

fn command_id() -> impl Strategy<Value = CommandId> {
    (milliseconds(), any::<u128>()).prop_map(|(ms, random)| CommandId::new(ms, random))
}

fn update_id() -> impl Strategy<Value = UpdateId> {
    (milliseconds(), any::<u128>()).prop_map(|(ms, random)| UpdateId::new(ms, random))
}

/// Anything that a person or a kernel may write.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![Just(String::new()), any::<String>(), "[ -~]{0,40}"]
}

/// Exact in JSON, which is all that a comparison can ask.
fn number() -> impl Strategy<Value = f64> {
    any::<i32>().prop_map(|number| f64::from(number) / 16.0)
}

fn share() -> impl Strategy<Value = f32> {
    any::<u16>().prop_map(|number| f32::from(number) / 16.0)
}

fn topic() -> impl Strategy<Value = Topic> {
    let below = prop_oneof![
        Just(BoxTopic::Presence),
        Just(BoxTopic::Desired),
        Just(BoxTopic::Reported),
        Just(BoxTopic::Telemetry),
        Just(BoxTopic::Event),
        Just(BoxTopic::EventAck),
        Just(BoxTopic::Update),
        Just(BoxTopic::UpdateStatus),
        session_id().prop_map(BoxTopic::Session),
        command_id().prop_map(BoxTopic::Command),
        command_id().prop_map(BoxTopic::CommandStatus),
    ];
    prop_oneof![
        Just(Topic::Revocations),
        Just(Topic::ServerPresence),
        (box_id(), below).prop_map(|(id, below)| Topic::Box(id, below)),
    ]
}

prop_compose! {
    fn hardware()(
        model in text(), serial in text(), architecture in text(), cores: u32, memory_bytes: u64,
        encoder in text(), os in text(), kernel in text(), l4t in of(text()), compatible in of(text()),
        rtmp_url in of(text()), rtmps_url in of(text()),
    ) -> Hardware {
        Hardware { model, serial, architecture, cores, memory_bytes, encoder, os, kernel, l4t, compatible, rtmp_url, rtmps_url }
    }
}

prop_compose! {
    fn presence()(
        online: bool, boot_id in text(), connection: u64, version in text(), at_ms in milliseconds(),
        hardware in of(hardware()),
    ) -> Presence {
        Presence { online, boot_id, connection, version, at_ms, hardware }
    }
}

fn log_level() -> impl Strategy<Value = LogLevel> {
    prop::sample::select(vec![
        LogLevel::Off,
        LogLevel::Error,
        LogLevel::Warn,
        LogLevel::Info,
        LogLevel::Debug,
        LogLevel::Trace,
    ])
}

prop_compose! {
    fn limits()(
        connections in of(any::<u32>()), connections_per_address in of(any::<u32>()),
        bitrate_bps in of(any::<u64>()), pixels_per_s in of(any::<u64>()),
    ) -> Limits {
        Limits { connections, connections_per_address, bitrate_bps, pixels_per_s }
    }
}

fn window() -> impl Strategy<Value = Window> {
    let day =
        prop::sample::select(vec![Day::Mon, Day::Tue, Day::Wed, Day::Thu, Day::Fri, Day::Sat, Day::Sun]);
    (vec(day, 0..8), any::<u16>(), any::<u16>()).prop_map(|(days, start_minute, minutes)| Window {
        days,
        start_minute,
        minutes,
    })
}

prop_compose! {
    fn settings()(
        log_level in of(log_level()),
        ladder in of(vec(
            (rendition(), any::<u32>(), any::<u32>())
                .prop_map(|(name, height, bitrate)| Rung { name, height, bitrate }), 0..6)),
        part_ms in of(any::<u32>()),
        limits in of(limits()),
        origins in of(vec((text(), text()).prop_map(|(name, url)| Origin { name, url }), 0..3)),
        stream_keys in of(vec(text(), 0..3)),
        telemetry_s in of(any::<u32>()),
        maintenance in of(vec(window(), 0..3)), drain in of(any::<bool>()),
    ) -> Settings {
        Settings { log_level, ladder, part_ms, limits, origins, stream_keys, telemetry_s, maintenance, drain }
    }
}

prop_compose! {
    fn desired()(version: u64, epoch in text(), settings in settings()) -> Desired {
        Desired { version, epoch, settings }
    }
}

prop_compose! {
    fn reported()(
        applied: u64, epoch in text(), settings in settings(), pending in vec(text(), 0..4),
        rejected in of((any::<u64>(), text()).prop_map(|(version, reason)| Rejected { version, reason })),
        at_ms in milliseconds(),
    ) -> Reported {
        Reported { applied, epoch, settings, rejected, pending, at_ms }
    }
}

prop_compose! {
    fn disk()(mount in text(), total_bytes: u64, free_bytes: u64, wear in of(share())) -> Disk {
        Disk { mount, total_bytes, free_bytes, wear }
    }
}

prop_compose! {
    fn interface()(
        name in text(), up: bool, speed_mbps in of(any::<u32>()), received_bps: u64, sent_bps: u64, errors: u64,
    ) -> Interface {
        Interface { name, up, speed_mbps, received_bps, sent_bps, errors }
    }
}

prop_compose! {
    fn process()(name in text(), running: bool, restarts: u64, memory_bytes: u64, cpu in share()) -> ProcessHealth {
        ProcessHealth { name, running, restarts, memory_bytes, cpu }
    }
}

prop_compose! {
    fn box_state()(
        cpu in of(share()), gpu in of(share()), encoder in of(share()), load_1m in of(share()),
        memory in of((any::<u64>(), any::<u64>(), any::<u64>(), any::<u64>()).prop_map(
            |(total, available, swap_total, swap_free)| Memory { total, available, swap_total, swap_free })),
        temperatures in vec((text(), share(), of(share())).prop_map(
            |(zone, celsius, throttles_at)| Temperature { zone, celsius, throttles_at }), 0..4),
        throttling in vec(text(), 0..3),
        power_w in of(share()),
        disks in vec(disk(), 0..3),
        interfaces in vec(interface(), 0..3),
    ) -> Telemetry {
        Telemetry { cpu, gpu, encoder, load_1m, memory, temperatures, throttling, power_w, disks, interfaces,
            ..Telemetry::default() }
    }
}

prop_compose! {
    fn telemetry()(
        state in box_state(), at_ms in milliseconds(), uptime_s: u64,
        uplink in of((any::<u64>(), any::<u64>(), any::<u64>(), of(any::<u64>())).prop_map(
            |(sent_bps, lag_ms, backlog, capacity_bps)| Uplink { sent_bps, lag_ms, backlog, capacity_bps })),
        clock_offset_ms in of(share()), clock_synchronised in of(any::<bool>()),
        processes in vec(process(), 0..4), sessions: u32, spare_sessions in of(any::<u32>()),
        outbox in of((any::<u64>(), any::<u64>(), any::<u64>()).prop_map(
            |(waiting, bytes, dropped)| Outbox { waiting, bytes, dropped })),
        certificate_not_after_ms in of(milliseconds()),
    ) -> Telemetry {
        Telemetry { at_ms, uptime_s, uplink, clock_offset_ms, clock_synchronised, processes, sessions, spare_sessions,
            outbox, certificate_not_after_ms, ..state }
    }
}

prop_compose! {
    fn video()(
        bitrate_bps: u64, video_codec in of(text()), width in of(any::<u32>()), height in of(any::<u32>()),
        fps in of(number()), key_frame_interval_s in of(number()), b_frames: bool,
    ) -> Input {
        Input { bitrate_bps, video_codec, width, height, fps, key_frame_interval_s, b_frames, ..Input::default() }
    }
}

prop_compose! {
    fn input()(
        video in video(), audio_codec in of(text()), sample_rate in of(any::<u32>()), channels in of(any::<u32>()),
        av_skew_ms in of(any::<i32>()), timestamp_jumps: u64, stalls: u64,
    ) -> Input {
        Input { audio_codec, sample_rate, channels, av_skew_ms, timestamp_jumps, stalls, ..video }
    }
}

prop_compose! {
    fn rung()(
        name in rendition(), width: u32, height: u32, state in text(), fps in number(), bitrate_bps: u64,
        frames: u64, dropped: u64,
    ) -> session::Rung {
        session::Rung { name, width, height, state, fps, bitrate_bps, frames, dropped }
    }
}

prop_compose! {
    fn ladder()(
        backend in text(), speed in number(), lag_ms: u64, overload in text(), worker: u32, rungs in vec(rung(), 0..5),
    ) -> Ladder {
        Ladder { backend, speed, lag_ms, overload, worker, rungs }
    }
}

prop_compose! {
    fn session_report()(
        session in session_id(), channel in channel(), encoder in text(), transport in text(), peer in text(),
        at_ms in milliseconds(), live_s in number(), input in input(), ladder in of(ladder()),
        uplink in of((any::<bool>(), any::<u64>(), any::<u64>()).prop_map(
            |(connected, lag_ms, backlog)| UplinkOf { connected, lag_ms, backlog })),
        warnings in vec((text(), text()).prop_map(|(code, text)| Warning { code, text }), 0..4),
    ) -> Session {
        Session { session, channel, encoder, transport, peer, at_ms, live_s, input, ladder, uplink, warnings }
    }
}

fn upload() -> impl Strategy<Value = Upload> {
    (text(), text(), any::<u64>()).prop_map(|(url, token, max_bytes)| Upload { url, token, max_bytes })
}

fn action() -> impl Strategy<Value = Action> {
    prop_oneof![
        prop::sample::select(vec![Process::Ingest, Process::Uplink, Process::Agent])
            .prop_map(|process| Action::RestartProcess { process }),
        Just(Action::Reboot),
        any::<u32>().prop_map(|seconds| Action::Identify { seconds }),
        (session_id(), text()).prop_map(|(session, reason)| Action::EndSession { session, reason }),
        (milliseconds(), milliseconds(), upload())
            .prop_map(|(since_ms, until_ms, upload)| Action::CollectLogs { since_ms, until_ms, upload }),
        Just(Action::SelfTest),
        (any::<u64>(), upload()).prop_map(|(bytes, upload)| Action::MeasureUplink { bytes, upload }),
    ]
}

prop_compose! {
    fn command()(
        id in command_id(), issued_ms in milliseconds(), expires_ms in milliseconds(), timeout_s: u32, action in action(),
    ) -> Command {
        Command { id, issued_ms, expires_ms, timeout_s, action }
    }
}

prop_compose! {
    fn status()(
        id in command_id(),
        state in prop::sample::select(vec![
            State::Accepted, State::Running, State::Succeeded, State::Failed, State::Expired]),
        progress in of(0_u8..=100), message in text(),
        result in of(number().prop_map(|value| serde_json::json!({"value": value, "list": [1, "x", null]}))),
        boot_id in text(), at_ms in milliseconds(),
    ) -> Status {
        Status { id, state, progress, message, result, boot_id, at_ms }
    }
}

prop_compose! {
    fn bundle()(
        version in text(), compatible in text(), url in text(), token in of(text()), bytes: u64, sha256 in text(),
    ) -> Bundle {
        Bundle { version, compatible, url, token, bytes, sha256 }
    }
}

prop_compose! {
    fn order()(
        id in update_id(), issued_ms in milliseconds(), expires_ms in milliseconds(), bundle in bundle(), force: bool,
        (download_s, install_s, reboot_s, trial_s) in any::<(u32, u32, u32, u32)>(),
    ) -> Order {
        let deadlines = Deadlines { download_s, install_s, reboot_s, trial_s };
        Order { id, issued_ms, expires_ms, bundle, force, deadlines }
    }
}

fn update_state() -> impl Strategy<Value = update::State> {
    use update::State::*;
    prop::sample::select(vec![
        Waiting,
        Downloading,
        Installing,
        Rebooting,
        Trial,
        Confirmed,
        RolledBack,
        Failed,
        Expired,
        Withdrawn,
    ])
}

prop_compose! {
    fn report()(
        id in update_id(), state in update_state(), progress in of(0_u8..=100), message in text(), from in text(),
        to in text(), slot in of(text()), deadline_ms in of(milliseconds()), boot_id in text(), at_ms in milliseconds(),
    ) -> Report {
        Report { id, state, progress, message, from, to, slot, deadline_ms, boot_id, at_ms }
    }
}

fn what() -> impl Strategy<Value = What> {
    prop_oneof![
        (text(), text()).prop_map(|(boot_id, version)| What::Booted { boot_id, version }),
        (session_id(), channel(), text()).prop_map(|(session, channel, encoder)| What::SessionStarted {
            session,
            channel,
            encoder
        }),
        (session_id(), channel(), text(), any::<u64>(), any::<u64>()).prop_map(
            |(session, channel, reason, seconds, received_bytes)| What::SessionEnded {
                session,
                channel,
                reason,
                seconds,
                received_bytes
            }
        ),
        (text(), any::<u64>()).prop_map(|(process, count)| What::ProcessRestarted { process, count }),
        any::<i64>().prop_map(|by_ms| What::ClockStepped { by_ms }),
        milliseconds().prop_map(|not_after_ms| What::CertificateRenewed { not_after_ms }),
        text().prop_map(|reason| What::CertificateRenewalFailed { reason }),
        (update_id(), update_state(), text(), text(), text()).prop_map(
            |(update, state, from, to, message)| { What::UpdateEnded { update, state, from, to, message } }
        ),
        (any::<u64>(), any::<u64>()).prop_map(|(telemetry, events)| What::Dropped { telemetry, events }),
    ]
}

prop_compose! {
    fn event()(seq: u64, journal in text(), at_ms in milliseconds(), what in what()) -> Event {
        Event { seq, journal, at_ms, what }
    }
}

/// There and back; what a newer peer adds is skipped; another schema is named; a part of it is none.
fn survives<P: Payload + PartialEq + std::fmt::Debug>(
    payload: &P,
    cut: prop::sample::Index,
) -> Result<(), TestCaseError> {
    let bytes = match payload.to_json() {
        Ok(bytes) => bytes,
        // Texts of the test can be long; then it says so.
        Err(error) => {
            let is_long = matches!(error, Error::TooLong { .. });
            prop_assert!(is_long, "{}", error);
            return Ok(());
        }
    };
    prop_assert_eq!(&P::from_json(&bytes).unwrap(), payload);

    let mut value: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
    prop_assert_eq!(&value["schema"], &serde_json::json!(SCHEMA));
    value["an_addition"] = serde_json::json!({"of": "a newer peer"});
    prop_assert_eq!(&P::from_json(&serde_json::to_vec(&value).unwrap()).unwrap(), payload);

    value["schema"] = serde_json::json!(SCHEMA + 1);
    let other = P::from_json(&serde_json::to_vec(&value).unwrap());
    let is_named = matches!(other, Err(Error::Schema { schema, .. }) if schema == SCHEMA + 1);
    prop_assert!(is_named);

    let part = cut.get(&bytes.iter().enumerate().collect::<Vec<_>>()).0;
    prop_assert!(P::from_json(bytes.get(..part).unwrap()).is_err());
    Ok(())
}

/// Reads `bytes` as everything. Only that it returns is asked.
fn read_as_everything(bytes: &[u8]) {
    let _ = Presence::from_json(bytes);
    let _ = Desired::from_json(bytes);
    let _ = Reported::from_json(bytes);
    let _ = Telemetry::from_json(bytes);
    let _ = Session::from_json(bytes);
    let _ = Command::from_json(bytes);
    let _ = Status::from_json(bytes);
    let _ = Event::from_json(bytes);
    let _ = Ack::from_json(bytes);
    let _ = Order::from_json(bytes);
    let _ = Report::from_json(bytes);
    let _ = Revocations::from_json(bytes);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn topics(topic in topic()) {
        prop_assert_eq!(&topic.to_string().parse::<Topic>().unwrap(), &topic);
        // And a box subscribes to what it is to read, the server to what boxes say.
        let text = topic.to_string();
        if let Topic::Box(id, below) = &topic {
            let from_fleet = matches!(
                below,
                BoxTopic::Desired | BoxTopic::Command(_) | BoxTopic::Update | BoxTopic::EventAck
            );
            let read_by_box = Topic::box_subscriptions(id).iter().any(|filter| matches(filter, &text));
            let read_by_server = Topic::server_subscriptions().iter().any(|filter| matches(filter, &text));
            prop_assert_eq!(read_by_box, from_fleet);
            prop_assert_eq!(read_by_server, !from_fleet);
        }
    }

    #[test]
    fn garbage_is_no_topic(text in ".{0,80}", deep in "(nodi/v1/)?(boxes/)?[a-z0-9+#/]{0,60}") {
        for text in [text, deep] {
            // What is one has one spelling.
            if let Ok(topic) = text.parse::<Topic>() {
                prop_assert_eq!(topic.to_string(), text);
            }
        }
    }

    #[test]
    fn presences(payload in presence(), cut: prop::sample::Index) { survives(&payload, cut)?; }

    #[test]
    fn desired_states(payload in desired(), cut: prop::sample::Index) {
        survives(&payload, cut)?;
    }

    #[test]
    fn reported_states(payload in reported(), cut: prop::sample::Index) { survives(&payload, cut)?; }

    #[test]
    fn telemetries(payload in telemetry(), cut: prop::sample::Index) { survives(&payload, cut)?; }

    #[test]
    fn session_reports(payload in session_report(), cut: prop::sample::Index) { survives(&payload, cut)?; }

    #[test]
    fn commands(payload in command(), cut: prop::sample::Index) { survives(&payload, cut)?; }

    #[test]
    fn statuses(payload in status(), cut: prop::sample::Index) { survives(&payload, cut)?; }

    #[test]
    fn events(payload in event(), cut: prop::sample::Index) { survives(&payload, cut)?; }

    #[test]
    fn orders(payload in order(), cut: prop::sample::Index) { survives(&payload, cut)?; }

    #[test]
    fn reports(payload in report(), cut: prop::sample::Index) { survives(&payload, cut)?; }

    #[test]
    fn acknowledgements(journal in text(), through: u64, cut: prop::sample::Index) {
        survives(&Ack { journal, through }, cut)?;
    }

    #[test]
    fn revocations(
        min_versions in btree_map(channel(), any::<u32>(), 0..5),
        suspended in btree_set(channel(), 0..5),
        version: u64,
        revoked_boxes in btree_set(box_id(), 0..5),
    ) {
        let document = Revocations { schema: nodi_protocol::revocation::SCHEMA, version, min_versions, suspended, revoked_boxes };
        let bytes = serde_json::to_vec(&document).unwrap();
        prop_assert_eq!(Revocations::from_json(&bytes).unwrap(), document);
    }

    #[test]
    fn garbage_breaks_no_reader(bytes in vec(any::<u8>(), 0..300)) {
        read_as_everything(&bytes);
    }

    /// Close to the truth: a good message with some of its bytes changed.
    #[test]
    fn a_damaged_message_breaks_no_reader(
        command in command(), telemetry in telemetry(),
        damage in vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        for good in [command.to_json(), telemetry.to_json()].into_iter().flatten() {
            let mut bytes = good;
            for (at, byte) in &damage {
                let at = at.index(bytes.len());
                *bytes.get_mut(at).unwrap() = *byte;
            }
            read_as_everything(&bytes);
        }
    }
}

/// MQTT 5.0, 4.7.1, for filters with `+`.
fn matches(filter: &str, topic: &str) -> bool {
    let (mut filter, mut topic) = (filter.split('/'), topic.split('/'));
    loop {
        match (filter.next(), topic.next()) {
            (None, None) => return true,
            (Some("+"), Some(_)) => {}
            (Some(wanted), Some(level)) if wanted == level => {}
            _ => return false,
        }
    }
}

#[test]
fn what_is_close_to_a_topic_is_none() {
    let session = SessionId::new(1, u128::MAX);
    for text in [
        String::new(),
        "nodi/v1".to_owned(),
        "nodi/v1/boxes/+/presence".to_owned(),
        "nodi/v1/boxes/#".to_owned(),
        "nodi/v1/boxes//presence".to_owned(),
        "nodi/v1/boxes/a".to_owned(),
        "nodi/v1/boxes/a/presence/".to_owned(),
        "nodi/v1/boxes/A/presence".to_owned(),
        "nodi/v1/boxes/../presence".to_owned(),
        "nodi/v2/boxes/a/presence".to_owned(),
        "/nodi/v1/boxes/a/presence".to_owned(),
        "nodi/v1/boxes/a/sessions/".to_owned(),
        format!("nodi/v1/boxes/a/sessions/{}", session.to_string().to_lowercase()),
        format!("nodi/v1/boxes/a/commands/{session}/status/x"),
        "nodi/v1/fleet/revocations/x".to_owned(),
    ] {
        assert!(text.parse::<Topic>().is_err(), "{text:?}");
    }
}

#[test]
fn a_setting_that_this_build_does_not_know_is_named() {
    let json = br#"{"schema": 1, "version": 3, "epoch": "e", "settings": {"lader": []}}"#;
    let error = Desired::from_json(json).unwrap_err().to_string();
    assert!(error.contains("lader"), "{error}");
}

#[test]
fn what_is_too_long_is_refused_both_ways() {
    let event =
        Event { seq: 1, journal: "j".repeat(MAX_PAYLOAD), at_ms: 1, what: What::ClockStepped { by_ms: 1 } };
    assert!(matches!(event.to_json(), Err(Error::TooLong { .. })));
    let long = vec![b' '; MAX_PAYLOAD + 1];
    assert!(matches!(Event::from_json(&long), Err(Error::TooLong { len, .. }) if len == MAX_PAYLOAD + 1));
    // Nested as deep as a message can be: an error and no overflow.
    assert!(Status::from_json("[".repeat(MAX_PAYLOAD).as_bytes()).is_err());
}
