//! What the kernel knows of its clock from the time service.

/// Offset from true time and whether the clock is kept synchronised.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Timekeeping {
    /// In milliseconds; `None` while nobody tells.
    pub offset_ms: Option<f32>,
    pub synchronised: bool,
}

/// `None`: not to be learned here.
#[allow(unsafe_code, reason = "there is no safe way to the kernel's adjtimex")]
pub(crate) fn kernel() -> Option<Timekeeping> {
    // SAFETY: all zeros are a valid `timex`, and with `modes` 0 the kernel only writes into it.
    let (state, time) = unsafe {
        let mut time: libc::timex = std::mem::zeroed();
        let state = libc::adjtimex(&raw mut time);
        (state, time)
    };
    (state >= 0).then(|| interpret(state, time.status, time.offset))
}

fn interpret(state: i32, status: i32, offset: libc::c_long) -> Timekeeping {
    let synchronised = state != libc::TIME_ERROR && status & libc::STA_UNSYNC == 0;
    let per_ms = if status & libc::STA_NANO == 0 { 1e3 } else { 1e6 };
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_precision_loss,
        reason = "milliseconds with two digits"
    )]
    let offset_ms = ((offset as f64 / per_ms) * 100.0).round() as f32 / 100.0;
    Timekeeping { offset_ms: synchronised.then_some(offset_ms), synchronised }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_units_and_both_ways_to_say_unsynchronised() {
        let of = |offset_ms, synchronised| Timekeeping { offset_ms, synchronised };
        assert_eq!(
            interpret(libc::TIME_OK, libc::STA_PLL | libc::STA_NANO, -1_234_000),
            of(Some(-1.23), true)
        );
        assert_eq!(interpret(libc::TIME_OK, libc::STA_PLL, 1_500), of(Some(1.5), true));
        assert_eq!(interpret(libc::TIME_ERROR, 0, 5), of(None, false));
        assert_eq!(interpret(libc::TIME_OK, libc::STA_UNSYNC, 5), of(None, false));
        assert!(kernel().is_some());
    }
}
