//! `nodi-fleet broker-config`: a complete configuration of Mosquitto.
