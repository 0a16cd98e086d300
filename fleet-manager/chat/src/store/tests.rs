//! The store as rooms use it, and as a kill finds it.

use std::process::{Command, Stdio};
use std::sync::atomic::AtomicU64;

use nodi_protocol::chat::Role;
use nodi_protocol::chat::User;
use nodi_protocol::chat::action::Then;
use nodi_protocol::chat::event::{Event, Message, Reply, What};
use nodi_protocol::chat::server::LogEntry;
use nodi_protocol::chat::settings::Settings;

use super::*;
use crate::limits::AddressHash;
use crate::moderation::{Delivery, Inside, Item, Note};

const NOW: u64 = 1_800_000_000_000;
const DAY: u64 = 86_400_000;

struct Kept {
    store: Store,
    clock: Arc<AtomicU64>,
    directory: tempfile::TempDir,
    channel: ChannelId,
}

impl Kept {
    fn new(config: &Config) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let clock = Arc::new(AtomicU64::new(NOW));
        let store = Store::open(config, &directory.path().join("chat.db"), Clock::Manual(Arc::clone(&clock)))
            .unwrap();
        Self { store, clock, directory, channel: "demo".parse().unwrap() }
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("chat.db")
    }

    async fn again(&mut self, config: &Config) {
        self.store.close().await;
        self.store = Store::open(config, &self.path(), Clock::Manual(Arc::clone(&self.clock))).unwrap();
    }

    fn deliver(&self, n: u64, item: Item, inside: Inside) -> EventId {
        let id = EventId::new(NOW + n, 0);
        let delivery = Box::new(Delivery { id, at_ms: NOW + n, item, inside });
        self.store.submit(Op::Delivered { channel: self.channel.clone(), delivery });
        id
    }

    fn event(&self, n: u64, what: What) -> EventId {
        self.deliver(n, Item::Event(what), Inside::default())
    }

    fn say(&self, n: u64, name: &str, text: &str) -> EventId {
        let inside = Inside {
            nonce: Some(format!("nonce-{n}")),
            addresses: vec![AddressHash::new([1; 16])],
            role: Some(Role::Viewer),
            created_s: Some(5),
            ..Inside::default()
        };
        self.deliver(n, Item::Event(What::Message(message(name, text))), inside)
    }

    async fn load(&self) -> Loaded {
        self.store.load(&self.channel).await.unwrap()
    }

    async fn texts(&self) -> Vec<String> {
        texts(&self.load().await.events)
    }
}

fn texts(events: &[Event]) -> Vec<String> {
    let text = |event: &Event| match &event.what {
        What::Message(message) => Some(message.text.clone()),
        _ => None,
    };
    events.iter().filter_map(text).collect()
}

fn user(name: &str) -> User {
    User { id: format!("id-{name}"), name: name.into(), role: Role::Viewer, color: None, badges: Vec::new() }
}

fn message(name: &str, text: &str) -> Message {
    Message { user: user(name), text: text.into(), marks: Vec::new(), me: false, reply: None, first: false }
}

fn restricted(name: &str, until_ms: Option<u64>) -> What {
    What::Restricted { user: user(name), until_ms, reason: Some("spam".into()), by: user("Mod") }
}

#[tokio::test]
async fn what_was_submitted_is_there_at_once_and_after_a_restart() {
    let mut kept = Kept::new(&Config::default());
    let one = kept.say(1, "Ada", "one");
    let two = kept.say(2, "Bob", "two");
    for restart in [false, true] {
        if restart {
            kept.again(&Config::default()).await;
        }
        let loaded = kept.load().await;
        assert_eq!(texts(&loaded.events), ["one", "two"]);
        assert_eq!(loaded.events[0].id, one);
        assert_eq!(loaded.last, Some(two));
        let nonces: Vec<(&str, &str)> =
            loaded.nonces.iter().map(|one| (one.account.as_str(), one.nonce.as_str())).collect();
        assert_eq!(nonces, [("id-Ada", "nonce-1"), ("id-Bob", "nonce-2")]);
        let ada = &loaded.people[0];
        assert_eq!(
            (ada.user.name.as_str(), ada.messages, ada.first_ms, ada.created_s),
            ("Ada", 1, Some(NOW + 1), Some(5))
        );
        assert_eq!(ada.addresses, [(AddressHash::new([1; 16]), NOW + 1)]);
        assert_eq!(loaded.settings, None);
    }
    // Another channel is another world.
    assert_eq!(kept.store.load(&"other".parse().unwrap()).await.unwrap(), Loaded::default());
    // Delivered twice is written once.
    kept.say(2, "Bob", "two");
    assert_eq!(kept.texts().await, ["one", "two"]);
    let stats = kept.store.stats();
    assert_eq!((stats.waiting, stats.lost, stats.failed), (0, 0, 0));
    // Nonces are known for ten minutes.
    kept.clock.store(NOW + 2 + crate::moderation::NONCES_KEPT_MS + 1, Ordering::Relaxed);
    assert_eq!(kept.load().await.nonces, []);
}

#[tokio::test]
async fn what_was_taken_away_is_seen_by_nobody_who_comes_later() {
    let kept = Kept::new(&Config::default());
    let bad = kept.say(1, "Ada", "bad");
    kept.say(2, "Ada", "good");
    kept.say(3, "Bob", "also good");
    let deleted = kept.event(4, What::Deleted { message: bad, by: None });
    assert_eq!(kept.texts().await, ["good", "also good"]);
    kept.event(5, restricted("Ada", Some(NOW + DAY)));
    assert_eq!(kept.texts().await, ["also good"]);
    kept.say(6, "Bob", "more");
    kept.event(7, What::Purged { user: user("Bob"), by: Some(user("Mod")) });
    assert_eq!(kept.texts().await, Vec::<String>::new());
    kept.say(8, "Bob", "before");
    kept.event(9, What::Cleared { by: user("Mod") });
    kept.say(10, "Bob", "after");
    assert_eq!(kept.texts().await, ["after"]);
    // Who was away is told what was taken away, and not what it was.
    let since = kept.store.since(&kept.channel, bad, 100).await.unwrap();
    assert!(!since.gap);
    assert_eq!(texts(&since.events), ["after"]);
    assert_eq!(since.events[0].id, deleted);
    assert_eq!(since.events.len(), 5);
}

#[tokio::test]
async fn everything_a_room_needs_comes_back() {
    let mut kept = Kept::new(&Config::default());
    let settings = Settings { slow_s: 9, ..Settings::default() };
    kept.event(1, What::Settings { settings: settings.clone(), by: user("Mod") });
    let moderator = User { role: Role::Moderator, ..user("Mod") };
    kept.event(2, What::Role { user: moderator.clone(), by: user("Streamer") });
    kept.event(3, What::Role { user: User { role: Role::Moderator, ..user("Gone") }, by: user("Streamer") });
    kept.event(4, What::Role { user: user("Gone"), by: user("Streamer") });
    let inside = Inside { addresses: vec![AddressHash::new([3; 16])], ..Inside::default() };
    kept.deliver(5, Item::Event(restricted("Mallory", None)), inside);
    kept.event(6, restricted("Ada", Some(NOW + 1_000)));
    kept.event(7, restricted("Bob", Some(NOW + DAY)));
    kept.event(8, What::Released { user: user("Bob"), by: user("Mod") });
    let note = |n, note| kept.deliver(n, Item::Note(note), Inside::default());
    let term = |term: &str, then| Note::Term { term: term.into(), then, by: user("Mod") };
    note(9, term("spam", Then::Hold));
    note(10, term("SPAM", Then::Refuse));
    note(11, term("gone", Then::Hold));
    note(12, Note::TermGone { term: "Gone".into(), by: user("Mod") });
    let held = Inside { nonce: Some("n".into()), ..Inside::default() };
    let waits = kept.deliver(
        13,
        Item::Note(Note::Held { message: message("Eve", "hm"), why: "a link".into() }),
        held,
    );
    let decided = note(14, Note::Held { message: message("Eve", "hmm"), why: "a link".into() });
    note(15, Note::Reviewed { held: decided, allowed: false, by: None });
    note(16, Note::Raid { until_ms: NOW + 5, newcomers: 12 });
    let facts = nodi_protocol::chat::rooms::ChannelFacts {
        channel: kept.channel.clone(),
        suspended: true,
        emotes: Vec::new(),
    };
    kept.store.submit(Op::Facts(Box::new(facts.clone())));
    let entry = |n: u64| LogEntry {
        id: EventId::new(NOW + n, 0),
        at_ms: NOW + n,
        by: Some(user("Mod")),
        action: "ban".into(),
        user: Some(user("Mallory")),
        text: "spam".into(),
    };
    for n in [5, 6] {
        kept.store.submit(Op::Log { channel: kept.channel.clone(), entry: Box::new(entry(n)) });
    }
    kept.again(&Config::default()).await;
    let loaded = kept.load().await;
    assert_eq!(loaded.settings, Some(settings));
    assert_eq!(loaded.moderators, [moderator]);
    let mut silenced: Vec<_> =
        loaded.restrictions.iter().map(|one| (one.user.name.as_str(), one.until_ms)).collect();
    silenced.sort_unstable();
    assert_eq!(silenced, [("Ada", Some(NOW + 1_000)), ("Mallory", None)]);
    let mallory = loaded.restrictions.iter().find(|one| one.user.name == "Mallory").unwrap();
    assert_eq!(
        (mallory.addresses.as_slice(), mallory.reason.as_deref()),
        (&[AddressHash::new([3; 16])][..], Some("spam"))
    );
    assert_eq!(loaded.terms, [("SPAM".to_owned(), Then::Refuse)]);
    assert_eq!(loaded.held.len(), 1);
    assert_eq!((loaded.held[0].id, loaded.held[0].inside.nonce.as_deref()), (waits, Some("n")));
    assert_eq!(loaded.raid_until_ms, NOW + 5);
    assert_eq!(loaded.facts, Some(facts));
    assert_eq!(loaded.log, [entry(5), entry(6)]);
    let counts: Vec<_> =
        loaded.people.iter().map(|one| (one.user.name.as_str(), one.timeouts, one.bans)).collect();
    assert_eq!(counts, [("Mallory", 0, 1), ("Ada", 1, 0), ("Bob", 1, 0)]);
    assert_eq!(loaded.last, Some(EventId::new(NOW + 16, 0)));
    // A time-out that is over is not there any more.
    kept.clock.store(NOW + 1_000, Ordering::Relaxed);
    assert_eq!(kept.load().await.restrictions.len(), 1);
}

#[tokio::test]
async fn what_was_missed_is_bounded_and_a_gap_is_told() {
    let kept = Kept::new(&Config::default());
    let ids: Vec<EventId> = (1..=50).map(|n| kept.say(n, "Ada", &n.to_string())).collect();
    let since = kept.store.since(&kept.channel, ids[39], 100).await.unwrap();
    assert_eq!((since.events.len(), since.gap), (10, false));
    let since = kept.store.since(&kept.channel, ids[0], 10).await.unwrap();
    assert_eq!((texts(&since.events), since.gap), ((41..=50).map(|n| n.to_string()).collect(), true));
    let since = kept.store.since(&kept.channel, ids[49], 10).await.unwrap();
    assert_eq!((since.events.len(), since.gap), (0, false));
    // An id from before all that is kept.
    let since = kept.store.since(&kept.channel, EventId::new(NOW - DAY, 0), 100).await.unwrap();
    assert_eq!((since.events.len(), since.gap), (50, true));
}

#[tokio::test]
async fn an_account_gets_and_erases_what_it_said() {
    let kept = Kept::new(&Config::default());
    let first = kept.say(1, "Ada", "secret");
    for n in 2..8 {
        kept.say(n, "Ada", "more");
    }
    let reply = Reply { id: first, user: user("Ada"), text: "secret".into() };
    let answer = Message { reply: Some(reply), ..message("Bob", "what?") };
    kept.deliver(20, Item::Event(What::Message(answer)), Inside::default());
    kept.event(21, What::Deleted { message: first, by: None });
    kept.deliver(
        22,
        Item::Note(Note::Held { message: message("Ada", "secret"), why: "a link".into() }),
        Inside::default(),
    );
    let entry = |n: u64, action: &str| LogEntry {
        id: EventId::new(NOW + n, 0),
        at_ms: NOW + n,
        by: Some(user("Mod")),
        action: action.into(),
        user: Some(user("Ada")),
        text: "secret".into(),
    };
    for (n, action) in [(21, "delete"), (23, "ban")] {
        kept.store.submit(Op::Log { channel: kept.channel.clone(), entry: Box::new(entry(n, action)) });
    }
    let (mut cursor, mut said) = (None, Vec::new());
    loop {
        let page = kept.store.export("id-Ada", cursor, 3).await.unwrap();
        said.extend(page.items);
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
    }
    assert_eq!(said.len(), 7);
    assert_eq!((said[0].channel.as_str(), said[0].taken_away, said[1].taken_away), ("demo", true, false));
    let json = serde_json::to_value(&said[1]).unwrap();
    assert_eq!((&json["text"], &json["t"]), (&"more".into(), &"message".into()));

    assert_eq!(kept.store.erase("id-Ada").await.unwrap(), Erased { messages: 7 });
    assert_eq!(kept.store.export("id-Ada", None, 10).await.unwrap(), Export::default());
    let loaded = kept.load().await;
    assert_eq!(texts(&loaded.events), ["what?"]);
    assert!(loaded.held.is_empty() && loaded.people.iter().all(|person| person.user.name != "Ada"));
    let log: Vec<&str> = loaded.log.iter().map(|entry| entry.text.as_str()).collect();
    assert_eq!(log, ["", "secret"], "what a moderator wrote is theirs");
    assert_eq!(kept.store.erase("id-Ada").await.unwrap(), Erased { messages: 0 });
    // Nothing of it is left in the file.
    kept.store.close().await;
    let bytes = std::fs::read(kept.path()).unwrap();
    let count = bytes.windows(6).filter(|window| window == b"secret").count();
    assert_eq!(count, 1, "the ban's reason alone");
}

#[tokio::test]
async fn a_note_erases_in_its_channel() {
    let kept = Kept::new(&Config::default());
    kept.say(1, "Ada", "secret");
    kept.deliver(2, Item::Note(Note::Erased { account: "id-Ada".into() }), Inside::default());
    assert_eq!(kept.texts().await, Vec::<String>::new());
}

#[tokio::test]
async fn what_is_old_or_too_much_goes() {
    let config = Config { keep_days: 30, keep_events: 1_000, ..Config::default() };
    let mut kept = Kept::new(&config);
    for n in 0..1_200 {
        kept.say(n, "Ada", &n.to_string());
    }
    kept.event(1_300, restricted("Mallory", None));
    kept.load().await;
    // Old things are looked for when the store opens, and every minute; here by hand.
    let clean = |kept: &Kept, now_ms| {
        let mut connection = connect(&kept.path(), false).unwrap();
        let mut touched = std::collections::HashSet::from([kept.channel.clone()]);
        while retention::clean(&mut connection, &config, now_ms, &mut touched).unwrap()
            == retention::Left::More
        {}
        connection.query_row("SELECT count(*) FROM event", [], |row| row.get::<_, i64>(0)).unwrap()
    };
    assert_eq!(clean(&kept, NOW + 2_000), 1_000);
    assert_eq!(kept.load().await.people.len(), 2);
    assert_eq!(clean(&kept, NOW + 31 * DAY), 0);
    kept.again(&config).await;
    let loaded = kept.load().await;
    assert_eq!(loaded.events, []);
    assert_eq!(loaded.people.iter().map(|person| person.user.name.as_str()).collect::<Vec<_>>(), ["Mallory"]);
    assert_eq!(loaded.restrictions.len(), 1, "a ban does not grow old");
    assert_eq!(loaded.last, Some(EventId::new(NOW + 1_300, 0)), "ids go on where they were");
}

#[tokio::test]
async fn a_full_queue_loses_what_is_new_and_says_so() {
    let kept = Kept::new(&Config { batch_ms: 50, ..Config::default() });
    // Somebody else holds the file: nothing can be written.
    let other = connect(&kept.path(), false).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let many = QUEUE + 100;
    for n in 0..many {
        kept.say(n, "Ada", "x");
    }
    assert_eq!(kept.store.stats().lost, 100);
    other.execute_batch("COMMIT").unwrap();
    kept.load().await;
    let stats = kept.store.stats();
    assert_eq!((stats.waiting, stats.written, stats.lost), (0, QUEUE, 100));
    assert_eq!(kept.load().await.people[0].messages, QUEUE);
}

#[tokio::test]
async fn a_file_that_is_not_ours_is_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("other.db");
    Connection::open(&path).unwrap().execute_batch("CREATE TABLE t (a)").unwrap();
    let error = Store::open(&Config::default(), &path, Clock::system()).err().unwrap();
    assert!(error.to_string().ends_with("it is not a database of nodi-chat"), "{error}");
}

/// Set for the process that is to be killed: where its database is.
const VICTIM: &str = "NODI_CHAT_STORE_VICTIM";

/// Not a test by itself: floods a store until it is killed, and says on standard output what it submitted.
#[test]
fn flood_until_killed() {
    let Some(path) = std::env::var_os(VICTIM) else { return };
    let store = Store::open(&Config::default(), Path::new(&path), Clock::system()).unwrap();
    let channel: ChannelId = "demo".parse().unwrap();
    let mut id = EventId::new(crate::clock::unix_ms(), 0);
    for n in 0u64.. {
        let at_ms = crate::clock::unix_ms();
        id = id.next().max(EventId::new(at_ms, 0));
        let item = Item::Event(What::Message(message("Ada", &n.to_string())));
        let delivery = Box::new(Delivery { id, at_ms, item, inside: Inside::default() });
        store.submit(Op::Delivered { channel: channel.clone(), delivery });
        println!("submitted {id}");
        std::thread::sleep(Duration::from_micros(300));
    }
}

#[tokio::test]
async fn a_kill_loses_at_most_the_last_second_and_damages_nothing() {
    use std::io::{BufRead as _, BufReader};

    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("chat.db");
    let mut submitted: Vec<EventId> = Vec::new();
    let mut oldest_lost_ms = Vec::new();
    for _ in 0..3 {
        let mut victim = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "store::tests::flood_until_killed", "--nocapture"])
            .env(VICTIM, &path)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let before = submitted.len();
        let mut lines = BufReader::new(victim.stdout.take().unwrap()).lines();
        let enough = |submitted: &[EventId]| {
            let new = &submitted[before..];
            let (Some(first), Some(last)) = (new.first(), new.last()) else { return false };
            new.len() >= 1_000 && last.unix_ms() - first.unix_ms() >= 1_500
        };
        while !enough(&submitted) {
            let line = lines.next().unwrap().unwrap();
            if let Some((_, id)) = line.split_once("submitted ") {
                submitted.push(id.parse().unwrap());
            }
        }
        victim.kill().unwrap();
        victim.wait().unwrap();
        // What it said and nobody had read yet.
        let rest = lines
            .map_while(Result::ok)
            .filter_map(|line| line.split_once("submitted ")?.1.parse::<EventId>().ok());
        submitted.extend(rest);

        let store = Store::open(&Config::default(), &path, Clock::system()).unwrap();
        let connection = connect(&path, false).unwrap();
        let check: String = connection.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
        assert_eq!(check, "ok");
        let kept: std::collections::BTreeSet<String> = connection
            .prepare("SELECT id FROM event")
            .unwrap()
            .query_map([], |row| row.get(0))
            .unwrap()
            .map(Result::unwrap)
            .collect();
        let last = submitted.last().unwrap().unix_ms();
        let new = &submitted[before..];
        let lost: Vec<u64> =
            new.iter().filter(|id| !kept.contains(&id.to_string())).map(|id| last - id.unix_ms()).collect();
        oldest_lost_ms.push(lost.iter().max().copied().unwrap_or_default());
        // Whole messages, and all up to some point.
        assert!(new.iter().take(new.len() - lost.len()).all(|id| kept.contains(&id.to_string())));
        // What the room goes on from is there too.
        let channel = "demo".parse().unwrap();
        let loaded = store.load(&channel).await.unwrap();
        assert_eq!(loaded.last.unwrap(), new[new.len() - lost.len() - 1]);
        store.close().await;
        submitted.truncate(submitted.len() - lost.len());
    }
    // The disk of a busy machine may stall once in a while; the store does not.
    assert!(oldest_lost_ms.iter().any(|age_ms| *age_ms <= 1_000), "lost after {oldest_lost_ms:?} ms");
}
