//! The agent of a box: its identity, its desired and reported state, its commands, and its telemetry.
