//! The people's part of the API.

use crate::http::access::Api;

/// What it serves below `/api/v1`.
#[must_use]
pub fn routes() -> Api {
    Api::new("people")
}
