//! One evening of one channel, from the first viewer to the end of the stream.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use nodi_lab::Lab;
use nodi_lab::chat::client::Dial;
use nodi_lab::chat::member::{Answer, Member};
use nodi_lab::publish::Client;
use nodi_lab::site::{Login, Visitor};
use nodi_protocol::chat::action::Action;
use nodi_protocol::chat::event::What;
use nodi_protocol::chat::server::Code;
use nodi_protocol::chat::{EventId, Role};
use serde_json::json;

use crate::site::{Directory, card};
use crate::support::{PATIENCE, eventually, more_segments, publish, start_with, tiny, view};

/// The box tells the fleet, the fleet tells the pages.
const SECONDS: Duration = Duration::from_secs(15);

/// Somebody at an address of their own: at the site, and in the chat.
struct Person {
    site: Visitor,
    dial: Dial,
}

impl Person {
    fn new(lab: &Lab, host: u8) -> Self {
        let address = Ipv4Addr::new(127, 0, 2, host);
        let dial = Dial::new(lab.chat_ws_url().unwrap()).from(address);
        Self { site: Visitor::from(&lab.site_url(), address).unwrap(), dial }
    }

    async fn sign_up(lab: &Lab, host: u8, name: &str) -> Self {
        let mut person = Self::new(lab, host);
        let login = Login { name: name.to_owned(), password: "a long enough password".to_owned() };
        person.site.sign_up(&login).await.unwrap();
        person
    }

    async fn sign_in(lab: &Lab, host: u8, login: &Login) -> Self {
        let mut person = Self::new(lab, host);
        person.site.sign_in(login).await.unwrap();
        person
    }

    /// Into the room, with a token if signed in.
    async fn enter(&mut self, lab: &Lab) -> Member {
        let token = match self.site.account() {
            Ok(_) => Some(self.site.chat_token(lab.channel()).await.unwrap()),
            Err(_) => None,
        };
        Member::enter(self.dial.clone(), lab.channel(), token).await.unwrap()
    }
}

async fn says(who: &Member, text: &str) -> EventId {
    match who.said(text).await.unwrap() {
        Answer::Said(id) => id,
        other => panic!("{text:?} was answered {other:?}"),
    }
}

async fn is_refused(who: &Member, text: &str, code: Code) -> Option<u64> {
    match who.said(text).await.unwrap() {
        Answer::Refused(refused) => {
            assert_eq!(refused.code, code, "{refused:?}");
            refused.retry_ms
        }
        other => panic!("{text:?} was answered {other:?}"),
    }
}

async fn done(who: &Member, action: Action) {
    let answer = who.act(action.clone()).await.unwrap();
    assert!(matches!(answer, Answer::Done(..)), "{action:?} was answered {answer:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_evening_from_the_first_viewer_to_the_end_of_the_stream() {
    let mut lab = start_with(|options| {
        (options.fleet, options.chat) = (true, true);
        // The last picture is kept for when the stream is over, here soon.
        options.overrides.fleet = json!({ "site": { "thumbnail_s": 1 } });
    })
    .await;
    let logins = lab.logins.clone().unwrap();
    let mut stranger = Person::new(&lab, 1);
    let directory = Directory::follow(&lab).await;
    directory.until("an empty directory", |live| live["channels"] == json!([])).await;
    assert_eq!(card(&mut stranger.site, "test").await, None);

    // The stream begins, and is in the directory.
    let encoder = publish(&mut lab, Client::Ffmpeg, &tiny());
    let viewer = view(&mut lab).await;
    let on_air = Instant::now();
    let live = directory.until("the channel in the directory", |live| live["total"] == 1).await;
    log::info!("in the directory {:.1} s after the first picture", on_air.elapsed().as_secs_f64());
    assert!(on_air.elapsed() < SECONDS, "{:.1} s", on_air.elapsed().as_secs_f64());
    let shown = &live["channels"][0];
    assert_eq!(shown["id"], "test", "{live:#}");
    assert_eq!(shown["streamer"]["name"], logins.streamer.name, "{live:#}");
    assert_eq!(shown["watch_url"], "/watch/test", "{live:#}");
    assert!(!shown["title"].as_str().unwrap().is_empty() && shown["started_ms"].is_u64(), "{live:#}");
    let asked = eventually("the same when asked", PATIENCE, async || card(&mut stranger.site, "test").await);
    assert_eq!(asked.await["started_ms"], shown["started_ms"]);

    // Signing up, talking; who has no account hears it.
    let reader = stranger.enter(&lab).await;
    assert_eq!(reader.look(|seen| seen.you.clone()), None);
    is_refused(&reader, "may I?", Code::Unauthenticated).await;
    let mut newcomer = Person::sign_up(&lab, 2, "Newcomer").await;
    let new = newcomer.enter(&lab).await;
    says(&new, "hello from a newcomer").await;
    reader.hears("hello from a newcomer").await.unwrap();
    newcomer.site.put("/channels/test/follow", json!({})).await.unwrap();
    let channel = newcomer.site.get("/channels/test").await.unwrap();
    assert_eq!((&channel["following"], &channel["followers"]), (&json!(true), &json!(1)), "{channel:#}");

    counts_are_right(&lab, &mut stranger, &reader).await;
    let mut keeper = Person::sign_in(&lab, 3, &logins.moderator).await;
    let moderator = keeper.enter(&lab).await;
    assert_eq!(moderator.look(|seen| seen.you.as_ref().unwrap().user.role), Role::Moderator);
    a_time_out_ends_by_itself(&mut newcomer, &new, &moderator, &reader).await;
    a_ban_holds(&lab, &mut newcomer, &new, &moderator, &reader).await;

    // The fleet server is away.
    lab.process("fleet").unwrap().kill();
    says(&new, "is anybody in charge?").await;
    reader.hears("is anybody in charge?").await.unwrap();
    new.cut();
    let chat = lab.process("chat").unwrap();
    chat.stop();
    chat.restart().unwrap();
    says(&new, "chat restarted meanwhile").await;
    reader.hears("chat restarted meanwhile").await.unwrap();
    assert!(reader.look(|seen| seen.is_in_order() && seen.gaps == 0), "the reader missed something");
    // The edge has the last directory still.
    assert!(card(&mut stranger.site, "test").await.is_some());
    let away = stranger.site.post("/session", json!({ "name": "Newcomer", "password": "x" })).await;
    assert!(away.unwrap_err().to_string().contains("503"));
    more_segments(&viewer, 1).await;
    lab.process("fleet").unwrap().restart().unwrap();
    eventually("a token from the fleet server", PATIENCE, async || {
        newcomer.site.chat_token(&"test".parse().unwrap()).await.ok()
    })
    .await;
    drop(directory);
    let directory = Directory::follow(&lab).await;
    directory.until("the channel back in the directory", |live| live["total"] == 1).await;

    // The stream ends.
    let picture = eventually("a picture that is kept", PATIENCE, async || {
        stranger.site.bytes("/site/v1/channels/test/thumbnail.jpg").await.ok()
    })
    .await;
    assert_eq!(picture.0, "image/jpeg");
    lab.clients[encoder].stop();
    let ended = Instant::now();
    directory.until("an empty directory", |live| live["total"] == 0).await;
    log::info!("gone from the directory {:.1} s after the end", ended.elapsed().as_secs_f64());
    let channel = stranger.site.get("/channels/test").await.unwrap();
    assert_eq!(channel["live"], false, "{channel:#}");
    assert!(channel["last_live_ms"].is_u64(), "{channel:#}");
    let (kind, jpeg) = stranger.site.bytes(channel["thumbnail_url"].as_str().unwrap()).await.unwrap();
    assert!(kind == "image/jpeg" && jpeg.starts_with(&[0xff, 0xd8, 0xff]), "{kind}: {} bytes", jpeg.len());
    let following = newcomer.site.get("/following").await.unwrap();
    assert_eq!(following["channels"][0]["live"], false, "{following:#}");
    drop(viewer);
}

/// As many as there are, also after some have gone.
async fn counts_are_right(lab: &Lab, stranger: &mut Person, reader: &Member) {
    let mut crowd = Vec::new();
    for host in 101..=120 {
        crowd.push(Person::new(lab, host).enter(lab).await);
    }
    // The reader and the newcomer are there, too.
    for (there, gone) in [(22, 0), (12, 10)] {
        crowd.drain(..gone);
        eventually(&format!("{there} viewers in the directory"), PATIENCE, async || {
            (card(&mut stranger.site, "test").await?["viewers"] == there).then_some(())
        })
        .await;
        let right = |seen: &nodi_lab::chat::member::Seen| (seen.counts == Some((there, 1))).then_some(());
        reader.until(&format!("{there} viewers in the chat"), PATIENCE, right).await.unwrap();
    }
}

async fn a_time_out_ends_by_itself(newcomer: &mut Person, new: &Member, moderator: &Member, reader: &Member) {
    let user = newcomer.site.account().unwrap().to_owned();
    let seconds = 3;
    let reason = Some("caps".to_owned());
    done(moderator, Action::Timeout { user: user.clone(), seconds, reason: reason.clone() }).await;
    let restricted = |seen: &nodi_lab::chat::member::Seen| {
        seen.events.iter().find_map(|event| match &event.what {
            What::Restricted { user: who, until_ms, reason, by } if who.id == user => {
                Some((until_ms.unwrap(), event.at_ms, reason.clone(), by.name.clone()))
            }
            _ => None,
        })
    };
    let told = reader.until("the time-out", PATIENCE, restricted).await.unwrap();
    assert_eq!((told.0 - told.1).div_ceil(1_000), seconds, "{told:?}");
    assert_eq!((told.2, told.3.as_str()), (reason, "Argine"));
    let retry_ms = is_refused(new, "LET ME TALK", Code::TimedOut).await.unwrap();
    assert!(retry_ms <= seconds * 1_000, "{retry_ms}");
    tokio::time::sleep(Duration::from_millis(retry_ms)).await;
    says(new, "quietly now").await;
    reader.hears("quietly now").await.unwrap();
    let released =
        reader.look(|seen| seen.events.iter().any(|event| matches!(event.what, What::Released { .. })));
    assert!(!released, "somebody ended it");
}

/// Whoever tries to get round it.
async fn a_ban_holds(lab: &Lab, newcomer: &mut Person, new: &Member, moderator: &Member, reader: &Member) {
    let user = newcomer.site.account().unwrap().to_owned();
    done(moderator, Action::Ban { user: user.clone(), reason: None }).await;
    is_refused(new, "you cannot silence me", Code::Banned).await;
    let again = newcomer.enter(lab).await;
    is_refused(&again, "a new connection", Code::Banned).await;
    // The account from elsewhere, and somebody new from where it was.
    newcomer.dial = newcomer.dial.clone().from(Ipv4Addr::new(127, 0, 2, 50));
    let elsewhere = newcomer.enter(lab).await;
    is_refused(&elsewhere, "a new address", Code::Banned).await;
    let mut other = Person::sign_up(lab, 2, "Somebody_Else").await;
    let other = other.enter(lab).await;
    // Told at the door, where it may read.
    let told = other.answer("").await.unwrap();
    assert_eq!(told.code(), Some(Code::Banned), "{told:?}");
    is_refused(&other, "a new account", Code::Unauthenticated).await;
    // A name that looks like theirs is no name to be had.
    for name in ["newcomer", "Newc0mer", "New_comer", "Nevvcomer", "Newcorner"] {
        let mut visitor = Person::new(lab, 60).site;
        let login = Login { name: name.to_owned(), password: "a long enough password".to_owned() };
        let refused = visitor.sign_up(&login).await.unwrap_err();
        assert!(matches!(refused, nodi_lab::Error::Refused { status: 409, .. }), "{name}: {refused}");
    }
    // Whoever has nothing to do with it may talk.
    let mut bystander = Person::sign_up(lab, 4, "Bystander").await;
    let bystander = bystander.enter(lab).await;
    says(&bystander, "what happened?").await;
    reader.hears("what happened?").await.unwrap();
    let heard: BTreeSet<String> =
        reader.look(|seen| seen.texts().iter().map(|text| (*text).to_owned()).collect());
    for silenced in ["you cannot silence me", "a new connection", "a new address", "a new account"] {
        assert!(!heard.contains(silenced), "{silenced:?} was heard");
    }
    done(moderator, Action::Release { user }).await;
    says(new, "sorry").await;
    reader.hears("sorry").await.unwrap();
}
