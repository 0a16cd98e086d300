//! Each mode: who is refused, with which code, and until when; and who is not.

use nodi_protocol::chat::action::Then;

use super::*;

fn room() -> (World, Speaker, Speaker) {
    let mut world = World::new();
    let moderator = world.enter("Mod", Role::Moderator);
    let ada = world.viewer("Ada");
    (world, moderator, ada)
}

#[test]
fn slow_mode() {
    let (mut world, moderator, ada) = room();
    assert_eq!(world.command(&moderator, "/slow 10"), "Slow mode: one message in 10 seconds.");
    assert!(matches!(world.last_event(), What::Settings { settings, .. } if settings.slow_s == 10));
    world.say(&ada, "one");
    world.now += 3_000;
    assert_eq!(world.refused(&ada, "two"), (Code::Slow, Some(7_000)));
    world.now += 6_999;
    assert_eq!(world.refused(&ada, "two"), (Code::Slow, Some(1)));
    world.now += 1;
    world.say(&ada, "two");
    world.say(&moderator, "one");
    world.say(&moderator, "two");
    world.command(&moderator, "/slowoff");
    world.say(&ada, "three");
}

#[test]
fn followers_only() {
    let (mut world, moderator, ada) = room();
    let since = |seconds: u64| Claims {
        followed_s: Some(NOW / 1_000 - seconds),
        ..World::claims("Fan", Role::Viewer)
    };
    world.command(&moderator, "/followers");
    assert_eq!(world.refused(&ada, "hi"), (Code::FollowersOnly, None));
    let fan = world.enter_as(since(60), "192.0.2.5").unwrap();
    world.say(&fan, "hi");
    world.command(&moderator, "/followers 10m");
    assert_eq!(world.refused(&fan, "hi again"), (Code::FollowersOnly, Some(540_000)));
    world.now += 540_000;
    world.say(&fan, "hi again");
    world.say(&moderator, "moderators need not follow");
    assert_eq!(world.command(&moderator, "/followersoff"), "Followers-only mode is off.");
    world.say(&ada, "hi");
}

#[test]
fn subscribers_only() {
    let (mut world, moderator, ada) = room();
    let sub = world.enter("Sub", Role::Subscriber);
    world.command(&moderator, "/subscribers");
    assert_eq!(world.refused(&ada, "hi"), (Code::SubscribersOnly, None));
    world.say(&sub, "hi");
    world.say(&moderator, "hi");
    world.command(&moderator, "/subscribersoff");
    world.say(&ada, "hi");
}

#[test]
fn emotes_only() {
    let (mut world, moderator, ada) = room();
    world.command(&moderator, "/emoteonly");
    assert_eq!(world.refused(&ada, "hi 😀"), (Code::EmotesOnly, None));
    world.say(&ada, "😀 👍🏽");
    world.say(&moderator, "words");
    world.command(&moderator, "/emoteonlyoff");
    world.say(&ada, "hi");
}

#[test]
fn unique_chat() {
    let (mut world, moderator, ada) = room();
    world.command(&moderator, "/unique");
    world.say(&ada, "Buy now!");
    let bob = world.viewer("Bob");
    world.now += 20_000;
    assert_eq!(world.refused(&bob, "buyyy NOW"), (Code::Duplicate, Some(40_000)));
    world.say(&bob, "something else");
    world.wait(40_000);
    world.say(&bob, "buy now");
    world.say(&moderator, "buy now");
    world.command(&moderator, "/uniqueoff");
    world.say(&ada, "buy now");
}

#[test]
fn chat_off() {
    let (mut world, moderator, ada) = room();
    assert_eq!(world.command(&moderator, "/chat off"), "The chat is off.");
    assert_eq!(world.refused(&ada, "hi"), (Code::Off, None));
    let sub = world.enter("Sub", Role::Subscriber);
    assert_eq!(world.refused(&sub, "hi"), (Code::Off, None));
    world.say(&moderator, "hi");
    world.command(&moderator, "/chat on");
    world.say(&ada, "hi");
}

#[test]
fn links() {
    let (mut world, moderator, ada) = room();
    world.say(&ada, "see https://a.example");
    world.command(&moderator, "/links refuse");
    assert_eq!(world.refused(&ada, "see https://a.example"), (Code::Links, None));
    assert_eq!(world.refused(&ada, "see evil.com"), (Code::Links, None));
    world.say(&ada, "see there");
    world.say(&moderator, "see https://a.example");
    world.command(&moderator, "/links hold");
    assert_eq!(world.refused(&ada, "see https://b.example"), (Code::Held, None));
    assert_eq!(world.held(&moderator)[0].1, "a link");
    world.command(&moderator, "/links allow");
    world.say(&ada, "see https://c.example");
}

#[test]
fn blocked_terms() {
    let (mut world, moderator, ada) = room();
    world.command(&moderator, "/block refuse badword");
    world.command(&moderator, "/block spam*");
    assert_eq!(world.refused(&ada, "such a b4dw0rd"), (Code::Blocked, None));
    assert_eq!(world.refused(&ada, "b.a.d.w.o.r.d"), (Code::Blocked, None));
    assert_eq!(world.refused(&ada, "sp@mmer"), (Code::Held, None));
    let held = world.held(&moderator);
    assert_eq!(held[0].1, "the blocked term “spam*”");
    world.say(&moderator, "badword");
    let Answer::Terms { terms } = world.answer(&moderator, "/terms") else { panic!() };
    let terms: Vec<_> = terms.iter().map(|term| (term.term.as_str(), term.then)).collect();
    assert_eq!(terms, [("badword", Then::Refuse), ("spam*", Then::Hold)]);
    assert_eq!(world.command(&moderator, "/block refuse badword"), "“badword” is blocked already.");
    world.command(&moderator, "/unblock BADWORD");
    world.say(&ada, "badword");
    assert_eq!(world.refused(&moderator, "/unblock badword").0, Code::NotFound);
    assert_eq!(world.refused(&moderator, "/block x").0, Code::Invalid);
    for n in 0..MAX_TERMS - 1 {
        world.now += 1_000;
        world.command(&moderator, &format!("/block nothing{n}"));
    }
    world.now += 1_000;
    assert_eq!(world.refused(&moderator, "/block another").0, Code::Full);
}

#[test]
fn what_is_held_is_decided_or_dropped() {
    let (mut world, moderator, ada) = room();
    world.command(&moderator, "/block spam");
    let Frame::Refused(refused) = world.say_with(&ada, "h1", "spam one", None) else { panic!() };
    assert_eq!(refused.code, Code::Held);
    assert!(matches!(world.moderators.last(), Some(Frame::Held { held }) if held.message.text == "spam one"));
    // Asked again it is not held twice.
    world.say_with(&ada, "h1", "spam one", None);
    let held = world.held(&moderator);
    assert_eq!(held.len(), 1);
    assert_eq!(world.command(&moderator, &format!("/allow {}", held[0].0)), "The message is let through.");
    assert_eq!(world.last_message().text, "spam one");
    assert!(world.last_message().first);
    assert_eq!(world.refused(&moderator, &format!("/allow {}", held[0].0)).0, Code::NotFound);
    // And whoever asks once more is told that it was said.
    assert!(matches!(world.say_with(&ada, "h1", "spam one", None), Frame::Said { .. }));

    world.refused(&ada, "spam two");
    let (id, _) = world.held(&moderator)[0];
    let events = world.events.len();
    assert_eq!(world.command(&moderator, &format!("/deny {id}")), "The message is dropped.");
    let log = world.log(&moderator);
    assert_eq!((log[0].action.as_str(), log[0].text.as_str()), ("deny", "spam two"));

    world.refused(&ada, "spam three");
    world.wait(599_999);
    assert_eq!(world.held(&moderator).len(), 1);
    world.wait(1);
    assert_eq!(world.held(&moderator).len(), 0);
    assert!(
        world
            .moderators
            .iter()
            .any(|frame| matches!(frame, Frame::Reviewed { allowed: false, by: None, .. }))
    );
    assert_eq!(world.events.len(), events);
}

#[test]
fn what_waits_is_bounded_and_goes_with_its_author() {
    let (mut world, moderator, ada) = room();
    world.command(&moderator, "/block spam");
    for n in 0..MAX_HELD_EACH {
        assert_eq!(world.refused(&ada, &format!("spam {n}")).0, Code::Held);
    }
    assert_eq!(world.refused(&ada, "spam more").0, Code::Full);
    for n in 0..MAX_HELD - MAX_HELD_EACH {
        let one = world.viewer(&format!("One{n}"));
        world.now += 1_000;
        assert_eq!(world.refused(&one, "spam").0, Code::Held, "{n}");
    }
    let last = world.viewer("Last");
    assert_eq!(world.refused(&last, "spam").0, Code::Full);
    world.command(&moderator, "/timeout ada");
    assert_eq!(world.held(&moderator).len(), MAX_HELD - MAX_HELD_EACH);
}

#[test]
fn a_raid_is_held_and_the_regulars_go_on() {
    let (mut world, moderator, ada) = room();
    world.say(&ada, "a calm evening");
    world.wait(601_000);
    let new = |n: usize| Claims {
        created_s: NOW / 1_000 - 60,
        ..World::claims(&format!("raider{n}x"), Role::Viewer)
    };
    let mut held = 0;
    for n in 0..30 {
        let raider = world.enter_as(new(n), &format!("198.51.100.{n}")).unwrap();
        world.now += 100;
        match world.frame(&raider, "raid") {
            Frame::Said { .. } => assert!(n < 9, "{n}"),
            Frame::Refused(Refused { code: Code::Held, .. }) => held += 1,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(held, 21);
    world.say(&ada, "what is this");
    assert!(world.held(&moderator).iter().all(|(_, why)| why == "a newcomer during a raid"));
    assert!(world.log(&moderator).iter().any(|entry| entry.action == "raid" && entry.by.is_none()));
    // Who came through first is held now too.
    let first = world.enter_as(new(0), "198.51.100.0").unwrap();
    assert_eq!(world.refused(&first, "raid again").0, Code::Held);
    // Two quiet minutes later it is over.
    world.now += 121_000;
    world.say(&first, "sorry");

    world.command(&moderator, "/raidshield off");
    for n in 50..80 {
        let raider = world.enter_as(new(n), &format!("198.51.100.{n}")).unwrap();
        world.say(&raider, "welcome then");
    }
}

#[test]
fn strangers_are_a_raid_only_where_people_know_each_other() {
    let crowd = |world: &mut World| {
        let said = |world: &mut World, n: u8| {
            let claims = World::claims(&format!("guest{n}x"), Role::Viewer);
            let guest = world.enter_as(claims, &format!("198.51.100.{n}")).unwrap();
            world.now += 100;
            matches!(world.frame(&guest, "hello"), Frame::Said { .. })
        };
        (0..150).filter(|n| said(world, *n)).count()
    };
    // The first evening of a channel.
    assert_eq!(crowd(&mut World::new()), 150);
    // Where sixty have talked for long, a hundred and fifty strangers in a quarter of a minute are not by chance.
    let known = (0..60).map(|n| format!("id-regular{n}")).collect();
    let mut world = World::with(&Config::default(), Loaded { known, ..Loaded::default() });
    assert_eq!(crowd(&mut world), 39);
}
