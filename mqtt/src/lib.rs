//! One MQTT 5 connection as every Nodi process that has one keeps it: mutual TLS, a session that is kept,
//! subscriptions that are made again, and publishes whose acknowledgement can be awaited. Knows no topic.
