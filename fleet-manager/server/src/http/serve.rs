//! The listeners: plain HTTP for loopback and trusted proxies, HTTPS for everybody.
