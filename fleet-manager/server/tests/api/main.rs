//! The fleet server's API, asked over HTTP as a browser or a program asks it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::missing_panics_doc,
    reason = "tests fail by panicking"
)]

mod audit;
mod bundles;
mod channels;
mod dashboard;
mod description;
mod lists;
mod live;
mod login;
mod maintenance;
mod people;
mod process;
mod proxy;
mod roles;
mod site;
mod support;
mod tokens;
