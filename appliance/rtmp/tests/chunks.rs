//! Whatever the chunk sizes, headers, interleavings and cuts: the same messages come out.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests fail by panicking")]

mod support;

use nodi_flv::tag::Tag;
use proptest::prelude::*;
use support::{ChunkWriter, Outgoing, Repeat, Server, prelude, tag};

/// Chunk streams in each of the three notations of their ids.
const CHUNK_STREAMS: [u32; 6] = [4, 5, 63, 64, 319, 65_599];

fn outgoing() -> impl Strategy<Value = (usize, Outgoing)> {
    let stream = 0..CHUNK_STREAMS.len();
    let timestamp = prop_oneof![0..2_000u32, 0xff_fff0..0x100_0010u32, 0..0xd000_0000u32];
    let len = prop_oneof![Just(0), 0..300usize, Just(128), 0..3_000usize];
    let kind = prop_oneof![Just(8u8), Just(9), Just(18)];
    (stream, kind, timestamp, len, any::<bool>()).prop_map(
        |(stream, kind, timestamp_ms, len, full_header)| {
            // Bytes that are in no extended timestamp above, since an omitted one is told from the payload by its value.
            let payload = (0..len).map(|n| 0xe0 | u8::try_from(n % 31).unwrap()).collect();
            (
                stream,
                Outgoing { full_header, ..Outgoing::new(CHUNK_STREAMS[stream], kind, timestamp_ms, payload) },
            )
        },
    )
}

/// Interleaves the messages of different streams as `order` says; gives the bytes and the tags in the order in which they
/// are complete.
fn interleave(
    writer: &mut ChunkWriter,
    messages: Vec<(usize, Outgoing)>,
    order: &[usize],
) -> (Vec<u8>, Vec<Tag>) {
    let mut queues = vec![Vec::new(); CHUNK_STREAMS.len()];
    for (stream, message) in messages.into_iter().rev() {
        queues[stream].push(message);
    }
    let mut open: Vec<Vec<Vec<u8>>> = vec![Vec::new(); CHUNK_STREAMS.len()];
    let mut current: Vec<Option<Outgoing>> = vec![None; CHUNK_STREAMS.len()];
    let (mut bytes, mut tags) = (Vec::new(), Vec::new());
    let mut order = order.iter().copied().cycle();
    while queues.iter().any(|queue| !queue.is_empty()) || open.iter().any(|chunks| !chunks.is_empty()) {
        // Not every order visits every stream: go on to the next one that has something.
        let start = order.next().unwrap();
        let stream = (0..CHUNK_STREAMS.len())
            .map(|step| (start + step) % CHUNK_STREAMS.len())
            .find(|stream| !queues[*stream].is_empty() || !open[*stream].is_empty())
            .unwrap();
        if open[stream].is_empty() {
            let message = queues[stream].pop().unwrap();
            open[stream] = writer.chunks(&message);
            open[stream].reverse();
            current[stream] = Some(message);
        }
        bytes.extend(open[stream].pop().unwrap());
        if open[stream].is_empty() {
            let message = current[stream].take().unwrap();
            // Empty script data says nothing.
            if message.message_type != 18 || !message.payload.is_empty() {
                tags.push(tag(&message));
            }
        }
    }
    (bytes, tags)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn the_same_messages_come_out(
        messages in prop::collection::vec(outgoing(), 1..25),
        order in prop::collection::vec(0..CHUNK_STREAMS.len(), 1..50),
        chunk_size in prop_oneof![1..200usize, 1..5_000usize, Just(65_536), Just(16_777_215)],
        repeat in prop_oneof![Just(Repeat::Field), Just(Repeat::Timestamp), Just(Repeat::Omitted)],
        cuts in prop::collection::vec(1..400usize, 1..20),
    ) {
        let mut writer = ChunkWriter { repeat, ..ChunkWriter::default() };
        let mut bytes = prelude(&mut writer);
        bytes.extend(writer.set_chunk_size(chunk_size));
        let (media, expected) = interleave(&mut writer, messages, &order);
        bytes.extend(media);
        // One more message: a payload that looks like the start of a repeated timestamp is decided by what follows.
        bytes.extend(writer.message(&Outgoing::new(2, 3, 0, vec![0; 4])));

        let mut server = Server::default();
        let mut rest = &bytes[..];
        let mut cuts = cuts.into_iter().cycle();
        while !rest.is_empty() {
            let (piece, tail) = rest.split_at(cuts.next().unwrap().min(rest.len()));
            server.feed(piece).unwrap();
            rest = tail;
        }
        prop_assert!(server.input.is_empty());
        prop_assert_eq!(server.tags(), expected);
    }
}

#[test]
fn a_cut_at_any_byte_changes_nothing() {
    let mut writer = ChunkWriter::default();
    let mut bytes = prelude(&mut writer);
    let start = bytes.len() - 200;
    let video = Outgoing::new(6, 9, 0x0100_0000, vec![0xee; 300]);
    let audio = Outgoing::new(65_000, 8, 0x0100_0017, vec![0xef; 140]);
    let (video_chunks, audio_chunks) = (writer.chunks(&video), writer.chunks(&audio));
    for chunk in [&video_chunks[0], &audio_chunks[0], &video_chunks[1], &audio_chunks[1], &video_chunks[2]] {
        bytes.extend(chunk);
    }
    for cut in start..bytes.len() {
        let mut server = Server::default();
        server.feed(&bytes[..cut]).unwrap();
        server.feed(&bytes[cut..]).unwrap();
        assert_eq!(server.tags(), [tag(&audio), tag(&video)], "cut at {cut}");
    }
    let mut server = Server::default();
    for byte in &bytes {
        server.feed(std::slice::from_ref(byte)).unwrap();
    }
    assert_eq!(server.tags(), [tag(&audio), tag(&video)]);
}

#[test]
fn timestamps_wrap_around_and_step_back() {
    let mut writer = ChunkWriter::default();
    let mut bytes = prelude(&mut writer);
    let times = [0xffff_fff0, 0xffff_ffff, 0x10, 0x05, 0x8000_0000];
    // Different lengths, so that no header is of format 3.
    let messages: Vec<_> =
        times.iter().enumerate().map(|(n, time)| Outgoing::new(4, 8, *time, vec![0xff; 10 + n])).collect();
    for message in &messages {
        bytes.extend(writer.message(message));
    }
    let mut server = Server::default();
    server.feed(&bytes).unwrap();
    assert_eq!(server.tags(), messages.iter().map(tag).collect::<Vec<_>>());
}

#[test]
fn an_abort_drops_what_was_received() {
    let mut writer = ChunkWriter::default();
    let mut bytes = prelude(&mut writer);
    let dropped = Outgoing { full_header: true, ..Outgoing::new(6, 9, 40, vec![1; 500]) };
    let kept = Outgoing { full_header: true, ..Outgoing::new(6, 9, 80, vec![2; 300]) };
    bytes.extend(writer.chunks(&dropped)[..2].concat());
    bytes.extend(writer.message(&Outgoing::new(2, 2, 0, 6u32.to_be_bytes().to_vec())));
    // Of a stream that has nothing to abort, and of one that does not exist.
    bytes.extend(writer.message(&Outgoing::new(2, 2, 0, 3u32.to_be_bytes().to_vec())));
    bytes.extend(writer.message(&Outgoing::new(2, 2, 0, 9u32.to_be_bytes().to_vec())));
    bytes.extend(writer.message(&kept));
    let mut server = Server::default();
    server.feed(&bytes).unwrap();
    assert_eq!(server.tags(), [tag(&kept)]);
}

#[test]
fn a_repeated_full_header_continues_the_message() {
    let mut writer = ChunkWriter::default();
    let mut bytes = prelude(&mut writer);
    let header = [6, 0, 0, 40, 0, 0, 200, 9, 1, 0, 0, 0];
    bytes.extend([&header[..], &[7; 128], &header, &[7; 72]].concat());
    let mut server = Server::default();
    server.feed(&bytes).unwrap();
    assert_eq!(server.tags(), [tag(&Outgoing::new(6, 9, 40, vec![7; 200]))]);
}
