//! The running server: everything started, and everything stopped in order.
