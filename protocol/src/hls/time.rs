//! Times and durations as playlists write them. Everything is rounded on one grid of microseconds, so
//! that what is true of the nanoseconds (a part is not longer than its target) is true of the text.

use std::fmt;

const NS_PER_S: u64 = 1_000_000_000;
const NS_PER_US: u64 = 1_000;
const US_PER_S: u64 = 1_000_000;
const MS_PER_DAY: u64 = 86_400_000;

/// A duration in seconds with six decimals, rounded to the nearest microsecond.
pub(super) struct Nearest(pub(super) u64);

/// A bound in seconds with six decimals, rounded up: no [`Nearest`] of a shorter duration exceeds it.
pub(super) struct Ceiling(pub(super) u64);

impl fmt::Display for Nearest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_us(f, self.0.saturating_add(NS_PER_US / 2) / NS_PER_US)
    }
}

impl fmt::Display for Ceiling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_us(f, self.0.div_ceil(NS_PER_US))
    }
}

fn write_us(f: &mut fmt::Formatter<'_>, us: u64) -> fmt::Result {
    write!(f, "{}.{:06}", us / US_PER_S, us % US_PER_S)
}

/// The text of [`Nearest`] rounded to whole seconds, half up: what a player compares with the target duration.
pub(super) fn whole_seconds(duration_ns: u64) -> u64 {
    let us = duration_ns.saturating_add(NS_PER_US / 2) / NS_PER_US;
    us.saturating_add(US_PER_S / 2) / US_PER_S
}

pub(super) fn seconds_ns(seconds: u32) -> u64 {
    u64::from(seconds).saturating_mul(NS_PER_S)
}

/// Milliseconds since the Unix epoch as ISO 8601 in UTC.
pub(super) struct DateTime(pub(super) u64);

impl fmt::Display for DateTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = civil_date(self.0 / MS_PER_DAY);
        let ms = self.0 % MS_PER_DAY;
        write!(
            f,
            "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}.{:03}Z",
            ms / 3_600_000,
            ms / 60_000 % 60,
            ms / 1_000 % 60,
            ms % 1_000
        )
    }
}

/// Proleptic Gregorian date of a day since 1970-01-01, counted in eras of 400 years that start in March,
/// so that the leap day is the last day of its year.
fn civil_date(day: u64) -> (u64, u64, u64) {
    const DAYS_PER_ERA: u64 = 146_097;
    const EPOCH_IN_ERA: u64 = 719_468;
    let day = day.saturating_add(EPOCH_IN_ERA);
    let (era, day_of_era) = (day / DAYS_PER_ERA, day % DAYS_PER_ERA);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / (DAYS_PER_ERA - 1)) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * day_of_year + 2) / 153;
    let day_of_month = day_of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day_of_month)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_within_its_target_stays_within_it_as_text() {
        for (part, target) in
            [(333_333_333, 333_333_333), (333_333_499, 333_333_500), (200_000_000, 200_000_000)]
        {
            let (part, target) = (Nearest(part).to_string(), Ceiling(target).to_string());
            assert!(part.parse::<f64>().unwrap() <= target.parse::<f64>().unwrap(), "{part} {target}");
        }
        assert_eq!(Nearest(2_000_000_499).to_string(), "2.000000");
        assert_eq!(Ceiling(333_333_333).to_string(), "0.333334");
    }

    #[test]
    fn whole_seconds_round_half_up_like_the_text() {
        assert_eq!(whole_seconds(2_499_999_499), 2);
        assert_eq!(whole_seconds(2_499_999_500), 3, "its text is 2.500000");
        assert_eq!(whole_seconds(2_500_000_000), 3);
    }

    #[test]
    fn dates_know_leap_years() {
        for (ms, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (1_763_826_000_123, "2025-11-22T15:40:00.123Z"),
            (4_107_542_399_999, "2100-02-28T23:59:59.999Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
        ] {
            assert_eq!(DateTime(ms).to_string(), text);
        }
    }
}
