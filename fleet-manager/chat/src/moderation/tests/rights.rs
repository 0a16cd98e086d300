//! Each border between roles.

use nodi_protocol::chat::settings::Patch;

use super::*;

fn all_of(world: &mut World) -> [Speaker; 5] {
    [
        world.enter("Viewer", Role::Viewer),
        world.enter("Subscriber", Role::Subscriber),
        world.enter("Moderator", Role::Moderator),
        world.enter("Streamer", Role::Streamer),
        world.enter("Staff", Role::Staff),
    ]
}

#[test]
fn nobody_acts_on_their_equals() {
    let names = ["Viewer", "Subscriber", "Moderator", "Streamer", "Staff"];
    for actor in 0..5 {
        for target in 0..5 {
            for command in ["timeout", "ban", "purge"] {
                let mut world = World::new();
                let people = all_of(&mut world);
                let frame = world.frame(&people[actor], &format!("/{command} {}", names[target]));
                let may = actor >= 2 && actor > target.max(1);
                match frame {
                    Frame::Done { .. } => assert!(may, "{} {command} {}", names[actor], names[target]),
                    Frame::Refused(refused) => {
                        assert!(!may, "{} {command} {}", names[actor], names[target]);
                        assert_eq!(refused.code, Code::Forbidden);
                    }
                    other => panic!("{other:?}"),
                }
            }
        }
    }
}

#[test]
fn what_takes_a_moderator_is_refused_to_viewers() {
    let id = EventId::new(NOW, 1);
    let user = "@viewer".to_owned();
    let actions = [
        Action::Purge { user: user.clone() },
        Action::Clear {},
        Action::Timeout { user: user.clone(), seconds: 1, reason: None },
        Action::Ban { user: user.clone(), reason: None },
        Action::Release { user: user.clone() },
        Action::Set { settings: Patch { slow_s: Some(3), ..Patch::default() } },
        Action::Appoint { user: user.clone() },
        Action::Dismiss { user: user.clone() },
        Action::Moderators {},
        Action::BlockTerm { term: "spam".into(), then: Default::default() },
        Action::UnblockTerm { term: "spam".into() },
        Action::Terms {},
        Action::Review { id, allow: true },
        Action::Held {},
        Action::Log { before: None },
        Action::Who { user },
        Action::Restricted {},
    ];
    for role in [Role::Viewer, Role::Subscriber] {
        let mut world = World::new();
        let who = world.enter("Somebody", role);
        for action in actions.clone() {
            let Frame::Refused(refused) = world.act(&who, action.clone()) else { panic!("{action:?}") };
            assert_eq!(refused.code, Code::Forbidden, "{action:?}");
        }
        assert_eq!(world.events, []);
    }
}

#[test]
fn moderators_are_made_and_unmade_by_the_streamer() {
    let mut world = World::new();
    let [viewer, subscriber, moderator, streamer, staff] = all_of(&mut world);
    for who in [&viewer, &subscriber, &moderator] {
        assert_eq!(world.refused(who, "/mod viewer").0, Code::Forbidden);
    }
    assert_eq!(world.command(&streamer, "/mod viewer"), "Viewer is a moderator now.");
    assert!(matches!(world.last_event(), What::Role { user, .. } if user.role == Role::Moderator));
    assert_eq!(world.room.role(&viewer), Role::Moderator);
    let you = world.room.you(world.now, &viewer);
    assert_eq!((you.user.role, you.user.badges), (Role::Moderator, vec!["moderator".to_owned()]));
    assert_eq!(world.command(&viewer, "/timeout subscriber 1m"), "Subscriber is timed out for 1 minute.");
    // Moderators among themselves.
    assert_eq!(world.refused(&moderator, "/timeout viewer").0, Code::Forbidden);
    assert_eq!(world.refused(&moderator, "/unmod viewer").0, Code::Forbidden);
    let Answer::Moderators { users } = world.answer(&viewer, "/mods") else { panic!() };
    let names: Vec<String> = users.into_iter().map(|user| user.name).collect();
    assert_eq!(names, ["Moderator", "Viewer"]);
    // Stepping down, and being sent away by staff.
    assert_eq!(world.command(&viewer, "/unmod viewer"), "Viewer is no moderator any more.");
    assert!(
        matches!(world.last_event(), What::Role { user, .. } if user.role == Role::Viewer && user.badges.is_empty())
    );
    assert_eq!(world.room.role(&viewer), Role::Viewer);
    assert_eq!(world.refused(&viewer, "/mods").0, Code::Forbidden);
    assert_eq!(world.refused(&streamer, "/unmod viewer").0, Code::NotFound);
    // The platform's moderators are the platform's.
    assert_eq!(world.refused(&streamer, "/unmod moderator").0, Code::Forbidden);
    assert_eq!(world.command(&streamer, "/mod moderator"), "Moderator may do that already.");
    world.command(&staff, "/mod viewer");
    assert_eq!(world.refused(&streamer, "/mod nobody").0, Code::NotFound);
}

#[test]
fn a_banned_moderator_is_none() {
    let mut world = World::new();
    let [viewer, _, _, streamer, _] = all_of(&mut world);
    world.command(&streamer, "/mod viewer");
    world.command(&streamer, "/ban viewer");
    assert_eq!(world.room.role(&viewer), Role::Viewer);
    assert_eq!(world.refused(&viewer, "hello").0, Code::Banned);
    assert_eq!(world.refused(&streamer, "/mod viewer").0, Code::Invalid);
    world.command(&streamer, "/unban viewer");
    world.say(&viewer, "hello");
    assert_eq!(world.room.role(&viewer), Role::Viewer);
}

#[test]
fn a_silenced_moderator_may_do_nothing() {
    let mut world = World::new();
    let [_, _, moderator, streamer, _] = all_of(&mut world);
    world.command(&streamer, "/timeout moderator 1m");
    assert_eq!(world.refused(&moderator, "hello").0, Code::TimedOut);
    assert_eq!(world.refused(&moderator, "/untimeout moderator").0, Code::TimedOut);
    assert_eq!(world.refused(&moderator, "/clear").0, Code::TimedOut);
    world.wait(60_000);
    world.command(&moderator, "/clear");
}

#[test]
fn messages_are_taken_away_by_their_author_and_by_those_above() {
    let mut world = World::new();
    let [viewer, subscriber, moderator, streamer, _] = all_of(&mut world);
    let own = world.say(&viewer, "oops");
    assert_eq!(world.refused(&subscriber, &format!("/delete {own}")).0, Code::Forbidden);
    assert_eq!(world.command(&viewer, &format!("/delete {own}")), "The message is taken away.");
    assert!(matches!(world.last_event(), What::Deleted { message, .. } if *message == own));
    assert_eq!(world.refused(&viewer, &format!("/delete {own}")).0, Code::NotFound);
    assert!(world.log(&moderator).is_empty(), "one's own words are nobody else's business");

    let bad = world.say(&viewer, "something bad");
    world.command(&moderator, &format!("/delete {bad}"));
    let log = world.log(&moderator);
    assert_eq!((log[0].action.as_str(), log[0].text.as_str()), ("delete", "something bad"));
    let theirs = world.say(&streamer, "hello");
    assert_eq!(world.refused(&moderator, &format!("/delete {theirs}")).0, Code::Forbidden);
    let theirs = world.say(&moderator, "hello");
    world.command(&streamer, &format!("/delete {theirs}"));
}

#[test]
fn streamers_and_operators_cannot_be_kept_quiet_in_their_room() {
    let mut world = World::new();
    let [_, _, moderator, streamer, staff] = all_of(&mut world);
    for command in ["/chat off", "/slow 60", "/emoteonly", "/subscribers", "/followers 10m", "/links refuse"]
    {
        world.command(&moderator, command);
    }
    for who in [&moderator, &streamer, &staff] {
        world.say(who, "https://a.example");
        world.say(who, "https://a.example");
    }
}
