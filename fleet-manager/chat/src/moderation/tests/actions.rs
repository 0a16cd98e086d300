//! Each action and command: what it does, what everybody and the moderators are told, and what it says to whoever did it.

use nodi_protocol::chat::settings::Patch;

use super::*;

fn room() -> (World, Speaker, Speaker) {
    let mut world = World::new();
    let moderator = world.enter("Mod", Role::Moderator);
    let ada = world.viewer("Ada");
    (world, moderator, ada)
}

#[test]
fn timing_out_and_banning() {
    let (mut world, moderator, ada) = room();
    let said = world.say(&ada, "hello");
    assert_eq!(
        world.command(&moderator, "/timeout Ada 1h30m too loud"),
        "Ada is timed out for 1 hour 30 minutes."
    );
    let What::Restricted { user, until_ms, reason, by } = world.last_event().clone() else { panic!() };
    assert_eq!((user.name.as_str(), until_ms, by.name.as_str()), ("Ada", Some(NOW + 5_400_000), "Mod"));
    assert_eq!(reason.as_deref(), Some("too loud"));
    let event = world.events.last().unwrap();
    assert!(takes_away(event, &world.events[0]), "what they said is taken away");
    assert_eq!(world.refused(&moderator, &format!("/delete {said}")).0, Code::NotFound);

    // A second time-out takes the place of the first; a ban that of both.
    world.command(&moderator, "/timeout ada 10s");
    assert_eq!(world.refused(&ada, "hi"), (Code::TimedOut, Some(10_000)));
    assert_eq!(world.command(&moderator, "/ban ada"), "Ada is banned.");
    assert_eq!(world.command(&moderator, "/ban ada"), "Ada is banned already.");
    assert_eq!(world.refused(&moderator, "/timeout ada 10s").0, Code::Invalid);
    assert_eq!(world.refused(&ada, "hi"), (Code::Banned, None));

    let Answer::Restricted { restricted } = world.answer(&moderator, "/restricted") else { panic!() };
    assert_eq!((restricted.len(), restricted[0].user.name.as_str()), (1, "Ada"));
    assert_eq!(world.command(&moderator, "/unban ada"), "Ada may speak again.");
    assert!(matches!(world.last_event(), What::Released { user, .. } if user.name == "Ada"));
    assert_eq!(world.refused(&moderator, "/unban ada").0, Code::NotFound);
    world.say(&ada, "thank you");

    let actions: Vec<(String, String)> =
        world.log(&moderator).into_iter().map(|entry| (entry.action, entry.text)).collect();
    let want =
        [("unban", ""), ("ban", ""), ("timeout", "10 seconds"), ("timeout", "1 hour 30 minutes: too loud")];
    assert_eq!(actions, want.map(|(action, text)| (action.to_owned(), text.to_owned())));
    let logged = world.moderators.iter().filter(|frame| matches!(frame, Frame::Logged { .. })).count();
    assert_eq!(logged, 4);
    let written = world.ops.iter().filter(|op| matches!(op, Op::Log { .. })).count();
    assert_eq!(written, 4);
}

#[test]
fn somebody_who_left_is_still_found() {
    let (mut world, moderator, ada) = room();
    drop(ada);
    assert_eq!(world.command(&moderator, "/timeout @ADA 1m"), "Ada is timed out for 1 minute.");
    let by_id = world.act(&moderator, Action::Release { user: "id-Ada".into() });
    assert!(matches!(by_id, Frame::Done { .. }));
    assert_eq!(world.refused(&moderator, "/timeout Nobody").0, Code::NotFound);
    let bad = world.act(&moderator, Action::Ban { user: "x".repeat(65), reason: None });
    assert!(matches!(bad, Frame::Refused(Refused { code: Code::Invalid, .. })));
    // Also when only the ban is remembered.
    world.command(&moderator, "/ban ada");
    let user = world.room.you(world.now, &moderator).user;
    let restrictions = vec![crate::store::Restricted {
        user: nodi_protocol::chat::User {
            id: "id-Ada".into(),
            name: "Ada".into(),
            role: Role::Viewer,
            color: None,
            badges: Vec::new(),
        },
        until_ms: None,
        reason: None,
        by: user,
        at_ms: NOW,
        addresses: Vec::new(),
    }];
    let mut world = World::with(&Config::default(), Loaded { restrictions, ..Loaded::default() });
    let moderator = world.enter("Mod", Role::Moderator);
    assert_eq!(world.command(&moderator, "/unban ada"), "Ada may speak again.");
}

#[test]
fn buttons_are_checked_as_commands_are() {
    let (mut world, moderator, _) = room();
    let refused = |frame: Frame| match frame {
        Frame::Refused(refused) => refused.code,
        other => panic!("{other:?}"),
    };
    let user = "@Ada".to_owned();
    for seconds in [0, 14 * 86_400 + 1, u64::MAX] {
        let time_out = Action::Timeout { user: user.clone(), seconds, reason: None };
        assert_eq!(refused(world.act(&moderator, time_out)), Code::Invalid);
    }
    let long = Action::Ban { user: user.clone(), reason: Some("x".repeat(201)) };
    assert_eq!(refused(world.act(&moderator, long)), Code::Invalid);
    for settings in [
        Patch { slow_s: Some(3_601), ..Patch::default() },
        Patch { followers_s: Some(Some(u32::MAX)), ..Patch::default() },
    ] {
        assert_eq!(refused(world.act(&moderator, Action::Set { settings })), Code::Invalid);
    }
    let term = Action::BlockTerm { term: "x".repeat(101), then: Default::default() };
    assert_eq!(refused(world.act(&moderator, term)), Code::Invalid);
    // A reason is cleaned, and may be nothing.
    let ban = Action::Ban { user, reason: Some(" \u{202e} ".into()) };
    assert!(matches!(world.act(&moderator, ban), Frame::Done { .. }));
    assert!(matches!(world.last_event(), What::Restricted { reason: None, .. }));
}

#[test]
fn purging_and_clearing() {
    let (mut world, moderator, ada) = room();
    let bob = world.viewer("Bob");
    let (one, two) = (world.say(&ada, "one"), world.say(&bob, "two"));
    assert_eq!(world.command(&moderator, "/purge ada"), "All messages of Ada are taken away.");
    assert!(matches!(world.last_event(), What::Purged { user, by: Some(_) } if user.name == "Ada"));
    assert_eq!(world.refused(&moderator, &format!("/delete {one}")).0, Code::NotFound);
    world.say(&ada, "I may still speak");
    assert_eq!(world.command(&moderator, "/clear"), "All messages are taken away.");
    assert!(matches!(world.last_event(), What::Cleared { .. }));
    assert_eq!(world.refused(&moderator, &format!("/delete {two}")).0, Code::NotFound);
    let clear = world.events.last().unwrap();
    assert!(
        world
            .events
            .iter()
            .filter(|event| matches!(event.what, What::Message(_)))
            .all(|said| takes_away(clear, said))
    );
}

#[test]
fn several_settings_at_once_are_one_event() {
    let (mut world, moderator, _) = room();
    let settings = Patch { slow_s: Some(5), off: Some(true), ..Patch::default() };
    let Frame::Done { text, .. } = world.act(&moderator, Action::Set { settings: settings.clone() }) else {
        panic!()
    };
    assert_eq!(text, "Slow mode: one message in 5 seconds; the chat is off.");
    assert_eq!(world.events.len(), 1);
    assert_eq!(world.log(&moderator)[0].action, "settings");
    let Frame::Done { text, .. } = world.act(&moderator, Action::Set { settings }) else { panic!() };
    assert_eq!((text.as_str(), world.events.len()), ("It is so already.", 1));
}

#[test]
fn who_somebody_is() {
    let (mut world, moderator, ada) = room();
    world.say(&ada, "one");
    world.say(&ada, "two");
    world.command(&moderator, "/timeout ada 1s");
    world.wait(1_000);
    world.say(&ada, "three");
    let frame = world.frame(&moderator, "/who ada");
    let Frame::Done { text, answer: Some(Answer::Who { who }), .. } = frame else { panic!() };
    assert_eq!(text, "Ada: 3 messages here, timed out once, banned 0 times.");
    assert_eq!((who.messages, who.timeouts, who.bans, who.created_s), (3, 1, 0, Some(1_000)));
    assert_eq!(who.said.len(), 1);
    assert!(who.restriction.is_none());
    world.command(&moderator, "/ban ada");
    assert_eq!(
        world.command(&moderator, "/who ada"),
        "Ada: 3 messages here, timed out once, banned once, banned."
    );
}

#[test]
fn the_log_is_read_in_pages() {
    let (mut world, moderator, _) = room();
    for n in 0..60 {
        world.now += 1_000;
        world.command(&moderator, &format!("/slow {}", n + 1));
    }
    let Answer::Log { entries, more } = world.answer(&moderator, "/log") else { panic!() };
    assert_eq!((entries.len(), more), (PAGE, true));
    assert_eq!(
        (entries[0].action.as_str(), entries[0].text.as_str()),
        ("slow", "slow mode: one message in 1 minute")
    );
    let before = entries.last().map(|entry| entry.id);
    let Frame::Done { answer: Some(Answer::Log { entries, more }), .. } =
        world.act(&moderator, Action::Log { before })
    else {
        panic!()
    };
    assert_eq!((entries.len(), more), (10, false));
}

#[test]
fn help_is_for_ones_role() {
    let (mut world, moderator, ada) = room();
    assert_eq!(
        world.command(&ada, "/help"),
        "/me text, /help [command], /delete id. /help command tells more."
    );
    assert!(world.command(&moderator, "/help").contains("/slow 10"));
    assert_eq!(
        world.command(&ada, "/help ban"),
        "/ban name [reason]: silences somebody until it is taken back."
    );
    assert_eq!(world.events, []);
}

#[test]
fn a_wrong_command_is_told_how_it_is_written() {
    let (mut world, moderator, _) = room();
    let Frame::Refused(refused) = world.frame(&moderator, "/timeout ada 10x") else { panic!() };
    assert_eq!(refused.code, Code::Command);
    assert_eq!(refused.text, "/timeout name 10m [reason]: `10x` is not a time; say 30s, 10m, 2h or 3d");
}
