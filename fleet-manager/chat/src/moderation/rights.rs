//! Who may do what, to whom.

use nodi_protocol::chat::Role;
use nodi_protocol::chat::action::Action;

/// The lowest role that may do something at all. Everybody may take away their own messages, and moderators may step
/// down: the exceptions are looked at where these are done.
pub(super) fn needed(action: &Action) -> Role {
    match action {
        Action::Delete { .. } => Role::Viewer,
        Action::Appoint { .. } => Role::Streamer,
        Action::Dismiss { .. }
        | Action::Purge { .. }
        | Action::Clear {}
        | Action::Timeout { .. }
        | Action::Ban { .. }
        | Action::Release { .. }
        | Action::Set { .. }
        | Action::Moderators {}
        | Action::BlockTerm { .. }
        | Action::UnblockTerm { .. }
        | Action::Terms {}
        | Action::Review { .. }
        | Action::Held {}
        | Action::Log { .. }
        | Action::Who { .. }
        | Action::Restricted {} => Role::Moderator,
    }
}

/// Nobody acts on somebody of the same or a higher role.
pub(super) fn reaches(actor: Role, target: Role) -> bool {
    actor >= Role::Moderator && actor > target
}

/// In words.
pub(super) fn plural(role: Role) -> &'static str {
    match role {
        Role::Viewer => "everybody",
        Role::Subscriber => "subscribers",
        Role::Moderator => "moderators",
        Role::Streamer => "the streamer",
        Role::Staff => "operators of the platform",
    }
}

/// Why nobody of the same or a lower role may act on somebody.
pub(super) fn out_of_reach(name: &str, role: Role) -> String {
    let is = match role {
        Role::Viewer => "a viewer",
        Role::Subscriber => "a subscriber",
        Role::Moderator => "a moderator",
        Role::Streamer => "the streamer",
        Role::Staff => "an operator of the platform",
    };
    format!("{name} is {is}: that takes somebody above them")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_reaches_their_equals() {
        use Role::{Moderator, Staff, Streamer, Subscriber, Viewer};
        let all = [Viewer, Subscriber, Moderator, Streamer, Staff];
        for actor in all {
            for target in all {
                let may = matches!(
                    (actor, target),
                    (Moderator, Viewer | Subscriber)
                        | (Streamer, Viewer | Subscriber | Moderator)
                        | (Staff, Viewer | Subscriber | Moderator | Streamer)
                );
                assert_eq!(reaches(actor, target), may, "{actor:?} on {target:?}");
            }
        }
    }
}
