//! Sending and collecting with a real mosquitto, as `docs/mosquitto.conf` sets it up.

mod broker;
mod collecting;
mod killed;
mod made;
mod sending;
mod tls;
