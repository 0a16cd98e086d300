//! The fleet server: people, channels, stream keys, boxes; REST API, dashboard, and the MQTT side of the boxes.
