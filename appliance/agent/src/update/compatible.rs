//! Whether a bundle is for this box: `compatible` names the board and, on a Jetson, the release of L4T.

/// What is between the board and the release.
const L4T: &str = "-l4t-";

/// Why a bundle that says `bundle` is none for a box that says `own`; `None`: it is one.
pub(super) fn refusal(bundle: &str, own: &str) -> Option<String> {
    if bundle == own {
        return None;
    }
    let ((bundle_board, bundle_release), (board, release)) = (parts(bundle), parts(own));
    if bundle_board != board {
        return Some(format!("the bundle is for the board {bundle_board}, this is {board}"));
    }
    Some(match (bundle_release, release) {
        (Some(theirs), Some(ours)) => format!("the bundle is for L4T {theirs}, this box has {ours}"),
        (Some(theirs), None) => format!("the bundle is for L4T {theirs}, this box has none"),
        (None, _) => format!("the bundle is for {bundle}, this box is {own}"),
    })
}

fn parts(compatible: &str) -> (&str, Option<&str>) {
    match compatible.rsplit_once(L4T) {
        Some((board, release)) => (board, Some(release)),
        None => (compatible, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_named() {
        const ORIN: &str = "nodi-p3768-0000-p3767-0000-l4t-r39.2";
        for (bundle, own, reason) in [
            (ORIN, ORIN, None),
            (
                "nodi-p3737-0000-p3701-0000-l4t-r39.2",
                ORIN,
                Some(
                    "the bundle is for the board nodi-p3737-0000-p3701-0000, this is nodi-p3768-0000-p3767-0000",
                ),
            ),
            (
                "nodi-p3768-0000-p3767-0000-l4t-r38.1",
                ORIN,
                Some("the bundle is for L4T r38.1, this box has r39.2"),
            ),
            ("nodi-x-l4t-r39.2", "nodi-x", Some("the bundle is for L4T r39.2, this box has none")),
            ("nodi-x", "nodi-x-l4t-r39.2", Some("the bundle is for nodi-x, this box is nodi-x-l4t-r39.2")),
            ("", "nodi-x", Some("the bundle is for the board , this is nodi-x")),
        ] {
            assert_eq!(refusal(bundle, own).as_deref(), reason, "{bundle} on {own}");
        }
    }
}
