//! Maintenance windows: when a box may reboot for an update by itself. Computed from a time that is passed in, in UTC,
//! where no day is longer than another.

use nodi_protocol::fleet::update::{Day, Window};

const MINUTE_MS: u64 = 60_000;
const DAY: u64 = 1_440;
const WEEK: u64 = 7 * DAY;
/// The first of January 1970 was a Thursday.
const EPOCH: u64 = 3 * DAY;
const ALL: [Day; 7] = [Day::Mon, Day::Tue, Day::Wed, Day::Thu, Day::Fri, Day::Sat, Day::Sun];
/// More windows are a mistake.
const MOST: usize = 32;

/// # Errors
/// Says what is wrong with them.
pub(crate) fn check(windows: &[Window]) -> Result<(), Bad> {
    if windows.len() > MOST {
        return Err(Bad(format!("{} windows are more than {MOST}", windows.len())));
    }
    for window in windows {
        if u64::from(window.start_minute) >= DAY {
            return Err(Bad(format!("start_minute {} is not in 0 to 1439", window.start_minute)));
        }
        if !(15..=DAY).contains(&u64::from(window.minutes)) {
            return Err(Bad(format!("minutes {} is not in 15 to 1440", window.minutes)));
        }
    }
    Ok(())
}

/// Why windows are unusable.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("maintenance: {0}")]
pub(crate) struct Bad(String);

/// Whether `at_ms` (milliseconds since the Unix epoch) is in one of them. Without any, every time is.
pub(crate) fn is_open(windows: &[Window], at_ms: u64) -> bool {
    let minute = minute_of_week(at_ms);
    windows.is_empty()
        || windows.iter().any(|window| {
            begins(window).any(|begin| since(begin, minute) < u64::from(window.minutes).min(WEEK))
        })
}

/// When the next one begins, `at_ms` itself while one is open.
pub(crate) fn next_ms(windows: &[Window], at_ms: u64) -> u64 {
    if is_open(windows, at_ms) {
        return at_ms;
    }
    let minute = minute_of_week(at_ms);
    let ahead = windows.iter().flat_map(begins).map(|begin| since(minute, begin)).min().unwrap_or(0);
    at_ms / MINUTE_MS * MINUTE_MS + ahead * MINUTE_MS
}

/// `Tue 02:30 UTC`, for people.
pub(crate) fn describe(at_ms: u64) -> String {
    let minute = minute_of_week(at_ms);
    let day = usize::try_from(minute / DAY)
        .ok()
        .and_then(|day| ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"].get(day).copied());
    format!("{} {:02}:{:02} UTC", day.unwrap_or_default(), minute % DAY / 60, minute % 60)
}

fn minute_of_week(at_ms: u64) -> u64 {
    (at_ms / MINUTE_MS + EPOCH) % WEEK
}

/// Minutes of the week at which it begins.
fn begins(window: &Window) -> impl Iterator<Item = u64> + '_ {
    ALL.iter()
        .zip(0..)
        .filter(|(day, _)| window.days.is_empty() || window.days.contains(day))
        .map(|(_, number): (_, u64)| (number * DAY + u64::from(window.start_minute)) % WEEK)
}

/// Minutes from one minute of the week to the next time that it is the other.
fn since(from: u64, to: u64) -> u64 {
    (to + WEEK - from) % WEEK
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Monday, 23 November 2026, 00:00 UTC.
    const MONDAY: u64 = 1_795_392_000_000;
    const HOUR: u64 = 60 * MINUTE_MS;

    fn window(days: &[Day], start_minute: u16, minutes: u16) -> Window {
        Window { days: days.to_vec(), start_minute, minutes }
    }

    #[test]
    fn a_window_over_midnight_and_over_the_end_of_the_week() {
        let night = [window(&[Day::Sun], 23 * 60, 180)];
        for (hour, minute, open) in [(0, 0, true), (1, 59, true), (2, 0, false), (22, 59, false)] {
            assert_eq!(
                is_open(&night, MONDAY + hour * HOUR + minute * MINUTE_MS),
                open,
                "Mon {hour}:{minute:02}"
            );
        }
        let sunday = MONDAY + 6 * 24 * HOUR;
        assert!(!is_open(&night, sunday + 22 * HOUR) && is_open(&night, sunday + 23 * HOUR));
        assert_eq!(next_ms(&night, MONDAY + 2 * HOUR + 30_000), sunday + 23 * HOUR);
        assert_eq!(describe(next_ms(&night, MONDAY + 2 * HOUR)), "Sun 23:00 UTC");
        assert_eq!(next_ms(&night, MONDAY + HOUR), MONDAY + HOUR, "while it is open: now");
    }

    #[test]
    fn no_window_is_any_time_and_no_day_is_every_day() {
        assert!(is_open(&[], 0) && is_open(&[], MONDAY));
        let daily = [window(&[], 120, 60)];
        for day in 0..7 {
            assert!(is_open(&daily, MONDAY + (day * 24 + 2) * HOUR), "{day}");
            assert!(!is_open(&daily, MONDAY + (day * 24 + 3) * HOUR), "{day}");
        }
    }

    #[test]
    fn what_is_out_of_range_is_named() {
        assert_eq!(check(&[window(&[], 0, 15), window(&[Day::Mon], 1439, 1440)]), Ok(()));
        for (bad, why) in [
            (window(&[], 1440, 60), "maintenance: start_minute 1440 is not in 0 to 1439"),
            (window(&[], 0, 14), "maintenance: minutes 14 is not in 15 to 1440"),
            (window(&[], 0, 1441), "maintenance: minutes 1441 is not in 15 to 1440"),
        ] {
            assert_eq!(check(&[bad]).unwrap_err().to_string(), why);
        }
        assert!(check(&vec![window(&[], 0, 60); 33]).is_err());
    }

    fn windows() -> impl Strategy<Value = Vec<Window>> {
        let one = (proptest::collection::vec(0..7_usize, 0..4), 0..1440_u16, 15..=1440_u16).prop_map(
            |(days, start, minutes)| {
                window(&days.iter().map(|day| ALL[*day]).collect::<Vec<_>>(), start, minutes)
            },
        );
        proptest::collection::vec(one, 1..4)
    }

    proptest! {
        /// Against the plain way: a calendar of two weeks, minute by minute.
        #[test]
        fn it_is_open_when_the_calendar_says_so(windows in windows(), minute in 0..10_080_u64, weeks in 0..3_000_u64) {
            let mut open = vec![false; 2 * 10_080];
            for window in &windows {
                for (day, number) in ALL.iter().zip(0_usize..) {
                    if window.days.is_empty() || window.days.contains(day) {
                        let begin = number * 1_440 + usize::from(window.start_minute);
                        open[begin..begin + usize::from(window.minutes)].fill(true);
                    }
                }
            }
            let minute_index = usize::try_from(minute).unwrap();
            let expected = open[minute_index] || open[minute_index + 10_080];
            // A Monday of long ago.
            let at = 4 * 86_400_000 + weeks * 7 * 86_400_000 + minute * MINUTE_MS + 59_999;
            prop_assert_eq!(is_open(&windows, at), expected);
        }

        /// The next one is open, and nothing before it is.
        #[test]
        fn the_next_one_is_the_next_one(windows in windows(), at in 0..4_000_000_000_000_u64) {
            let next = next_ms(&windows, at);
            prop_assert!(next >= at && next - at <= 7 * 86_400_000);
            prop_assert!(is_open(&windows, next));
            if next > at {
                prop_assert!(!is_open(&windows, next - 1));
                let middle = at + (next - at) / 2;
                prop_assert!(!is_open(&windows, middle));
            }
        }
    }
}
