//! Attempts to get around a ban.

use super::*;

const HOME: &str = "203.0.113.7";

fn banned() -> (World, Speaker) {
    let mut world = World::new();
    let moderator = world.enter("Mod", Role::Moderator);
    let mallory = world.enter_as(World::claims("SpamKing", Role::Viewer), HOME).unwrap();
    world.say(&mallory, "buy now");
    world.command(&moderator, "/ban SpamKing spam");
    (world, moderator)
}

fn new_account(name: &str) -> Claims {
    Claims { created_s: NOW / 1_000, ..World::claims(name, Role::Viewer) }
}

#[test]
fn a_new_connection_does_not_help() {
    let (mut world, _) = banned();
    let again = world.enter_as(World::claims("SpamKing", Role::Viewer), "192.0.2.77").unwrap();
    let restriction = world.room.you(world.now, &again).restriction.unwrap();
    assert_eq!((restriction.until_ms, restriction.reason.as_deref()), (None, Some("spam")));
    assert_eq!(world.refused(&again, "me again"), (Code::Banned, None));
}

#[test]
fn a_new_account_from_the_same_address_is_refused_for_a_week() {
    let (mut world, moderator) = banned();
    let refused = world.enter_as(new_account("Innocent"), HOME).unwrap_err();
    assert_eq!((refused.code, refused.nonce.as_str()), (Code::Banned, ""));
    // However many are made.
    for n in 0..20 {
        assert!(world.enter_as(new_account(&format!("Innocent{n}")), HOME).is_err());
    }
    // Nor one that was already connected.
    world.command(&moderator, "/unban SpamKing");
    let other = world.enter_as(new_account("Innocent"), HOME).unwrap();
    world.say(&other, "hello");
    world.command(&moderator, "/ban SpamKing");
    assert_eq!(world.refused(&other, "hello again"), (Code::Banned, None));
    // Moderators are trusted wherever they are.
    let trusted = world.enter_as(World::claims("Trusted", Role::Moderator), HOME).unwrap();
    world.say(&trusted, "hello");
    world.wait(7 * DAY);
    assert!(world.enter_as(new_account("Neighbour"), HOME).is_ok());
    let again = world.enter_as(World::claims("SpamKing", Role::Viewer), HOME).unwrap();
    assert_eq!(world.refused(&again, "the account stays banned").0, Code::Banned);
}

#[test]
fn a_flatmate_goes_on_talking() {
    let mut world = World::new();
    let moderator = world.enter("Mod", Role::Moderator);
    let flatmate = world.enter_as(World::claims("Flatmate", Role::Viewer), HOME).unwrap();
    world.say(&flatmate, "hello");
    world.now += 2 * DAY;
    let mallory = world.enter_as(World::claims("SpamKing", Role::Viewer), HOME).unwrap();
    world.say(&mallory, "buy now");
    world.command(&moderator, "/ban spamking");
    let flatmate = world.enter_as(World::claims("Flatmate", Role::Viewer), HOME).unwrap();
    world.say(&flatmate, "what did you do");
}

#[test]
fn a_shared_address_is_held() {
    let mut world = World::new();
    let moderator = world.enter("Mod", Role::Moderator);
    for n in 0..5 {
        world.enter_as(World::claims(&format!("Pupil{n}a"), Role::Viewer), HOME).unwrap();
    }
    let mallory = world.enter_as(World::claims("SpamKing", Role::Viewer), HOME).unwrap();
    world.say(&mallory, "buy now");
    world.command(&moderator, "/ban spamking");
    let pupil = world.enter_as(new_account("Latecomer"), HOME).unwrap();
    assert_eq!(world.refused(&pupil, "hello").0, Code::Held);
    assert_eq!(world.held(&moderator)[0].1, "somebody was banned from this shared address");
}

#[test]
fn a_name_that_looks_the_same_is_held() {
    let (mut world, moderator) = banned();
    for (n, name) in ["5pamK1ng", "Sparnking", "spam_king", "spamking2"].into_iter().enumerate() {
        let clone = world.enter_as(new_account(name), &format!("192.0.2.{n}")).unwrap();
        assert_eq!(world.refused(&clone, "hello").0, Code::Held, "{name}");
    }
    let held = world.held(&moderator);
    assert!(
        held.iter().all(|(_, why)| why == "the name looks like that of SpamKing, who is banned"),
        "{held:?}"
    );
    let other = world.enter_as(new_account("KingSpam"), "192.0.2.99").unwrap();
    world.say(&other, "hello");
    world.command(&moderator, "/unban SpamKing");
    let free = world.enter_as(new_account("SpamK1ng_"), "192.0.2.98").unwrap();
    world.say(&free, "hello");
}

#[test]
fn a_ban_survives_a_restart_with_its_address() {
    let (world, _) = banned();
    let restricted = world.ops.iter().find_map(|op| match op {
        Op::Delivered { delivery, .. } => match &delivery.item {
            Item::Event(What::Restricted { user, by, .. }) => Some(crate::store::Restricted {
                user: user.clone(),
                until_ms: None,
                reason: None,
                by: by.clone(),
                at_ms: delivery.at_ms,
                addresses: delivery.inside.addresses.clone(),
            }),
            _ => None,
        },
        _ => None,
    });
    let restricted = restricted.unwrap();
    assert_eq!(restricted.addresses.len(), 1);
    // Clients never see where somebody is.
    assert!(!serde_json::to_string(&world.events).unwrap().contains(&restricted.addresses[0].to_string()));
    let mut world =
        World::with(&Config::default(), Loaded { restrictions: vec![restricted], ..Loaded::default() });
    assert!(world.enter_as(new_account("Innocent"), HOME).is_err());
    assert!(world.enter_as(new_account("Innocent"), "192.0.2.1").is_ok());
}

#[test]
fn a_time_out_is_not_got_around_by_a_new_token_and_ends_by_itself() {
    let mut world = World::new();
    let moderator = world.enter("Mod", Role::Moderator);
    world.viewer("Ada");
    assert_eq!(world.command(&moderator, "/timeout ada 10m calm down"), "Ada is timed out for 10 minutes.");
    let ada = world.viewer("Ada");
    assert_eq!(world.refused(&ada, "hi"), (Code::TimedOut, Some(600_000)));
    let you = world.room.you(world.now, &ada).restriction.unwrap();
    assert_eq!((you.until_ms, you.reason.as_deref()), (Some(NOW + 600_000), Some("calm down")));
    world.wait(599_999);
    assert_eq!(world.refused(&ada, "hi"), (Code::TimedOut, Some(1)));
    world.wait(1);
    assert!(world.room.you(world.now, &ada).restriction.is_none());
    world.say(&ada, "hi");
    assert!(world.ops.iter().any(|op| matches!(op, Op::Ended { account, .. } if account == "id-Ada")));
}
