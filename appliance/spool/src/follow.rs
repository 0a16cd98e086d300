//! Placeholder.
#[derive(Debug)]
pub struct Follower;
#[derive(Debug)]
pub enum Event {}
